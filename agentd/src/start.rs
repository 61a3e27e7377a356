//! Wires everything: attach, bind, restore, serve, ready; then waits for signals and stops in the same order.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agentguard_policy::PolicySet;
use anyhow::{Context, Result};
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::act::Act;
use crate::agents;
use crate::agents::directory::Directory;
use crate::agents::registry::{Registry, SWEEP_EVERY, Settings, unheard};
use crate::audit::{self, Decisions};
use crate::config::{BackendChoice, Config};
use crate::control::{self, Control, Daemon, spend};
use crate::decide::Decide;
use crate::enrich::Enrich;
use crate::export::metrics::{EventCounters, GovernanceCounters};
use crate::export::{Export, Followers, Tally, http};
use crate::governance::{self, Governance, Ledger};
use crate::health::{CHECK_EVERY, Health};
use crate::holds::{self, Holds, freezer};
use crate::kernel::{self, Backend, Ebpf, Kernel, LoadOptions};
use crate::log_limit;
use crate::notify::{self as notifications, Notifier};
use crate::pipeline::{Counts, Pipeline, Stages};
use crate::policy::InUse;
use crate::privileges;
use crate::record::write::Writer;
use crate::record::{Store, history};

/// Seconds between two looks at the proofs of everything that runs.
const READMIT_EVERY: u32 = 60;

/// Clients that still read a stream are given this long at the end.
const GOODBYE: Duration = Duration::from_secs(2);

/// Loads and attaches the kernel programs, or says why this kernel can not.
pub fn attach(config: &Config) -> Result<Arc<dyn Kernel>> {
    std::fs::create_dir_all(&config.run_dir).with_context(|| config.run_dir.display().to_string())?;
    let options = LoadOptions {
        backend: match config.backend {
            BackendChoice::Auto => None,
            BackendChoice::Lsm => Some(Backend::Lsm),
            BackendChoice::FmodRet => Some(Backend::FmodRet),
            BackendChoice::Tracing => Some(Backend::Tracing),
        },
        pin_root: config.pin_dir.clone(),
        run_dir: config.run_dir.clone(),
    };
    freezer::rest(&kernel::waiting(&config.pin_dir));
    let kernel = Ebpf::load(&options).context("kernel programs")?;
    freezer::free_others(&kernel.held()?.iter().map(|held| held.pid).collect());
    privileges::drop_after_attach()?;
    kernel.follow_mounts().context("kernel programs")?;
    Ok(Arc::new(kernel))
}

/// Takes the kernel programs away. Where there are none, nothing is left to do.
pub fn unload(config: &Config) -> Result<()> {
    if !config.pin_dir.exists() {
        tracing::info!("{}: there are no kernel programs", config.pin_dir.display());
        return Ok(());
    }
    kernel::unload(&config.pin_dir).context("kernel programs")?;
    freezer::free_others(&BTreeSet::new());
    tracing::warn!("the kernel programs are gone: no agent is governed any more");
    Ok(())
}

/// Says whether configuration and policy can be used.
pub fn check(config: &Config) -> Result<()> {
    let folder = config.effective_policy_dir();
    let policy = PolicySet::read(&folder)?;
    notifications::check(&config.notify).context("notify")?;
    println!("configuration ok; policy {} in {} ok", policy.version().short(), folder.display());
    Ok(())
}

/// Runs the daemon on a kernel that is attached already, until a signal ends it.
pub async fn run(config: Config, kernel: Arc<dyn Kernel>) -> Result<()> {
    let running = Running::start(config, kernel).await?;
    let reason = running.until_signal().await;
    tracing::info!("agentd stops ({reason}); the kernel goes on enforcing");
    running.stop().await
}

/// A started daemon.
pub struct Running {
    config: Config,
    daemon: Daemon,
    pipeline: Pipeline,
    stop: watch::Sender<bool>,
    server: tokio::task::JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Running {
    /// Everything, in this order: what can be refused comes before what would have to be taken back.
    pub async fn start(config: Config, kernel: Arc<dyn Kernel>) -> Result<Self> {
        let notifier = Notifier::start(&config.notify, &host()).context("notify")?;
        let store = Store::open(&config.state_dir)?;
        let audit = governance::open_audit(&config.state_dir, config.audit.options(&host()));
        let policy = Arc::new(InUse::start(&config.effective_policy_dir(), &config.state_dir, &audit)?);
        let socket =
            control::bind(&config.socket).with_context(|| format!("socket {}", config.socket.display()))?;
        let metrics = match config.metrics.listen.0 {
            Some(address) => {
                Some(http::bind(address).await.with_context(|| format!("metrics on {address}"))?)
            }
            None => None,
        };
        let gateway = spend::bind(&config.budget).await.context("budget")?;

        let counts = Arc::new(Counts::default());
        let directory = Arc::new(Directory::default());
        let (followers, tally) = (Followers::default(), Arc::new(Tally::default()));
        let counters = Arc::new(EventCounters::default());
        let governed = Arc::new(GovernanceCounters::default());
        let backend = kernel.backend();
        let governance = Arc::new(Governance::open(
            &config.state_dir,
            audit.clone(),
            policy.clone(),
            Ledger::open(&store)?,
            config.governance.clone(),
            governed.clone(),
            move || agents::host::facts(backend),
        )?);
        let registry = Arc::new(Registry::new(
            kernel.clone(),
            store.clone(),
            directory.clone(),
            policy.clone(),
            tally.clone(),
            governance,
            Settings { degraded: config.degraded, guardrails: agents::own::guardrails(&config) },
        )?);
        // The policy may have changed while agentd was away; whoever does not stand it is stopped by restoring.
        if let Err(error) = registry.revalidate(None, "agentd starts").await {
            tracing::error!(%error, "promoted agents could not be looked at again; those whose proofs are of another policy do not start");
        }
        let restored = registry.restore().await?;
        registry.take_over().await;
        let limits = config.holds.clone();
        let (holds, asked, questions) = Holds::new(
            kernel.clone(),
            policy.clone(),
            store.clone(),
            notifier.clone(),
            limits,
            counters.clone(),
            audit.clone(),
        )?;
        tokio::spawn(holds.clone().run(questions));
        let newest = history::newest_incident(&store.reader()?)?;
        let stages = Stages {
            enrich: Enrich::new(directory),
            decide: Decide::new(policy, counts.clone(), counters.clone()),
            act: Act::new(newest.as_ref(), asked, holds.lines()),
            record: Writer::new(&store, &config.retention, counts.clone())?,
            export: Export::new(followers.clone(), tally, counters.clone(), Decisions::new(audit)),
        };
        let pipeline = Pipeline::start(kernel.clone(), stages, &counts).context("pipeline")?;
        let dirs = config.clone();
        let health = Arc::new(Health::new(kernel.clone()));
        let first = health.clone();
        // What it proves is told by Health itself.
        drop(tokio::task::spawn_blocking(move || first.canary(Duration::ZERO)).await);
        let daemon = Daemon {
            health,
            kernel,
            registry,
            reviewers: config.holds.group.as_str().into(),
            holds,
            store,
            followers,
            notifier,
            counts,
            policy_dir: Arc::new(move || dirs.effective_policy_dir()),
            started: Instant::now(),
        };

        let (stop, stopped) = watch::channel(false);
        if let Some(listener) = metrics {
            let page = snapshot::of(daemon.clone(), config.sha256());
            tokio::spawn(http::serve(listener, counters, governed, Arc::new(page)));
        }
        if let Some(gateway) = gateway {
            tokio::spawn(spend::serve(gateway, daemon.registry.clone()));
        }
        let server = tokio::spawn(control::serve(socket, Control::new(daemon.clone()), until(stopped)));
        let running = Self { config, daemon, pipeline, stop, server };
        running.watch_health();
        running.watch_agents();
        running.watch_holds();
        running.watch_log();
        running.watch_governance();
        running.tell_ready(restored);
        Ok(running)
    }

    fn tell_ready(&self, restored: u32) {
        let daemon = &self.daemon;
        let policy = daemon.registry.policy().version();
        tracing::info!(
            agents = restored,
            POLICY = policy.version,
            "agentd {} is ready: back end {}, listening on {}",
            env!("CARGO_PKG_VERSION"),
            control::backend(daemon),
            self.config.socket.display()
        );
        for limit in daemon.kernel.limits() {
            tracing::warn!("this back end can not enforce: {limit}");
        }
        notify(&[NotifyState::Ready]);
    }

    /// A sign of life, but only while the kernel is seen to deny: otherwise systemd starts agentd again.
    fn tell_life(&self) {
        let daemon = &self.daemon;
        if daemon.health.is_proved() {
            notify(&[NotifyState::Watchdog]);
        }
        let agents = daemon.registry.running().map_or(0, |agents| agents.len());
        let canary = match daemon.health.is_proved() {
            true => "the canary is denied",
            false => "THE CANARY IS NOT DENIED",
        };
        let backend = control::backend(daemon);
        notify(&[NotifyState::Status(&format!("back end {backend}, {canary}, {agents} agents"))]);
    }

    /// Tries the canary again and again.
    fn watch_health(&self) {
        let health = self.daemon.health.clone();
        tokio::spawn(async move {
            let mut ticks = interval(CHECK_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let health = health.clone();
                // A failing canary is told by Health itself.
                drop(tokio::task::spawn_blocking(move || health.canary(Duration::ZERO)).await);
            }
        });
    }

    fn watch_agents(&self) {
        let registry = self.daemon.registry.clone();
        tokio::spawn(async move {
            let mut ticks = interval(SWEEP_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                registry.sweep().await;
            }
        });
    }

    fn watch_log(&self) {
        let lines = self.daemon.holds.lines();
        tokio::spawn(async move {
            let mut ticks = interval(log_limit::TELL_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                lines.tell();
            }
        });
    }

    fn watch_holds(&self) {
        let holds = self.daemon.holds.clone();
        tokio::spawn(async move {
            let mut ticks = interval(holds::TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let holds = holds.clone();
                // It tells what fails itself.
                drop(tokio::task::spawn_blocking(move || holds.tick()).await);
            }
        });
    }

    /// Durability of the audit log each second; proofs, files and months once a minute.
    fn watch_governance(&self) {
        let registry = self.daemon.registry.clone();
        tokio::spawn(async move {
            let mut ticks = interval(audit::TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut month = String::new();
            let mut seconds = 0_u32;
            loop {
                ticks.tick().await;
                let log = registry.governance().audit().clone();
                // It tells what fails itself.
                drop(tokio::task::spawn_blocking(move || log.tick()).await);
                seconds = seconds.wrapping_add(1);
                if seconds.is_multiple_of(READMIT_EVERY) {
                    registry.readmit_all().await;
                    month = next_month(&registry, month).await;
                }
            }
        });
    }

    /// Handles signals until one ends the daemon, and says which.
    async fn until_signal(&self) -> &'static str {
        let mut signals = match Signals::listen() {
            Ok(signals) => signals,
            Err(error) => {
                tracing::error!(%error, "signals can not be received");
                return "no signals";
            }
        };
        let mut watchdog = interval(watchdog_period());
        loop {
            tokio::select! {
                _ = signals.hangup.recv() => self.reload().await,
                _ = signals.terminate.recv() => return "SIGTERM",
                _ = signals.interrupt.recv() => return "SIGINT",
                _ = watchdog.tick() => match self.pipeline.is_alive() {
                    true => self.tell_life(),
                    false => return "a stage of the pipeline ended",
                },
            }
        }
    }

    async fn reload(&self) {
        notify(&[
            NotifyState::Reloading,
            NotifyState::monotonic_usec_now().unwrap_or(NotifyState::Status("reloading")),
        ]);
        let folder: PathBuf = self.config.effective_policy_dir();
        let reloaded = self.daemon.registry.reload_policy(&folder, "SIGHUP", unheard()).await;
        if let Err(error) = reloaded {
            tracing::error!(
                "the policy in {} was not put into force; the running one stays\n{error}",
                folder.display()
            );
        }
        notify(&[NotifyState::Ready]);
    }

    /// Stops serving, then drains the pipeline.
    pub async fn stop(self) -> Result<()> {
        notify(&[NotifyState::Stopping]);
        let _ = self.stop.send(true);
        if let Ok(served) = tokio::time::timeout(GOODBYE, self.server).await {
            served.context("server")??;
        }
        let pipeline = self.pipeline;
        tokio::task::spawn_blocking(move || pipeline.drain()).await.context("pipeline")?;
        let audit = self.daemon.registry.governance().audit().clone();
        tokio::task::spawn_blocking(move || audit.close()).await.context("audit log")?;
        // A socket that nobody answers would look like a hung agentd.
        let _ = std::fs::remove_file(&self.config.socket);
        Ok(())
    }
}

struct Signals {
    hangup: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // It fails only if the sender is gone, which is a stop as well.
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// In another month budgets are full again: policy is asked about everybody.
async fn next_month(registry: &Arc<Registry>, month: String) -> String {
    let Some(next) = registry.governance().month_changed(&month) else { return month };
    if !month.is_empty()
        && let Err(error) = registry.revalidate(None, "another month").await
    {
        tracing::error!(%error, "budgets of another month could not be looked at");
        return month;
    }
    next
}

/// systemd wants two signs of life per period.
fn watchdog_period() -> Duration {
    sd_notify::watchdog_enabled().map_or(CHECK_EVERY, |period| (period / 2).max(Duration::from_millis(100)))
}

/// Nobody listens when agentd was not started by systemd.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd could not be told");
    }
}

/// This host's name, as receivers of notifications read it.
fn host() -> String {
    nix::unistd::gethostname().map_or_else(|_| String::new(), |name| name.to_string_lossy().into_owned())
}

mod snapshot;
#[cfg(test)]
mod tests;
