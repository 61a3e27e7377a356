//! Records in words: the one place that says how a process, an object or a decision reads in a line.

use agentguard_core::capability;
use agentguard_core::operation::Operation;
use agentguard_core::record::{Decision, Object, Process, Record};
use agentguard_core::rule::{Ports, Protocol, Scope};
use agentguard_core::verdict::{Reason, Severity, Verdict};

use crate::screen::{Tone, printable};

/// What a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Group {
    File,
    Network,
    Process,
}

impl Group {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Network => "network",
            Self::Process => "process",
        }
    }

    pub(crate) fn of(record: &Record) -> Self {
        match &record.object {
            Object::Address { .. } | Object::PeerIo { .. } | Object::Resolved { .. } => Self::Network,
            Object::Class { .. } if record.call == "socket" => Self::Network,
            Object::File { .. } if record.call == "exec" => Self::Process,
            Object::File { .. }
                if record.call == "connect" || record.call == "send" || record.call == "bind" =>
            {
                Self::Network
            }
            Object::File { .. } | Object::FileIo { .. } => Self::File,
            Object::Class { .. }
            | Object::Exec { .. }
            | Object::Fork { .. }
            | Object::Exit { .. }
            | Object::Credentials { .. } => Self::Process,
        }
    }
}

/// `4242 bash`.
pub(crate) fn process(process: &Process) -> String {
    format!("{} {}", process.pid, printable(&process.comm))
}

/// The object in one line; where there is none, what was asked for.
pub(crate) fn object(record: &Record) -> String {
    match &record.object {
        Object::File { path, other: Some(other), .. } => {
            format!("{} -> {}", printable(path), printable(other))
        }
        Object::File { path, other: None, .. } => printable(path),
        Object::FileIo { path, read_bytes, written_bytes } => {
            format!("{} read {}, written {}", printable(path), bytes(*read_bytes), bytes(*written_bytes))
        }
        Object::Address { address, port, protocol, name, size } => {
            let size = if *size > 0 { format!(", {}", bytes(*size)) } else { String::new() };
            format!("{}{size}", peer(&address.to_string(), *port, protocol, name.as_deref()))
        }
        Object::PeerIo { address, port, protocol, name, sent_bytes, received_bytes } => format!(
            "{} sent {}, received {}",
            peer(&address.to_string(), *port, protocol, name.as_deref()),
            bytes(*sent_bytes),
            bytes(*received_bytes)
        ),
        Object::Resolved { name, address, ttl_sec } => {
            format!("{} is {address} for {ttl_sec} s", printable(name))
        }
        Object::Class { detail } if detail.is_empty() => record.operation.map(asked).unwrap_or_default(),
        Object::Class { detail } | Object::Credentials { detail } => printable(detail),
        Object::Exec { path, argv, truncated, .. } => {
            let line = if argv.is_empty() { path.clone() } else { argv.join(" ") };
            format!("{}{}", printable(&line), if *truncated { " ..." } else { "" })
        }
        Object::Fork { child_pid, .. } => format!("child {child_pid}"),
        Object::Exit { code, signal: 0 } => format!("status {code}"),
        Object::Exit { signal, .. } => format!("signal {signal}"),
    }
}

fn asked(operation: Operation) -> String {
    match operation {
        Operation::Capability(number) => capability::name(number),
        Operation::Path(_) | Operation::Address(_) | Operation::Class(_) => operation.to_string(),
    }
}

fn peer(address: &str, port: u16, protocol: &str, name: Option<&str>) -> String {
    let address = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    let name = name.map(|name| format!(" ({})", printable(name))).unwrap_or_default();
    format!("{address}:{port}/{protocol}{name}")
}

/// The verdict, and whether it took effect.
pub(crate) fn verdict(decision: &Decision) -> String {
    match decision.verdict {
        stopping if stopping.stops() && !decision.enforced => format!("({stopping})"),
        verdict => verdict.to_string(),
    }
}

/// Its colour: a denial that was only observed is worth a look.
pub(crate) fn tone(decision: &Decision) -> Tone {
    match decision.verdict {
        Verdict::Deny if !decision.enforced => Tone::Warn,
        verdict => Tone::of(verdict),
    }
}

/// The rule that decided a record, or why none did; nothing for what is no request, such as an exit.
pub(crate) fn rule_of(record: &Record) -> String {
    match record.operation {
        None if record.decision.rule.is_none() && !record.decision.verdict.stops() => String::new(),
        _ => rule(&record.decision),
    }
}

/// The rule that decided, or why none did.
pub(crate) fn rule(decision: &Decision) -> String {
    let rule = decision.rule.as_deref();
    match (rule, decision.reason) {
        (Some(rule), Reason::Rule) => rule.to_owned(),
        (Some(rule), reason) => format!("{rule}, {}", reason_words(reason)),
        (None, reason) => reason_words(reason).to_owned(),
    }
}

/// What a rule is about: `read,write /etc/**`, `connect_address 10.0.0.0/8 tcp 443`.
pub(crate) fn scope(scope: &Scope) -> String {
    match scope {
        Scope::Path { ops, pattern, .. } => {
            let ops: Vec<_> = ops.iter().map(|op| op.name()).collect();
            format!("{} {pattern}", ops.join(","))
        }
        Scope::Address { op, network, ports } => {
            format!("{} {}/{}{}", op.name(), network.address, network.bits, ports_words(ports))
        }
        Scope::Name { name, ports } => format!("connect_address {name}{}", ports_words(ports)),
        Scope::Class { op } => op.name().to_owned(),
        Scope::Capability { number } => agentguard_core::capability::name(*number),
    }
}

fn ports_words(ports: &Ports) -> String {
    let protocol = match ports.protocol {
        Protocol::Any => "",
        Protocol::Tcp => " tcp",
        Protocol::Udp => " udp",
    };
    let range =
        |(low, high): &(u16, u16)| if low == high { low.to_string() } else { format!("{low}-{high}") };
    let ranges: Vec<_> = ports.ranges.iter().map(range).collect();
    let gap = if ranges.is_empty() { "" } else { " " };
    format!("{protocol}{gap}{}", ranges.join(","))
}

/// A reason in words.
pub(crate) const fn reason_words(reason: Reason) -> &'static str {
    match reason {
        Reason::Rule => "rule",
        Reason::Default => "default",
        Reason::Unresolved => "path not to be told",
        Reason::TooLong => "path too long",
        Reason::NoMemory => "a kernel table was full",
        Reason::NoRules => "no rules in the kernel",
        Reason::Identity => "not the approved executable",
        Reason::Elsewhere => "by its path on the host",
        Reason::ResolvedName => "by its name",
        Reason::Protected => "agentd itself",
        Reason::Answered => "answered before",
        Reason::CannotHold => "cannot be held",
        Reason::Changed => "changed after its answer",
    }
}

/// A severity as policies write it.
pub(crate) const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Medium => "MEDIUM",
        Severity::High => "HIGH",
        Severity::Critical => "CRITICAL",
    }
}

/// `1 error`, `2 errors`, `2 processes`.
pub(crate) fn count(number: impl TryInto<u64>, what: &str) -> String {
    match number.try_into().unwrap_or(u64::MAX) {
        1 => format!("1 {what}"),
        number if what.ends_with('s') => format!("{number} {what}es"),
        number => format!("{number} {what}s"),
    }
}

/// `1.5 KiB`; whole bytes below.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    const STEP: f64 = 1024.0;
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / STEP;
    let mut unit = "KiB";
    for next in UNITS.into_iter().skip(1) {
        if value < STEP {
            break;
        }
        value /= STEP;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn an_object_reads_in_one_line() {
        assert_eq!(object(&samples::denied_open(1)), "/home/dev/.ssh/id_ed25519");
        assert_eq!(object(&samples::denied_connect(1)), "169.254.169.254:80/tcp");
        assert_eq!(object(&samples::file_io(1)), "/srv/app/main.rs read 2.0 KiB, written 17 B");
        assert_eq!(object(&samples::exec(1)), "git commit -m two\\nlines");
    }

    #[test]
    fn what_has_no_object_shows_what_was_asked_for() {
        let mut record = samples::denied_open(1);
        record.object = Object::Class { detail: String::new() };
        record.operation = Some(Operation::Capability(21));
        assert_eq!(object(&record), "cap_sys_admin");
    }

    #[test]
    fn an_ipv6_peer_has_brackets() {
        assert_eq!(
            peer("fd00::1", 443, "tcp", Some("api.example.com")),
            "[fd00::1]:443/tcp (api.example.com)"
        );
    }

    #[test]
    fn a_denial_that_was_only_observed_is_in_brackets() {
        let mut record = samples::denied_open(1);
        assert_eq!((verdict(&record.decision), tone(&record.decision)), ("deny".to_owned(), Tone::Bad));
        record.decision.enforced = false;
        assert_eq!((verdict(&record.decision), tone(&record.decision)), ("(deny)".to_owned(), Tone::Warn));
    }

    #[test]
    fn without_a_rule_the_reason_stands_in() {
        assert_eq!(rule(&samples::denied_connect(1).decision), "default");
        assert_eq!(rule(&samples::denied_open(1).decision), "filesystem.ssh_keys");
    }

    #[test]
    fn what_is_no_request_has_no_rule() {
        let mut plain = samples::file_io(1);
        plain.decision.rule = None;
        assert_eq!(rule_of(&plain), "");
        assert_eq!(rule_of(&samples::denied_connect(1)), "default");
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!([count(1, "error"), count(2, "error")], ["1 error", "2 errors"]);
        assert_eq!([count(1, "process"), count(0, "process")], ["1 process", "0 processes"]);
    }

    #[test]
    fn calls_fall_into_three_groups() {
        assert_eq!(Group::of(&samples::file_io(1)), Group::File);
        assert_eq!(Group::of(&samples::denied_connect(1)), Group::Network);
        assert_eq!(Group::of(&samples::exec(1)), Group::Process);
    }

    #[test]
    fn a_scope_names_operations_and_objects() {
        let ports = Ports { protocol: Protocol::Tcp, ranges: vec![(443, 443), (8000, 9000)] };
        let name = Scope::Name { name: "api.example.com".to_owned(), ports };
        assert_eq!(scope(&name), "connect_address api.example.com tcp 443,8000-9000");
        let any = Ports { protocol: Protocol::Any, ranges: Vec::new() };
        assert_eq!(scope(&Scope::Name { name: "x.org".to_owned(), ports: any }), "connect_address x.org");
    }

    #[test]
    fn bytes_are_counted_in_powers_of_1024() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(5 << 30), "5.0 GiB");
    }
}
