//! The kernel programs behind the [`Kernel`] trait: puts the parts of this folder together and decides nothing else.

use std::fs;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agentguard_bpf::types;
use agentguard_core::ids::AgentKey;
use agentguard_core::spec::Mode;
use libbpf_rs::{Link, MapCore as _, MapFlags};

use super::arena::Arena;
use super::canary::Canary;
use super::cgroups::{self, CgroupProgram};
use super::events::Ring;
use super::hooks::KernelFunctions;
use super::iterate::iterate;
use super::load::{self, Loaded, Pins};
use super::maps::{Maps, entries, failed, remove, update};
use super::others::Others;
use super::rulesets::{Place, Rulesets, encode_answers};
use super::wire::{bytes_of, value_of};
use super::{
    AgentRules, Backend, Counters, Held, HeldRequest, Inspection, Kernel, KernelError, MadeOf, PeerBytes,
    ProgramStats, StandingAnswer, Table, holds, mounts, statistics, tables, tasks,
};

/// Slot 0 is agentd's own probe, in a table of its own right: it is never an agent.
const CANARY: AgentKey = AgentKey { slot: 0, serial: 1 };

/// What the loader needs to know.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// A back end, or `None` for the best that works here.
    pub backend: Option<Backend>,
    /// Directory on a bpffs.
    pub pin_root: PathBuf,
    /// agentd's run directory, where the canary's file is.
    pub run_dir: PathBuf,
}

/// The loaded programs.
pub struct Ebpf {
    backend: Backend,
    missing: Vec<String>,
    maps: Arc<Maps>,
    pins: Pins,
    others: Mutex<Others>,
    labeller: Mutex<Link>,
    file_reporter: Link,
    cgroup_programs: Vec<CgroupProgram>,
    programs: Vec<OwnedFd>,
    rulesets: Mutex<Rulesets>,
    canary: Canary,
    ring: Mutex<Ring>,
    held_ring: Mutex<Ring>,
}

impl Ebpf {
    /// Loads for the wanted back end, or for the best one whose canary is denied as it must be.
    pub fn load(options: &LoadOptions) -> Result<Self, KernelError> {
        let kernel = KernelFunctions::read()?;
        if !kernel.has_task_storage() {
            return Err(KernelError::Unsupported(
                "this kernel has no BPF task storage; AgentGuard needs Linux 6.1 or later, see agentctl doctor".to_owned(),
            ));
        }
        // Before anything is attached: beside programs that can not be understood nothing may start.
        let others = match options.pin_root.is_dir() {
            true => Others::below(&options.pin_root, load::LAYOUT)?,
            false => Others::default(),
        };
        let mut reasons = Vec::new();
        for backend in candidates(options.backend) {
            match Self::load_backend(options, backend, &kernel) {
                Ok(mut loaded) => {
                    loaded.missing.extend(reasons);
                    loaded.others = Mutex::new(others);
                    return Ok(loaded);
                }
                Err(error) if options.backend.is_some() => return Err(error),
                Err(error) => {
                    tracing::info!(%backend, %error, "back end not available");
                    reasons.push(format!("{backend}: {error}"));
                }
            }
        }
        Err(KernelError::Unsupported(format!(
            "no back end works on this kernel ({}); see agentctl doctor",
            reasons.join("; ")
        )))
    }

    fn load_backend(
        options: &LoadOptions,
        backend: Backend,
        kernel: &KernelFunctions,
    ) -> Result<Self, KernelError> {
        let pins = Pins::below(&options.pin_root)?;
        let Loaded { maps, labeller, file_reporter, cgroup_programs, programs, missing } =
            load::load(backend, &pins, kernel)?;
        let maps = Arc::new(maps);
        holds::make_key(&maps)?;
        let loaded = Self {
            backend,
            missing,
            rulesets: Mutex::new(Rulesets::adopt(Arena::of(&maps.rules)?, &maps)?),
            canary: Canary::prepare(&cgroups::mount_point()?, &options.run_dir)?,
            ring: Mutex::new(Ring::open(&maps.events)?),
            held_ring: Mutex::new(Ring::open(&maps.held_events)?),
            others: Mutex::default(),
            labeller: Mutex::new(labeller),
            file_reporter,
            maps,
            pins,
            cgroup_programs,
            programs,
        };
        match loaded.prove().and_then(|()| mounts::refresh(&loaded.maps)) {
            Ok(()) => loaded.pins.drop_older_links()?,
            Err(error) => {
                loaded.pins.drop_own_links();
                return Err(error);
            }
        }
        Ok(loaded)
    }

    /// Keeps what the kernel knows about the host's mounts current, for as long as agentd runs.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn follow_mounts(&self) -> Result<(), KernelError> {
        mounts::follow(Arc::clone(&self.maps))
    }

    /// Puts the canary under its rules and lets it try.
    fn prove(&self) -> Result<(), KernelError> {
        let tables = self.canary.tables()?;
        let (mode, generation, made_of) = (Mode::Enforce, 0, MadeOf::default());
        let rules = AgentRules {
            mode,
            generation,
            tables: &tables,
            resolvers: &[],
            pins: &[],
            asks_each_send: false,
            made_of,
        };
        self.install(CANARY, &rules)?;
        self.govern_cgroup(CANARY, self.canary.cgroup())?;
        if self.canary()? {
            return Ok(());
        }
        Err(KernelError::Unsupported("its programs load, but the canary was not denied".to_owned()))
    }

    fn rulesets(&self) -> MutexGuard<'_, Rulesets> {
        self.rulesets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn others(&self) -> MutexGuard<'_, Others> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn labeller(&self) -> MutexGuard<'_, Link> {
        self.labeller.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The agent's entry, if the slot still belongs to it.
    fn entry(&self, agent: AgentKey) -> Result<types::agent, KernelError> {
        let entry = self.maps.agent(agent.slot)?;
        if entry.serial != agent.serial || entry.mode == types::mode::MODE_RELEASED.0 {
            return Err(KernelError::Missing(format!("agent slot {} is not in the kernel", agent.slot)));
        }
        Ok(entry)
    }
}

/// LSM programs load also where they are never called; the list of active modules tells, if it can be read.
fn candidates(wanted: Option<Backend>) -> Vec<Backend> {
    if let Some(backend) = wanted {
        return vec![backend];
    }
    let active = fs::read_to_string("/sys/kernel/security/lsm").ok();
    let lsm = active.is_none_or(|list| list.trim().split(',').any(|name| name == "bpf"));
    let mut all = vec![Backend::FmodRet, Backend::Tracing];
    if lsm {
        all.insert(0, Backend::Lsm);
    }
    all
}

fn mode_number(mode: Mode) -> u32 {
    match mode {
        Mode::Observe => types::mode::MODE_OBSERVE.0,
        Mode::Enforce => types::mode::MODE_ENFORCE.0,
    }
}

/// What the agents table holds for an agent whose rules are at this place.
fn entry_of(agent: AgentKey, rules: &AgentRules<'_>, place: Place) -> types::agent {
    types::agent {
        serial: agent.serial,
        mode: mode_number(rules.mode),
        generation: rules.generation,
        ruleset: place.ruleset,
        rules: place.automaton,
        names: place.names,
        asks_each_send: rules.asks_each_send.into(),
        class_answer: encode_answers(&rules.tables.classes),
        capability_answer: encode_answers(&rules.tables.capabilities),
        spec_sha256: rules.made_of.spec_sha256,
        policy_sha256: rules.made_of.policy_sha256,
    }
}

fn label(agent: AgentKey) -> types::label {
    types::label { slot: agent.slot, serial: agent.serial }
}

fn address_of(bytes: [u8; 16]) -> IpAddr {
    Ipv6Addr::from(bytes).to_canonical()
}

impl Kernel for Ebpf {
    fn backend(&self) -> Backend {
        self.backend
    }

    fn limits(&self) -> Vec<String> {
        let mut limits = self.missing.clone();
        if self.backend == Backend::Tracing {
            limits.push("files and programs are recorded but can not be blocked on this kernel".to_owned());
            limits.push(
                "unix sockets, mappings, signals, ptrace and capabilities are not seen on this kernel"
                    .to_owned(),
            );
        }
        limits
    }

    fn install(&self, agent: AgentKey, rules: &AgentRules<'_>) -> Result<(), KernelError> {
        let mut rulesets = self.rulesets();
        let (hash, place) = rulesets.prepare(&self.maps, rules)?;
        if let Err(error) = update(&self.maps.agents, &agent.slot, &entry_of(agent, rules, place)) {
            rulesets.abandon(&self.maps, hash);
            return Err(error);
        }
        rulesets.commit(&self.maps, agent.slot, hash);
        Ok(())
    }

    fn inspect(&self, agent: AgentKey, rules: &AgentRules<'_>) -> Result<Inspection, KernelError> {
        let entry = self.entry(agent)?;
        let made_of = MadeOf { spec_sha256: entry.spec_sha256, policy_sha256: entry.policy_sha256 };
        let mut differences = self.rulesets().differences(&self.maps, &entry, rules)?;
        let place = Place { ruleset: entry.ruleset, automaton: entry.rules, names: entry.names };
        if bytes_of(&entry) != bytes_of(&entry_of(agent, rules, place)) {
            differences.push("the agent's entry: mode, generation, answers of classes or hashes".to_owned());
        }
        Ok(Inspection { made_of, differences })
    }

    fn agents(&self) -> Result<Vec<AgentKey>, KernelError> {
        let mut agents = Vec::new();
        for slot in CANARY.slot + 1..types::limits::MAX_AGENTS.0 {
            let entry = self.maps.agent(slot)?;
            if entry.serial != 0 && entry.mode != types::mode::MODE_RELEASED.0 {
                agents.push(AgentKey { slot, serial: entry.serial });
            }
        }
        Ok(agents)
    }

    fn set_mode(&self, agent: AgentKey, mode: Mode) -> Result<(), KernelError> {
        let mut entry = self.entry(agent)?;
        entry.mode = mode_number(mode);
        update(&self.maps.agents, &agent.slot, &entry)
    }

    fn govern_cgroup(&self, agent: AgentKey, path: &Path) -> Result<(), KernelError> {
        self.entry(agent)?;
        cgroups::govern(&self.maps, &self.pins, &self.cgroup_programs, label(agent), path)?;
        tasks::label_tasks(&self.labeller()).map(drop)
    }

    fn govern_pid(&self, agent: AgentKey, pid: u32) -> Result<u32, KernelError> {
        self.entry(agent)?;
        let count = tasks::enroll(&self.maps, &self.labeller(), agent, pid)?;
        if let Some(cgroup) = cgroups::of_process(pid)? {
            cgroups::attach_all(&self.pins, &self.cgroup_programs, &cgroup)?;
        }
        Ok(count)
    }

    fn forget_cgroup(&self, path: &Path) -> Result<(), KernelError> {
        cgroups::forget(&self.maps, &self.pins, path)
    }

    fn release(&self, agent: AgentKey) -> Result<(), KernelError> {
        let mut entry = self.entry(agent)?;
        entry.mode = types::mode::MODE_RELEASED.0;
        entry.rules = 0;
        update(&self.maps.agents, &agent.slot, &entry)?;
        self.rulesets().forget(&self.maps, agent.slot);
        cgroups::forget_all(&self.maps, &self.pins, label(agent))
    }

    fn take_over(&self, agents: &[AgentKey]) -> Result<Vec<u32>, KernelError> {
        let mut others = self.others();
        if others.is_empty() {
            return Ok(Vec::new());
        }
        // One that has no rules here would be free.
        agents.iter().try_for_each(|agent| self.entry(*agent).map(drop))?;
        if let Some((pid, _)) = others.governed()?.iter().find(|(_, agent)| !agents.contains(agent)) {
            return Err(KernelError::Missing(format!(
                "process {pid} is of an agent that the store does not know"
            )));
        }
        let taken = tasks::take_over(&self.maps, &self.labeller(), || others.governed())?;
        let layouts = others.retire()?.join(", ");
        tracing::info!(
            "{} processes are governed by maps of layout {} now; those of {layouts} are gone",
            taken.len(),
            load::LAYOUT
        );
        Ok(taken)
    }

    fn label_of(&self, pid: u32) -> Result<Option<AgentKey>, KernelError> {
        let Some(label) = tasks::label_in(&self.maps.task_label, pid)? else { return Ok(None) };
        let key = AgentKey { slot: label.slot, serial: label.serial };
        Ok(self.entry(key).is_ok().then_some(key))
    }

    fn tasks_of(&self, agent: AgentKey) -> Result<Vec<u32>, KernelError> {
        let mut pids = tasks::tasks_of(&self.labeller(), agent)?;
        let left = self.others().governed()?;
        pids.extend(left.into_iter().filter(|(_, of)| *of == agent).map(|(pid, _)| pid));
        Ok(pids.into_iter().collect())
    }

    fn take_peers(&self) -> Result<Vec<PeerBytes>, KernelError> {
        let mut peers = Vec::new();
        for (key, value) in entries::<types::peer_key, types::peer_value>(&self.maps.peer_bytes) {
            remove(&self.maps.peer_bytes, &key)?;
            peers.push(PeerBytes {
                agent: AgentKey { slot: key.slot, serial: key.serial },
                address: address_of(key.address),
                port: key.port,
                protocol: key.protocol,
                sent_bytes: value.sent_bytes,
                received_bytes: value.received_bytes,
            });
        }
        Ok(peers)
    }

    fn report_files(&self) -> Result<(), KernelError> {
        iterate(&self.file_reporter, "walking the open files").map(drop)
    }

    fn counters(&self) -> Result<Counters, KernelError> {
        let read = |which: types::counter| -> Result<u64, KernelError> {
            let cells = self
                .maps
                .counters
                .lookup_percpu(bytes_of(&which.0), MapFlags::ANY)
                .map_err(|error| failed("reading the counters", error))?;
            Ok(cells.into_iter().flatten().filter_map(|cell| value_of::<u64>(&cell)).sum())
        };
        Ok(Counters {
            emitted: read(types::counter::COUNT_EVENTS)?,
            lost: read(types::counter::COUNT_LOST)?,
            denied: read(types::counter::COUNT_DENIED)?,
            unresolved: read(types::counter::COUNT_UNRESOLVED)?,
            no_memory: read(types::counter::COUNT_NO_MEMORY)?,
            helper: read(types::counter::COUNT_HELPER)?,
            dns_skipped: read(types::counter::COUNT_DNS_SKIPPED)?,
            folded: read(types::counter::COUNT_FOLDED)?,
            held: read(types::counter::COUNT_HELD)?,
            turns: read(types::counter::COUNT_TURNS)?,
        })
    }

    fn programs(&self) -> Result<Vec<ProgramStats>, KernelError> {
        self.programs.iter().map(statistics::of).collect()
    }

    fn tables(&self) -> Vec<Table> {
        tables::fill(&self.maps, &self.rulesets())
    }

    fn canary(&self) -> Result<bool, KernelError> {
        self.canary.try_it(self.backend)
    }

    fn next_events(&self, timeout: Duration, sink: &mut dyn FnMut(&[u8])) -> Result<(), KernelError> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let held = self.held_ring.lock().unwrap_or_else(PoisonError::into_inner);
        Ring::wait(&[&ring, &held], timeout)?;
        // What happened before a request was held is known first.
        ring.take(sink)?;
        held.take(sink)
    }

    fn rest(&self, timeout: Duration) -> Result<(), KernelError> {
        Ring::wait(&[&self.held_ring.lock().unwrap_or_else(PoisonError::into_inner)], timeout)
    }

    fn held(&self) -> Result<Vec<Held>, KernelError> {
        holds::sweep(&self.maps)?;
        holds::all(&self.maps)
    }

    fn held_request(&self, id: u64) -> Result<Option<Held>, KernelError> {
        holds::get(&self.maps, id)
    }

    fn answer(&self, id: u64, allow: bool) -> Result<bool, KernelError> {
        holds::answer(&self.maps, id, allow)
    }

    fn stand(&self, request: &HeldRequest, answer: StandingAnswer) -> Result<(), KernelError> {
        holds::stand(&self.maps, request, answer)
    }

    fn standing(&self) -> Result<Vec<(HeldRequest, StandingAnswer)>, KernelError> {
        Ok(holds::standing(&self.maps))
    }

    fn revoke(&self, request: &HeldRequest) -> Result<(), KernelError> {
        holds::revoke(&self.maps, request)
    }
}
