//! Requests that wait in the kernel, and the answers to them.

use std::fs::File;
use std::io::Read as _;

use agentguard_bpf::types;
use agentguard_core::ids::AgentKey;
use libbpf_rs::{MapCore as _, MapFlags};

use super::maps::{Maps, entries, failed, lookup, remove, update};
use super::wire::bytes_of;
use super::{Held, HeldRequest, KernelError, StandingAnswer};

/// Makes the key of request hashes, once for as long as the maps are there: answers and waiting requests of an earlier
/// agentd must be found again.
pub(super) fn make_key(maps: &Maps) -> Result<(), KernelError> {
    if lookup::<u32, types::hash_key>(&maps.hash_key, &0)?.is_some_and(|key| key.word != [0, 0]) {
        return Ok(());
    }
    let mut bytes = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .map_err(|source| KernelError::System { what: "reading /dev/urandom".to_owned(), source })?;
    let number = u128::from_ne_bytes(bytes);
    update(&maps.hash_key, &0_u32, &types::hash_key { word: [(number >> 64) as u64, number as u64] })
}

/// Every request that waits now. Those of agents that are not held to their rules any more go on, and are taken out.
pub(super) fn all(maps: &Maps) -> Result<Vec<Held>, KernelError> {
    let mut waiting = Vec::new();
    for (id, hold) in entries::<u64, types::hold>(&maps.holds) {
        let agent = maps.agent(hold.slot)?;
        if agent.serial == hold.serial && agent.mode == types::mode::MODE_ENFORCE.0 {
            waiting.push(held(id, &hold));
        } else {
            remove(&maps.holds, &id)?;
        }
    }
    Ok(waiting)
}

/// One request, if it still waits.
pub(super) fn get(maps: &Maps, id: u64) -> Result<Option<Held>, KernelError> {
    Ok(lookup::<u64, types::hold>(&maps.holds, &id)?.map(|hold| held(id, &hold)))
}

/// Answers one request. False if it does not wait any more.
pub(super) fn answer(maps: &Maps, id: u64, allow: bool) -> Result<bool, KernelError> {
    update(&maps.hold_answers, &id, &verdict(allow))?;
    if get(maps, id)?.is_some() {
        return Ok(true);
    }
    // Taken by the hook, which took the answer away, or withdrawn before it was there.
    remove(&maps.hold_answers, &id)?;
    Ok(false)
}

/// Answers every later request that is the same.
pub(super) fn stand(maps: &Maps, request: &HeldRequest, answer: StandingAnswer) -> Result<(), KernelError> {
    let value = types::standing_answer {
        expires_ns: answer.expires_ns,
        generation: answer.generation,
        verdict: verdict(answer.allow),
        id: answer.hold,
    };
    update(&maps.standing_answers, &key(request), &value)
}

/// Every answer that stands, also those that expired.
pub(super) fn standing(maps: &Maps) -> Vec<(HeldRequest, StandingAnswer)> {
    let standing = entries::<types::answered_request, types::standing_answer>(&maps.standing_answers);
    let read = |(key, value): (types::answered_request, types::standing_answer)| {
        let agent = AgentKey { slot: key.slot, serial: key.serial };
        let answer = StandingAnswer {
            allow: value.verdict == types::verdict::VERDICT_ALLOW.0,
            expires_ns: value.expires_ns,
            generation: value.generation,
            hold: value.id,
        };
        (HeldRequest { agent, hash: key.request }, answer)
    };
    standing.into_iter().map(read).collect()
}

/// Takes a standing answer back.
pub(super) fn revoke(maps: &Maps, request: &HeldRequest) -> Result<(), KernelError> {
    remove(&maps.standing_answers, &key(request))
}

/// Answers that nobody took, because the request was withdrawn in the same moment.
pub(super) fn sweep(maps: &Maps) -> Result<(), KernelError> {
    for (id, _) in entries::<u64, u32>(&maps.hold_answers) {
        let waits = maps.holds.lookup(bytes_of(&id), MapFlags::ANY);
        if waits.map_err(|error| failed("reading map holds", error))?.is_none() {
            remove(&maps.hold_answers, &id)?;
        }
    }
    Ok(())
}

fn held(id: u64, hold: &types::hold) -> Held {
    Held {
        id,
        request: HeldRequest { agent: AgentKey { slot: hold.slot, serial: hold.serial }, hash: hold.request },
        pid: hold.tgid,
        tid: hold.tid,
        start_ns: hold.start_ns,
        since_ns: hold.since_ns,
        is_exec: hold.call == types::call::CALL_EXEC.0,
    }
}

fn key(request: &HeldRequest) -> types::answered_request {
    types::answered_request { slot: request.agent.slot, serial: request.agent.serial, request: request.hash }
}

fn verdict(allow: bool) -> u32 {
    if allow { types::verdict::VERDICT_ALLOW.0 } else { types::verdict::VERDICT_DENY.0 }
}
