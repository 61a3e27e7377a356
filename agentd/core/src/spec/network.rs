//! `[network]`: peers by address or name, ports, and the kinds of sockets.

use toml::Spanned;
use toml::de::DeValue;

use super::read::{Reader, Section};
use super::sections::default;
use super::{Located, NetworkSection, Peer};
use crate::address::{self, AddressError};
use crate::operation::ClassOp;
use crate::rule::{Network, Protocol};

/// Most entries of one `ports` list; what one prefix can hold in the kernel.
pub(super) const MAX_PORTS: usize = 64;
pub(super) const KEYS: [&str; 7] = ["default", "connect", "listen", "hold", "deny", "resolvers", "sockets"];
pub(super) const PROTOCOLS: [(&str, Protocol); 3] =
    [("any", Protocol::Any), ("tcp", Protocol::Tcp), ("udp", Protocol::Udp)];
/// What nearly every program needs; each is still held to its addresses or paths.
const USUAL_SOCKETS: [&str; 4] = ["tcp", "udp", "unix", "netlink-route"];

/// Kinds of sockets as `network.sockets` names them.
pub(super) const SOCKETS: [(&str, ClassOp); 9] = [
    ("tcp", ClassOp::SocketTcp),
    ("udp", ClassOp::SocketUdp),
    ("unix", ClassOp::SocketUnix),
    ("netlink-route", ClassOp::SocketNetlinkRoute),
    ("netlink", ClassOp::SocketNetlink),
    ("ping", ClassOp::SocketPing),
    ("raw", ClassOp::SocketRaw),
    ("packet", ClassOp::SocketPacket),
    ("other", ClassOp::SocketOther),
];

pub(super) fn section(reader: &mut Reader, root: Section<'_, '_>) -> NetworkSection {
    let section = reader.section(root, "network", &KEYS);
    let sockets = match section.get("sockets") {
        Some(_) => reader.strings(section, "sockets"),
        None => USUAL_SOCKETS.map(|word| Located { value: word.to_owned(), line: section.line }).to_vec(),
    };
    NetworkSection {
        default: default(reader, section),
        connect: reader.list(section, "connect", |reader, value, name| peer(reader, value, name, "to")),
        listen: reader.list(section, "listen", |reader, value, name| peer(reader, value, name, "on")),
        hold: reader.list(section, "hold", |reader, value, name| peer(reader, value, name, "to")),
        deny: reader.list(section, "deny", |reader, value, name| peer(reader, value, name, "to")),
        resolvers: reader.strings(section, "resolvers"),
        sockets,
    }
}

fn peer(
    reader: &mut Reader,
    value: &Spanned<DeValue<'_>>,
    name: &str,
    key: &'static str,
) -> Option<Located<Peer>> {
    if let Some(text) = value.get_ref().as_str() {
        let line = reader.line(value.span());
        reader.problem(line, format!("{name} is a string; write {{ {key} = \"{text}\", ports = [443] }}"));
        return None;
    }
    let entry = reader.entry(value, "network entry", &[key, "ports", "protocol"])?;
    let why = format!("write {{ {key} = \"…\", ports = [443] }}");
    let to = reader.required(entry, key, &why);
    let ports = reader.list(entry, "ports", ports);
    if ports.is_empty() && entry.get("ports").is_some_and(|list| list.get_ref().is_array()) {
        reader.problem(entry.line, format!("{name} names no port; leave `ports` out for every port"));
    }
    if ports.len() > MAX_PORTS {
        let message = format!("{name} names more than {MAX_PORTS} port ranges; use wider ranges");
        reader.problem(entry.line, message);
    }
    let protocol = reader.choice(entry, "protocol", &PROTOCOLS).map_or(Protocol::Any, |word| word.value);
    let to = to?;
    Some(to.with(Peer { to: to.value.clone(), ports, protocol }))
}

fn ports(reader: &mut Reader, value: &Spanned<DeValue<'_>>, name: &str) -> Option<(u16, u16)> {
    let (text, line) = if value.get_ref().is_integer() {
        let number = reader.integer(value, name)?;
        (number.value.to_string(), number.line)
    } else {
        let text = reader.text(value, name)?;
        (text.value, text.line)
    };
    match address::parse_ports(&text) {
        Ok(range) => Some(range),
        Err(error) => {
            reader.problem(line, error.to_string());
            None
        }
    }
}

/// What `to` or `on` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Network(Network),
    Name(String),
}

/// Reads an address, a network, a name or a wildcard name; the error says what to write.
pub(super) fn target(text: &str) -> Result<Target, String> {
    match text.parse::<Network>() {
        Ok(network) => Ok(Target::Network(network)),
        Err(AddressError::NotAnAddress(_)) if !looks_numeric(text) => name(text).map(Target::Name),
        Err(error) => Err(error.to_string()),
    }
}

/// Whether somebody who wrote this meant an address.
fn looks_numeric(text: &str) -> bool {
    text.contains(['/', ':', '[']) || text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

fn name(text: &str) -> Result<String, String> {
    let lower = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if lower == "*" {
        return Err("`*` names every host; write 0.0.0.0/0 and ::/0 if that is meant".to_owned());
    }
    if !lower.is_ascii() {
        return Err(format!("`{text}` is not a DNS name; write its xn-- form"));
    }
    let plain = lower.strip_prefix("*.").unwrap_or(&lower);
    if plain.contains('*') {
        return Err(format!(
            "`{text}` has a `*` inside; only a whole first part may be one, as in *.example.com"
        ));
    }
    if lower.len() > address::MAX_NAME_BYTES || !address::is_name(plain) {
        return Err(format!(
            "`{text}` is neither an address nor a DNS name; write 10.0.0.0/8, api.example.com or *.example.com"
        ));
    }
    Ok(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_networks_or_names() {
        for (text, wanted) in [
            ("API.Example.com", "api.example.com"),
            ("api.example.com.", "api.example.com"),
            ("*.example.org", "*.example.org"),
            ("localhost", "localhost"),
            ("_srv.example.com", "_srv.example.com"),
        ] {
            assert_eq!(target(text), Ok(Target::Name(wanted.to_owned())));
        }
        for text in ["10.0.0.0/8", "::1", "127.0.0.1"] {
            assert!(matches!(target(text), Ok(Target::Network(_))), "{text}");
        }
    }

    #[test]
    fn bad_targets_say_what_to_write() {
        for (text, part) in [
            ("*", "0.0.0.0/0 and ::/0"),
            ("a.*.com", "only a whole first part"),
            ("1.2.3", "not an address"),
            ("10.0.0.1/8", "write 10.0.0.0/8"),
            ("https://x", "not an address"),
            ("a..b", "neither"),
            ("", "not an address"),
            ("exämple.com", "xn--"),
            (&"a".repeat(64), "neither"),
            ("a b", "neither"),
        ] {
            let error = target(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
