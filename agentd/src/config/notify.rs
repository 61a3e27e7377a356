//! `[[notify]]`: who is told of held requests that people answer. Says what is wrong with an entry; sends nothing.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agentguard_core::verdict::Severity;
use reqwest::Url;
use serde::{Deserialize, Serialize};

/// Each has a queue and a task of its own.
pub(super) const MAX_TARGETS: usize = 16;

const TIMEOUT_SEC: u64 = 10;

/// One that takes longer keeps everything behind it waiting past the usual deadline of an approval.
const MAX_TIMEOUT_SEC: u64 = 120;

/// One who is told.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Target {
    /// Of which requests.
    pub severities: BTreeSet<Severity>,
    /// When.
    pub on: BTreeSet<Event>,
    /// In which form.
    pub format: Format,
    /// How.
    pub to: To,
    /// How long one attempt may take.
    pub timeout: Duration,
}

/// What happened to a held request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// It waits for people.
    Asked,
    /// It waits no more.
    Settled,
}

/// What the body looks like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `{"event": …, "host": …, "approval": …}`.
    #[default]
    Json,
    /// As an incoming webhook of Slack takes it.
    Slack,
}

/// Where the body goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum To {
    /// To the standard input of a program.
    Command {
        /// Absolute.
        program: PathBuf,
        /// Its arguments.
        arguments: Vec<String>,
    },
    /// By POST to a URL.
    Webhook {
        /// Its path is often a secret: never log it.
        url: Url,
        /// The key that signs.
        secret_file: Option<PathBuf>,
    },
}

/// An entry as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    severities: Option<BTreeSet<Severity>>,
    on: Option<BTreeSet<Event>>,
    #[serde(default)]
    format: Format,
    command: Option<Command>,
    webhook: Option<Address>,
    insecure: Option<bool>,
    secret_file: Option<Absolute>,
    timeout_sec: Option<Seconds>,
}

#[derive(Deserialize)]
#[serde(try_from = "Vec<String>")]
struct Command(PathBuf, Vec<String>);

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Address(Url);

#[derive(Deserialize)]
#[serde(try_from = "PathBuf")]
struct Absolute(PathBuf);

#[derive(Deserialize)]
#[serde(try_from = "u64")]
struct Seconds(Duration);

impl Event {
    /// As users write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Settled => "settled",
        }
    }
}

impl TryFrom<Written> for Target {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let severities = written
            .severities
            .unwrap_or_else(|| [Severity::Medium, Severity::High, Severity::Critical].into());
        let on = written.on.unwrap_or_else(|| [Event::Asked].into());
        if severities.is_empty() {
            return Err(
                "`severities` of [[notify]] is empty, which tells nothing; leave it out for all".into()
            );
        }
        if on.is_empty() {
            return Err(
                "`on` of [[notify]] is empty, which tells nothing; leave it out for [\"asked\"]".into()
            );
        }
        let to = match (written.command, written.webhook) {
            (Some(Command(program, arguments)), None) => {
                for (key, is_there) in
                    [("secret_file", written.secret_file.is_some()), ("insecure", written.insecure.is_some())]
                {
                    if is_there {
                        return Err(format!("`{key}` of [[notify]] is for a `webhook`; this is a `command`"));
                    }
                }
                To::Command { program, arguments }
            }
            (None, Some(Address(url))) => {
                let is_open = url.scheme() == "http" && !is_loopback(&url);
                if is_open && written.insecure != Some(true) {
                    return Err(
                        "`webhook` of [[notify]] is http to another host, which anybody on the way reads; \
                                write https, or `insecure = true`"
                            .into(),
                    );
                }
                To::Webhook { url, secret_file: written.secret_file.map(|Absolute(path)| path) }
            }
            (Some(_), Some(_)) => {
                return Err("[[notify]] has `command` and `webhook`; write one entry for each".into());
            }
            (None, None) => return Err("[[notify]] has neither `command` nor `webhook`; write one".into()),
        };
        let timeout =
            written.timeout_sec.map_or(Duration::from_secs(TIMEOUT_SEC), |Seconds(timeout)| timeout);
        Ok(Self { severities, on, format: written.format, to, timeout })
    }
}

impl TryFrom<Vec<String>> for Command {
    type Error = String;

    fn try_from(mut argv: Vec<String>) -> Result<Self, Self::Error> {
        if argv.is_empty() {
            return Err("`command` is empty; write a program and its arguments".into());
        }
        let program = argv.remove(0);
        if !Path::new(&program).is_absolute() {
            return Err(format!("`command` runs `{program}`, which is not absolute; write a path from /"));
        }
        if program.contains('\0') || argv.iter().any(|argument| argument.contains('\0')) {
            return Err("`command` contains a zero byte".into());
        }
        Ok(Self(program.into(), argv))
    }
}

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        // The text is not repeated: it may be a secret.
        let url =
            Url::parse(&text).map_err(|error| format!("`webhook` is not a URL: {error}; write https://…"))?;
        match url.scheme() {
            "http" | "https" => Ok(Self(url)),
            other => Err(format!("`webhook` is a URL of scheme `{other}`; write https://…")),
        }
    }
}

impl TryFrom<PathBuf> for Absolute {
    type Error = String;

    fn try_from(path: PathBuf) -> Result<Self, Self::Error> {
        if !path.is_absolute() {
            let path = path.display();
            return Err(format!("`secret_file` is `{path}`, which is not absolute; write a path from /"));
        }
        Ok(Self(path))
    }
}

impl TryFrom<u64> for Seconds {
    type Error = String;

    fn try_from(seconds: u64) -> Result<Self, Self::Error> {
        match seconds {
            1..=MAX_TIMEOUT_SEC => Ok(Self(Duration::from_secs(seconds))),
            _ => Err(format!("`timeout_sec` is {seconds}; write 1 to {MAX_TIMEOUT_SEC}")),
        }
    }
}

/// Whether what is sent stays on this host.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use std::path::Path;

    use super::*;

    fn parse(text: &str) -> Result<Vec<Target>, String> {
        let config = Config::parse(Path::new("agentd.toml"), text);
        config.map(|config| config.notify).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let targets = parse("[[notify]]\nwebhook = 'https://example.com/x'\n").unwrap();
        let expected = Target {
            severities: [Severity::Critical, Severity::High, Severity::Medium].into(),
            on: [Event::Asked].into(),
            format: Format::Json,
            to: To::Webhook { url: Url::parse("https://example.com/x").unwrap(), secret_file: None },
            timeout: Duration::from_secs(10),
        };
        assert_eq!(targets, [expected]);
    }

    #[test]
    fn every_key_can_be_set() {
        let targets = parse(
            "[[notify]]\nseverities = ['CRITICAL']\non = ['asked', 'settled']\nformat = 'slack'\n\
             webhook = 'http://10.0.0.1/x'\ninsecure = true\nsecret_file = '/etc/x'\ntimeout_sec = 3\n\
             [[notify]]\ncommand = ['/bin/mail', 'root']\n",
        )
        .unwrap();
        let [first, second] = targets.as_slice() else { panic!("{targets:?}") };
        assert_eq!(first.severities, [Severity::Critical].into());
        assert_eq!(first.on, [Event::Asked, Event::Settled].into());
        assert_eq!((first.format, first.timeout), (Format::Slack, Duration::from_secs(3)));
        assert!(
            matches!(&first.to, To::Webhook { secret_file: Some(path), .. } if path == Path::new("/etc/x"))
        );
        let command = To::Command { program: "/bin/mail".into(), arguments: vec!["root".into()] };
        assert_eq!(second.to, command);
    }

    #[test]
    fn a_wrong_entry_is_one_line_that_names_line_and_key() {
        for (text, line, words) in [
            ("", 2, "neither `command` nor `webhook`"),
            ("command = ['/x']\nwebhook = 'https://x'", 2, "has `command` and `webhook`"),
            ("command = ['mail']", 3, "`command` runs `mail`, which is not absolute"),
            ("command = []", 3, "`command` is empty"),
            ("command = ['/x']\nsecret_file = '/y'", 2, "`secret_file` of [[notify]] is for a `webhook`"),
            ("command = ['/x']\ninsecure = true", 2, "`insecure` of [[notify]] is for a `webhook`"),
            ("webhook = 'http://example.com'", 2, "`insecure = true`"),
            ("webhook = 'ftp://example.com'", 3, "scheme `ftp`"),
            ("webhook = 'example.com'", 3, "`webhook` is not a URL"),
            ("webhook = 'https://x'\nsecret_file = 'key'", 4, "`secret_file` is `key`"),
            ("webhook = 'https://x'\ntimeout_sec = 0", 4, "`timeout_sec` is 0"),
            ("webhook = 'https://x'\nseverities = []", 2, "`severities` of [[notify]] is empty"),
            ("webhook = 'https://x'\non = []", 2, "`on` of [[notify]] is empty"),
            ("webhook = 'https://x'\non = ['denied']", 4, "unknown variant `denied`"),
            ("webhook = 'https://x'\nurl = 'y'", 4, "unknown field `url`"),
        ] {
            let error = parse(&format!("\n[[notify]]\n{text}\n")).unwrap_err();
            assert!(error.starts_with(&format!("agentd.toml:{line}: ")), "{text}: {error}");
            assert!(error.contains(words), "{text}: {error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
        let many = "[[notify]]\ncommand = ['/x']\n".repeat(MAX_TARGETS + 1);
        assert!(parse(&many).unwrap_err().contains("at most 16"));
    }

    #[test]
    fn plain_http_is_for_this_host() {
        for host in ["127.0.0.1", "127.9.9.9:80", "localhost:8080", "[::1]:1"] {
            assert!(parse(&format!("[[notify]]\nwebhook = 'http://{host}/x'\n")).is_ok(), "{host}");
        }
        for host in ["localhost.example.com", "128.0.0.1", "[::2]", "127.0.0.1.example.com"] {
            assert!(parse(&format!("[[notify]]\nwebhook = 'http://{host}/x'\n")).is_err(), "{host}");
        }
    }
}
