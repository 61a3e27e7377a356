//! The one place where bytes from the kernel become Rust types.
//!
//! An unknown number, a short record or a wrong length is an error that the caller counts: this never panics, and it
//! never guesses. It knows no agent name, no rule and no clock.

use std::mem::size_of;
use std::net::{IpAddr, Ipv6Addr};

use agentguard_bpf::types as wire;
use agentguard_core::ids::{AgentKey, RuleIndex};
use agentguard_core::operation::{AddressOp, ClassOp, Operation, PathOp};
use agentguard_core::verdict::{Answer, Layer, Reason, Verdict};

use super::bytes::{Bytes, read};
use super::event::{Body, Event, Exec, File, HoldMark, ProcessId, Ruling};

/// Why a record was not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DecodeError {
    /// It ends before its fixed part does.
    #[error("record is shorter than its fixed part")]
    Short,
    /// A length inside it points outside.
    #[error("a length in the record is wrong")]
    Length,
    /// An unknown event kind.
    #[error("unknown event kind {0}")]
    Kind(u32),
    /// An unknown call.
    #[error("unknown call {0}")]
    Call(u32),
    /// An unknown operation.
    #[error("unknown operation {0}")]
    Operation(u32),
    /// An unknown verdict.
    #[error("unknown verdict {0}")]
    Verdict(u32),
    /// An unknown layer.
    #[error("unknown layer {0}")]
    Layer(u32),
    /// An unknown reason.
    #[error("unknown reason {0}")]
    Reason(u32),
}

/// One record of the ring.
pub fn decode(record: &[u8]) -> Result<Event, DecodeError> {
    let bytes = within_size(Bytes(record))?;
    let (operation, body) = body(bytes)?;
    let answer = answer(read!(bytes, event.answer)?)?;
    Ok(Event {
        time_ns: read!(bytes, event.time_ns)?,
        agent: AgentKey { slot: read!(bytes, event.slot)?, serial: read!(bytes, event.serial)? },
        generation: read!(bytes, event.generation)?,
        process: ProcessId {
            pid: read!(bytes, event.caller.tgid)?,
            start_ns: read!(bytes, event.caller.start_ns)?,
        },
        parent: ProcessId {
            pid: read!(bytes, event.caller.parent_tgid)?,
            start_ns: read!(bytes, event.caller.parent_start_ns)?,
        },
        tid: read!(bytes, event.caller.tid)?,
        uid: read!(bytes, event.caller.uid)?,
        gid: read!(bytes, event.caller.gid)?,
        comm: text(until_nul(&read!(bytes, event.caller.comm)?)),
        call: call(read!(bytes, event.call)?.into())?,
        operation,
        ruling: Ruling {
            verdict: match verdict(read!(bytes, event.verdict)?)? {
                Verdict::Hold if answer.verdict == Verdict::Evaluate => Verdict::Evaluate,
                verdict => verdict,
            },
            answer,
            reason: reason(read!(bytes, event.reason)?)?,
            enforced: read!(bytes, event.enforced)? != 0,
        },
        body,
        hold: hold(bytes)?,
    })
}

/// A request that goes on or fails by the answer to a hold has a number, too, but does not wait.
fn hold(bytes: Bytes<'_>) -> Result<Option<HoldMark>, DecodeError> {
    let (id, again) = (read!(bytes, event.hold)?, read!(bytes, event.again)? != 0);
    let waits = id != 0 && verdict(read!(bytes, event.verdict)?)? == Verdict::Hold;
    Ok(waits.then_some(HoldMark { id, again }))
}

/// The ring may pad a record; `size` says where it ends.
fn within_size(bytes: Bytes<'_>) -> Result<Bytes<'_>, DecodeError> {
    let size = usize::try_from(read!(bytes, event.size)?).map_err(|_| DecodeError::Length)?;
    if size < size_of::<wire::event>() {
        return Err(DecodeError::Short);
    }
    bytes.0.get(..size).map(Bytes).ok_or(DecodeError::Length)
}

fn body(bytes: Bytes<'_>) -> Result<(Option<Operation>, Body), DecodeError> {
    let op = read!(bytes, event.op)?;
    match wire::event_kind(read!(bytes, event.kind)?.into()) {
        wire::event_kind::EVENT_FILE => Ok((Some(path_operation(op)?), file(bytes)?)),
        wire::event_kind::EVENT_FILE_IO => Ok((None, file_io(bytes)?)),
        wire::event_kind::EVENT_ADDRESS => Ok((Some(address_operation(op)?), address(bytes)?)),
        wire::event_kind::EVENT_CLASS => class(bytes, op),
        wire::event_kind::EVENT_FORK => Ok((None, fork(bytes)?)),
        wire::event_kind::EVENT_EXEC => Ok((Some(path_operation(op)?), exec(bytes)?)),
        wire::event_kind::EVENT_EXIT => Ok((None, exit(bytes)?)),
        wire::event_kind::EVENT_RESOLVED => Ok((Some(path_operation(op)?), resolved(bytes)?)),
        wire::event_kind::EVENT_CREDENTIALS => Ok((None, credentials(bytes)?)),
        wire::event_kind(other) => Err(DecodeError::Kind(other)),
    }
}

fn file(bytes: Bytes<'_>) -> Result<Body, DecodeError> {
    let lengths = [read!(bytes, file_event.path_len)?, read!(bytes, file_event.other_len)?];
    let [path, other] = bytes.tails(size_of::<wire::file_event>(), lengths)?;
    Ok(Body::File(File {
        id: read!(bytes, file_event.id)?,
        inode: read!(bytes, file_event.inode)?,
        device: read!(bytes, file_event.device)?,
        mode: read!(bytes, file_event.mode)?,
        flags: read!(bytes, file_event.flags)?,
        path: text(path),
        other: (!other.is_empty()).then(|| text(other)),
    }))
}

fn file_io(bytes: Bytes<'_>) -> Result<Body, DecodeError> {
    Ok(Body::FileIo {
        open_id: read!(bytes, file_io_event.open_id)?,
        read_bytes: read!(bytes, file_io_event.read_bytes)?,
        written_bytes: read!(bytes, file_io_event.written_bytes)?,
    })
}

fn address(bytes: Bytes<'_>) -> Result<Body, DecodeError> {
    Ok(Body::Address {
        address: ip(read!(bytes, address_event.address)?),
        port: read!(bytes, address_event.port)?,
        protocol: read!(bytes, address_event.protocol)?,
        size: read!(bytes, address_event.size)?,
    })
}

fn class(bytes: Bytes<'_>, op: u32) -> Result<(Option<Operation>, Body), DecodeError> {
    let number = read!(bytes, class_event.class_op)?;
    let arguments = read!(bytes, class_event.arg)?;
    if index(number) == ClassOp::ALL.len() {
        let capability = u8::try_from(op).map_err(|_| DecodeError::Operation(op))?;
        return Ok((Some(Operation::Capability(capability)), Body::Class { class: None, arguments }));
    }
    let class = ClassOp::ALL.get(index(number)).copied().ok_or(DecodeError::Operation(number))?;
    Ok((Some(Operation::Class(class)), Body::Class { class: Some(class), arguments }))
}

fn fork(bytes: Bytes<'_>) -> Result<Body, DecodeError> {
    let child = ProcessId {
        pid: read!(bytes, fork_event.child_tgid)?,
        start_ns: read!(bytes, fork_event.child_start_ns)?,
    };
    Ok(Body::Fork { child })
}

fn exec(bytes: Bytes<'_>) -> Result<Body, DecodeError> {
    let argv_len = read!(bytes, exec_event.argv_len)?;
    let lengths = [read!(bytes, exec_event.path_len)?, read!(bytes, exec_event.cwd_len)?, argv_len];
    let [path, cwd, argv] = bytes.tails(size_of::<wire::exec_event>(), lengths)?;
    let argv = argv.strip_suffix(&[0]).unwrap_or(argv);
    Ok(Body::Exec(Exec {
        path: text(path),
        cwd: text(cwd),
        argv: if argv_len == 0 { Vec::new() } else { argv.split(|byte| *byte == 0).map(text).collect() },
        // The kernel side sends the last NUL in neither text nor length, but counts it in the size.
        truncated: read!(bytes, exec_event.argv_size)? > argv_len.saturating_add(1),
        inode: read!(bytes, exec_event.inode)?,
        device: read!(bytes, exec_event.device)?,
    }))
}

fn exit(bytes: Bytes<'_>) -> Result<Body, DecodeError> {
    Ok(Body::Exit { code: read!(bytes, exit_event.code)?, signal: read!(bytes, exit_event.signal)? })
}

fn resolved(bytes: Bytes<'_>) -> Result<Body, DecodeError> {
    let name: [u8; 256] = read!(bytes, resolved_event.name)?;
    let length = index(read!(bytes, resolved_event.name_len)?);
    Ok(Body::Resolved {
        name: text(name.get(..length).ok_or(DecodeError::Length)?),
        address: ip(read!(bytes, resolved_event.address)?),
        ttl_sec: read!(bytes, resolved_event.ttl_sec)?,
    })
}

fn credentials(bytes: Bytes<'_>) -> Result<Body, DecodeError> {
    Ok(Body::Credentials {
        old: (read!(bytes, credentials_event.old_uid)?, read!(bytes, credentials_event.old_gid)?),
        new: (read!(bytes, credentials_event.new_uid)?, read!(bytes, credentials_event.new_gid)?),
        old_capabilities: read!(bytes, credentials_event.old_capabilities)?,
        new_capabilities: read!(bytes, credentials_event.new_capabilities)?,
    })
}

fn path_operation(op: u32) -> Result<Operation, DecodeError> {
    PathOp::ALL.get(index(op)).copied().map(Operation::Path).ok_or(DecodeError::Operation(op))
}

fn address_operation(op: u32) -> Result<Operation, DecodeError> {
    match op {
        0 => Ok(Operation::Address(AddressOp::Connect)),
        1 => Ok(Operation::Address(AddressOp::Listen)),
        other => Err(DecodeError::Operation(other)),
    }
}

fn verdict(number: u32) -> Result<Verdict, DecodeError> {
    match wire::verdict(number) {
        wire::verdict::VERDICT_ALLOW => Ok(Verdict::Allow),
        wire::verdict::VERDICT_AUDIT => Ok(Verdict::Audit),
        wire::verdict::VERDICT_HOLD => Ok(Verdict::Hold),
        wire::verdict::VERDICT_DENY => Ok(Verdict::Deny),
        wire::verdict(other) => Err(DecodeError::Verdict(other)),
    }
}

fn layer(number: u32) -> Result<Layer, DecodeError> {
    match wire::layer(number) {
        wire::layer::LAYER_DEFAULT => Ok(Layer::Default),
        wire::layer::LAYER_GRANT => Ok(Layer::Grant),
        wire::layer::LAYER_GUARDRAIL => Ok(Layer::Guardrail),
        wire::layer(other) => Err(DecodeError::Layer(other)),
    }
}

fn answer(word: u32) -> Result<Answer, DecodeError> {
    let wire::answer_bits(verdict_mask) = wire::answer_bits::ANSWER_VERDICT_MASK;
    let wire::answer_bits(layer_mask) = wire::answer_bits::ANSWER_LAYER_MASK;
    let wire::answer_bits(layer_shift) = wire::answer_bits::ANSWER_LAYER_SHIFT;
    let wire::answer_bits(pinned) = wire::answer_bits::ANSWER_PINNED;
    let wire::answer_bits(evaluate) = wire::answer_bits::ANSWER_EVALUATE;
    let wire::answer_bits(rule_shift) = wire::answer_bits::ANSWER_RULE_SHIFT;
    let verdict = match verdict(word & verdict_mask)? {
        Verdict::Hold if word & evaluate != 0 => Verdict::Evaluate,
        verdict => verdict,
    };
    Ok(Answer {
        verdict,
        layer: layer((word & layer_mask) >> layer_shift)?,
        rule: RuleIndex(word >> rule_shift),
        pinned: word & pinned != 0,
    })
}

fn reason(number: u32) -> Result<Reason, DecodeError> {
    match wire::reason(number) {
        wire::reason::REASON_RULE => Ok(Reason::Rule),
        wire::reason::REASON_DEFAULT => Ok(Reason::Default),
        wire::reason::REASON_UNRESOLVED => Ok(Reason::Unresolved),
        wire::reason::REASON_TOO_LONG => Ok(Reason::TooLong),
        wire::reason::REASON_NO_MEMORY => Ok(Reason::NoMemory),
        wire::reason::REASON_NO_RULES => Ok(Reason::NoRules),
        wire::reason::REASON_IDENTITY => Ok(Reason::Identity),
        wire::reason::REASON_ELSEWHERE => Ok(Reason::Elsewhere),
        wire::reason::REASON_RESOLVED_NAME => Ok(Reason::ResolvedName),
        wire::reason::REASON_PROTECTED => Ok(Reason::Protected),
        wire::reason::REASON_ANSWERED => Ok(Reason::Answered),
        wire::reason::REASON_CANNOT_HOLD => Ok(Reason::CannotHold),
        wire::reason::REASON_CHANGED => Ok(Reason::Changed),
        wire::reason(other) => Err(DecodeError::Reason(other)),
    }
}

/// The name that records carry. New names are appended; a user may filter by any of them.
fn call(number: u32) -> Result<&'static str, DecodeError> {
    Ok(match wire::call(number) {
        wire::call::CALL_OPEN => "open",
        wire::call::CALL_CREATE => "create",
        wire::call::CALL_UNLINK => "unlink",
        wire::call::CALL_RENAME => "rename",
        wire::call::CALL_LINK => "link",
        wire::call::CALL_SYMLINK => "symlink",
        wire::call::CALL_MKDIR => "mkdir",
        wire::call::CALL_RMDIR => "rmdir",
        wire::call::CALL_MKNOD => "mknod",
        wire::call::CALL_TRUNCATE => "truncate",
        wire::call::CALL_CHMOD => "chmod",
        wire::call::CALL_CHOWN => "chown",
        wire::call::CALL_UTIMES => "utimes",
        wire::call::CALL_XATTR => "xattr",
        wire::call::CALL_MMAP => "mmap",
        wire::call::CALL_MPROTECT => "mprotect",
        wire::call::CALL_RECEIVE_FD => "receive_fd",
        wire::call::CALL_EXEC => "exec",
        wire::call::CALL_SOCKET => "socket",
        wire::call::CALL_CONNECT => "connect",
        wire::call::CALL_SEND => "send",
        wire::call::CALL_BIND => "bind",
        wire::call::CALL_LISTEN => "listen",
        wire::call::CALL_ACCEPT => "accept",
        wire::call::CALL_CAPABILITY => "capability",
        wire::call::CALL_PTRACE => "ptrace",
        wire::call::CALL_SIGNAL => "signal",
        wire::call::CALL_SET_ID => "set_id",
        wire::call::CALL_NAMESPACE => "namespace",
        wire::call::CALL_MOUNT => "mount",
        wire::call::CALL_CHROOT => "chroot",
        wire::call::CALL_BPF => "bpf",
        wire::call::CALL_MODULE => "module",
        wire::call::CALL_IO_URING => "io_uring",
        wire::call::CALL_FORK => "fork",
        wire::call::CALL_EXIT => "exit",
        wire::call::CALL_RESOLVE => "resolve",
        wire::call::CALL_FILE_IO => "file_io",
        wire::call::CALL_IOCTL => "ioctl",
        wire::call::CALL_SETRLIMIT => "setrlimit",
        wire::call(other) => return Err(DecodeError::Call(other)),
    })
}

/// An IPv4 address travels as `::ffff:a.b.c.d`.
fn ip(bytes: [u8; 16]) -> IpAddr {
    Ipv6Addr::from(bytes).to_canonical()
}

/// Kernel numbers are small; one that does not fit is out of every table.
fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Paths and arguments are bytes; what is no UTF-8 is shown with replacement characters. Only the kernel decides, on
/// the bytes themselves.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
#[path = "decode/tests.rs"] // the fuzz target has this file at another place
mod tests;
