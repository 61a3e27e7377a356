//! One run: boot until the guest says hello, start the command, pass on what it says, bring back the shares.

use std::io::{ErrorKind, Read, Write, stderr, stdin, stdout};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use super::cache::CacheLock;
use super::frame::{AgentdState, Decoder, Frame, Hello, Removed, Start};
use super::machine::{Machine, MachineSpec};
use super::progress::Progress;
use super::share::Share;
use super::signals::Running;
use super::terminal::RawTerminal;
use super::{EXIT_TIMED_OUT, EXIT_VM_FAILED};

/// Boots that die before user space are the emulator's fault and are tried again, this often in all.
const ATTEMPTS: u32 = 4;
/// For the kernel alone: about 4 s on an idle machine.
const KERNEL_DEADLINE: Duration = Duration::from_secs(120);
/// For the whole boot, agentd included: about 15 s on an idle machine, and 90 have been seen on a slow one.
const BOOT_DEADLINE: Duration = Duration::from_secs(600);
/// The guest enforces the timeout; this is how much later the host stops believing in the guest.
const TIMEOUT_GRACE: Duration = Duration::from_secs(30);
/// For writing back the shares.
const SHARES_DEADLINE: Duration = Duration::from_secs(600);
/// How often a silent line is looked at from outside.
const POLL: Duration = Duration::from_millis(500);
/// One read of the line.
const READ_BYTES: usize = 64 * 1024;

/// What to boot and what to do there.
pub(crate) struct Plan {
    pub(crate) machine: MachineSpec,
    pub(crate) start: Start,
    pub(crate) shares: Vec<Share>,
    /// Refuse to run the command when agentd is not active.
    pub(crate) needs_agentd: bool,
    /// Where the console log is kept.
    pub(crate) log: PathBuf,
    pub(crate) progress: Progress,
}

/// A VM that has said hello.
pub(crate) struct Session<'a> {
    plan: &'a Plan,
    machine: Machine,
    decoder: Decoder,
    hello: Hello,
}

/// What came of waiting for a frame.
enum Wait {
    Frame(Frame),
    /// Nothing for a while.
    Silence,
    /// The other end is gone.
    Closed,
}

impl<'a> Session<'a> {
    /// Boots. `lock` protects the cached files until QEMU has opened them.
    pub(crate) fn boot(plan: &'a Plan, lock: CacheLock, running: &Mutex<Running>) -> Result<Self> {
        let mut lock = Some(lock);
        let mut attempt = 1;
        loop {
            let mut machine = Machine::start(&plan.machine)?;
            drop(lock.take());
            if let Ok(mut running) = running.lock() {
                running.qemu = Some(machine.pid());
            }
            let step = plan.progress.step(format!("booting Linux {}", plan.machine.kernel.release));
            let mut decoder = Decoder::default();
            let hello = wait_for_hello(&mut machine, &mut decoder);
            drop(step);
            machine.save_console(&plan.log)?;
            if let Some(hello) = hello? {
                let session = Self { plan, machine, decoder, hello };
                session.introduce();
                return Ok(session);
            }
            if attempt == ATTEMPTS {
                bail!("the kernel did not boot; its console ended so:\n{}", machine.console_tail());
            }
            plan.progress
                .note(&format!("the kernel did not reach user space, attempt {attempt} of {ATTEMPTS}"));
            attempt += 1;
        }
    }

    fn introduce(&self) {
        let Hello { kernel, lsm, agentd, .. } = &self.hello;
        let agentd = match agentd {
            AgentdState::Active => "active",
            AgentdState::Failed => "failed",
            AgentdState::NotInstalled => "not installed",
        };
        let seconds = self.machine.started.elapsed().as_secs_f32();
        self.plan
            .progress
            .note(&format!("Linux {kernel} ready in {seconds:.1} s (lsm {lsm}; agentd {agentd})"));
    }

    /// Runs the command and returns this program's exit status.
    pub(crate) fn command(mut self, running: &Mutex<Running>) -> Result<u8> {
        if self.plan.needs_agentd && self.hello.agentd != AgentdState::Active {
            eprintln!("vm: agentd did not start; its journal ends so:\n{}", self.hello.journal.trim_end());
            return Ok(EXIT_VM_FAILED);
        }
        Frame::Start(self.plan.start.clone()).send(&self.machine.line).context("cannot start the command")?;
        let _raw = match self.plan.start.terminal {
            Some(_) => Some(self.connect_terminal(running)?),
            None => None,
        };
        let outcome = self.relay();
        self.machine.save_console(&self.plan.log)?;
        outcome
    }

    fn connect_terminal(&self, running: &Mutex<Running>) -> Result<RawTerminal> {
        let raw = RawTerminal::enter()?;
        if let Ok(mut running) = running.lock() {
            running.line = Some(self.machine.line.try_clone()?);
        }
        let line = self.machine.line.try_clone()?;
        // Ends with this process: there is no safe way to interrupt a read of the terminal.
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = stdin().read(&mut buffer) {
                let Some(keys) = buffer.get(..length) else { return };
                if Frame::Stdin(keys.to_vec()).send(&line).is_err() {
                    return;
                }
            }
        });
        Ok(raw)
    }

    /// Only after the guest has said that all of it is on the disks, so that a failure leaves the host as it was.
    fn write_back(&self, removed: &[Removed]) -> Result<()> {
        for Removed { share, path } in removed {
            match self.plan.shares.get(*share) {
                Some(share) => share.remove(path)?,
                None => bail!("the VM names share {share}, which does not exist"),
            }
        }
        self.plan.shares.iter().try_for_each(Share::unpack)
    }

    /// Passes on output until the guest is done.
    fn relay(&mut self) -> Result<u8> {
        let timeout = Duration::from_secs(self.plan.start.timeout_s);
        let mut deadline = Instant::now().checked_add(timeout + TIMEOUT_GRACE);
        let mut status = None;
        let mut removed = Vec::new();
        loop {
            match wait(&mut self.machine, &mut self.decoder)? {
                Wait::Frame(Frame::Stdout(bytes)) => pass_on(stdout().lock(), &bytes)?,
                Wait::Frame(Frame::Stderr(bytes)) => pass_on(stderr().lock(), &bytes)?,
                Wait::Frame(Frame::Exit(exit)) => {
                    if exit.timed_out {
                        self.plan
                            .progress
                            .note(&format!("the command was ended after {} s", timeout.as_secs()));
                    }
                    status = Some(if exit.timed_out { EXIT_TIMED_OUT } else { exit.status });
                    deadline = Instant::now().checked_add(SHARES_DEADLINE);
                }
                Wait::Frame(Frame::Removed(one)) => removed.push(one),
                Wait::Frame(Frame::Done(None)) => {
                    self.write_back(&removed)?;
                    return status.ok_or_else(|| anyhow!("the VM was done without an exit status"));
                }
                Wait::Frame(Frame::Done(Some(reason))) => bail!("in the VM: {reason}"),
                Wait::Frame(other) => bail!("the VM sent {other:?} out of turn"),
                Wait::Closed => {
                    bail!(
                        "the VM died under the command; its console ended so:\n{}",
                        self.machine.console_tail()
                    )
                }
                Wait::Silence if deadline.is_some_and(|deadline| Instant::now() > deadline) => {
                    eprintln!(
                        "vm: the VM does not answer; its console ended so:\n{}",
                        self.machine.console_tail()
                    );
                    return Ok(EXIT_TIMED_OUT);
                }
                Wait::Silence => {}
            }
        }
    }
}

/// `None` means that the kernel never reached user space.
fn wait_for_hello(machine: &mut Machine, decoder: &mut Decoder) -> Result<Option<Hello>> {
    machine.line.set_read_timeout(Some(POLL))?;
    loop {
        let elapsed = machine.started.elapsed();
        let gone = match wait(machine, decoder)? {
            Wait::Frame(Frame::Hello(hello)) => return Ok(Some(hello)),
            Wait::Frame(other) => bail!("the VM sent {other:?} before its hello"),
            Wait::Closed => true,
            Wait::Silence => false,
        };
        let overdue = elapsed > KERNEL_DEADLINE;
        if (gone || overdue) && !machine.reached_user_space() {
            return Ok(None);
        }
        if gone || elapsed > BOOT_DEADLINE {
            bail!("the VM did not come up; its console ended so:\n{}", machine.console_tail());
        }
    }
}

fn wait(machine: &mut Machine, decoder: &mut Decoder) -> Result<Wait> {
    let mut buffer = [0; READ_BYTES];
    loop {
        if let Some(frame) = decoder.next_frame()? {
            return Ok(Wait::Frame(frame));
        }
        match machine.line.read(&mut buffer) {
            Ok(0) => return Ok(Wait::Closed),
            Ok(length) => decoder.push(buffer.get(..length).unwrap_or_default()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Ok(if machine.has_ended() { Wait::Closed } else { Wait::Silence });
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(Wait::Closed),
            Err(error) => return Err(error).context("cannot read from the VM"),
        }
    }
}

fn pass_on(mut stream: impl Write, bytes: &[u8]) -> Result<()> {
    stream.write_all(bytes).and_then(|()| stream.flush()).context("cannot pass on the command's output")
}
