//! Time: the kernel stamps events on the boot time clock, records carry the wall clock.

use nix::time::{ClockId, clock_gettime};

const NS_PER_SEC: u64 = 1_000_000_000;

/// /proc tells the start of a process in hundredths of a second.
pub const NS_PER_TICK: u64 = 10_000_000;

/// Nanoseconds since boot, suspended time included: the clock of events.
pub fn boot_ns() -> u64 {
    read(ClockId::CLOCK_BOOTTIME)
}

/// Nanoseconds since 1970.
pub fn wall_ns() -> u64 {
    read(ClockId::CLOCK_REALTIME)
}

/// The difference between both clocks. It changes when somebody sets the time, so ask again now and then.
#[derive(Debug, Clone, Copy)]
pub struct BootToWall(u64);

impl BootToWall {
    /// As it is now.
    pub fn now() -> Self {
        Self(wall_ns().saturating_sub(boot_ns()))
    }

    /// The wall clock's time of an event.
    pub fn wall(self, boot_ns: u64) -> u64 {
        self.0.saturating_add(boot_ns)
    }
}

/// A clock that can not be read reads 0: no decision depends on it.
fn read(clock: ClockId) -> u64 {
    clock_gettime(clock).map_or(0, |time| {
        u64::try_from(time.tv_sec())
            .unwrap_or(0)
            .saturating_mul(NS_PER_SEC)
            .saturating_add(u64::try_from(time.tv_nsec()).unwrap_or(0))
    })
}
