//! Enrich: gives an event its names. Agent and rules by key, executable by process, path by open, name by address.
//!
//! Every table here is bounded and forgets its oldest first: a name that is not known leaves a field empty, it never
//! loses an event. Decides nothing.

mod object;
mod open_files;
mod processes;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agentguard_core::ids::{AgentKey, AgentName};
use agentguard_core::operation::Operation;
use agentguard_core::record::{Object, Process};

use crate::agents::directory::{Directory, InForce};
use crate::bounded::Bounded;
use crate::clock::BootToWall;
use crate::sense::event::{Body, Event, HoldMark, Ruling};
use open_files::OpenFiles;
use processes::Processes;
pub use processes::{ProcessChange, Started};

/// Resolved addresses whose names are remembered; as many as the kernel itself follows.
const MAX_NAMES: usize = 16_384;

/// The wall clock may be set while agentd runs.
const CLOCK_EVERY: Duration = Duration::from_secs(10);

/// An event with its names: everything about it but the decision in words.
#[derive(Debug, Clone)]
pub struct Known {
    /// Wall clock.
    pub time_ns: u64,
    /// The agent.
    pub agent: AgentName,
    /// The rules that the kernel's answer refers to, if they are still known.
    pub rules: Option<Arc<InForce>>,
    /// The process.
    pub process: Process,
    /// The call.
    pub call: &'static str,
    /// What was asked, as rules see it.
    pub operation: Option<Operation>,
    /// On what.
    pub object: Object,
    /// What the kernel answered.
    pub ruling: Ruling,
    /// What this says about processes.
    pub changes: Vec<ProcessChange>,
    /// The generation of the rules.
    pub generation: u32,
    /// The request waits in the kernel.
    pub hold: Option<HoldMark>,
}

/// The stage.
pub struct Enrich {
    directory: Arc<Directory>,
    processes: Processes,
    files: OpenFiles,
    names: Bounded<(AgentKey, IpAddr), Arc<str>>,
    clock: BootToWall,
    clock_due: Instant,
}

impl Enrich {
    /// With empty tables.
    pub fn new(directory: Arc<Directory>) -> Self {
        Self {
            directory,
            processes: Processes::default(),
            files: OpenFiles::default(),
            names: Bounded::new(MAX_NAMES),
            clock: BootToWall::now(),
            clock_due: Instant::now() + CLOCK_EVERY,
        }
    }

    /// One batch.
    pub fn enrich(&mut self, batch: Vec<Event>) -> Vec<Known> {
        if Instant::now() >= self.clock_due {
            self.clock = BootToWall::now();
            self.clock_due = Instant::now() + CLOCK_EVERY;
        }
        let mut agents = HashMap::new();
        batch.into_iter().map(|event| self.one(event, &mut agents)).collect()
    }

    fn one(&mut self, event: Event, agents: &mut HashMap<AgentKey, AgentName>) -> Known {
        let agent = agents.entry(event.agent).or_insert_with(|| self.directory.name(event.agent)).clone();
        // A sum that agentd fetched itself was decided by no rule.
        let rules = event.operation.and_then(|_| self.directory.in_force(event.agent, event.generation));
        let mut changes = Vec::new();
        let process = self.process(&event, &mut changes);
        let time_ns = self.clock.wall(event.time_ns);
        let object = self.object(event.agent, event.call, event.body);
        Known {
            time_ns,
            agent,
            rules,
            process,
            call: event.call,
            operation: event.operation,
            object,
            ruling: event.ruling,
            changes,
            generation: event.generation,
            hold: event.hold,
        }
    }

    fn process(&mut self, event: &Event, changes: &mut Vec<ProcessChange>) -> Process {
        let seen = self.processes.see(event, changes);
        Process {
            pid: seen.id.pid,
            tid: event.tid,
            start_ns: seen.id.start_ns,
            parent_pid: event.parent.pid,
            parent_start_ns: event.parent.start_ns,
            uid: event.uid,
            gid: event.gid,
            comm: event.comm.clone(),
            exe: seen.exe.map(|exe| exe.as_ref().to_owned()),
        }
    }

    fn object(&mut self, agent: AgentKey, call: &str, body: Body) -> Object {
        match body {
            Body::File(file) => {
                self.files.opened(file.id, &file.path);
                object::file(file)
            }
            Body::FileIo { open_id, read_bytes, written_bytes } => {
                Object::FileIo { path: self.files.path(open_id), read_bytes, written_bytes }
            }
            Body::Address { address, port, protocol, size } => {
                let name = self.name(agent, address);
                Object::Address { address, port, protocol: object::protocol(protocol), name, size }
            }
            Body::PeerIo { address, port, protocol, sent_bytes, received_bytes } => Object::PeerIo {
                address,
                port,
                protocol: object::protocol(protocol),
                name: self.name(agent, address),
                sent_bytes,
                received_bytes,
            },
            Body::Resolved { name, address, ttl_sec } => {
                self.names.insert((agent, address), name.as_str().into());
                Object::Resolved { name, address, ttl_sec }
            }
            Body::Class { class, arguments } => {
                Object::Class { detail: object::class(call, class, arguments) }
            }
            Body::Fork { child } => Object::Fork { child_pid: child.pid, child_start_ns: child.start_ns },
            Body::Exec(exec) => object::exec(exec),
            Body::Exit { code, signal } => Object::Exit { code, signal },
            Body::Credentials { old, new, old_capabilities, new_capabilities } => Object::Credentials {
                detail: object::credentials(old, new, old_capabilities, new_capabilities),
            },
        }
    }

    fn name(&self, agent: AgentKey, address: IpAddr) -> Option<String> {
        self.names.get(&(agent, address)).map(|name| name.as_ref().to_owned())
    }
}
