//! systemd over D-Bus: a scope for a command, the cgroup of a unit, its end.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::timeout;
use tokio_stream::StreamExt;
use zbus::{Connection, OwnedObjectPath, Proxy, Variant};

use super::cgroup::Cgroups;

const SERVICE: &str = "org.freedesktop.systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";

/// All agents of this host.
const SLICE: &str = "agents.slice";

/// systemd answers in milliseconds, unless it is busy booting.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why systemd did not do it.
#[derive(Debug, thiserror::Error)]
pub enum SystemdError {
    /// No connection or no such method.
    #[error("systemd over D-Bus: {0}")]
    Bus(#[from] zbus::Error),
    /// No answer.
    #[error("systemd did not answer within {} s", PATIENCE.as_secs())]
    Timeout,
    /// It tried and failed.
    #[error("systemd could not start {unit}: {result}")]
    Failed {
        /// The unit.
        unit: String,
        /// In its own words.
        result: String,
    },
    /// No such unit, or it is stopped.
    #[error("unit {0} is not running; start it first, or use `agentctl run`")]
    NotRunning(String),
}

/// Whether PID 1 is systemd.
pub(super) fn is_there() -> bool {
    sd_notify::booted().unwrap_or(false)
}

/// Starts a scope around a process and returns its cgroup.
pub(super) async fn start_scope(
    cgroups: &Cgroups,
    name: &str,
    description: &str,
    pid: u32,
) -> Result<PathBuf, SystemdError> {
    within(async {
        let bus = Connection::system().await?;
        let manager = manager(&bus).await?;
        // Before the call, so that the answer can not be missed.
        let mut removed = manager.receive_signal("JobRemoved").await?;
        manager.call::<_, _, ()>("Subscribe", &()).await?;
        let properties: Vec<(&str, Variant<'_>)> = vec![
            ("Description", Variant::from(description)),
            ("Slice", Variant::from(SLICE)),
            ("Delegate", Variant::from(false)),
            ("CollectMode", Variant::from("inactive-or-failed")),
            ("PIDs", Variant::from(vec![pid])),
        ];
        let others: Vec<(&str, Vec<(&str, Variant<'_>)>)> = Vec::new();
        let job: OwnedObjectPath =
            manager.call("StartTransientUnit", &(name, "fail", properties, others)).await?;
        while let Some(signal) = removed.next().await {
            let (_, done, _, result): (u32, OwnedObjectPath, String, String) = signal.body().deserialize()?;
            if done == job {
                return match result.as_str() {
                    "done" => control_group(&bus, cgroups, name).await,
                    _ => Err(SystemdError::Failed { unit: name.to_owned(), result }),
                };
            }
        }
        Err(SystemdError::Timeout)
    })
    .await
}

/// The cgroup of a unit that runs.
pub(super) async fn unit_cgroup(cgroups: &Cgroups, unit: &str) -> Result<PathBuf, SystemdError> {
    within(async {
        let bus = Connection::system().await?;
        control_group(&bus, cgroups, unit).await
    })
    .await
}

/// Has systemd stop a unit, without waiting until it has: from the answer on it does not start it again by itself.
pub(super) async fn stop_unit(unit: &str) -> Result<(), SystemdError> {
    within(async {
        let bus = Connection::system().await?;
        let manager = manager(&bus).await?;
        let _job: OwnedObjectPath = manager.call("StopUnit", &(unit, "replace")).await?;
        Ok(())
    })
    .await
}

/// Whether a unit has ended for good: it neither runs nor waits to be started again.
pub(super) async fn has_ended(unit: &str) -> Result<bool, SystemdError> {
    within(async {
        let bus = Connection::system().await?;
        let manager = manager(&bus).await?;
        let path: OwnedObjectPath = match manager.call("GetUnit", &(unit)).await {
            Err(zbus::Error::MethodError(name, ..)) if name == NO_SUCH_UNIT => return Ok(true),
            path => path?,
        };
        let state: String = Proxy::new(&bus, SERVICE, path, UNIT).await?.get_property("ActiveState").await?;
        Ok(matches!(state.as_str(), "inactive" | "failed"))
    })
    .await
}

async fn manager(bus: &Connection) -> zbus::Result<Proxy<'static>> {
    Proxy::new(bus, SERVICE, "/org/freedesktop/systemd1", MANAGER).await
}

async fn control_group(bus: &Connection, cgroups: &Cgroups, unit: &str) -> Result<PathBuf, SystemdError> {
    let manager = manager(bus).await?;
    let path: OwnedObjectPath =
        manager.call("GetUnit", &(unit)).await.map_err(|_| SystemdError::NotRunning(unit.to_owned()))?;
    let kind = match unit.rsplit_once('.').map(|(_, kind)| kind) {
        Some("service") => "org.freedesktop.systemd1.Service",
        Some("slice") => "org.freedesktop.systemd1.Slice",
        Some("socket") => "org.freedesktop.systemd1.Socket",
        Some("scope") => "org.freedesktop.systemd1.Scope",
        _ => UNIT,
    };
    let proxy = Proxy::new(bus, SERVICE, path, kind).await?;
    let group: String = proxy.get_property("ControlGroup").await?;
    match group.as_str() {
        "" | "/" => Err(SystemdError::NotRunning(unit.to_owned())),
        group => Ok(cgroups.below(group)),
    }
}

async fn within<T>(work: impl Future<Output = Result<T, SystemdError>>) -> Result<T, SystemdError> {
    timeout(PATIENCE, work).await.unwrap_or(Err(SystemdError::Timeout))
}
