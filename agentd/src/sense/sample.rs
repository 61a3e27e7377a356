//! Kernel records as the programs would write them. For tests only.

use std::mem::{offset_of, size_of};

use agentguard_bpf::types as wire;
use agentguard_core::ids::AgentKey;

/// A record under construction.
#[derive(Debug, Clone)]
pub struct Raw(pub Vec<u8>);

impl Raw {
    /// All zero but for kind and call.
    pub fn new(size: usize, kind: wire::event_kind, call: wire::call) -> Self {
        let mut raw = Self(vec![0; size]);
        raw.set(offset_of!(wire::event, kind), &u16::try_from(kind.0).unwrap().to_ne_bytes());
        raw.set(offset_of!(wire::event, call), &u16::try_from(call.0).unwrap().to_ne_bytes());
        raw.set(offset_of!(wire::event, caller.comm), b"sh");
        raw.word(offset_of!(wire::event, caller.tgid), 4242);
        raw.word(offset_of!(wire::event, caller.tid), 4243);
        raw.long(offset_of!(wire::event, caller.start_ns), 50_000_000_000);
        raw.sized()
    }

    /// Overwrites bytes.
    pub fn set(&mut self, offset: usize, bytes: &[u8]) {
        self.0[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    /// Overwrites a 32-bit field.
    pub fn word(&mut self, offset: usize, value: u32) {
        self.set(offset, &value.to_ne_bytes());
    }

    /// Overwrites a 64-bit field.
    pub fn long(&mut self, offset: usize, value: u64) {
        self.set(offset, &value.to_ne_bytes());
    }

    /// Whose it is and which rules decided.
    pub fn of(mut self, agent: AgentKey, generation: u32) -> Self {
        self.word(offset_of!(wire::event, slot), agent.slot);
        self.word(offset_of!(wire::event, serial), agent.serial);
        self.word(offset_of!(wire::event, generation), generation);
        self
    }

    /// Denied by a rule.
    pub fn denied_by(mut self, layer: wire::layer, rule: u32) -> Self {
        let deny = wire::verdict::VERDICT_DENY.0;
        self.word(offset_of!(wire::event, verdict), deny);
        self.word(offset_of!(wire::event, answer), rule << 8 | layer.0 << 2 | deny);
        self.word(offset_of!(wire::event, enforced), 1);
        self
    }

    fn sized(mut self) -> Self {
        let size = u32::try_from(self.0.len()).unwrap();
        self.word(offset_of!(wire::event, size), size);
        self
    }

    fn tail(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self.sized()
    }
}

/// An open for reading.
pub fn open(path: &str, id: u64) -> Raw {
    let mut raw =
        Raw::new(size_of::<wire::file_event>(), wire::event_kind::EVENT_FILE, wire::call::CALL_OPEN);
    raw.long(offset_of!(wire::file_event, id), id);
    raw.long(offset_of!(wire::file_event, inode), 77);
    raw.word(offset_of!(wire::file_event, device), 8 << 20 | 1);
    raw.word(offset_of!(wire::file_event, path_len), u32::try_from(path.len()).unwrap());
    raw.tail(path.as_bytes())
}

/// Bytes through a file that was opened.
pub fn file_io(id: u64, read: u64, written: u64) -> Raw {
    let mut raw =
        Raw::new(size_of::<wire::file_io_event>(), wire::event_kind::EVENT_FILE_IO, wire::call::CALL_FILE_IO);
    raw.long(offset_of!(wire::file_io_event, open_id), id);
    raw.long(offset_of!(wire::file_io_event, read_bytes), read);
    raw.long(offset_of!(wire::file_io_event, written_bytes), written);
    raw
}

/// An exec.
pub fn exec(path: &str, cwd: &str, argv: &[&str]) -> Raw {
    let argv: Vec<u8> = argv.iter().flat_map(|argument| [argument.as_bytes(), &[0]].concat()).collect();
    let mut raw =
        Raw::new(size_of::<wire::exec_event>(), wire::event_kind::EVENT_EXEC, wire::call::CALL_EXEC);
    raw.word(offset_of!(wire::event, op), wire::path_op::PATH_COMMAND.0);
    raw.word(offset_of!(wire::exec_event, path_len), u32::try_from(path.len()).unwrap());
    raw.word(offset_of!(wire::exec_event, cwd_len), u32::try_from(cwd.len()).unwrap());
    raw.word(offset_of!(wire::exec_event, argv_len), u32::try_from(argv.len()).unwrap());
    raw.word(offset_of!(wire::exec_event, argv_size), u32::try_from(argv.len()).unwrap());
    raw.tail(&[path.as_bytes(), cwd.as_bytes(), &argv].concat())
}

/// A connect over TCP.
pub fn connect(address: [u8; 16], port: u16) -> Raw {
    let mut raw =
        Raw::new(size_of::<wire::address_event>(), wire::event_kind::EVENT_ADDRESS, wire::call::CALL_CONNECT);
    raw.set(offset_of!(wire::address_event, address), &address);
    raw.set(offset_of!(wire::address_event, port), &port.to_ne_bytes());
    raw.set(offset_of!(wire::address_event, protocol), &6_u16.to_ne_bytes());
    raw
}

/// A DNS answer.
pub fn resolved(name: &str, address: [u8; 16]) -> Raw {
    let mut raw = Raw::new(
        size_of::<wire::resolved_event>(),
        wire::event_kind::EVENT_RESOLVED,
        wire::call::CALL_RESOLVE,
    );
    raw.word(offset_of!(wire::event, op), wire::path_op::PATH_RESOLVE.0);
    raw.set(offset_of!(wire::resolved_event, address), &address);
    raw.word(offset_of!(wire::resolved_event, name_len), u32::try_from(name.len()).unwrap());
    raw.set(offset_of!(wire::resolved_event, name), name.as_bytes());
    raw
}

/// A fork.
pub fn fork(child: u32, child_start_ns: u64) -> Raw {
    let mut raw =
        Raw::new(size_of::<wire::fork_event>(), wire::event_kind::EVENT_FORK, wire::call::CALL_FORK);
    raw.word(offset_of!(wire::fork_event, child_tgid), child);
    raw.long(offset_of!(wire::fork_event, child_start_ns), child_start_ns);
    raw
}

/// An exit.
pub fn exit(code: i32) -> Raw {
    let mut raw =
        Raw::new(size_of::<wire::exit_event>(), wire::event_kind::EVENT_EXIT, wire::call::CALL_EXIT);
    raw.set(offset_of!(wire::exit_event, code), &code.to_ne_bytes());
    raw
}

/// Use of a capability.
pub fn capability(number: u32) -> Raw {
    let mut raw =
        Raw::new(size_of::<wire::class_event>(), wire::event_kind::EVENT_CLASS, wire::call::CALL_CAPABILITY);
    raw.word(offset_of!(wire::event, op), number);
    raw.word(offset_of!(wire::class_event, class_op), wire::class_op::NR_CLASS_OPS.0);
    raw
}

/// A raw socket.
pub fn raw_socket() -> Raw {
    let mut raw =
        Raw::new(size_of::<wire::class_event>(), wire::event_kind::EVENT_CLASS, wire::call::CALL_SOCKET);
    raw.word(offset_of!(wire::class_event, class_op), wire::class_op::CLASS_SOCKET_RAW.0);
    for (position, argument) in [2_u32, 3, 1].into_iter().enumerate() {
        raw.word(offset_of!(wire::class_event, arg) + 4 * position, argument);
    }
    raw
}
