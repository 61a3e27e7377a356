//! One QEMU: its arguments, its start, and its end on every way out.

use std::ffi::OsString;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::kernel::Kernel;
use crate::tools::{last_lines, tool};

/// The name of the port to the guest, on both sides.
pub(crate) const PORT: &str = "agentguard.vm";

/// What `tests/vm/init` prints first.
const USER_SPACE: &str = "agentguard-vm: user space";

/// QEMU opens its socket before it does anything slow.
const SOCKET_DEADLINE: Duration = Duration::from_secs(20);

/// The kernel's number for "copies and clears pages with `rep`"; only newer kernels know it by name.
const REP_GOOD: u32 = 112;

/// All processors in turns. QEMU before 8.1, with a thread for each, can keep what it made of an instruction that another
/// processor has just changed: attaching a hook does that, and a guest that is caught by it never gets on.
const ONE_THREAD: &str = "tcg,thread=single";

/// Seconds; a processor that gets nowhere for twice as long is taken for hung, and the kernel panics.
const HUNG_SEC: u32 = 60;

/// What TCG is slow at: `rep` instructions, which it does byte by byte, and a fifth level of page tables to walk.
const SLOW_FEATURES: &str = "-erms,-fsrm,-la57";

/// How much of the console is shown when a boot fails.
const CONSOLE_LINES: usize = 40;

/// A disk as the guest sees it.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    pub(crate) path: PathBuf,
    /// The name that the guest knows it by; at most 20 bytes.
    pub(crate) serial: String,
    /// Written to the file itself, rather than to a snapshot or not at all.
    pub(crate) keep: bool,
}

/// Everything that makes one VM differ from another.
#[derive(Clone, Debug)]
pub(crate) struct MachineSpec {
    pub(crate) kernel: Kernel,
    pub(crate) bpf_lsm: bool,
    /// Time is counted in instructions.
    pub(crate) icount: bool,
    pub(crate) disks: Vec<Disk>,
    /// Console log, socket and snapshots are here.
    pub(crate) run_directory: PathBuf,
}

impl MachineSpec {
    fn console(&self) -> PathBuf {
        self.run_directory.join("console.log")
    }

    fn socket(&self) -> PathBuf {
        self.run_directory.join("port.sock")
    }

    fn kernel_command_line(&self) -> String {
        // Names that a kernel does not know are ignored by it, so one list fits all of them.
        let mut modules = String::from("landlock,lockdown,yama,integrity");
        if self.bpf_lsm {
            modules.push_str(",bpf");
        }
        // A panic ends QEMU. Mitigations protect nothing in here and cost a lot when emulated, and so do addresses that
        // differ from one process to the next: TCG translates a program anew for each place that it is mapped at.
        format!(
            "console=ttyS0 panic=-1 softlockup_panic=1 watchdog_thresh={HUNG_SEC} mitigations=off norandmaps \
             clearcpuid={REP_GOOD} tsc=reliable lsm={modules}"
        )
    }

    /// QEMU's arguments. No KVM: it is often missing and at times hangs; TCG runs everywhere.
    fn arguments(&self) -> Vec<OsString> {
        let plain = if self.kernel.needs_plain_cpu() { ",-cx16" } else { "" };
        let cpu = format!("max{plain},{SLOW_FEATURES}");
        let processors = if self.icount { "1" } else { "2" };
        let mut arguments: Vec<OsString> = [
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-display",
            "none",
            "-nic",
            "none",
            "-M",
            "q35",
            "-accel",
            ONE_THREAD,
            "-cpu",
            &cpu,
            "-smp",
            processors,
            "-m",
            "2048",
        ]
        .map(OsString::from)
        .to_vec();
        let mut push = |flag: &str, value: OsString| arguments.extend([flag.into(), value]);
        if self.icount {
            // One nanosecond for each instruction, and none while all processors sleep.
            push("-icount", "shift=0,sleep=off".into());
        }
        push("-kernel", self.kernel.image.clone().into());
        push("-initrd", self.kernel.initramfs.clone().into());
        push("-append", self.kernel_command_line().into());
        push("-chardev", option("file,id=console,path=", &self.console()));
        push("-serial", "chardev:console".into());
        push("-device", "virtio-serial-pci".into());
        push("-chardev", {
            let mut value = option("socket,id=port,path=", &self.socket());
            value.push(",server=on,wait=off");
            value
        });
        push("-device", format!("virtserialport,chardev=port,name={PORT}").into());
        for disk in &self.disks {
            let Disk { serial, keep, .. } = disk;
            let mut drive = option("if=none,format=raw,cache=unsafe,file=", &disk.path);
            drive.push(format!(",id={serial},snapshot={}", if *keep { "off" } else { "on" }));
            push("-drive", drive);
            push("-device", format!("virtio-blk-pci,drive={serial},serial={serial}").into());
        }
        arguments
    }
}

/// A comma inside a value is written twice.
fn option(prefix: &str, path: &Path) -> OsString {
    format!("{prefix}{}", path.display().to_string().replace(',', ",,")).into()
}

/// A running QEMU; dropping it ends it.
pub(crate) struct Machine {
    child: Child,
    pub(crate) line: UnixStream,
    pub(crate) started: Instant,
    console: PathBuf,
}

impl Machine {
    /// Starts QEMU and connects to the guest's port.
    pub(crate) fn start(spec: &MachineSpec) -> Result<Self> {
        let socket = spec.socket();
        // Left over from an attempt that failed.
        for path in [&socket, &spec.console()] {
            if path.exists() {
                std::fs::remove_file(path)?;
            }
        }
        let errors = std::fs::File::create(spec.run_directory.join("qemu.log"))?;
        // setpriv: QEMU must not outlive this process, even one that was killed. A group of its own: Ctrl-C
        // on the terminal goes to this process alone, which then cleans up.
        let mut child = tool("setpriv")
            .args(["--pdeathsig", "KILL", "qemu-system-x86_64"])
            .args(spec.arguments())
            .env("TMPDIR", &spec.run_directory)
            .stdout(Stdio::null())
            .stderr(errors)
            .process_group(0)
            .spawn()
            .context("cannot start qemu-system-x86_64")?;
        let started = Instant::now();
        let line = loop {
            if let Ok(line) = UnixStream::connect(&socket) {
                break line;
            }
            let ended = child.try_wait()?;
            if ended.is_some() || started.elapsed() > SOCKET_DEADLINE {
                // Both calls can only fail because it has ended already.
                let _ = child.kill();
                let _ = child.wait();
                let errors = std::fs::read_to_string(spec.run_directory.join("qemu.log")).unwrap_or_default();
                bail!("QEMU did not start\n{}", last_lines(&errors, CONSOLE_LINES));
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        Ok(Self { child, line, started, console: spec.console() })
    }

    /// For the watcher of signals, which cannot own the machine.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether the kernel got as far as its first process.
    pub(crate) fn reached_user_space(&self) -> bool {
        read_lossy(&self.console).contains(USER_SPACE)
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// The end of the kernel's and systemd's console.
    pub(crate) fn console_tail(&self) -> String {
        last_lines(&read_lossy(&self.console), CONSOLE_LINES)
    }

    /// Keeps the console log; the last run of each kind wins.
    pub(crate) fn save_console(&self, to: &Path) -> Result<()> {
        let fresh = to.with_extension(format!("{}.tmp", std::process::id()));
        std::fs::copy(&self.console, &fresh)?;
        std::fs::rename(&fresh, to).with_context(|| format!("cannot write {}", to.display()))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Nothing inside is worth an orderly shutdown: its disks are thrown away, shares are synced before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_lossy(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(release: &str, bpf_lsm: bool) -> MachineSpec {
        MachineSpec {
            kernel: Kernel {
                release: release.into(),
                image: "/c/vmlinuz".into(),
                initramfs: "/c/initramfs".into(),
                modules: "/c/modules".into(),
            },
            bpf_lsm,
            icount: false,
            disks: vec![
                Disk { path: "/c/a,b.ext4".into(), serial: "root".into(), keep: false },
                Disk { path: "/r/share".into(), serial: "share0".into(), keep: true },
            ],
            run_directory: "/r".into(),
        }
    }

    fn joined(spec: &MachineSpec) -> String {
        spec.arguments().iter().map(|a| a.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn bpf_is_in_the_list_only_when_asked_for() {
        assert!(
            joined(&spec("6.1.0-50-cloud-amd64", true)).contains("lsm=landlock,lockdown,yama,integrity,bpf")
        );
        assert!(!joined(&spec("6.1.0-50-cloud-amd64", false)).contains("bpf"));
    }

    #[test]
    fn each_kernel_gets_the_cpu_that_it_runs_on() {
        assert!(joined(&spec("6.1.0-50-cloud-amd64", true)).contains("-cpu max,-erms"));
        assert!(joined(&spec("6.12.107+deb13-cloud-amd64", true)).contains("-cpu max,-cx16,-erms"));
        assert!(joined(&spec("7.2.13+deb14-cloud-amd64", true)).contains("-cpu max,-erms"));
    }

    #[test]
    fn only_shares_are_written_and_commas_are_escaped() {
        let arguments = joined(&spec("6.1.0-50-cloud-amd64", true));
        assert!(arguments.contains("file=/c/a,,b.ext4,id=root,snapshot=on"), "{arguments}");
        assert!(arguments.contains("file=/r/share,id=share0,snapshot=off"), "{arguments}");
    }

    #[test]
    fn counted_time_has_one_processor() {
        let timed = joined(&spec("6.1.0-50-cloud-amd64", true));
        assert!(
            timed.contains("thread=single -cpu max") && timed.contains("-smp 2") && !timed.contains("icount"),
            "{timed}"
        );
        let counted = joined(&MachineSpec { icount: true, ..spec("6.1.0-50-cloud-amd64", true) });
        assert!(counted.contains("thread=single -cpu max") && counted.contains("-smp 1"), "{counted}");
        assert!(counted.contains("-icount shift=0,sleep=off"), "{counted}");
    }

    #[test]
    fn there_is_no_way_out_and_no_kvm() {
        let arguments = joined(&spec("6.1.0-50-cloud-amd64", true));
        assert!(arguments.contains("-nic none") && !arguments.contains("kvm"), "{arguments}");
    }
}
