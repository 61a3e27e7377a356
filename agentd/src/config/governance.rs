//! `[governance]`, `[audit]` and `[budget]`.

use std::path::PathBuf;

use agentguard_audit::{Fsync, Options};
use serde::Deserialize;

use super::{Config, Listen};

/// A segment of the audit log is at least this large: each is a file.
const MIN_SEGMENT_BYTES: u64 = 1 << 16;

/// Registered agents.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GovernanceSettings {
    /// What becomes of specs that nobody registered.
    pub unregistered: Unregistered,
    /// Days that an agent may start in the sandbox, where its maker does not say.
    pub sandbox_days: u32,
    /// Days that a proof is good for, unless the spec ends before.
    pub proof_days: u32,
    /// Members may promote, restrict and revoke agents, beside root; empty for none.
    pub agent_admin_group: String,
    /// Members may change policy, beside root; empty for none.
    pub policy_admin_group: String,
    /// Where agents in the sandbox write. Each gets a folder of its own, which is removed at its end.
    pub scratch_dir: PathBuf,
}

/// What becomes of specs that nobody registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unregistered {
    /// They run, and that is written down.
    Allow,
    /// They do not.
    Refuse,
}

/// The audit log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditSettings {
    /// Days that records are kept; 0 for ever.
    pub retention_days: u32,
    /// A file of it that is longer is followed by a new one.
    pub segment_bytes: u64,
    /// When records reach the disk.
    pub fsync: AuditFsync,
}

/// When records reach the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditFsync {
    /// Each at once.
    Always,
    /// Within a second; what must not take effect unrecorded at once.
    Batch,
    /// When the kernel likes.
    Never,
}

/// What agents spend.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BudgetSettings {
    /// Address and port to which gateways report; empty for none.
    pub listen: Listen,
    /// Holds the word that they must show, on one line. Only root may read it.
    pub token_file: PathBuf,
}

impl Default for GovernanceSettings {
    fn default() -> Self {
        Self {
            unregistered: Unregistered::Allow,
            sandbox_days: 30,
            proof_days: 365,
            agent_admin_group: String::new(),
            policy_admin_group: String::new(),
            scratch_dir: "/var/lib/agentguard-scratch".into(),
        }
    }
}

impl Default for AuditSettings {
    fn default() -> Self {
        let Options { retention_days, segment_bytes, .. } = Options::default();
        Self { retention_days, segment_bytes, fsync: AuditFsync::Batch }
    }
}

impl Default for BudgetSettings {
    fn default() -> Self {
        Self { listen: Listen(None), token_file: "/etc/agentguard/budget.token".into() }
    }
}

impl AuditSettings {
    /// As the log takes them.
    pub fn options(&self, host: &str) -> Options {
        Options {
            host: host.to_owned(),
            fsync: match self.fsync {
                AuditFsync::Always => Fsync::Always,
                AuditFsync::Batch => Fsync::Batch,
                AuditFsync::Never => Fsync::Never,
            },
            segment_bytes: self.segment_bytes,
            retention_days: self.retention_days,
            ..Options::default()
        }
    }
}

/// What is wrong with these sections: the key, and what would be right.
pub(super) fn mistake(config: &Config) -> Option<(&'static str, String)> {
    let governance = &config.governance;
    if !governance.scratch_dir.is_absolute() {
        let path = governance.scratch_dir.display();
        return Some((
            "scratch_dir",
            format!("`scratch_dir` is `{path}`, which is not absolute; write a path from /"),
        ));
    }
    for (key, days) in [("sandbox_days", governance.sandbox_days), ("proof_days", governance.proof_days)] {
        if days == 0 {
            return Some((key, format!("`{key}` is 0, so nothing would ever start; write at least 1")));
        }
    }
    if config.audit.segment_bytes < MIN_SEGMENT_BYTES {
        return Some((
            "segment_bytes",
            format!("`segment_bytes` is too small; write at least {MIN_SEGMENT_BYTES}"),
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("agentd.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn every_key_can_be_set() {
        let config = parse(
            "[governance]\nunregistered = 'refuse'\nsandbox_days = 3\nproof_days = 9\nagent_admin_group = 'a'\n\
             policy_admin_group = 'p'\nscratch_dir = '/x'\n[audit]\nretention_days = 0\nsegment_bytes = 100000\n\
             fsync = 'always'\n[budget]\nlisten = '127.0.0.1:1'\ntoken_file = '/t'\n",
        )
        .unwrap();
        assert_eq!(config.governance.unregistered, Unregistered::Refuse);
        assert_eq!(config.audit.options("h").fsync, Fsync::Always);
        assert_eq!(config.budget.token_file, Path::new("/t"));
    }

    #[test]
    fn mistakes_name_line_and_remedy() {
        for (text, line, part) in [
            ("[governance]\nsandbox_days = 0\n", 2, "at least 1"),
            ("[governance]\nscratch_dir = 'x'\n", 2, "a path from /"),
            ("[governance]\nunregistered = 'maybe'\n", 2, "unknown variant `maybe`"),
            ("\n[audit]\nsegment_bytes = 10\n", 3, "at least 65536"),
            ("[budget]\nlisten = 'here'\n", 2, "is not an address"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(&format!("agentd.toml:{line}: ")) && error.contains(part), "{error}");
        }
    }
}
