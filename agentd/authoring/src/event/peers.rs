//! Peers and listeners: by name where one is known, ports together, ports of the moment as a range.

use agentguard_core::operation::AddressOp;
use agentguard_core::spec::Peer;

use super::requests::{Requests, Seen, Target};
use crate::draft::{Note, NoteKind};
use crate::{Entry, SpecDraft};

/// Linux takes ports of the moment from here on.
const FIRST_EPHEMERAL_PORT: u16 = 32_768;
/// So many ports of one peer are named one by one; more become one range.
const PORTS_NAMED: usize = 16;

pub(super) fn grant(spec: &mut SpecDraft, notes: &mut Vec<Note>, requests: &Requests) {
    for (target, ports) in requests.peers() {
        let seen = ports.values().copied().fold(Seen::default(), Seen::with);
        let numbers: Vec<u16> = ports.keys().copied().collect();
        let ranges = ranges(target, &numbers);
        let peer = Peer { to: target.to.clone(), ports: ranges.clone(), protocol: target.protocol() };
        let (key, list) = match target.op {
            AddressOp::Connect => ("network.connect", &mut spec.network.connect),
            AddressOp::Listen => ("network.listen", &mut spec.network.listen),
        };
        let about = format!("{key} {}", target.to);
        if ranges.iter().any(|(low, high)| low != high) {
            let why = {
                let ports =
                    if numbers.len() == 1 { "1 port".to_owned() } else { format!("{} ports", numbers.len()) };
                format!("asked for were {ports}, such as {}", numbers.first().unwrap_or(&0))
            };
            notes.push(Note::new(NoteKind::Generalised, about.clone(), why));
        }
        let unsure = doubt(target, seen);
        if let Some(why) = unsure.filter(|why| *why != ONCE) {
            notes.push(Note::unsure(about, why));
        }
        list.insert(Entry { value: peer, heading: None, unsure: unsure.map(str::to_owned) });
    }
}

const ONCE: &str = "asked for once";

fn doubt(target: &Target, seen: Seen) -> Option<&'static str> {
    match target.op {
        _ if seen.never_granted() => Some("denied, and never tried again"),
        AddressOp::Connect if !target.is_name && !target.is_loopback => {
            Some("a bare address: nobody saw its name, and it may be another's tomorrow")
        }
        AddressOp::Listen if !target.is_loopback => Some("other hosts may connect"),
        AddressOp::Connect | AddressOp::Listen if seen.count == 1 => Some(ONCE),
        AddressOp::Connect | AddressOp::Listen => None,
    }
}

/// Ports as ranges. On this host, a port of the moment is another one in the next run.
fn ranges(target: &Target, ports: &[u16]) -> Vec<(u16, u16)> {
    let local = target.is_loopback || target.op == AddressOp::Listen;
    let (moment, fixed): (Vec<u16>, Vec<u16>) =
        ports.iter().copied().partition(|port| local && *port >= FIRST_EPHEMERAL_PORT);
    let mut ranges: Vec<(u16, u16)> = match (fixed.first(), fixed.last()) {
        (Some(low), Some(high)) if fixed.len() > PORTS_NAMED => vec![(*low, *high)],
        _ => fixed.iter().map(|port| (*port, *port)).collect(),
    };
    if !moment.is_empty() {
        ranges.push((FIRST_EPHEMERAL_PORT, u16::MAX));
    }
    ranges
}
