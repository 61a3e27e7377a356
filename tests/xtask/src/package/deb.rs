//! The deb, made by debhelper from `packaging/deb`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{NAME, Packing, VERSION};
use crate::tools::{run, tool};

/// Program and the Debian package that has it.
pub(super) const NEEDED: [(&str, &str); 3] =
    [("dpkg-buildpackage", "dpkg-dev"), ("dh", "debhelper"), ("strip", "binutils")];

/// Makes one, and says where it is.
pub(super) fn make(packing: &Packing, staged: &Path, revision: u32) -> Result<PathBuf> {
    let work = packing.folder("deb")?;
    let source = work.join(format!("{NAME}-{VERSION}"));
    let debian = source.join("debian");
    std::fs::create_dir(&source)?;
    run(tool("cp").arg("--recursive").arg(packing.source("deb")).arg(&debian))?;
    let template = debian.join("changelog.in");
    let changelog = std::fs::read_to_string(&template)
        .with_context(|| template.display().to_string())?
        .replace("@VERSION@", VERSION)
        .replace("@REVISION@", &revision.to_string())
        .replace("@DATE@", &packing.date("--rfc-email")?);
    std::fs::write(debian.join("changelog"), changelog)?;
    std::fs::remove_file(template)?;

    let mut build = tool("dpkg-buildpackage");
    build.args(["--build=binary", "--no-sign"]).current_dir(&source);
    build.env("STAGED", staged).env("SOURCE_DATE_EPOCH", packing.date_sec.to_string());
    if packing.quick {
        build.env("COMPRESSION", "0");
    }
    run(&mut build).context("cannot make the deb")?;
    let stem = format!("{NAME}_{VERSION}-{revision}_amd64");
    packing.deliver(&work.join(format!("{stem}.buildinfo")))?;
    packing.deliver(&work.join(format!("{stem}.deb")))
}
