//! What agentd's configuration says to commands that work without agentd: where its things are. What is wrong with the file
//! is agentd's to say.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::exit::Failure;

/// The folder of the configuration.
pub(crate) const FOLDER: &str = "/etc/agentguard";

/// The configuration in it.
const FILE: &str = "/etc/agentguard/agentd.toml";

/// Where agentd's things are. Paths are those of the host, whatever stands for its root now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) socket: PathBuf,
    pub(crate) state_dir: PathBuf,
    pub(crate) policy_dir: PathBuf,
    pub(crate) metrics: Option<SocketAddr>,
    /// Files that hold secrets.
    pub(crate) secrets: Vec<PathBuf>,
    /// The file as it is, if there is one.
    pub(crate) text: Option<String>,
}

#[derive(Deserialize)]
#[serde(default)]
struct Written {
    socket: PathBuf,
    state_dir: PathBuf,
    policy_dir: PathBuf,
    metrics: Metrics,
    budget: Budget,
    notify: Vec<Notify>,
}

#[derive(Deserialize)]
#[serde(default)]
struct Metrics {
    listen: String,
}

#[derive(Deserialize)]
#[serde(default)]
struct Budget {
    token_file: PathBuf,
}

#[derive(Deserialize)]
struct Notify {
    secret_file: Option<PathBuf>,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            socket: agentguard_api::DEFAULT_SOCKET.into(),
            state_dir: "/var/lib/agentguard".into(),
            policy_dir: "/etc/agentguard/policies".into(),
            metrics: Metrics::default(),
            budget: Budget::default(),
            notify: Vec::new(),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9464".to_owned() }
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self { token_file: "/etc/agentguard/budget.token".into() }
    }
}

impl Settings {
    /// Reads the configuration of the host whose root is here; without one the defaults hold.
    pub(crate) fn read(root: &Path) -> Result<Self, Failure> {
        let path = below(root, Path::new(FILE));
        let text = match fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(Failure::Permission(format!("{}: {error}", path.display())));
            }
            Err(error) => return Err(Failure::on(&path, &error)),
        };
        let written: Written = toml::from_str(text.as_deref().unwrap_or_default())
            .map_err(|error| Failure::Failed(format!("{}: {}", path.display(), error.message())))?;
        let told = written.notify.into_iter().filter_map(|notify| notify.secret_file);
        Ok(Self {
            socket: written.socket,
            state_dir: written.state_dir,
            policy_dir: written.policy_dir,
            metrics: written.metrics.listen.parse().ok(),
            secrets: told.chain([written.budget.token_file]).collect(),
            text,
        })
    }
}

/// A path of a host whose root is here.
pub(crate) fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, Failure> {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(below(root.path(), Path::new(FOLDER))).unwrap();
        fs::write(below(root.path(), Path::new(FILE)), text).unwrap();
        Settings::read(root.path())
    }

    #[test]
    fn a_host_without_a_configuration_has_the_defaults_of_agentd() {
        let root = tempfile::tempdir().unwrap();
        let settings = Settings::read(root.path()).unwrap();
        let shipped = include_str!("../../packaging/agentd.toml");
        // The shipped file shows every default behind a `#`.
        for path in [&settings.state_dir, &settings.policy_dir, &settings.socket] {
            assert!(shipped.contains(&format!("\"{}\"", path.display())), "{}", path.display());
        }
        assert!(shipped.contains(&settings.metrics.unwrap().to_string()));
        assert!(shipped.contains(&settings.secrets[0].display().to_string()));
    }

    #[test]
    fn keys_of_the_configuration_count_and_others_do_not_matter() {
        let settings = read(
            "state_dir = '/s'\nnew_key = 1\n[metrics]\nlisten = ''\n[[notify]]\nwebhook = 'https://x'\n\
             secret_file = '/k'\n",
        )
        .unwrap();
        assert_eq!((settings.state_dir, settings.metrics), ("/s".into(), None));
        assert_eq!(settings.secrets, [PathBuf::from("/k"), "/etc/agentguard/budget.token".into()]);
    }

    #[test]
    fn a_file_that_is_no_configuration_is_named() {
        let error = read("state_dir = [").unwrap_err().to_string();
        assert!(error.contains("/etc/agentguard/agentd.toml: "), "{error}");
        assert_eq!(error.lines().count(), 1);
    }
}
