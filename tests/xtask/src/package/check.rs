//! Both packages from all sides: linters, the same bytes again, what they need, and a life of the rpm in a root of its
//! own. The life of the deb needs systemd, and is a test in the VM (`tests/vm/install`), of the two debs made here.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};

use super::{Packing, deb, rpm, stage};
use crate::build::PROGRAMS;
use crate::tools::{self, run, tool};

/// Beside what makes packages: program and the Debian package that has it.
const NEEDED: [(&str, &str); 4] =
    [("lintian", "lintian"), ("rpmlint", "rpmlint"), ("busybox", "busybox-static"), ("dpkg-deb", "dpkg")];

/// The glibc of EL9, AL2023 and Ubuntu 22.04 is at least this one; a newer symbol would not be found there.
const GLIBC: [u32; 2] = [2, 34];

/// All that the rpm may need of others.
const LIBRARIES: [&str; 6] =
    ["ld-linux-x86-64.so.2", "libc.so.6", "libelf.so.1", "libgcc_s.so.1", "libm.so.6", "libz.so.1"];
const OTHERS: [&str; 4] = ["/bin/sh", "config(agentguard)", "rtld(GNU_HASH)", "systemd"];

const CONFIGURATION: &str = "etc/agentguard/agentd.toml";

/// Makes two revisions of each, and checks them. Each check is a line; the last line counts them.
pub(super) fn run_all(packing: &Packing, programs: &Path) -> Result<ExitCode> {
    let needed = [NEEDED.as_slice(), &deb::NEEDED, &rpm::NEEDED].concat();
    tools::install("package check", &tools::missing(&needed))?;
    let staged = stage::stage(packing, programs)?;
    let again = deb::make(packing, &staged, 1)?;
    let again = (digest(&again)?, again);
    let debs = [deb::make(packing, &staged, 1)?, deb::make(packing, &staged, 2)?];
    let rpms = [rpm::make(packing, &staged, 1)?, rpm::make(packing, &staged, 2)?];
    let [deb, _] = &debs;
    let [rpm, _] = &rpms;

    let mut checks = Checks::default();
    checks.check("the deb is made of the same bytes again", || {
        ensure!(digest(deb)? == again.0, "{} differs when it is made a second time", again.1.display());
        Ok(())
    });
    checks.check("lintian has nothing to say about the deb", || {
        run(tool("lintian")
            .args(["--allow-root", "--fail-on", "error,warning", "--no-tag-display-limit"])
            .arg(deb))
        .map(drop)
    });
    checks.check("the deb's only conffile is the configuration", || {
        let conffiles = run(tool("dpkg-deb").arg("--info").arg(deb).arg("conffiles"))?;
        ensure!(conffiles.trim() == format!("/{CONFIGURATION}"), "conffiles: {conffiles}");
        Ok(())
    });
    checks.check("rpmlint has nothing to say about the rpm", || {
        let config = packing.source("rpm").join("rpmlint.toml");
        let said = run(tool("rpmlint").arg("--config").arg(config).arg(rpm))?;
        ensure!(said.contains(" 0 errors, 0 warnings"), "{said}");
        Ok(())
    });
    checks.check("the rpm needs few libraries, and no glibc that is too new for EL9", || needs_little(rpm));
    if nix::unistd::geteuid().is_root() {
        checks.check("the rpm lives in a root of its own: install, change, upgrade, erase", || {
            lives_in_a_root(&rpms, deb)
        });
    } else {
        checks.skipped += 1;
        println!("skipped the rpm in a root of its own: needs root");
    }
    Ok(checks.finish())
}

#[derive(Default)]
struct Checks {
    passed: u32,
    skipped: u32,
    failures: Vec<String>,
}

impl Checks {
    fn check(&mut self, name: &str, test: impl FnOnce() -> Result<()>) {
        match test() {
            Ok(()) => {
                self.passed += 1;
                println!("ok      {name}");
            }
            Err(error) => {
                self.failures.push(name.to_owned());
                println!("FAILED  {name}\n{error:#}");
            }
        }
    }

    fn finish(&self) -> ExitCode {
        for name in &self.failures {
            println!("test packages: {name} ... FAILED");
        }
        println!("{} passed, {} failed, {} skipped", self.passed, self.failures.len(), self.skipped);
        ExitCode::from(u8::from(!self.failures.is_empty()))
    }
}

fn digest(file: &Path) -> Result<String> {
    let line = run(tool("sha256sum").arg(file))?;
    Ok(line.split(' ').next().unwrap_or_default().to_owned())
}

fn needs_little(rpm: &Path) -> Result<()> {
    let needs = run(tool("rpm").args(["-qp", "--requires"]).arg(rpm))?;
    let mut libraries = BTreeSet::new();
    for need in needs.lines() {
        let name = need.split(' ').next().unwrap_or_default();
        if OTHERS.contains(&name) || name.starts_with("rpmlib(") {
            continue;
        }
        let library = name.split('(').next().unwrap_or_default();
        ensure!(LIBRARIES.contains(&library), "it needs {need}, which nobody decided");
        ensure!(!is_too_new(name), "it needs {need}, newer than {GLIBC:?}");
        libraries.insert(library);
    }
    ensure!(libraries.contains("libc.so.6"), "nothing was found out: {needs}");
    Ok(())
}

/// Whether `libc.so.6(GLIBC_2.35)(64bit)` names a version that is not everywhere.
fn is_too_new(need: &str) -> bool {
    need.split_once("(GLIBC_").and_then(|(_, rest)| rest.split_once(')')).is_some_and(|(version, _)| {
        let parts: Option<Vec<u32>> = version.split('.').map(|part| part.parse().ok()).collect();
        // What is no number (GLIBC_PRIVATE) is for nobody.
        parts.is_none_or(|parts| parts.as_slice() > GLIBC.as_slice())
    })
}

/// A shell, the libraries that the programs are linked to, and nothing else: so that scriptlets and programs really run.
fn small_root(root: &Path, unpacked: &Path) -> Result<()> {
    for folder in ["bin", "etc", "var/lib/rpm", "tmp"] {
        fs::create_dir_all(root.join(folder))?;
    }
    let busybox = run(tool("sh").args(["-c", "command -v busybox"]))?;
    fs::copy(busybox.trim(), root.join("bin/busybox"))?;
    symlink("busybox", root.join("bin/sh"))?;
    for program in PROGRAMS {
        for word in run(tool("ldd").arg(unpacked.join(program)))?.split_whitespace() {
            if let Some(path) = word.strip_prefix('/') {
                let target = root.join(path);
                fs::create_dir_all(target.parent().context("a library at /")?)?;
                fs::copy(word, target)?;
            }
        }
    }
    Ok(())
}

fn lives_in_a_root(rpms: &[PathBuf; 2], deb: &Path) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let root = folder.path();
    let unpacked = tempfile::tempdir()?;
    run(tool("dpkg-deb").arg("--extract").arg(deb).arg(unpacked.path()))?;
    small_root(root, unpacked.path())?;
    let rpm = |arguments: &[&str]| {
        // Which packages there are is not asked: the root has none, and what this one needs is checked by itself.
        let mut command = tool("rpm");
        command.arg("--root").arg(root).args(["--dbpath", "/var/lib/rpm", "--nodeps"]).args(arguments);
        run(&mut command)
    };
    let [first, second] = rpms;
    let before = files(root)?;

    rpm(&["--install", &first.to_string_lossy()]).context("install")?;
    same_programs(root, unpacked.path())?;
    for program in ["agentd", "agentctl"] {
        run(tool("chroot").arg(root).args([program, "--version"])).context("installed, it does not run")?;
    }
    let configuration = root.join(CONFIGURATION);
    let changed = format!("{}\nlog_level = \"debug\"\n", fs::read_to_string(&configuration)?);
    fs::write(&configuration, &changed)?;
    fs::create_dir_all(root.join("var/lib/agentguard"))?;
    fs::write(root.join("var/lib/agentguard/records.db"), "")?;

    rpm(&["--upgrade", &second.to_string_lossy()]).context("upgrade")?;
    ensure!(fs::read_to_string(&configuration)? == changed, "the upgrade replaced the configuration");

    rpm(&["--erase", "agentguard"]).context("erase")?;
    let left: Vec<PathBuf> = files(root)?.difference(&before).cloned().collect();
    let kept = ["etc/agentguard/agentd.toml.rpmsave", "var/lib/agentguard/records.db"].map(PathBuf::from);
    ensure!(left == kept, "left: {left:?}");
    Ok(())
}

/// The rpm's, in a root, and the deb's, as they were unpacked.
fn same_programs(root: &Path, unpacked: &Path) -> Result<()> {
    for program in PROGRAMS {
        let (ours, theirs) = (digest(&root.join(program))?, digest(&unpacked.join(program))?);
        ensure!(ours == theirs, "{program} of the rpm is not that of the deb");
    }
    Ok(())
}

/// All files below a root but rpm's own.
fn files(root: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() && !path.is_symlink() {
                waiting.push(path);
            } else {
                files.insert(path.strip_prefix(root)?.to_owned());
            }
        }
    }
    files.retain(|file| !file.starts_with("var/lib/rpm"));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_glibc_is_noticed_and_an_older_one_is_not() {
        for (need, too_new) in [
            ("libc.so.6()(64bit)", false),
            ("libc.so.6(GLIBC_2.2.5)(64bit)", false),
            ("libc.so.6(GLIBC_2.34)(64bit)", false),
            ("libc.so.6(GLIBC_2.35)(64bit)", true),
            ("libm.so.6(GLIBC_2.100)(64bit)", true),
            ("libc.so.6(GLIBC_PRIVATE)(64bit)", true),
            ("libz.so.1(ZLIB_1.2.3.3)(64bit)", false),
        ] {
            assert_eq!(is_too_new(need), too_new, "{need}");
        }
    }
}
