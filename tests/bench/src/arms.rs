//! Compares the arms: no agentd; agentd loaded and this process not governed; governed with few, many and very many rules.
//!
//! Arms take turns. Loading takes seconds, so it is done in cycles: without, with, with, without, and so
//! on, and in cycles with governed arms those take turns round by round. One process stays for both ungoverned arms.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::daemon::{Host, run as run_command};
use crate::field::{Field, Ports};
use crate::worker::Measured;
use crate::{load, say, spec};

/// Rules of the governed arms.
const RULES: [usize; 3] = [10, 1_000, 10_000];

/// The arm whose refusals are measured.
const FEW: &str = "rules_10";

/// Names of the ungoverned arms.
const WITHOUT: &str = "none";
const LOADED: &str = "loaded";

/// What was typed after `arms`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How often both ungoverned arms are measured
    #[arg(long, default_value_t = 4)]
    cycles: u32,
    /// Governed arms take part in every so many cycles
    #[arg(long, default_value_t = 2)]
    governed_every: u32,
    /// Rounds of each arm in a cycle
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// The real loads are run in the first so many cycles that have governed arms
    #[arg(long, default_value_t = 2)]
    loads: u32,
    /// Folder of the field, one component
    #[arg(long, default_value = "/bench")]
    field: PathBuf,
}

/// All cycles.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let field = Field::at(&arguments.field);
    field.make()?;
    load::prepare(&field.work())?;
    let ports = field.open_ports()?;
    let plain = Worker::start("plain", &arguments.field, ports, None)?;
    let mut bench = Bench { arguments, ports, plain, running: true };
    (0..arguments.cycles).try_for_each(|cycle| bench.cycle(cycle))
}

struct Bench<'a> {
    arguments: &'a Arguments,
    ports: Ports,
    plain: Worker,
    /// Whether agentd is loaded now.
    running: bool,
}

impl Bench<'_> {
    fn cycle(&mut self, cycle: u32) -> Result<()> {
        eprintln!("agentguard-bench: cycle {} of {}", cycle + 1, self.arguments.cycles);
        let halves = if self.running { [true, false] } else { [false, true] };
        for loaded in halves {
            self.bring(loaded)?;
            if loaded { self.with(cycle)? } else { self.without(cycle)? }
        }
        Ok(())
    }

    fn bring(&mut self, loaded: bool) -> Result<()> {
        match (self.running, loaded) {
            (true, false) => Host.stop()?,
            (false, true) => Host.start()?,
            _ => {}
        }
        self.running = loaded;
        self.pause()
    }

    /// Until agentd has nothing to do; without agentd as long, while the kernel frees programs in the background.
    fn pause(&self) -> Result<()> {
        if self.running { Host.settle() } else { Host.rest() }
    }

    fn rounds(&self, cycle: u32) -> impl Iterator<Item = u32> + use<> {
        let rounds = self.arguments.rounds;
        (0..rounds).map(move |round| cycle * rounds + round)
    }

    fn has_governed(&self, cycle: u32) -> bool {
        cycle.is_multiple_of(self.arguments.governed_every)
    }

    fn has_loads(&self, cycle: u32) -> bool {
        self.has_governed(cycle) && cycle / self.arguments.governed_every < self.arguments.loads
    }

    fn without(&mut self, cycle: u32) -> Result<()> {
        for round in self.rounds(cycle) {
            self.pause()?;
            self.plain.measure("granted", round, WITHOUT)?;
            self.plain.measure("denied", round, WITHOUT)?;
        }
        if self.has_loads(cycle) { self.plain.loads(cycle, WITHOUT, None) } else { Ok(()) }
    }

    fn with(&mut self, cycle: u32) -> Result<()> {
        let mut governed = Vec::new();
        for rules in RULES.into_iter().filter(|_| self.has_governed(cycle)) {
            let text = spec::with_rules(rules, &self.arguments.field, self.ports.open);
            let name = format!("rules_{rules}");
            let worker = Worker::start(&name, &self.arguments.field, self.ports, Some(&text))?;
            governed.push((name, worker));
        }
        // What agentd has recorded grows from arm to arm: so each comes early once and late once.
        if (cycle / self.arguments.governed_every) % 2 == 1 {
            governed.reverse();
        }
        for round in self.rounds(cycle) {
            self.pause()?;
            self.plain.measure("granted", round, LOADED)?;
            for (name, worker) in &mut governed {
                worker.measure("granted", round, name)?;
                self.pause()?;
            }
            for (name, worker) in governed.iter_mut().filter(|(name, _)| *name == FEW) {
                worker.measure("denied", round, name)?;
            }
        }
        if self.has_loads(cycle) {
            self.plain.loads(cycle, LOADED, Some(&Host))?;
            for (name, worker) in &mut governed {
                worker.loads(cycle, name, Some(&Host))?;
            }
        }
        Ok(())
    }
}

/// The process of an arm.
pub(crate) struct Worker {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts it, under the spec if there is one.
    pub(crate) fn start(name: &str, field: &Path, ports: Ports, spec: Option<&str>) -> Result<Self> {
        let own = std::env::current_exe()?;
        let mut command = match spec {
            None => Command::new(&own),
            Some(text) => {
                let file = field.join(format!("{name}.toml"));
                std::fs::write(&file, text)?;
                run_command(Command::new("agentctl").args(["spec", "check"]).arg(&file))?;
                let mut command = Command::new("agentctl");
                command.args(["run", "--name", name, "--spec"]).arg(&file).arg("--").arg(&own);
                command
            }
        };
        command.args(["ops", "--arm", name, "--field"]).arg(field);
        command.args(["--ports", &ports.open.to_string(), &ports.closed.to_string()]);
        command.args(spec.map(|_| "--governed"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("an arm")?;
        let orders = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().context("no output")?);
        let mut worker = Self { child, orders, answers };
        worker.ask("nothing", 0)?;
        Ok(worker)
    }

    /// Has it do something, and says what it measured under the name of an arm.
    pub(crate) fn measure(&mut self, what: &str, round: u32, arm: &str) -> Result<()> {
        let measured = self.ask(what, round)?;
        measured.into_iter().try_for_each(|measured| say(&Measured { arm: arm.to_owned(), ..measured }))
    }

    /// Has it do the real loads. To the processor time of each comes what agentd needs for it.
    fn loads(&mut self, round: u32, arm: &str, agentd: Option<&Host>) -> Result<()> {
        let used_by_agentd = || agentd.map_or(Ok(Duration::ZERO), Host::settled_cpu_time);
        for (name, _) in load::LOADS {
            let before = used_by_agentd()?;
            for measured in self.ask(name, round)? {
                let meanwhile = used_by_agentd()?.saturating_sub(before);
                let ns = measured.ns + u64::try_from(meanwhile.as_nanos())?;
                say(&Measured { arm: arm.to_owned(), ns, ..measured })?;
            }
        }
        Ok(())
    }

    /// Has it do something, and returns what it measured.
    pub(crate) fn ask(&mut self, what: &str, round: u32) -> Result<Vec<Measured>> {
        writeln!(self.orders.as_mut().context("no input")?, "{what} {round}")?;
        let mut all = Vec::new();
        loop {
            let mut line = String::new();
            if self.answers.read_line(&mut line)? == 0 {
                bail!("the process ended while it did {what}: {:?}", self.child.wait()?);
            }
            if line.trim().is_empty() {
                return Ok(all);
            }
            all.push(serde_json::from_str(&line).with_context(|| line.clone())?);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The end of its input is the end of its work.
        drop(self.orders.take());
        let _ = self.child.wait();
    }
}
