//! The sections of a spec, one function each, from TOML to the types of [`super::Spec`].

use std::collections::BTreeMap;

use toml::de::DeTable;

use super::read::{Reader, Section};
use super::variables::{self, BUILT_IN};
use super::{
    Agent, Exec, Executable, Files, Located, MAX_AGENT_NAME_BYTES, MAX_DESCRIPTION_BYTES, MAX_SPEC_BYTES,
    Mode, ProcessSection, Role, Spec, Unix,
};
use super::{network, profile};
use crate::ids::AgentName;
use crate::verdict::Verdict;

pub(super) const SECTIONS: [&str; 10] = [
    "agent",
    "anatomy",
    "economics",
    "containment",
    "variables",
    "files",
    "exec",
    "network",
    "unix",
    "process",
];
pub(super) const AGENT_KEYS: [&str; 9] =
    ["name", "description", "version", "owner", "role", "tier", "mode", "capabilities", "expires"];
pub(super) const FILES_KEYS: [&str; 9] =
    ["default", "read", "write", "create", "delete", "link", "audit", "hold", "deny"];
pub(super) const EXEC_KEYS: [&str; 10] = [
    "default",
    "allow",
    "libraries",
    "hold",
    "deny",
    "commands_hold",
    "commands_deny",
    "anonymous",
    "memfd",
    "privileged",
];
pub(super) const UNIX_KEYS: [&str; 5] = ["default", "connect", "bind", "hold", "deny"];
pub(super) const PROCESS_KEYS: [&str; 3] = ["default", "capabilities", "allow"];
pub(super) const ROLES: [(&str, Role); 3] =
    [("compliance", Role::Compliance), ("analysis", Role::Analysis), ("ideation", Role::Ideation)];
pub(super) const MODES: [(&str, Mode); 2] = [("observe", Mode::Observe), ("enforce", Mode::Enforce)];
pub(super) const VERDICTS: [(&str, Verdict); 5] = [
    ("deny", Verdict::Deny),
    ("hold", Verdict::Hold),
    ("evaluate", Verdict::Evaluate),
    ("audit", Verdict::Audit),
    ("allow", Verdict::Allow),
];
/// Digits of a SHA-256.
const SHA256_DIGITS: usize = 64;

/// Reads the whole text; `None` only if it is no TOML at all or has no usable `[agent]`.
pub(super) fn spec(reader: &mut Reader, text: &str) -> Option<Spec> {
    if text.len() > MAX_SPEC_BYTES {
        let message =
            format!("the spec has {} bytes, the limit is {MAX_SPEC_BYTES}; split the agent", text.len());
        reader.problem(1, message);
        return None;
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let line = error.span().map_or(1, |span| reader.line(span));
        reader.problem(line, format!("not valid TOML: {}", error.message()));
    }
    // What follows a syntax error may be misread, so its other problems would mislead.
    if !errors.is_empty() {
        return None;
    }
    let root = reader.root(table.get_ref(), &SECTIONS);
    let agent = agent(reader, root);
    let anatomy = profile::anatomy(reader, root);
    let economics = profile::economics(reader, root);
    let containment = profile::containment(reader, root);
    let variables = variables(reader, root);
    let files = files(reader, root);
    let exec = exec(reader, root);
    let network = network::section(reader, root);
    let unix = unix(reader, root);
    let process = process(reader, root);
    Some(Spec {
        file: reader.file().to_owned(),
        agent: agent?,
        anatomy,
        economics,
        containment,
        variables,
        files,
        exec,
        network,
        unix,
        process,
    })
}

fn agent(reader: &mut Reader, root: Section<'_, '_>) -> Option<Agent> {
    let section = reader.section(root, "agent", &AGENT_KEYS);
    if !section.is_written() {
        reader.problem(1, "the [agent] section is missing; say at least name, role, tier and mode");
        return None;
    }
    let name = reader.required(section, "name", "give the agent a name, such as name = \"coding-agent\"");
    let name = name.filter(|name| agent_name(reader, name));
    let description = reader.string(section, "description");
    if let Some(long) = description.as_ref().filter(|text| text.value.len() > MAX_DESCRIPTION_BYTES) {
        let message = format!("agent.description is longer than {MAX_DESCRIPTION_BYTES} bytes; shorten it");
        reader.problem(long.line, message);
    }
    let version = profile::version(reader, section);
    let owner = profile::owner(reader, section);
    let capabilities = profile::capabilities(reader, section);
    let expires = profile::expires(reader, section);
    reader.required(section, "role", "write compliance, analysis or ideation");
    let role = reader.choice(section, "role", &ROLES);
    let tier = tier(reader, section);
    reader.required(section, "mode", "write observe (nothing is blocked) or enforce");
    let mode = reader.choice(section, "mode", &MODES);
    Some(Agent {
        name: AgentName(name?.value),
        description: description.map(|text| text.value).unwrap_or_default(),
        version,
        owner,
        role: role?.value,
        tier: tier?,
        mode: mode?.value,
        capabilities,
        expires,
    })
}

fn agent_name(reader: &mut Reader, name: &Located<String>) -> bool {
    let edge = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.value.as_bytes();
    let good = bytes.len() <= MAX_AGENT_NAME_BYTES
        && bytes.first().is_some_and(edge)
        && bytes.last().is_some_and(edge)
        && bytes.iter().all(|byte| edge(byte) || matches!(byte, b'-' | b'_' | b'.'));
    if !good {
        let message = format!(
            "agent.name `{}` is not a name; use 1 to {MAX_AGENT_NAME_BYTES} of a-z, 0-9, `-`, `_`, `.`, \
             beginning and ending with a letter or digit",
            name.value
        );
        reader.problem(name.line, message);
    }
    good
}

fn tier(reader: &mut Reader, section: Section<'_, '_>) -> Option<u8> {
    let Some(value) = section.get("tier") else {
        reader.problem(section.line, "agent.tier is missing; write 1 (least risk) to 4");
        return None;
    };
    let number = reader.integer(value, "agent.tier")?;
    let tier = u8::try_from(number.value).ok().filter(|tier| (1..=4).contains(tier));
    if tier.is_none() {
        reader.problem(number.line, format!("agent.tier is {}; write 1 (least risk) to 4", number.value));
    }
    tier
}

fn variables(reader: &mut Reader, root: Section<'_, '_>) -> BTreeMap<String, Located<String>> {
    let mut found = BTreeMap::new();
    let Some(value) = root.get("variables") else { return found };
    let Some(section) = reader.any_keys(value, "variables") else { return found };
    for (key, value) in section.entries() {
        let name: &str = key.get_ref();
        let line = reader.line(key.span());
        if BUILT_IN.contains(&name) {
            reader.problem(line, format!("variable `{name}` is set by agentd; choose another name"));
        } else if !variables::is_name(name) {
            let rule = "use a-z, 0-9 and `_`, beginning with a letter";
            reader.problem(line, format!("`{name}` is not a variable name; {rule}"));
        } else if let Some(value) = reader.text(value, &section.path(name)) {
            found.insert(name.to_owned(), value);
        }
    }
    found
}

/// The `default` of a section; deny where it is left out.
pub(super) fn default(reader: &mut Reader, section: Section<'_, '_>) -> Verdict {
    let word = reader.string(section, "default");
    let found = word.and_then(|word| reader.one_of(&section.path("default"), &word, &VERDICTS));
    found.unwrap_or(Verdict::Deny)
}

/// Of operations that the kernel can not hold.
fn verdict(reader: &mut Reader, section: Section<'_, '_>, key: &str) -> Option<Located<Verdict>> {
    let word = reader.string(section, key)?;
    let name = section.path(key);
    let verdict = reader.one_of(&name, &word, &VERDICTS)?;
    if verdict.waits() {
        let message = format!("{name} is `{verdict}`, but this can not be held; write deny or audit");
        reader.problem(word.line, message);
        return None;
    }
    Some(word.with(verdict))
}

fn files(reader: &mut Reader, root: Section<'_, '_>) -> Files {
    let section = reader.section(root, "files", &FILES_KEYS);
    Files {
        default: default(reader, section),
        read: reader.strings(section, "read"),
        write: reader.strings(section, "write"),
        create: reader.strings(section, "create"),
        delete: reader.strings(section, "delete"),
        link: reader.strings(section, "link"),
        audit: reader.strings(section, "audit"),
        hold: reader.strings(section, "hold"),
        deny: reader.strings(section, "deny"),
    }
}

fn exec(reader: &mut Reader, root: Section<'_, '_>) -> Exec {
    let section = reader.section(root, "exec", &EXEC_KEYS);
    Exec {
        default: default(reader, section),
        allow: reader.list(section, "allow", executable),
        libraries: reader.strings(section, "libraries"),
        hold: reader.strings(section, "hold"),
        deny: reader.strings(section, "deny"),
        commands_hold: reader.strings(section, "commands_hold"),
        commands_deny: reader.strings(section, "commands_deny"),
        anonymous: verdict(reader, section, "anonymous"),
        memfd: verdict(reader, section, "memfd"),
        privileged: verdict(reader, section, "privileged"),
    }
}

fn executable(
    reader: &mut Reader,
    value: &toml::Spanned<toml::de::DeValue<'_>>,
    name: &str,
) -> Option<Located<Executable>> {
    if value.get_ref().is_str() {
        let path = reader.text(value, name)?;
        return Some(path.with(Executable { path: path.value.clone(), sha256: None }));
    }
    let entry = reader.entry(value, "exec.allow entry", &["path", "sha256"])?;
    let path = reader.required(entry, "path", "write { path = \"/opt/tool\", sha256 = \"…\" }")?;
    let hash = reader.string(entry, "sha256").and_then(|hash| sha256(reader, &hash));
    Some(path.with(Executable { path: path.value.clone(), sha256: hash }))
}

fn sha256(reader: &mut Reader, hash: &Located<String>) -> Option<String> {
    let good = hash.value.len() == SHA256_DIGITS && hash.value.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !good {
        let message =
            format!("sha256 `{}` is not {SHA256_DIGITS} hex digits; write what sha256sum prints", hash.value);
        reader.problem(hash.line, message);
    }
    good.then(|| hash.value.to_ascii_lowercase())
}

fn unix(reader: &mut Reader, root: Section<'_, '_>) -> Unix {
    let section = reader.section(root, "unix", &UNIX_KEYS);
    Unix {
        default: default(reader, section),
        connect: reader.strings(section, "connect"),
        bind: reader.strings(section, "bind"),
        hold: reader.strings(section, "hold"),
        deny: reader.strings(section, "deny"),
    }
}

fn process(reader: &mut Reader, root: Section<'_, '_>) -> ProcessSection {
    let section = reader.section(root, "process", &PROCESS_KEYS);
    ProcessSection {
        default: verdict(reader, section, "default").map_or(Verdict::Deny, |verdict| verdict.value),
        capabilities: reader.strings(section, "capabilities"),
        allow: reader.strings(section, "allow"),
    }
}
