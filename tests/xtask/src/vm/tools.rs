//! The host's own programs: what `xtask vm` needs of them, and how they are run.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Program and the Debian package that has it.
const NEEDED: [(&str, &str); 13] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("mmdebstrap", "mmdebstrap"),
    ("mke2fs", "e2fsprogs"),
    ("cpio", "cpio"),
    ("busybox", "busybox-static"),
    ("depmod", "kmod"),
    ("xz", "xz-utils"),
    ("zstd", "zstd"),
    ("strip", "binutils"),
    ("tar", "tar"),
    ("dpkg-deb", "dpkg"),
    ("setpriv", "util-linux"),
    ("stty", "coreutils"),
];

/// The archive's keys, which verify every package that goes into the VM.
pub(super) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// How many lines of a failed program's stderr are worth showing.
const ERROR_LINES: usize = 12;

/// Installs with apt what this host lacks.
pub(super) fn ensure_installed() -> Result<()> {
    let mut missing: Vec<&str> =
        NEEDED.iter().filter(|(program, _)| !is_on_path(program)).map(|&(_, package)| package).collect();
    if !Path::new(KEYRING).exists() {
        missing.push("debian-archive-keyring");
    }
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("vm: installing {}", missing.join(" "));
    run(as_root("apt-get").args(["-q", "update"]))?;
    run(as_root("apt-get")
        .args(["-q", "-y", "--no-install-recommends", "install"])
        .args(&missing)
        .env("DEBIAN_FRONTEND", "noninteractive"))
    .context("cannot install what the test VM needs")?;
    Ok(())
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // A user's PATH often lacks sbin, where mke2fs and depmod live.
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|directory| directory.join(program).exists())
}

/// A command with sbin on its PATH and no surprises from the user's locale.
pub(super) fn tool(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    command
}

/// The same, as root.
pub(super) fn as_root(program: &str) -> Command {
    if nix::unistd::geteuid().is_root() {
        return tool(program);
    }
    let mut command = tool("sudo");
    command.arg(program);
    command
}

/// Runs to the end and returns stdout; a failure carries the end of stderr.
pub(super) fn run(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{name}: {}\n{}", output.status, last_lines(&stderr, ERROR_LINES));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The last `count` lines of `text`.
pub(super) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(count)..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_lines_copes_with_short_texts() {
        assert_eq!(last_lines("a\nb\nc", 2), "b\nc");
        assert_eq!(last_lines("a", 5), "a");
        assert_eq!(last_lines("", 5), "");
    }

    #[test]
    fn a_failed_program_says_why() {
        let error = run(tool("sh").args(["-c", "echo no such thing >&2; exit 3"])).expect_err("exit 3");
        assert!(format!("{error:#}").contains("no such thing"), "{error:#}");
    }
}
