//! Which variables of the caller's environment a governed command gets.
//!
//! The kernel enforces nothing here. The point is that credentials and loader switches of the caller's session do not
//! reach an agent by accident: only plain settings pass, and the user names whatever else the agent needs.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use clap::Args;

/// Plain settings: who, where, how to print.
const KEPT: [&str; 28] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "PWD",
    "TERM",
    "COLORTERM",
    "COLUMNS",
    "LINES",
    "NO_COLOR",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TMPDIR",
    "EDITOR",
    "VISUAL",
    "PAGER",
    "CI",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "XDG_CONFIG_HOME",
];

const KEPT_PREFIX: &str = "LC_";

/// What was typed about the environment of the command.
#[derive(Debug, Args)]
pub(crate) struct EnvironmentArguments {
    /// Keep the whole environment; otherwise only plain settings stay (see --env)
    #[arg(long)]
    keep_env: bool,
    /// Keep this variable of the environment too, or set it
    #[arg(long = "env", value_name = "NAME[=VALUE]")]
    env: Vec<OsString>,
}

impl EnvironmentArguments {
    /// What the command gets of this process's environment.
    pub(crate) fn of_command(&self) -> Vec<(OsString, OsString)> {
        of_command(std::env::vars_os(), self.keep_env, &self.env)
    }
}

/// The environment of the command: plain settings or everything, and then what the user named.
fn of_command(
    caller: impl IntoIterator<Item = (OsString, OsString)>,
    keep_all: bool,
    named: &[OsString],
) -> Vec<(OsString, OsString)> {
    let set = named.iter().filter_map(assignment);
    let kept = caller.into_iter().filter(|(name, _)| keep_all || is_plain(name) || named.contains(name));
    // The last one of a name wins.
    kept.chain(set).collect()
}

fn is_plain(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| KEPT.contains(&name) || name.starts_with(KEPT_PREFIX))
}

/// `NAME=VALUE`; a name alone keeps the caller's value.
fn assignment(named: &OsString) -> Option<(OsString, OsString)> {
    let bytes = named.as_bytes();
    let (name, value) = bytes.split_at(bytes.iter().position(|byte| *byte == b'=')?);
    Some((OsStr::from_bytes(name).to_owned(), OsStr::from_bytes(value.get(1..)?).to_owned()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn environment(keep_all: bool, named: &[&str]) -> BTreeMap<String, String> {
        let caller = [
            ("PATH", "/bin"),
            ("LC_ALL", "C"),
            ("SSH_AUTH_SOCK", "/s"),
            ("LD_PRELOAD", "x.so"),
            ("KEY", "k"),
        ];
        let caller = caller.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let named: Vec<_> = named.iter().map(OsString::from).collect();
        let strings =
            |(name, value): (OsString, OsString)| (name.into_string().unwrap(), value.into_string().unwrap());
        of_command(caller, keep_all, &named).into_iter().map(strings).collect()
    }

    #[test]
    fn passes_only_plain_settings() {
        assert_eq!(environment(false, &[]).into_keys().collect::<Vec<_>>(), ["LC_ALL", "PATH"]);
    }

    #[test]
    fn passes_what_the_user_names() {
        let got = environment(false, &["KEY", "MODE=a=b", "ABSENT"]);
        assert_eq!(got.get("KEY").map(String::as_str), Some("k"));
        assert_eq!(got.get("MODE").map(String::as_str), Some("a=b"));
        assert!(!got.contains_key("ABSENT"));
    }

    #[test]
    fn passes_everything_when_told_so() {
        assert_eq!(environment(true, &["PATH=/usr/bin"]).len(), 5);
        assert_eq!(environment(true, &["PATH=/usr/bin"]).get("PATH").map(String::as_str), Some("/usr/bin"));
    }
}
