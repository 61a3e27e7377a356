//! Two real loads: unpacking and building a small C project, and cloning a repository and asking for its status.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::process;

/// Files of the project.
const SOURCES: usize = 30;

/// Makes what the loads start from, below `work`: a project as a tar and as a repository.
pub(crate) fn prepare(work: &Path) -> Result<()> {
    let project = work.join("project");
    fs::create_dir_all(&project)?;
    let mut main = String::from("#include <stdio.h>\n");
    let mut calls = String::new();
    for number in 0..SOURCES {
        let source = format!(
            "#include <stdlib.h>\n#include \"all.h\"\n\
             int part_{number}(int x) {{ int *p = malloc(64); for (int i = 0; i < 16; i++) p[i] = x * i + {number}; \
             x = p[7]; free(p); return x; }}\n"
        );
        fs::write(project.join(format!("part_{number}.c")), source)?;
        write!(calls, " + part_{number}({number})")?;
    }
    let header: String = (0..SOURCES).map(|number| format!("int part_{number}(int x);\n")).collect();
    fs::write(project.join("all.h"), header)?;
    write!(main, "#include \"all.h\"\nint main(void) {{ printf(\"%d\\n\", 0{calls}); return 0; }}\n")?;
    fs::write(project.join("main.c"), main)?;
    fs::write(
        project.join("Makefile"),
        "objects := $(patsubst %.c,%.o,$(wildcard *.c))\nproject: $(objects)\n\t$(CC) -o $@ $^\n%.o: %.c all.h\n\t$(CC) -O0 -c -o $@ $<\n",
    )?;
    quietly(Command::new("tar").current_dir(work).args(["-cf", "project.tar", "project"]))?;
    let git = |words: &[&str]| {
        let name =
            ["-c", "user.name=bench", "-c", "user.email=bench@example.org", "-c", "init.defaultBranch=main"];
        quietly(Command::new("git").current_dir(&project).args(name).args(words))
    };
    git(&["init", "-q"])?;
    git(&["add", "."])?;
    git(&["commit", "-q", "-m", "A project"])
}

/// A load: its name, and what it does in an empty folder beside what was prepared.
pub(crate) type Load = (&'static str, fn(&Path) -> Result<()>);

/// All of them.
pub(crate) const LOADS: [Load; 2] =
    [("untar_and_build", untar_and_build), ("git_clone_and_status", git_clone_and_status)];

fn untar_and_build(folder: &Path) -> Result<()> {
    quietly(Command::new("tar").current_dir(folder).args(["-xf", "../project.tar"]))?;
    quietly(Command::new("make").current_dir(folder.join("project")))
}

fn git_clone_and_status(folder: &Path) -> Result<()> {
    let clone = ["clone", "-q", "--no-hardlinks", "../project", "clone"];
    quietly(Command::new("git").current_dir(folder).args(clone))?;
    quietly(Command::new("git").current_dir(folder.join("clone")).args(["status", "--short"]))
}

/// Runs one in the new folder `folder`: the processor time of its processes. The folder stays: an agent may not delete
/// a repository.
pub(crate) fn run(load: Load, folder: &Path) -> Result<Duration> {
    let (_, work) = load;
    fs::create_dir(folder).with_context(|| folder.display().to_string())?;
    let before = process::cpu_time_of_children()?;
    work(folder)?;
    Ok(process::cpu_time_of_children()?.saturating_sub(before))
}

fn quietly(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
