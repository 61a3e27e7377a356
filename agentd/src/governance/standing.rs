//! What people decide about promoted agents: restrict, lift, revoke.

use agentguard_api::report::RegisteredAgent;
use agentguard_audit::{Code, codes};
use agentguard_governance::state::{Cause, Event};
use serde_json::json;

use super::agents::{because as shortened, must_be_admin};
use super::{Governance, GovernanceError, Person, after, now_sec, parse};

impl Governance {
    /// Puts a promoted agent under the tightened rules of policy.
    pub fn restrict(
        &self,
        name: &str,
        because: &str,
        by: &Person,
    ) -> Result<RegisteredAgent, GovernanceError> {
        self.decide(name, Event::Restricted(Cause::Person), codes::AGENT_RESTRICTED, because, by)
    }

    /// Takes a person's restriction back.
    pub fn lift(&self, name: &str, because: &str, by: &Person) -> Result<RegisteredAgent, GovernanceError> {
        self.decide(name, Event::Lifted(Cause::Person), codes::AGENT_LIFTED, because, by)
    }

    /// Ends an agent: it starts when it is promoted again.
    pub fn revoke(&self, name: &str, because: &str, by: &Person) -> Result<RegisteredAgent, GovernanceError> {
        self.decide(name, Event::Revoked, codes::AGENT_REVOKED, because, by)
    }

    fn decide(
        &self,
        name: &str,
        event: Event,
        code: Code,
        because: &str,
        by: &Person,
    ) -> Result<RegisteredAgent, GovernanceError> {
        must_be_admin(by, &format!("decide about agent {name}"))?;
        let _changing = self.changing();
        let stored = self.register.load(name)?;
        let hash = parse(&stored).map(|spec| spec.sha256()).unwrap_or_default();
        let mut entry = stored.entry;
        entry.standing = after(&entry, event)?;
        entry.reason = match event {
            Event::Lifted(_) if entry.standing.restricted_by.is_empty() => String::new(),
            Event::Lifted(_) => entry.reason,
            Event::Updated | Event::Promoted | Event::Restricted(_) | Event::Revoked | Event::Failed => {
                shortened(because)
            }
        };
        entry.updated_sec = now_sec();
        let detail = json!({"because": shortened(because), "state": entry.standing.state});
        self.put_standing(&entry, event, code, by, &hash, detail)?;
        self.get(name)
    }
}
