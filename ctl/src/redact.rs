//! What leaves the host in a report for others: text and documents without secrets, and without names of people.
//!
//! Errs on the side of taking out too much: a report that lacks a word is read all the same. Everything that is taken out
//! leaves a placeholder, and is counted by kind.

use std::collections::BTreeMap;
use std::fmt;

use regex::{Captures, Regex};
use serde_json::Value;

/// What may be taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Keys, tokens, passwords.
    Secret,
    /// Path, query and credentials of a URL.
    Url,
    /// An address of a person.
    Email,
    /// A name of a person: of a home directory, of a user.
    User,
    /// Arguments of a command.
    Arguments,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secret => "secrets",
            Self::Url => "paths and queries of URLs",
            Self::Email => "e-mail addresses",
            Self::User => "names of users",
            Self::Arguments => "arguments of commands",
        })
    }
}

/// Whether command lines are kept, without what looks like a secret in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommandLines {
    Kept,
    LeftOut,
}

/// Fields that hold a command line.
const COMMAND_FIELDS: [&str; 5] = ["argv", "args", "arguments", "command", "cmdline"];

/// What a name of a field, a variable or an option must contain for its value to be a secret.
const SECRET_WORDS: [&str; 12] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "credential",
    "authorization",
    "cookie",
    "webhook",
];

/// Endings of names whose value only says where a secret is, or how many there are.
const HARMLESS_ENDINGS: [&str; 4] = ["file", "path", "count", "total"];

/// Names of units have an @, too.
const UNIT_ENDINGS: [&str; 5] = [".service", ".slice", ".scope", ".socket", ".timer"];

/// Shorter runs of letters and digits are words and versions.
const MIN_RANDOM: usize = 24;

/// Whether a value of this name is a secret.
fn names_secret(name: &str) -> bool {
    let name: String =
        name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect();
    SECRET_WORDS.iter().any(|word| name.contains(word))
        && !HARMLESS_ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// Names that may name a secret, as a pattern. Others do not match, so that their values are looked into: `--env=TOKEN=x`.
fn may_name_secret() -> String {
    let word = |word: &str| word.chars().map(String::from).collect::<Vec<_>>().join("[_.-]*");
    format!(r"(?i:(?:[A-Za-z_][\w.-]*)?(?:{})[\w.-]*)", SECRET_WORDS.map(word).join("|"))
}

/// Letters of both cases and digits, as no word, path or hash in hex has them.
fn looks_random(run: &str) -> bool {
    run.len() >= MIN_RANDOM
        && run.bytes().any(|byte| byte.is_ascii_lowercase())
        && run.bytes().any(|byte| byte.is_ascii_uppercase())
        && run.bytes().filter(u8::is_ascii_digit).count() >= 2
}

/// Takes out, and counts.
pub(crate) struct Redactor {
    patterns: Patterns,
    counts: BTreeMap<Kind, usize>,
}

struct Patterns {
    pem: Regex,
    url: Regex,
    cookie: Regex,
    header: Regex,
    assignment: Regex,
    option: Regex,
    shape: Regex,
    random: Regex,
    email: Regex,
    home: Regex,
    user: Regex,
}

impl Redactor {
    /// Nothing is taken out yet.
    ///
    /// # Errors
    /// Never, unless a pattern below is wrong, which the tests would show.
    pub(crate) fn new() -> Result<Self, regex::Error> {
        let name = may_name_secret();
        let patterns = Patterns {
            pem: Regex::new(r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*-----|\z)")?,
            url: Regex::new(
                r#"\b([A-Za-z][A-Za-z0-9+.-]*)://(?:[^\s/"'<>]*@)?([^\s/?#"'<>]*)([/?#][^\s"'<>]*)?"#,
            )?,
            // Quotes and all: they may be a part of it.
            cookie: Regex::new(r"(?i)(cookie:[ \t]*)(\S.*)")?,
            header: Regex::new(
                r"(?i)\b(authorization\s*[:=]\s*(?:\w+\s+)?|bearer\s+|basic\s+)([A-Za-z0-9._~+/=-]{6,})",
            )?,
            assignment: Regex::new(&format!(
                r#"({name})("?'?\s*[=:]\s*)("(?:[^"\\]|\\.)*"|'[^']*'|[^\s"',;&}}\]]+)"#
            ))?,
            option: Regex::new(&format!(r#"(--?{name})(\s+)("[^"]*"|'[^']*'|[^\s"'-][^\s"']*)"#))?,
            shape: Regex::new(
                r"\b(?:(?:AKIA|ASIA)[A-Z0-9]{16}|gh[pousr]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|xox[a-z]-[\w-]{8,}|sk-[\w-]{16,}|hf_\w{16,}|npm_\w{16,}|AIza[\w-]{30,}|eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?)",
            )?,
            random: Regex::new(r"[A-Za-z0-9+_=-]{24,}")?,
            email: Regex::new(r"\b[\w.+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}\b")?,
            home: Regex::new(r#"((?:^|[^\w.])(?:/var|/export|/usr)?/(?:home|Users)/)([^/\s"'<>:,;)\]]+)"#)?,
            user: Regex::new(r"\b(uid \d+ )\(([^)<]+)\)")?,
        };
        Ok(Self { patterns, counts: BTreeMap::new() })
    }

    /// How often what was taken out.
    pub(crate) fn counts(&self) -> &BTreeMap<Kind, usize> {
        &self.counts
    }

    fn count(&mut self, kind: Kind) {
        *self.counts.entry(kind).or_default() += 1;
    }

    /// Replaces what matches; a replacement that is none leaves the text as it is.
    fn each(
        &mut self,
        pattern: impl Fn(&Patterns) -> &Regex,
        kind: Kind,
        text: &str,
        replacement: impl Fn(&Captures<'_>) -> Option<String>,
    ) -> String {
        let mut found = 0;
        let replaced =
            pattern(&self.patterns).replace_all(text, |captures: &Captures<'_>| {
                match replacement(captures) {
                    Some(words) => {
                        found += 1;
                        words
                    }
                    None => captures.get(0).map_or("", |whole| whole.as_str()).to_owned(),
                }
            });
        let replaced = replaced.into_owned();
        for _ in 0..found {
            self.count(kind);
        }
        replaced
    }

    /// Any text.
    pub(crate) fn text(&mut self, text: &str) -> String {
        let part = |captures: &Captures<'_>, number| {
            captures.get(number).map_or("", |part: regex::Match<'_>| part.as_str()).to_owned()
        };
        let text = self.each(|p| &p.pem, Kind::Secret, text, |_| Some("<private key>".to_owned()));
        let text = self.each(
            |p| &p.url,
            Kind::Url,
            &text,
            |found| {
                let (scheme, host, rest) = (part(found, 1), part(found, 2), part(found, 3));
                let bare = format!("{scheme}://{host}");
                let is_bare = found
                    .get(0)
                    .is_some_and(|whole| whole.as_str() == bare || whole.as_str() == format!("{bare}/"));
                if is_bare {
                    return None;
                }
                Some(if rest.is_empty() { bare } else { format!("{bare}/<path>") })
            },
        );
        let text = self.each(
            |p| &p.cookie,
            Kind::Secret,
            &text,
            |found| (part(found, 2) != "<secret>").then(|| format!("{}<secret>", part(found, 1))),
        );
        let text = self.each(
            |p| &p.header,
            Kind::Secret,
            &text,
            |found| Some(format!("{}<secret>", part(found, 1))),
        );
        let text = self.each(
            |p| &p.assignment,
            Kind::Secret,
            &text,
            |found| {
                let (name, value) = (part(found, 1), part(found, 3));
                let told = value.trim_matches(['"', '\'']);
                // Of a header the value was taken out already, and the word before it may stay.
                let is_header = name.eq_ignore_ascii_case("authorization");
                let is_value = !told.is_empty() && !matches!(told, "true" | "false" | "null" | "{" | "[");
                let is_done = told.contains("<secret>") || told.contains("://");
                let is_secret = names_secret(&name) && is_value && !is_done && !is_header;
                is_secret.then(|| {
                    let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''));
                    let quote = quote.map(String::from).unwrap_or_default();
                    format!("{name}{}{quote}<secret>{quote}", part(found, 2))
                })
            },
        );
        let text = self.each(
            |p| &p.option,
            Kind::Secret,
            &text,
            |found| {
                (names_secret(&part(found, 1)) && part(found, 3) != "<secret>")
                    .then(|| format!("{}{}<secret>", part(found, 1), part(found, 2)))
            },
        );
        let text = self.each(|p| &p.shape, Kind::Secret, &text, |_| Some("<secret>".to_owned()));
        let text = self.each(
            |p| &p.random,
            Kind::Secret,
            &text,
            |found| looks_random(&part(found, 0)).then(|| "<secret>".to_owned()),
        );
        let text = self.each(
            |p| &p.email,
            Kind::Email,
            &text,
            |found| {
                let is_unit = UNIT_ENDINGS.iter().any(|ending| part(found, 0).ends_with(ending));
                (!is_unit).then(|| "<email>".to_owned())
            },
        );
        let text = self.each(
            |p| &p.home,
            Kind::User,
            &text,
            |found| {
                (!part(found, 2).starts_with(['<', '*', '{'])).then(|| format!("{}<user>", part(found, 1)))
            },
        );
        self.each(|p| &p.user, Kind::User, &text, |found| Some(format!("{}(<user>)", part(found, 1))))
    }

    /// A JSON document, in place: names of fields say what their values are.
    pub(crate) fn document(&mut self, value: &mut Value, lines: CommandLines) {
        match value {
            Value::String(words) => *words = self.text(words),
            Value::Array(values) => values.iter_mut().for_each(|value| self.document(value, lines)),
            Value::Object(fields) => {
                for (name, value) in fields.iter_mut() {
                    self.field(name, value, lines);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn field(&mut self, name: &str, value: &mut Value, lines: CommandLines) {
        let is_command = COMMAND_FIELDS.contains(&name);
        match value {
            Value::String(words) if names_secret(name) && !words.is_empty() => {
                // A webhook's host is worth knowing, and no secret.
                if words.contains("://") {
                    *words = self.text(words);
                } else {
                    "<secret>".clone_into(words);
                    self.count(Kind::Secret);
                }
            }
            Value::Array(words) if is_command => self.command(words, lines),
            Value::String(words) if is_command && lines == CommandLines::LeftOut => {
                if let Some((program, _)) = words.split_once(char::is_whitespace) {
                    *words = format!("{program} <arguments>");
                    self.count(Kind::Arguments);
                }
                *words = self.text(words);
            }
            _ => self.document(value, lines),
        }
    }

    fn command(&mut self, words: &mut Vec<Value>, lines: CommandLines) {
        match lines {
            CommandLines::LeftOut if words.len() > 1 => {
                words.truncate(1);
                words.push(Value::from("<arguments>"));
                self.count(Kind::Arguments);
            }
            CommandLines::LeftOut => {}
            CommandLines::Kept => {
                let mut after_secret_option = false;
                for word in words.iter_mut() {
                    let Value::String(text) = word else { continue };
                    let is_option = text.starts_with('-') && !text.contains('=') && names_secret(text);
                    if after_secret_option && !is_option {
                        "<secret>".clone_into(text);
                        self.count(Kind::Secret);
                    }
                    after_secret_option = is_option;
                }
            }
        }
        for word in words {
            self.document(word, lines);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn redacted(text: &str) -> String {
        Redactor::new().unwrap().text(text)
    }

    /// Made of parts, so that nobody takes a test for a leak.
    fn made(parts: &[&str]) -> String {
        parts.concat()
    }

    #[test]
    fn secrets_are_taken_out_wherever_they_stand() {
        let random = made(&["Zx8", "qLm2Vt9", "RkP4wYb7", "NcD1sF6h"]);
        let cases = [
            ("password=hunter2 next".to_owned(), "password=<secret> next"),
            ("DB_PASSWORD='a b' x".to_owned(), "DB_PASSWORD='<secret>' x"),
            ("export API_KEY=abc123".to_owned(), "export API_KEY=<secret>"),
            (r#"{"client_secret": "s\"x", "n": 1}"#.to_owned(), r#"{"client_secret": "<secret>", "n": 1}"#),
            ("token: abc".to_owned(), "token: <secret>"),
            ("mysql --password hunter2 -h db".to_owned(), "mysql --password <secret> -h db"),
            ("curl --auth-token=abc x".to_owned(), "curl --auth-token=<secret> x"),
            ("docker run --env=DB_PASSWORD=hunter2 x".to_owned(), "docker run --env=DB_PASSWORD=<secret> x"),
            ("sh -c 'mysql --password hunter2'".to_owned(), "sh -c 'mysql --password <secret>'"),
            ("curl '--header=X-Api-Key: abc' x".to_owned(), "curl '--header=X-Api-Key: <secret>' x"),
            ("note=\"token: abc\"".to_owned(), "note=\"token: <secret>\""),
            ("Cookie: theme=dark; session=abc\nnext".to_owned(), "Cookie: <secret>\nnext"),
            ("set-cookie: a=\"b c\"; Path=/".to_owned(), "set-cookie: <secret>"),
            ("Authorization: Bearer abcdef123".to_owned(), "Authorization: Bearer <secret>"),
            ("got bearer abcdef123".to_owned(), "got bearer <secret>"),
            (made(&["key AK", "IA", "ABCDEFGHIJKLMNOP"]), "key <secret>"),
            (made(&["gh", "p_", "abcdefghijklmnopqrstuv"]), "<secret>"),
            (made(&["ey", "JhbGciOiJI.ey", "JzdWIiOiIx.abc"]), "<secret>"),
            (format!("saw {random} there"), "saw <secret> there"),
            (
                made(&["-----BEGIN PRIV", "ATE KEY-----\nMC4C\n-----END PRIV", "ATE KEY-----\nz"]),
                "<private key>\nz",
            ),
            (made(&["-----BEGIN OPENSSH PRIV", "ATE KEY-----\ncut off"]), "<private key>"),
        ];
        for (text, expected) in cases {
            assert_eq!(redacted(&text), expected, "{text}");
        }
    }

    #[test]
    fn of_a_url_only_the_host_stays() {
        for (text, expected) in [
            (
                "POST https://hooks.example.com/services/T0/B0/xyz failed",
                "POST https://hooks.example.com/<path> failed",
            ),
            ("https://example.com?code=1", "https://example.com/<path>"),
            ("postgres://bob:pw@db:5432/shop", "postgres://db:5432/<path>"),
            ("postgres://bob:p@ssw0rd@db:5432/x", "postgres://db:5432/<path>"),
            ("http://u:p@10.0.0.1", "http://10.0.0.1"),
            ("webhook = \"https://hooks.example.com/a\"", "webhook = \"https://hooks.example.com/<path>\""),
            (
                "see https://example.com and https://example.com/",
                "see https://example.com and https://example.com/",
            ),
        ] {
            assert_eq!(redacted(text), expected);
        }
    }

    #[test]
    fn people_have_no_names() {
        for (text, expected) in [
            ("/home/alice/.ssh/id and /home/bob", "/home/<user>/.ssh/id and /home/<user>"),
            ("in /var/home/alice/x", "in /var/home/<user>/x"),
            ("by uid 1000 (alice), login uid 7 (bob)", "by uid 1000 (<user>), login uid 7 (<user>)"),
            ("ask alice.b@example.com", "ask <email>"),
            ("deny /home/*/.ssh/** of {home}", "deny /home/*/.ssh/** of {home}"),
        ] {
            assert_eq!(redacted(text), expected);
        }
    }

    #[test]
    fn what_a_maintainer_needs_stays() {
        for text in [
            "policy 0123456789ab, sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "token_file = \"/etc/agentguard/budget.token\"",
            "secret_file: /etc/agentguard/webhook.key",
            "/sys/fs/bpf/agentguard/v1/maps/agents is pinned",
            "agentguard_events_lost_total{stage=\"ring\"} 0",
            "key ed25519-0123456789abcdef signs, tokens are counted",
            "2026-03-01T12:00:00.000000Z agentd[812]: agentd 0.1.0 is ready: back end lsm",
            "user@1000.service",
        ] {
            assert_eq!(redacted(text), text);
        }
    }

    #[test]
    fn text_that_was_redacted_stays_as_it_is() {
        let text = "token=abc https://u:p@w@h.example/p /home/alice a@b.example uid 1 (x) --password y\n\
                    --env=DB_PASSWORD=x '--header=X-Api-Key: y'\nCookie: a=b; c=d";
        let once = redacted(text);
        assert_eq!(redacted(&once), once);
    }

    #[test]
    fn documents_are_redacted_by_the_names_of_their_fields() {
        let mut redactor = Redactor::new().unwrap();
        let mut value = json!({
            "webhook": "https://hooks.example.com/x", "api_key": "abc", "public": {"note": "mail a@b.example"},
            "argv": ["git", "push", "--force"], "command": "sh -c ls", "pids": [1, 2],
        });
        redactor.document(&mut value, CommandLines::LeftOut);
        assert_eq!(
            value,
            json!({
                "webhook": "https://hooks.example.com/<path>", "api_key": "<secret>",
                "public": {"note": "mail <email>"}, "argv": ["git", "<arguments>"],
                "command": "sh <arguments>", "pids": [1, 2],
            })
        );
        let counts: Vec<_> = redactor.counts().iter().map(|(kind, count)| (*kind, *count)).collect();
        assert_eq!(counts, [(Kind::Secret, 1), (Kind::Url, 1), (Kind::Email, 1), (Kind::Arguments, 2)]);
    }

    #[test]
    fn a_command_line_that_is_kept_has_no_secrets() {
        let mut value = json!({"argv": ["mysql", "--password", "hunter2", "--token=abc", "-h", "db"]});
        Redactor::new().unwrap().document(&mut value, CommandLines::Kept);
        assert_eq!(
            value,
            json!({"argv": ["mysql", "--password", "<secret>", "--token=<secret>", "-h", "db"]})
        );
    }
}
