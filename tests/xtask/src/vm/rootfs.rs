//! The root file system of the VM: a Debian made by mmdebstrap, as one ext4 image, without loop devices.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::KEYRING;
use super::cache::Cache;
use super::mirror::configured_mirror;
use super::progress::Progress;
use crate::tools::{as_root, run};

const PACKAGES: &str = include_str!("../../../vm/packages.txt");
const CUSTOMIZE: &str = include_str!("../../../vm/customize.sh");
const SUITE: &str = "bookworm";

/// Sparse, so only what is used takes space on the host; tests get the rest.
const IMAGE_SIZE: &str = "6G";

/// Without a journal (a run's changes are thrown away) and with the inode tables ready, so that no kernel
/// thread writes zeros while something is measured.
const MKE2FS: [&str; 10] = [
    "-q",
    "-t",
    "ext4",
    "-m",
    "0",
    "-O",
    "^has_journal",
    "-N",
    "262144",
    "-Elazy_itable_init=0,root_owner=0:0",
];

fn recipe() -> String {
    format!("{SUITE} {IMAGE_SIZE} {}\n{PACKAGES}\n{CUSTOMIZE}", MKE2FS.join(" "))
}

/// The image, from the cache or else built now.
pub(super) fn prepare(cache: &Cache, progress: Progress) -> Result<PathBuf> {
    let directory = cache.rootfs(&recipe());
    let image = directory.join("root.ext4");
    if image.exists() {
        return Ok(image);
    }
    let work = cache.work_directory("rootfs")?;
    let tree = work.path().join("tree");
    let built = build(work.path(), &tree, progress);
    // The tree belongs to root, also where the caller is not.
    run(as_root("rm").arg("-rf").arg(&tree))?;
    built.context("cannot build the root file system")?;
    cache.publish(&work.path().join("out"), &directory)?;
    Ok(image)
}

fn build(work: &Path, tree: &Path, progress: Progress) -> Result<()> {
    let customize = work.join("customize.sh");
    std::fs::write(&customize, CUSTOMIZE)?;
    let mirror = configured_mirror()?;
    let packages: Vec<&str> =
        PACKAGES.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    {
        let _step = progress.step(format!("building the root file system ({SUITE}, about half a minute)"));
        run(as_root("mmdebstrap")
            .args(["--mode=root", "--variant=minbase", "--format=directory"])
            .arg(format!("--include={}", packages.join(",")))
            .arg(format!("--customize-hook=sh {} \"$1\"", customize.display()))
            .arg(SUITE)
            .arg(tree)
            .arg(format!("deb [signed-by={KEYRING}] {mirror} {SUITE} main")))?;
    }
    let _step = progress.step("writing the root file system's image");
    let out = work.join("out");
    std::fs::create_dir(&out)?;
    let image = out.join("root.ext4");
    run(as_root("mke2fs").args(MKE2FS).arg("-d").arg(tree).arg(&image).arg(IMAGE_SIZE))?;
    // Every VM opens it read only and writes to a snapshot of its own.
    run(as_root("chmod").arg("0644").arg(&image))?;
    Ok(())
}
