//! What agentd may do once the kernel programs are attached: from then on it loads nothing, mounts nothing and is nobody else.

use anyhow::{Context, Result};
use caps::{CapSet, Capability, CapsHashSet};

/// What the running daemon needs, and for what.
const KEPT: [Capability; 8] = [
    Capability::CAP_BPF,             // maps, and attaching to cgroups
    Capability::CAP_NET_ADMIN,       // attaching packet programs to cgroups of new agents
    Capability::CAP_SYS_PTRACE,      // /proc and descriptors of other users' processes
    Capability::CAP_KILL,            // agents that have to stop
    Capability::CAP_DAC_READ_SEARCH, // executables that are granted by hash, specs
    Capability::CAP_DAC_OVERRIDE,    // files of agents' scratch directories
    Capability::CAP_CHOWN,           // scratch directories, the socket's group
    Capability::CAP_FOWNER,          // removing what agents left in them
];

/// Gives up everything else for this thread and all that it starts. Call it before any other thread is there.
///
/// # Errors
/// When the kernel refuses.
pub fn drop_after_attach() -> Result<()> {
    let held = caps::read(None, CapSet::Permitted).context("reading capabilities")?;
    let kept: CapsHashSet = KEPT.into_iter().filter(|wanted| held.contains(wanted)).collect();
    for set in [CapSet::Ambient, CapSet::Inheritable] {
        caps::clear(None, set).context("giving up capabilities")?;
    }
    caps::set(None, CapSet::Effective, &kept).context("giving up capabilities")?;
    caps::set(None, CapSet::Permitted, &kept).context("giving up capabilities")
}
