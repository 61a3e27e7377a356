//! Promotion: policy is asked, and what it says yes to is signed.

use agentguard_api::report::{Promotion, RefusalView, Validation};
use agentguard_audit::{Entry as AuditEntry, codes};
use agentguard_core::rule::Source;
use agentguard_core::spec::Spec;
use agentguard_governance::proof::{Act, Authority, Envelope, Proof};
use agentguard_governance::register::{Entry, RegisterError, Stored};
use agentguard_governance::state::{Cause, Event};
use agentguard_policy::refusal::Consequence;
use agentguard_policy::{
    Actor, HostFacts, PolicySet, PreparedInput, PromotionAction, PromotionFacts, Refusal,
};
use serde_json::json;

use super::agents::must_be_admin;
use super::{
    AGENT_ADMIN, Governance, GovernanceError, NS_PER_SEC, POLICY_ADMIN, Person, SEC_PER_DAY, after, now_sec,
    parse,
};
use crate::clock;

/// What is asked beside the agent itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Question {
    /// As which tier; the spec's if absent.
    pub tier: Option<u8>,
    /// Where; empty for nowhere in particular.
    pub environment: String,
    /// Most that it may spend in a month, dollars.
    pub budget_limit_usd: Option<f64>,
}

impl Governance {
    /// Asks policy to let an agent out of the sandbox. Whatever stands against it is told together; if nothing does, a proof is
    /// signed. An agent that is promoted already gets a new proof.
    pub fn promote(&self, name: &str, by: &Person) -> Result<Promotion, GovernanceError> {
        let _changing = self.changing();
        let stored = self.register.load(name)?;
        if stored.entry.standing.restricted_by.contains(&Cause::Person) {
            must_be_admin(by, &format!("take the restriction of agent {name} back"))?;
        }
        let spec = parse(&stored)?;
        let hash = spec.sha256();
        self.counters.promotion_attempt();
        let attempt = AuditEntry::new(codes::PROMOTION_ATTEMPT, &by.name).agent(name);
        let policy = self.policy.get();
        let of = json!({"spec_sha256": hash, "policy_sha256": policy.version().hash(), "roles": by.roles});
        self.audit.record(attempt.detail(of))?;
        let action = PromotionAction::Promote;
        let mut refusals =
            self.ask(&policy, &stored, &spec, &(self.host)(), action, by, &Question::default())?;
        if refusals.is_empty() && by.roles.is_empty() {
            refusals.push(nobodys(by));
        }
        if !refusals.is_empty() {
            return self.refuse_promotion(&stored, refusals, by);
        }
        let mut entry = stored.entry;
        entry.standing = after(&entry, Event::Promoted)?;
        entry.reason.clear();
        entry.updated_sec = now_sec();
        let envelope = self.sign(&entry, &spec, policy.version().hash(), by)?;
        let detail = json!({
            "spec_sha256": hash,
            "policy_sha256": policy.version().hash(),
            "revision": entry.revision,
            "key": envelope.key(),
            "proof_sha256": envelope.sha256(),
        });
        self.put_into_effect(&entry, codes::PROMOTION_SUCCESS, by, &hash, detail, |register| {
            // The proof first: valid without a proof it could not start, and would have to be promoted again.
            register.put_proof(name, &envelope)?;
            register.put(&entry)
        })?;
        let agent = self.get(name)?;
        Ok(Promotion { code: codes::PROMOTION_SUCCESS.name.to_owned(), refusals: Vec::new(), agent })
    }

    fn refuse_promotion(
        &self,
        stored: &Stored,
        refusals: Vec<Refusal>,
        by: &Person,
    ) -> Result<Promotion, GovernanceError> {
        let name = &stored.entry.name;
        for refusal in &refusals {
            self.counters.promotion_denied(&refusal.id);
        }
        let ids: Vec<&str> = refusals.iter().map(|refusal| refusal.id.as_str()).collect();
        tracing::warn!(
            AGENT = name,
            CODE = codes::PROMOTION_DENIED.name,
            BY = by.name,
            "agent {name} is not promoted: {}",
            ids.join(", ")
        );
        let refusals = refusal_views(refusals);
        let denied = AuditEntry::new(codes::PROMOTION_DENIED, &by.name).agent(name.clone());
        self.audit.record(denied.detail(json!({"refusals": refusals})))?;
        let agent = self.get(name)?;
        Ok(Promotion { code: codes::PROMOTION_DENIED.name.to_owned(), refusals, agent })
    }

    /// What would be said to a promotion by this person, and to a start.
    pub fn validate(&self, name: &str, by: &Person) -> Result<Validation, GovernanceError> {
        self.answer(name, PromotionAction::Promote, by, &Question::default())
    }

    /// What would be said to a promotion for a place, whoever asks for it.
    pub fn check(&self, name: &str, by: &Person, question: &Question) -> Result<Validation, GovernanceError> {
        self.answer(name, PromotionAction::Check, by, question)
    }

    fn answer(
        &self,
        name: &str,
        action: PromotionAction,
        by: &Person,
        question: &Question,
    ) -> Result<Validation, GovernanceError> {
        let stored = self.register.load(name)?;
        let spec = parse(&stored)?;
        let refusals = self.ask(&self.policy.get(), &stored, &spec, &(self.host)(), action, by, question)?;
        let refusals = refusal_views(refusals);
        Ok(Validation { ok: refusals.is_empty(), refusals, admission: self.look(&stored) })
    }

    /// Everything that stands against an agent.
    #[allow(clippy::too_many_arguments)] // each is a different thing, and every caller has all of them
    pub(super) fn ask(
        &self,
        policy: &PolicySet,
        stored: &Stored,
        spec: &Spec,
        host: &HostFacts,
        action: PromotionAction,
        by: &Person,
        question: &Question,
    ) -> Result<Vec<Refusal>, GovernanceError> {
        if !policy.can_refuse() {
            return Err(GovernanceError::NothingRefused);
        }
        let input = PreparedInput::new(&self.input(stored, spec, host)?);
        let now_ns = clock::wall_ns();
        let facts = PromotionFacts {
            action,
            actor: Actor { name: by.name.clone(), roles: by.roles.clone() },
            environment: question.environment.clone(),
            tier: question.tier.unwrap_or(spec.agent.tier),
            budget_limit_usd: question.budget_limit_usd,
            spent_usd: self.ledger.spent(&stored.entry.name, now_ns)?.dollars(),
            time_ns: now_ns,
        };
        Ok(policy.refusals(&input, &facts)?)
    }

    fn sign(
        &self,
        entry: &Entry,
        spec: &Spec,
        policy: &str,
        by: &Person,
    ) -> Result<Envelope, GovernanceError> {
        let now = now_sec();
        let longest = now + u64::from(self.settings.proof_days).saturating_mul(SEC_PER_DAY);
        let by_spec = spec.agent.expires.as_ref().map(|moment| moment.wall_ns / NS_PER_SEC);
        let proof = Proof {
            agent: entry.name.clone(),
            version: spec.agent.version.clone(),
            revision: entry.revision,
            spec_sha256: spec.sha256(),
            variables: entry.variables.clone(),
            policy_sha256: policy.to_owned(),
            authority: Authority { name: by.name.clone(), roles: by.roles.clone(), act: Act::Promotion },
            signed_sec: now,
            expires_sec: by_spec.map_or(longest, |expires| longest.min(expires)),
            previous: None,
        };
        Ok(Envelope::sign(&proof, &self.ring())?)
    }

    /// The same promise again, under another policy or by another key.
    pub(super) fn sign_anew(
        &self,
        envelope: &Envelope,
        proof: &Proof,
        act: Act,
        policy: &str,
    ) -> Result<Envelope, GovernanceError> {
        let next = Proof {
            policy_sha256: policy.to_owned(),
            authority: Authority { act, ..proof.authority.clone() },
            signed_sec: now_sec(),
            previous: Some(envelope.sha256()),
            ..proof.clone()
        };
        Ok(Envelope::sign(&next, &self.ring())?)
    }

    pub(super) fn put_proof(&self, name: &str, envelope: &Envelope) -> Result<(), RegisterError> {
        self.register.put_proof(name, envelope)
    }
}

/// Who has no role promotes nobody, whatever policy leaves out.
fn nobodys(by: &Person) -> Refusal {
    Refusal {
        id: "governance.role".to_owned(),
        reason: format!("{} has neither the role {AGENT_ADMIN} nor {POLICY_ADMIN}", by.name),
        then: Consequence::Invalidate,
        source: Source { file: "agentd".into(), line: 1 },
    }
}

/// As users see them.
pub fn refusal_views(refusals: Vec<Refusal>) -> Vec<RefusalView> {
    let then = |then| match then {
        Consequence::Restrict => "restrict",
        Consequence::Invalidate => "invalidate",
    };
    refusals
        .into_iter()
        .map(|refusal| RefusalView {
            id: refusal.id,
            reason: refusal.reason,
            then: then(refusal.then).to_owned(),
            source: refusal.source,
        })
        .collect()
}
