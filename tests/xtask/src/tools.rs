//! The host's own programs: how they are run, and how those that are missing are installed.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// How many lines of a failed program's stderr are worth showing.
const ERROR_LINES: usize = 12;

/// Packages that have the programs which this host lacks.
pub(crate) fn missing(needed: &[(&str, &'static str)]) -> Vec<&'static str> {
    needed.iter().filter(|(program, _)| !is_on_path(program)).map(|&(_, package)| package).collect()
}

/// Installs packages with apt, if there are any to install; `who` wants them.
pub(crate) fn install(who: &str, packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    eprintln!("{who}: installing {}", packages.join(" "));
    run(as_root("apt-get").args(["-q", "update"]))?;
    run(as_root("apt-get")
        .args(["-q", "-y", "--no-install-recommends", "install"])
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive"))
    .with_context(|| format!("cannot install what {who} needs"))?;
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
pub(crate) fn tool(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    command
}

/// The same, as root.
pub(crate) fn as_root(program: &str) -> Command {
    if nix::unistd::geteuid().is_root() {
        return tool(program);
    }
    let mut command = tool("sudo");
    command.arg(program);
    command
}

/// Runs to the end and returns stdout; a failure carries the end of stderr.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{name}: {}\n{}", output.status, last_lines(&stderr, ERROR_LINES));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The last `count` lines of `text`.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
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
