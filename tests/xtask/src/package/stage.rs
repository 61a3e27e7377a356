//! The tree that both packages are made of: what `packaging/install` puts on a host, with stripped programs and the
//! licenses of the libraries in them.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{NAME, Packing, third_party};
use crate::build::PROGRAMS;
use crate::tools::{run, tool};

/// Writes it.
pub(super) fn stage(packing: &Packing, programs: &Path) -> Result<PathBuf> {
    let staged = packing.folder("staged")?;
    let mut install = tool(packing.source("install"));
    install.current_dir(&packing.workspace).arg("--destdir").arg(&staged).arg("--build-dir").arg(programs);
    run(&mut install)?;
    for program in PROGRAMS {
        run(tool("strip").args(["--strip-unneeded", "--remove-section=.comment"]).arg(staged.join(program)))?;
    }
    let licenses = staged.join("usr/share/doc").join(NAME).join("third-party");
    std::fs::write(licenses, third_party::licenses(&packing.workspace)?)?;
    Ok(staged)
}
