//! Another policy, or what was spent: every promoted agent is asked about again.
//!
//! In two steps, so that the kernel's rules can be changed between them. [`Governance::judge`] asks and changes nothing;
//! [`Governance::settle`] writes down what came of it, and signs the proofs of those that stay under the new policy. A proof
//! that does not hold today is not signed anew.

use agentguard_api::report::Revalidated;
use agentguard_audit::{Code, Entry as AuditEntry, codes};
use agentguard_core::ids::AgentName;
use agentguard_core::spec::Spec;
use agentguard_governance::admission::{Facts, FoundProof, admit};
use agentguard_governance::proof::Act;
use agentguard_governance::register::Stored;
use agentguard_governance::state::{Cause, Event, State};
use agentguard_policy::refusal::Consequence;
use agentguard_policy::{HostFacts, PolicySet, PromotionAction, Refusal};
use serde_json::json;

use super::{Governance, GovernanceError, Person, Question, now_sec, parse, refusal_views};

/// What another policy says about one agent. Nothing has changed yet.
pub struct Judged {
    /// As it is stored.
    stored: Stored,
    spec_sha256: String,
    /// What happens to it; nothing if it stays where it is.
    event: Option<Event>,
    /// Its proof holds but for the policy, so that it may be signed anew.
    is_sound: bool,
    refusals: Vec<Refusal>,
    /// Policy could not be asked.
    problem: Option<String>,
}

impl Judged {
    /// The agent.
    pub fn name(&self) -> &str {
        &self.stored.entry.name
    }

    /// Where it will stand.
    pub fn next(&self) -> State {
        let standing = &self.stored.entry.standing;
        self.event.and_then(|event| standing.after(event).ok()).map_or(standing.state, |next| next.state)
    }
}

impl Governance {
    /// Asks a policy about every promoted agent; `progress` hears how many of how many are done.
    ///
    /// # Errors
    /// When the register can not be read, or this policy could refuse nobody. An agent that can not be read is left out: it does not start anyway.
    pub fn judge(
        &self,
        policy: &PolicySet,
        only: Option<&str>,
        mut progress: impl FnMut(u32, u32),
    ) -> Result<Vec<Judged>, GovernanceError> {
        let names = match only {
            Some(name) => vec![name.to_owned()],
            None => self.register.names()?,
        };
        let host = (self.host)();
        let total = u32::try_from(names.len()).unwrap_or(u32::MAX);
        let mut judged = Vec::new();
        for (name, done) in names.iter().zip(1..) {
            match self.register.load(name) {
                Ok(stored) if stored.entry.standing.state.is_promoted() => {
                    if !policy.can_refuse() {
                        return Err(GovernanceError::NothingRefused);
                    }
                    judged.push(self.judge_one(policy, stored, &host)?);
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(AGENT = name, %error, "agent {name} can not be read; it does not start")
                }
            }
            progress(done, total);
        }
        Ok(judged)
    }

    /// What policy can not be asked about fails; what the disk does not say is an error, and nobody's fault.
    fn judge_one(
        &self,
        policy: &PolicySet,
        stored: Stored,
        host: &HostFacts,
    ) -> Result<Judged, GovernanceError> {
        let spec = match parse(&stored) {
            Ok(spec) => spec,
            Err(error) => return Ok(failed(stored, String::new(), error.to_string())),
        };
        let spec_sha256 = spec.sha256();
        let (action, question) = (PromotionAction::Revalidate, Question::default());
        let refusals = match self.ask(policy, &stored, &spec, host, action, &Person::agentd(), &question) {
            Ok(refusals) => refusals,
            Err(error @ GovernanceError::Policy(_)) => {
                return Ok(failed(stored, spec_sha256, error.to_string()));
            }
            Err(error) => return Err(error),
        };
        let standing = &stored.entry.standing;
        let event = match refusals.iter().map(|refusal| refusal.then).max() {
            Some(Consequence::Invalidate) => Some(Event::Failed),
            Some(Consequence::Restrict) if standing.restricted_by.contains(&Cause::Policy) => None,
            Some(Consequence::Restrict) => Some(Event::Restricted(Cause::Policy)),
            None if standing.restricted_by.contains(&Cause::Policy) => Some(Event::Lifted(Cause::Policy)),
            None => None,
        };
        let is_sound = self.is_sound(&stored, &spec);
        Ok(Judged { stored, spec_sha256, event, is_sound, refusals, problem: None })
    }

    /// Whether the proof holds under the policy that it names.
    fn is_sound(&self, stored: &Stored, spec: &Spec) -> bool {
        let FoundProof::Read { proof, .. } = &stored.proof else { return false };
        let ring = self.ring();
        admit(&Facts {
            entry: &stored.entry,
            spec: Ok(spec),
            proof: &stored.proof,
            ring: &ring,
            policy_sha256: &proof.policy_sha256,
            now_sec: now_sec(),
        })
        .is_allowed()
    }

    /// Writes down what came of it, for a policy that is in force now. Returns everybody that was asked about.
    pub fn settle(&self, judged: Vec<Judged>, policy: &PolicySet, why: &str) -> Vec<Revalidated> {
        let _changing = self.changing();
        let version = policy.version().hash();
        let mut results = Vec::new();
        let (mut changed, mut signed) = (0_u32, 0_u32);
        for judged in judged {
            let (before, after) = (judged.stored.entry.standing.state, judged.next());
            changed += u32::from(judged.event.is_some());
            signed += u32::from(self.settle_one(&judged, version));
            let agent = AgentName(judged.stored.entry.name);
            results.push(Revalidated { agent, before, after, refusals: refusal_views(judged.refusals) });
        }
        if !results.is_empty() {
            self.audit.note(AuditEntry::new(codes::POLICY_REVALIDATION, "agentd").detail(json!({
                "why": why,
                "policy_sha256": version,
                "agents": results.len(),
                "changed": changed,
                "proofs_signed": signed,
            })));
        }
        results
    }

    /// True if its proof was signed anew.
    fn settle_one(&self, judged: &Judged, version: &str) -> bool {
        let name = judged.name();
        if let Some(event) = judged.event
            && let Err(error) = self.take(judged, event)
        {
            // Its proof is gone, or is not of this policy: it does not start.
            tracing::error!(AGENT = name, %error, "what policy says about agent {name} could not be written down");
            return false;
        }
        let FoundProof::Read { envelope, proof } = &judged.stored.proof else { return false };
        let is_promoted =
            |name: &str| self.register.entry(name).is_ok_and(|entry| entry.standing.state.is_promoted());
        if !is_promoted(name) || !judged.is_sound || proof.policy_sha256 == version {
            return false;
        }
        let signed = self
            .sign_anew(envelope, proof, Act::Revalidation, version)
            .and_then(|next| Ok(self.put_proof(name, &next)?));
        if signed.is_ok() {
            let detail = json!({"spec_sha256": judged.spec_sha256, "policy_sha256": version});
            self.audit.note(AuditEntry::new(codes::AGENT_REVALIDATED, "agentd").agent(name).detail(detail));
        }
        if let Err(error) = &signed {
            tracing::error!(AGENT = name, %error, "the proof of agent {name} was not signed anew; it does not start");
        }
        signed.is_ok()
    }

    fn take(&self, judged: &Judged, event: Event) -> Result<(), GovernanceError> {
        let mut entry = judged.stored.entry.clone();
        // What a person decided since it was asked about goes before.
        if self.register.entry(&entry.name)? != entry {
            return Ok(());
        }
        entry.standing = super::after(&entry, event)?;
        let reasons: Vec<&str> = judged.refusals.iter().map(|refusal| refusal.reason.as_str()).collect();
        entry.reason = match &judged.problem {
            Some(problem) => super::agents::because(problem),
            None => super::agents::because(&reasons.join("; ")),
        };
        entry.updated_sec = now_sec();
        let code = code_of(event);
        let refusals = refusal_views(judged.refusals.clone());
        let detail = json!({"state": entry.standing.state, "refusals": refusals, "problem": judged.problem});
        let by = Person::agentd();
        self.put_standing(&entry, event, code, &by, &judged.spec_sha256, detail)
    }
}

/// It could not be told whether anything stands against it.
fn failed(stored: Stored, spec_sha256: String, problem: String) -> Judged {
    let event = Some(Event::Failed);
    Judged { stored, spec_sha256, event, is_sound: false, refusals: Vec::new(), problem: Some(problem) }
}

const fn code_of(event: Event) -> Code {
    match event {
        Event::Failed | Event::Revoked => codes::AGENT_INVALIDATED,
        Event::Restricted(_) => codes::AGENT_RESTRICTED,
        Event::Lifted(_) => codes::AGENT_LIFTED,
        Event::Updated | Event::Promoted => codes::AGENT_REVALIDATED,
    }
}
