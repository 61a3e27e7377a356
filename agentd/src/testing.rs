//! What several tests need: a state directory, a small policy, a spec, records.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agentguard_core::ids::{AgentName, IncidentId};
use agentguard_core::operation::{Operation, PathOp};
use agentguard_core::record::{Decision, Object, Process, Record};
use agentguard_core::rule::Source;
use agentguard_core::verdict::{Layer, Reason, Severity, Verdict};

use crate::config::{Config, GovernanceSettings, Listen};
use crate::decide::Decided;
use crate::governance::{self, Governance, Ledger};
use crate::policy::InUse;
use crate::record::Store;

/// A policy of one pack: one guardrail over files, one finding over command lines.
pub(crate) const POLICY: &str = r#"package agentguard.small

guardrails contains {
    "id": "secrets",
    "ops": ["read", "write"],
    "path": "/srv/secret/**",
    "verdict": "deny",
    "severity": "CRITICAL",
    "reason": "secrets are never for agents",
}

deny contains {"id": "force_push", "severity": "HIGH", "reason": "rewrites history"} if {
    input.request.call == "exec"
    some argument in input.request.argv
    argument == "--force"
}
"#;

/// Another version of it.
pub(crate) const OTHER_POLICY: &str = r#"package agentguard.small

guardrails contains {
    "id": "secrets",
    "ops": ["read", "write"],
    "path": "/srv/other/**",
    "verdict": "deny",
    "severity": "HIGH",
    "reason": "other secrets",
}
"#;

/// One by which agents can be promoted: by who has a role, with a budget, and not while they spent it.
pub(crate) const PROMOTING_POLICY: &str = r#"package agentguard.small

guardrails contains {
    "id": "secrets",
    "ops": ["read", "write"],
    "path": "/srv/secret/**",
    "verdict": "deny",
    "severity": "CRITICAL",
    "reason": "secrets are never for agents",
}

guardrails contains {
    "id": "restricted",
    "ops": ["read"],
    "path": "/usr/share/**",
    "verdict": "deny",
    "severity": "HIGH",
    "reason": "a restricted agent reads no documents",
} if input.agent.state == "GOVERNED_RESTRICTED"

refuse contains {"id": "role", "reason": "only administrators promote"} if {
    input.promotion.action == "promote"
    not "agent_admin" in input.promotion.actor.roles
}

refuse contains {"id": "tier", "reason": "tier is over the limit"} if input.agent.tier > limit

limit := 3

refuse contains {"id": "owner", "reason": "nobody owns it"} if input.agent.spec.agent.owner == null

refuse contains {"id": "spent", "reason": "its budget is spent", "then": "restrict"} if {
    input.promotion.spent_usd >= input.agent.spec.economics.monthly_budget_usd
}
"#;

/// A spec that may read below /usr.
pub(crate) const SPEC: &str = r#"[agent]
name = "tester"
description = "Tests."
role = "analysis"
tier = 1
mode = "enforce"

[files]
default = "deny"
read = ["/usr/**"]

[exec]
default = "deny"
allow = ["/usr/bin/**"]

[network]
default = "deny"

[unix]
default = "deny"

[process]
default = "deny"
"#;

/// A state directory that goes when the test ends.
pub(crate) struct Home(tempfile::TempDir);

impl Home {
    /// With the small policy.
    pub(crate) fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        home.write_policy(POLICY);
        home
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    pub(crate) fn policy(&self) -> PathBuf {
        self.path().join("policies")
    }

    /// The policy as agentd starts with it, with an audit log that can be written.
    pub(crate) fn policy_in_use(&self) -> InUse {
        let audit = governance::open_audit(&self.state(), agentguard_audit::Options::default());
        InUse::start(&self.policy(), &self.state(), &audit).unwrap()
    }

    pub(crate) fn write_policy(&self, text: &str) {
        std::fs::create_dir_all(self.policy().join("small")).unwrap();
        std::fs::write(self.policy().join("small/small.rego"), text).unwrap();
    }

    pub(crate) fn config(&self) -> Config {
        Config {
            socket: self.path().join("agentd.sock"),
            policy_dir: self.policy(),
            state_dir: self.state(),
            metrics: crate::config::Metrics { listen: Listen(None) },
            governance: GovernanceSettings {
                scratch_dir: self.path().join("scratch"),
                ..GovernanceSettings::default()
            },
            ..Config::default()
        }
    }
}

/// Governance of a state directory.
pub(crate) fn governance(
    home: &Home,
    policy: &Arc<InUse>,
    store: &Store,
    settings: GovernanceSettings,
) -> Arc<Governance> {
    let audit = governance::open_audit(&home.state(), agentguard_audit::Options::default());
    let ledger = Ledger::open(store).unwrap();
    let host = || crate::agents::host::facts(crate::kernel::Backend::Lsm);
    let counters = Arc::default();
    let governance = Governance::open(&home.state(), audit, policy.clone(), ledger, settings, counters, host);
    Arc::new(governance.unwrap())
}

/// An open of a file, at a time, with a verdict.
pub(crate) fn record(path: &str, time_ns: u64, verdict: Verdict) -> Record {
    let incident = (verdict == Verdict::Deny).then(|| IncidentId(format!("inc-{time_ns:010}")));
    Record {
        seq: 0,
        time_ns,
        incident,
        agent: AgentName("tester".to_owned()),
        process: Process {
            pid: 4242,
            tid: 4242,
            start_ns: 50_000_000_000,
            parent_pid: 1,
            parent_start_ns: 10_000_000,
            uid: 1000,
            gid: 1000,
            comm: "sh".to_owned(),
            exe: Some("/usr/bin/sh".to_owned()),
        },
        call: "open".to_owned(),
        operation: Some(Operation::Path(PathOp::Read)),
        object: Object::File {
            path: path.to_owned(),
            other: None,
            inode: 1,
            device: "8:1".to_owned(),
            mode: 0o100_644,
            flags: 0,
        },
        decision: Decision {
            verdict,
            enforced: true,
            reason: Reason::Rule,
            layer: Layer::Guardrail,
            rule: Some("small.secrets".to_owned()),
            message: "secrets are never for agents".to_owned(),
            severity: Some(Severity::Critical),
            source: Some(Source { file: "small/small.rego".into(), line: 4 }),
            version: "0123456789ab".to_owned(),
        },
        findings: Vec::new(),
    }
}

pub(crate) fn decided(record: Record) -> Decided {
    Decided { record, changes: Vec::new(), waiting: None }
}

/// Asks until the answer is there, and fails with what was waited for after a deadline.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
