//! The configuration file: what an operator may change about this daemon, and where the defaults are written.
//!
//! Every key is optional and an unknown key is an error that names its line. Knows no agent and no policy.

pub mod governance;
pub mod notify;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use agentguard_core::verdict::Severity;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

pub use governance::{AuditSettings, BudgetSettings, GovernanceSettings, Unregistered};

/// Where the configuration is looked for.
pub const DEFAULT_PATH: &str = "/etc/agentguard/agentd.toml";

/// Packs that come with the package, used while the operator has none of their own.
pub const SHIPPED_POLICIES: &str = "/usr/share/agentguard/policies";

/// A configuration is a page of text; anything larger is a mistake.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// The smallest store that still holds a useful history.
const MIN_STORE_BYTES: u64 = 1 << 20;

/// What agentd runs with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The local API's unix socket.
    pub socket: PathBuf,
    /// The operator's policy packs; the shipped ones are used while this folder does not exist or holds no pack.
    pub policy_dir: PathBuf,
    /// Store, policy history.
    pub state_dir: PathBuf,
    /// Where the kernel programs are pinned, on a bpffs. A second agentd on one host needs one of its own.
    pub pin_dir: PathBuf,
    /// The canary's file.
    pub run_dir: PathBuf,
    /// Prometheus endpoint.
    pub metrics: Metrics,
    /// How much of the past is kept.
    pub retention: Retention,
    /// Registered agents.
    pub governance: GovernanceSettings,
    /// The audit log.
    pub audit: AuditSettings,
    /// What agents spend.
    pub budget: BudgetSettings,
    /// Requests that wait for people.
    pub holds: HoldLimits,
    /// Who is told of them.
    pub notify: Vec<notify::Target>,
    /// What to do when a spec asks to enforce something that the back end can not.
    pub degraded: Degraded,
    /// Enforcement back end.
    pub backend: BackendChoice,
    /// Least severe log line that is written.
    pub log_level: LogLevel,
}

/// Where metrics are served.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// Address and port; empty turns the endpoint off.
    pub listen: Listen,
}

/// An address to listen on, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Listen(pub Option<SocketAddr>);

/// How much of the past is kept. The older of the two limits wins.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Records older than this go.
    pub max_age_days: u32,
    /// The oldest records go when the store is larger.
    pub max_bytes: u64,
}

/// Requests that wait for people.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HoldLimits {
    /// Seconds until one that nobody answered is denied, where policy does not say.
    pub deadline_sec: u32,
    /// How many of one agent may wait for people at once; what is more is denied.
    pub most_of_agent: u32,
    /// How many different people must approve, by severity, where policy does not say; one where nothing is said.
    pub reviewers: BTreeMap<Severity, u8>,
    /// Group whose members may answer, beside root; empty for none.
    pub group: String,
}

/// What to do when a spec asks to enforce something that the back end can not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Degraded {
    /// Such an agent is not enrolled.
    Refuse,
    /// It is enrolled and only observed.
    Observe,
}

/// Enforcement back end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackendChoice {
    /// The best that this kernel allows.
    Auto,
    /// BPF LSM programs, or do not start.
    Lsm,
    /// `fmod_ret` programs, or do not start.
    FmodRet,
    /// Cgroup programs and tracepoints.
    Tracing,
}

/// Least severe log line that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Only what needs somebody at once.
    Error,
    /// And what is degraded or denied.
    Warn,
    /// And what starts and ends.
    Info,
    /// And what is done.
    Debug,
    /// Everything.
    Trace,
}

/// A configuration that can not be used, as one line: where, what and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can not be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not right.
    #[error("{}:{line}: {message}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong, and what would be right.
        message: String,
    },
}

impl Default for Config {
    fn default() -> Self {
        Self {
            socket: agentguard_api::DEFAULT_SOCKET.into(),
            policy_dir: "/etc/agentguard/policies".into(),
            state_dir: "/var/lib/agentguard".into(),
            pin_dir: "/sys/fs/bpf/agentguard".into(),
            run_dir: "/run/agentguard".into(),
            metrics: Metrics::default(),
            retention: Retention::default(),
            governance: GovernanceSettings::default(),
            audit: AuditSettings::default(),
            budget: BudgetSettings::default(),
            holds: HoldLimits::default(),
            notify: Vec::new(),
            degraded: Degraded::Refuse,
            backend: BackendChoice::Auto,
            log_level: LogLevel::Info,
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self { listen: Listen(Some(SocketAddr::from(([127, 0, 0, 1], 9464)))) }
    }
}

impl Default for HoldLimits {
    fn default() -> Self {
        Self { deadline_sec: 300, most_of_agent: 100, reviewers: BTreeMap::new(), group: String::new() }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self { max_age_days: 30, max_bytes: 2 << 30 }
    }
}

impl TryFrom<String> for Listen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        text.parse().map(|address| Self(Some(address))).map_err(|_| {
            format!(
                "`{text}` is not an address and port; write one such as \"127.0.0.1:9464\", or \"\" for none"
            )
        })
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        })
    }
}

impl Config {
    /// Reads the file. Only the default file may be missing: then the defaults hold.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let read = |source| ConfigError::Read { path: path.to_owned(), source };
        let text = match std::fs::metadata(path) {
            Ok(meta) if meta.len() > MAX_CONFIG_BYTES => {
                return Err(read(std::io::Error::other("larger than 1 MiB")));
            }
            Ok(_) => std::fs::read_to_string(path).map_err(read)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && path == Path::new(DEFAULT_PATH) => {
                String::new()
            }
            Err(error) => return Err(read(error)),
        };
        Self::parse(path, &text)
    }

    /// Reads the text of a file that the user calls `path`.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let invalid = |line, message: String| ConfigError::Invalid {
            path: path.to_owned(),
            line,
            message: one_line(&message),
        };
        let config: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            invalid(line, error.message().to_owned())
        })?;
        for (key, value) in [
            ("socket", &config.socket),
            ("policy_dir", &config.policy_dir),
            ("state_dir", &config.state_dir),
            ("pin_dir", &config.pin_dir),
            ("run_dir", &config.run_dir),
        ] {
            if !value.is_absolute() {
                return Err(invalid(
                    line_of_key(text, key),
                    format!("`{key}` is `{}`, which is not absolute; write a path from /", value.display()),
                ));
            }
        }
        if config.retention.max_age_days == 0 {
            let line = line_of_key(text, "max_age_days");
            return Err(invalid(line, "`max_age_days` is 0, which keeps nothing; write at least 1".into()));
        }
        if config.retention.max_bytes < MIN_STORE_BYTES {
            let line = line_of_key(text, "max_bytes");
            return Err(invalid(line, format!("`max_bytes` is too small; write at least {MIN_STORE_BYTES}")));
        }
        if let Some((key, message)) = governance::mistake(&config) {
            return Err(invalid(line_of_key(text, key), message));
        }
        if config.notify.len() > notify::MAX_TARGETS {
            let message = format!("`notify` has too many entries; write at most {}", notify::MAX_TARGETS);
            return Err(invalid(line_of_key(text, "[[notify]]"), message));
        }
        Ok(config)
    }

    /// Over what is in effect, defaults included: equal on two hosts whose agentd has the same version and the same
    /// settings, in whatever order they are written.
    pub fn sha256(&self) -> String {
        hex::encode(Sha256::digest(format!("{self:?}")))
    }

    /// The folder whose packs are used: the operator's, or the shipped ones while the operator has none.
    pub fn effective_policy_dir(&self) -> PathBuf {
        let is_pack = |entry: std::fs::DirEntry| !entry.file_name().to_string_lossy().starts_with('.');
        let holds_packs =
            std::fs::read_dir(&self.policy_dir).is_ok_and(|entries| entries.flatten().any(is_pack));
        if holds_packs { self.policy_dir.clone() } else { SHIPPED_POLICIES.into() }
    }
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

fn line_of_key(text: &str, key: &str) -> usize {
    text.lines().position(|line| line.trim_start().starts_with(key)).map_or(1, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("agentd.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_file_gives_the_defaults() {
        assert_eq!(parse("").unwrap(), Config::default());
    }

    #[test]
    fn every_key_can_be_set() {
        let config = parse(
            "socket = '/x/a.sock'\npolicy_dir = '/x/p'\nstate_dir = '/x/s'\npin_dir = '/x/b'\nrun_dir = '/x/r'\ndegraded = 'observe'\n\
             backend = 'fmod-ret'\nlog_level = 'debug'\n[metrics]\nlisten = ''\n\
             [retention]\nmax_age_days = 3\nmax_bytes = 5000000\n",
        )
        .unwrap();
        assert_eq!([config.pin_dir, config.run_dir], [PathBuf::from("/x/b"), "/x/r".into()]);
        assert_eq!(config.degraded, Degraded::Observe);
        assert_eq!(config.backend, BackendChoice::FmodRet);
        assert_eq!(config.metrics.listen, Listen(None));
        assert_eq!(config.retention, Retention { max_age_days: 3, max_bytes: 5_000_000 });
    }

    #[test]
    fn its_hash_is_over_what_is_in_effect() {
        let defaults = parse("").unwrap().sha256();
        assert_eq!(parse("# a comment\nlog_level = 'info'\n").unwrap().sha256(), defaults);
        assert_ne!(parse("log_level = 'warn'\n").unwrap().sha256(), defaults);
    }

    #[test]
    fn an_unknown_key_names_its_line() {
        let error = parse("socket = '/x'\nsocked = '/y'\n").unwrap_err();
        assert!(error.starts_with("agentd.toml:2: unknown field `socked`"), "{error}");
        assert_eq!(error.lines().count(), 1);
    }

    #[test]
    fn a_wrong_value_names_its_line_and_what_would_be_right() {
        let error = parse("\nbackend = 'magic'\n").unwrap_err();
        assert!(error.starts_with("agentd.toml:2: unknown variant `magic`"), "{error}");
        let error = parse("[metrics]\nlisten = 'here'\n").unwrap_err();
        assert!(error.starts_with("agentd.toml:2: `here` is not an address"), "{error}");
        let error = parse("# first\nstate_dir = 'relative'\n").unwrap_err();
        assert!(error.starts_with("agentd.toml:2: `state_dir` is `relative`"), "{error}");
        let error = parse("[retention]\nmax_age_days = 0\n").unwrap_err();
        assert!(error.starts_with("agentd.toml:2: "), "{error}");
    }

    #[test]
    fn a_named_file_that_is_missing_is_an_error() {
        let error = Config::load(Path::new("/nonexistent/agentd.toml")).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/agentd.toml: cannot be read"), "{error}");
    }
}
