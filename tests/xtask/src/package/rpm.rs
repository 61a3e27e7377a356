//! The rpm, made by rpmbuild from `packaging/rpm`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{NAME, Packing, VERSION};
use crate::tools::{run, tool};

/// Program and the Debian package that has it.
pub(super) const NEEDED: [(&str, &str); 2] = [("rpmbuild", "rpm"), ("strip", "binutils")];

/// As packages of EL9 and AL2023 are compressed.
const COMPRESSION: &str = "w19.zstdio";
/// For packages that are thrown away.
const QUICK: &str = "w1.zstdio";

/// Makes one, and says where it is.
pub(super) fn make(packing: &Packing, staged: &Path, revision: u32) -> Result<PathBuf> {
    let work = packing.folder("rpm")?;
    let mut build = tool("rpmbuild");
    build.args(["-bb", "--quiet", "--target", "x86_64"]);
    build.env("SOURCE_DATE_EPOCH", packing.date_sec.to_string());
    for (name, value) in [
        ("_topdir", work.display().to_string()),
        ("staged", staged.display().to_string()),
        ("package_version", VERSION.to_owned()),
        ("package_revision", revision.to_string()),
        ("package_date", packing.date("+%a %b %d %Y")?),
        ("_binary_payload", (if packing.quick { QUICK } else { COMPRESSION }).to_owned()),
    ] {
        build.args(["--define", &format!("{name} {value}")]);
    }
    run(build.arg(packing.source("rpm").join("agentguard.spec"))).context("cannot make the rpm")?;
    packing.deliver(&work.join("RPMS/x86_64").join(format!("{NAME}-{VERSION}-{revision}.x86_64.rpm")))
}
