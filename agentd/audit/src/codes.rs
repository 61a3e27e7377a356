//! What can happen, by name. The reference in `docs/reference/audit.md` is held against [`ALL`] by a test.

use crate::record::Kind;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code {
    /// As it stands in records.
    pub name: &'static str,
    /// The kind of its records.
    pub kind: Kind,
    /// One line.
    pub meaning: &'static str,
}

/// The code of this name.
pub fn find(name: &str) -> Option<Code> {
    ALL.iter().find(|code| code.name == name).copied()
}

/// Defines every code once.
macro_rules! codes {
    ($($kind:ident $name:ident $meaning:literal)*) => {
        $(
            #[doc = $meaning]
            pub const $name: Code = Code { name: stringify!($name), kind: Kind::$kind, meaning: $meaning };
        )*

        /// Every code, in the order of the reference.
        pub const ALL: &[Code] = &[$($name),*];
    };
}

codes! {
    Decision DECISION_DENY
        "a request of an agent was denied, or would have been in observe mode"
    Decision DECISION_HOLD
        "a request of an agent waits for policy or a person"
    Decision DECISION_AUDIT
        "a request of an agent was allowed, and policy or spec want it recorded"
    Decision DECISION_SUMMARY
        "how many requests of an agent were allowed, denied and held in a time"

    Approval APPROVAL_ASKED
        "people were asked about a held request"
    Approval APPROVAL_APPROVED
        "people approved it"
    Approval APPROVAL_DENIED
        "a person denied it"
    Approval APPROVAL_EXPIRED
        "nobody answered in time; it was denied"
    Approval APPROVAL_WITHDRAWN
        "the task that asked is gone"
    Approval APPROVAL_REVOKED
        "an approval for later requests was taken back"

    Agent AGENT_CREATED
        "an agent was registered"
    Agent AGENT_UPDATED
        "an agent's spec or owner changed"
    Agent AGENT_RESTRICTED
        "an agent was restricted beyond its spec"
    Agent AGENT_LIFTED
        "a restriction of an agent was lifted"
    Agent AGENT_REVOKED
        "an agent may not run any more"
    Agent AGENT_INVALIDATED
        "a new policy no longer admits an agent"
    Agent AGENT_REVALIDATED
        "an agent was found to meet the policy in force"
    Agent AGENT_DELETED
        "an agent was removed from the register"
    Agent AGENT_STARTED
        "an agent runs and is governed"
    Agent AGENT_ENDED
        "an agent ended or was released"

    Promotion PROMOTION_ATTEMPT
        "somebody asked to promote an agent from sandbox to production"
    Promotion PROMOTION_DENIED
        "policy denied the promotion"
    Promotion PROMOTION_SUCCESS
        "the agent was promoted, and its proof signed"

    Admission ADMISSION_ALLOW
        "an agent may start"
    Admission ADMISSION_DENY_PROOF_MISSING
        "it may not: it has no proof"
    Admission ADMISSION_DENY_SPEC_HASH_MISMATCH
        "it may not: its spec is not the one that was signed, or cannot be read"
    Admission ADMISSION_DENY_POLICY_HASH_MISMATCH
        "it may not: the policy in force is not the one that was signed"
    Admission ADMISSION_DENY_SIGNER_REVOKED
        "it may not: the key that signed is revoked or not trusted"
    Admission ADMISSION_DENY_SIGNATURE_INVALID
        "it may not: the signature is not right"
    Admission ADMISSION_DENY_SANDBOX_EXPIRED
        "it may not: its time in the sandbox is over"
    Admission ADMISSION_DENY_PROOF_EXPIRED
        "it may not: its proof is too old"
    Admission ADMISSION_DENY_CONTAINMENT_VIOLATION
        "it may not: a sandbox agent asks for more than a sandbox allows"
    Admission ADMISSION_DENY_STATE
        "it may not: it is invalidated or revoked, or its state cannot be read"
    Admission ADMISSION_DENY_UNREGISTERED
        "it may not: nobody registered it"

    Revalidation POLICY_REVALIDATION
        "all agents were held against a new policy"

    Key KEY_GENERATED
        "a key was made"
    Key KEY_TRUSTED
        "a key was put on the trust list"
    Key KEY_REVOKED
        "a key is trusted no longer"
    Key KEY_ROTATED
        "another key signs from now on"

    Policy POLICY_HOTRELOAD
        "another policy is in force"
    Policy POLICY_RELOAD_FAILED
        "a policy could not be used; the one before stays in force"

    Budget BUDGET_SPENT
        "an agent spent part of its budget"
    Budget BUDGET_ALERT
        "an agent came near the end of its budget"
    Budget BUDGET_EXHAUSTED
        "an agent's budget is spent"

    Log LOG_OPENED
        "agentd began to write this log"
    Log LOG_CLOSED
        "agentd ended in order"
    Log LOG_CHECKPOINT
        "the chain up to the record before is signed"
    Log LOG_RETENTION
        "the segments named are past their time and are removed next"
    Log LOG_REPAIRED
        "a record that a crash left written in part was cut off"
    Log LOG_BROKEN
        "the log was found damaged; it goes on in a new segment"
    Log LOG_LOST
        "so many records could not be written"
    Log LOG_RESTORED
        "the state of the host, this log with it, was put back from a backup"
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_is_found_by_its_name_and_every_kind_has_one() {
        let names: BTreeSet<&str> = ALL.iter().map(|code| code.name).collect();
        assert_eq!(names.len(), ALL.len());
        assert!(ALL.iter().all(|code| find(code.name) == Some(*code)));
        for kind in Kind::ALL {
            assert!(ALL.iter().any(|code| code.kind == kind), "{kind:?}");
        }
    }

    #[test]
    fn the_reference_has_every_code_and_no_other() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/audit.md");
        let reference = std::fs::read_to_string(path).unwrap();
        let row = |code: &Code| format!("| `{}` | {} | {} |", code.name, code.kind.name(), code.meaning);
        let (_, table) = reference.split_once("| code | kind | meaning |\n|---|---|---|\n").unwrap();
        let written: Vec<&str> = table.lines().take_while(|line| line.starts_with('|')).collect();
        assert_eq!(written, ALL.iter().map(row).collect::<Vec<_>>());
    }
}
