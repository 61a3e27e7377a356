//! Which Debian mirror this host uses, read from its own apt sources.
//!
//! The repository names no mirror: whoever runs this has chosen one already. Both formats of apt are
//! read (deb822 `.sources` and one-line `.list`).

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Overrides what the sources say, for hosts that are not Debian.
const OVERRIDE: &str = "AGENTGUARD_VM_MIRROR";

/// Suites that only Debian's own archive has in this plain form; others add a suffix to them.
const SUITES: [&str; 10] = [
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "sid",
    "oldoldstable",
    "oldstable",
    "stable",
    "testing",
    "unstable",
];

/// One (type, URI, suite) of an apt source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Source {
    binary: bool,
    enabled: bool,
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    signed_by: String,
}

impl Source {
    fn is_debian_main(&self) -> bool {
        self.binary
            && self.enabled
            && self.suites.iter().any(|suite| SUITES.contains(&suite.as_str()))
            && self.components.iter().any(|component| component == "main")
            && (self.signed_by.is_empty() || self.signed_by.contains("debian-archive"))
    }
}

/// The URI of the Debian archive that this host's apt uses.
pub(super) fn configured_mirror() -> Result<String> {
    if let Ok(uri) = std::env::var(OVERRIDE) {
        return Ok(uri);
    }
    for path in source_files(Path::new("/etc/apt")) {
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let sources = if path.extension().is_some_and(|e| e == "sources") {
            parse_deb822(&text)
        } else {
            parse_one_line(&text)
        };
        if let Some(uri) = debian_uri(&sources) {
            return Ok(uri);
        }
    }
    bail!("no Debian archive among this host's apt sources; name one in {OVERRIDE}")
}

fn source_files(etc_apt: &Path) -> Vec<PathBuf> {
    let mut parts: Vec<PathBuf> = std::fs::read_dir(etc_apt.join("sources.list.d"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "sources" || e == "list"))
        .collect();
    parts.sort();
    let main = etc_apt.join("sources.list");
    if main.exists() {
        parts.insert(0, main);
    }
    parts
}

fn debian_uri(sources: &[Source]) -> Option<String> {
    // A source that names Debian's own keyring is certainly Debian's; one without a key may be.
    let named = sources.iter().find(|source| source.is_debian_main() && !source.signed_by.is_empty());
    let source = named.or_else(|| sources.iter().find(|source| source.is_debian_main()))?;
    source.uris.first().map(|uri| uri.trim_end_matches('/').to_owned())
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Paragraphs of `Field: value`, continuation lines start with a blank, `#` starts a comment line.
fn parse_deb822(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    for paragraph in text.split("\n\n") {
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in paragraph.lines().filter(|line| !line.starts_with('#')) {
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = fields.last_mut() {
                    value.push(' ');
                    value.push_str(line.trim());
                }
            } else if let Some((name, value)) = line.split_once(':') {
                fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        let field = |name: &str| {
            fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).unwrap_or_default()
        };
        sources.push(Source {
            binary: words(&field("types")).iter().any(|kind| kind == "deb"),
            enabled: !field("enabled").eq_ignore_ascii_case("no"),
            uris: words(&field("uris")),
            suites: words(&field("suites")),
            components: words(&field("components")),
            signed_by: field("signed-by"),
        });
    }
    sources
}

/// Lines of `deb [options] URI SUITE COMPONENT...`.
fn parse_one_line(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let Some((kind, rest)) = line.split_once(char::is_whitespace) else {
            continue;
        };
        let rest = rest.trim_start();
        let (options, rest) = match rest.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            Some((options, rest)) => (options, rest),
            None => ("", rest),
        };
        let mut rest = rest.split_whitespace().map(str::to_owned);
        let (Some(uri), Some(suite)) = (rest.next(), rest.next()) else {
            continue;
        };
        let signed_by = options
            .split_whitespace()
            .find_map(|option| option.strip_prefix("signed-by="))
            .unwrap_or_default();
        sources.push(Source {
            binary: kind == "deb",
            enabled: true,
            uris: vec![uri],
            suites: vec![suite],
            components: rest.collect(),
            signed_by: signed_by.to_owned(),
        });
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_archive_and_not_security_from_deb822() {
        let text = "Types: deb\nURIs: http://security.test/debian-security\nSuites: bookworm-security\n\
                    Components: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n\
                    Types: deb deb-src\n# a comment between fields\nURIs: http://mirror.test/debian/\n\
                    Suites: bookworm\n bookworm-updates\nComponents: main\n\
                    Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n";
        assert_eq!(debian_uri(&parse_deb822(text)).as_deref(), Some("http://mirror.test/debian"));
    }

    #[test]
    fn skips_disabled_source_only_and_foreign_deb822() {
        let text = "Enabled: no\nTypes: deb\nURIs: http://off.test/debian\nSuites: bookworm\nComponents: main\n\n\
                    Types: deb-src\nURIs: http://src.test/debian\nSuites: bookworm\nComponents: main\n\n\
                    Types: deb\nURIs: http://tool.test/x\nSuites: bookworm\nComponents: main\n\
                    Signed-By: /usr/share/keyrings/tool.gpg\n";
        assert_eq!(debian_uri(&parse_deb822(text)), None);
    }

    #[test]
    fn reads_one_line_sources_with_and_without_options() {
        let text = "# deb http://old.test/debian bookworm main\n\
                    deb [arch=amd64 signed-by=/k/tool.gpg] http://tool.test/apt stable main\n\
                    deb http://tool.test/sdk tool-bookworm main\n\
                    deb-src http://src.test/debian bookworm main\n\
                    deb [arch=amd64] http://mirror.test/debian bookworm main contrib # local\n";
        assert_eq!(debian_uri(&parse_one_line(text)).as_deref(), Some("http://mirror.test/debian"));
    }

    #[test]
    fn prefers_the_source_that_names_debians_keyring() {
        let text = "deb http://unknown.test/x stable main\n\
                    deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://mirror.test/debian sid main\n";
        assert_eq!(debian_uri(&parse_one_line(text)).as_deref(), Some("http://mirror.test/debian"));
    }

    #[test]
    fn garbage_is_no_source() {
        assert_eq!(debian_uri(&parse_one_line("deb\ndeb [\n\u{0}\ndeb x")), None);
        assert_eq!(debian_uri(&parse_deb822(": \n\n leading\nnonsense")), None);
    }
}
