//! Writes a draft as TOML: sections in the order of the reference, a comment above each, one entry per line where it
//! has something to say. Values are escaped by the TOML library.

use std::fmt::Write as _;

use agentguard_core::rule::Protocol;
use agentguard_core::spec::{Executable, Memory, Peer};
use agentguard_core::verdict::Verdict;
use toml_edit::Value;

use crate::text::one_line;
use crate::{Entry, List, SpecDraft};

/// Longest line of a list that is written on one line.
const LINE_BYTES: usize = 110;
/// Kinds of sockets that are there if a spec does not name any.
pub(crate) const USUAL_SOCKETS: [&str; 4] = ["tcp", "udp", "unix", "netlink-route"];

/// The whole text.
pub(crate) fn text(draft: &SpecDraft) -> String {
    let mut page = Page::default();
    for line in &draft.head {
        page.comment(line);
    }
    agent(&mut page, draft);
    anatomy(&mut page, draft);
    variables(&mut page, draft);
    files(&mut page, draft);
    exec(&mut page, draft);
    network(&mut page, draft);
    unix(&mut page, draft);
    process(&mut page, draft);
    page.0
}

/// A string as a TOML value.
pub(crate) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// A number that keeps its point, so that it stays a float.
pub(crate) fn float(value: f64) -> String {
    format!("{value:?}")
}

/// A number without a point where it has no cents.
pub(crate) fn dollars(value: f64) -> String {
    value.to_string()
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    fn comment(&mut self, text: &str) {
        let text = one_line(text);
        self.line(format!("# {text}").trim_end());
    }

    fn section(&mut self, name: &str, comment: &str) {
        if !self.0.is_empty() {
            self.line("");
        }
        if !comment.is_empty() {
            self.comment(comment);
        }
        self.line(&format!("[{name}]"));
    }

    fn set(&mut self, key: &str, value: &str) {
        self.line(&format!("{key} = {value}"));
    }

    fn default_verdict(&mut self, verdict: Option<Verdict>) {
        self.set("default", &quoted(verdict.unwrap_or(Verdict::Deny).name()));
    }

    fn words(&mut self, key: &str, words: &[String]) {
        let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        self.set(key, &format!("[{}]", words.join(", ")));
    }

    /// A list that is left out if it is empty.
    fn list<T: PartialEq>(&mut self, key: &str, list: &List<T>, write: impl Fn(&T) -> String) {
        let entries = list.by_heading();
        if entries.is_empty() {
            return;
        }
        let plain = entries.iter().all(|entry| entry.heading.is_none() && entry.unsure.is_none());
        let values: Vec<String> = entries.iter().map(|entry| write(&entry.value)).collect();
        let short = format!("{key} = [{}]", values.join(", "));
        if plain && short.len() <= LINE_BYTES {
            return self.line(&short);
        }
        self.line(&format!("{key} = ["));
        let mut heading = None;
        for (entry, value) in entries.iter().zip(&values) {
            self.heading(&mut heading, entry);
            let unsure = entry.unsure.as_ref().map(|why| format!("  # unsure: {}", one_line(why)));
            self.line(&format!("    {value},{}", unsure.unwrap_or_default()));
        }
        self.line("]");
    }

    fn heading<'e, T>(&mut self, current: &mut Option<&'e str>, entry: &'e Entry<T>) {
        let heading = entry.heading.as_deref();
        if let Some(text) = heading.filter(|_| *current != heading) {
            self.line(&format!("    # {}", one_line(text)));
        }
        *current = heading;
    }

    fn strings(&mut self, key: &str, list: &List<String>) {
        self.list(key, list, |text| quoted(text));
    }

    fn peers(&mut self, key: &str, list: &List<Peer>, target: &str) {
        self.list(key, list, |entry| peer(entry, target));
    }
}

fn agent(page: &mut Page, draft: &SpecDraft) {
    page.section("agent", "Who it is. The higher the tier (1 to 4), the less policy lets a spec grant.");
    page.set("name", &quoted(&draft.name));
    if let Some(description) = &draft.description {
        page.set("description", &quoted(description));
    }
    page.set("role", &quoted(draft.role.name()));
    page.set("tier", &draft.tier.to_string());
    page.set("mode", "\"enforce\"");
    page.set("version", &quoted(&draft.version));
    if let Some(owner) = &draft.owner {
        page.set("owner", &quoted(owner));
    }
    if let Some(expires) = &draft.expires {
        page.set("expires", expires);
    }
    page.words("capabilities", &draft.capabilities);
}

fn anatomy(page: &mut Page, draft: &SpecDraft) {
    let anatomy = &draft.anatomy;
    page.section(
        "anatomy",
        "What it is made of: what it works on, what it does, what it remembers, how it reasons.",
    );
    page.words("inputs", &anatomy.inputs);
    page.words("actions", &anatomy.actions);
    page.set("memory", &quoted(anatomy.memory.unwrap_or(Memory::None).name()));
    page.section("anatomy.reasoning", "");
    page.set("model", &quoted(anatomy.model.as_deref().unwrap_or_default()));
    page.set("temperature", &float(anatomy.temperature.unwrap_or_default()));
    page.section("economics", "What it may cost.");
    page.set("monthly_budget_usd", &dollars(draft.monthly_budget_usd.unwrap_or_default()));
    page.section("containment", "What holds while it is in the sandbox, whatever is granted below.");
    page.set("external_calls", "false");
    page.set("persistent_writes", "false");
    page.set("loopback", if draft.containment.loopback { "true" } else { "false" });
}

fn variables(page: &mut Page, draft: &SpecDraft) {
    if draft.variables.is_empty() {
        return;
    }
    page.section(
        "variables",
        "${name} in a pattern or address. An empty one must be given: --set name=value",
    );
    for variable in &draft.variables {
        let _ = writeln!(
            page.0,
            "{} = {}  # {}",
            variable.name,
            quoted(&variable.default),
            one_line(&variable.comment)
        );
    }
}

fn files(page: &mut Page, draft: &SpecDraft) {
    page.section(
        "files",
        "Files, by what is done to them. To list a directory, it is named without /** too.",
    );
    let files = &draft.files;
    page.default_verdict(files.default);
    for (key, list) in [
        ("read", &files.read),
        ("write", &files.write),
        ("create", &files.create),
        ("delete", &files.delete),
        ("link", &files.link),
        ("audit", &files.audit),
        ("hold", &files.hold),
        ("deny", &files.deny),
    ] {
        page.strings(key, list);
    }
}

fn exec(page: &mut Page, draft: &SpecDraft) {
    page.section("exec", "Programs that may run, and libraries that they may map.");
    let exec = &draft.exec;
    page.default_verdict(exec.default);
    page.list("allow", &exec.allow, executable);
    for (key, list) in [
        ("libraries", &exec.libraries),
        ("hold", &exec.hold),
        ("deny", &exec.deny),
        ("commands_hold", &exec.commands_hold),
        ("commands_deny", &exec.commands_deny),
    ] {
        page.strings(key, list);
    }
    for (key, verdict, comment) in [
        ("anonymous", exec.anonymous, "executable memory without a file: just-in-time compilers"),
        ("memfd", exec.memfd, "programs without a name: memfd, deleted"),
        ("privileged", exec.privileged, "programs that raise privilege: sudo, su"),
    ] {
        let word = quoted(verdict.unwrap_or(Verdict::Deny).name());
        page.set(key, &format!("{word}  # {comment}"));
    }
}

fn network(page: &mut Page, draft: &SpecDraft) {
    page.section("network", "Peers by name or address. Port 53 of the host's name servers needs no grant.");
    let network = &draft.network;
    page.default_verdict(network.default);
    page.peers("connect", &network.connect, "to");
    page.peers("listen", &network.listen, "on");
    page.peers("hold", &network.hold, "to");
    page.peers("deny", &network.deny, "to");
    page.strings("resolvers", &network.resolvers);
    let sockets: Vec<String> = network.sockets.iter().map(|entry| entry.value.clone()).collect();
    if network.sockets.is_empty() {
        page.words("sockets", &sockets);
    } else {
        page.strings("sockets", &network.sockets);
    }
}

fn unix(page: &mut Page, draft: &SpecDraft) {
    page.section("unix", "Unix sockets, by path or @name.");
    let unix = &draft.unix;
    page.default_verdict(unix.default);
    for (key, list) in
        [("connect", &unix.connect), ("bind", &unix.bind), ("hold", &unix.hold), ("deny", &unix.deny)]
    {
        page.strings(key, list);
    }
}

fn process(page: &mut Page, draft: &SpecDraft) {
    page.section("process", "What it may do to other processes and to the system.");
    page.default_verdict(draft.process.default);
    page.strings("capabilities", &draft.process.capabilities);
    page.strings("allow", &draft.process.allow);
}

fn executable(entry: &Executable) -> String {
    match &entry.sha256 {
        Some(hash) => format!("{{ path = {}, sha256 = {} }}", quoted(&entry.path), quoted(hash)),
        None => quoted(&entry.path),
    }
}

fn peer(peer: &Peer, target: &str) -> String {
    let mut parts = vec![format!("{target} = {}", quoted(&peer.to))];
    if !peer.ports.is_empty() {
        let port = |(low, high): &(u16, u16)| {
            if low == high { low.to_string() } else { format!("\"{low}-{high}\"") }
        };
        let ports: Vec<String> = peer.ports.iter().map(port).collect();
        parts.push(format!("ports = [{}]", ports.join(", ")));
    }
    match peer.protocol {
        Protocol::Any => {}
        Protocol::Tcp => parts.push("protocol = \"tcp\"".to_owned()),
        Protocol::Udp => parts.push("protocol = \"udp\"".to_owned()),
    }
    format!("{{ {} }}", parts.join(", "))
}
