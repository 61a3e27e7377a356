//! A private apt: its own sources and its own state below the cache directory, so that nothing of the
//! host's package configuration is changed by fetching kernels of other releases.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::KEYRING;
use super::mirror::configured_mirror;
use super::progress::Progress;
use crate::tools::{run, tool};

/// The releases whose kernels are offered.
const SUITES: [&str; 5] = ["bullseye", "bookworm", "trixie", "trixie-backports", "sid"];

/// Debian's package archive, as seen through a private apt.
pub(super) struct Archive {
    directory: PathBuf,
}

impl Archive {
    /// Opens the private state below `cache`; fetches the package index when there is none or `refresh` is set.
    pub(super) fn open(cache: &Path, refresh: bool, progress: Progress) -> Result<Self> {
        let archive = Self { directory: cache.join("apt") };
        let fetched = archive.directory.join("fetched");
        if refresh || !fetched.exists() {
            let _step = progress.step("fetching the package index");
            archive.update().context("cannot fetch the package index")?;
            std::fs::write(&fetched, "").context("cannot write the apt state")?;
        }
        Ok(archive)
    }

    fn update(&self) -> Result<()> {
        for part in ["lists/partial", "cache/archives/partial"] {
            std::fs::create_dir_all(self.directory.join(part))?;
        }
        let mirror = configured_mirror()?;
        let sources: String =
            SUITES.iter().map(|suite| format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n")).collect();
        std::fs::write(self.directory.join("sources.list"), sources)?;
        run(self.apt("apt-get").arg("update"))?;
        Ok(())
    }

    /// An apt program that sees only this archive.
    fn apt(&self, program: &str) -> Command {
        let path = |part: &str| self.directory.join(part).display().to_string();
        let mut command = tool(program);
        for option in [
            format!("Dir::Etc::sourcelist={}", path("sources.list")),
            "Dir::Etc::sourceparts=-".into(),
            format!("Dir::State::lists={}", path("lists")),
            format!("Dir::Cache={}", path("cache")),
            // Nothing is installed here, so that no dependency is taken as satisfied.
            "Dir::State::status=/dev/null".into(),
            // The download user of apt cannot write into a private directory.
            "APT::Sandbox::User=root".into(),
            "Acquire::Languages=none".into(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".into(),
            "Acquire::Retries=3".into(),
        ] {
            command.arg("-o").arg(option);
        }
        command
    }

    /// Names of all cloud kernel packages, in no order.
    pub(super) fn kernel_packages(&self) -> Result<Vec<String>> {
        let listing =
            run(self.apt("apt-cache").args(["search", "--names-only", "^linux-image-.*-cloud-amd64$"]))?;
        Ok(listing.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
    }

    /// Downloads `package`, and the packages of the same kernel that it is split into, to `target`.
    pub(super) fn download_kernel(&self, package: &str, release: &str, target: &Path) -> Result<()> {
        let description = run(self.apt("apt-cache").args(["show", package]))?;
        let mut packages = vec![package.to_owned()];
        packages.extend(parts_of_kernel(&description, release));
        run(self.apt("apt-get").current_dir(target).arg("download").args(&packages))
            .with_context(|| format!("cannot download {package}"))?;
        Ok(())
    }
}

/// From 7.0 on a kernel is split: `linux-image-R` depends on `linux-binary-R`, `linux-modules-R`, `linux-base-R`.
fn parts_of_kernel(description: &str, release: &str) -> Vec<String> {
    let mut parts: Vec<String> = description
        .lines()
        .filter_map(|line| line.strip_prefix("Depends:"))
        .flat_map(|depends| depends.split([',', '|']))
        .filter_map(|dependency| dependency.split_whitespace().next())
        .filter(|name| name.starts_with("linux-") && name.ends_with(release))
        .map(str::to_owned)
        .collect();
    parts.sort();
    parts.dedup();
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_packages_a_kernel_is_split_into() {
        let description = "Package: linux-image-7.2.13-cloud-amd64\n\
            Depends: dracut | linux-initramfs-tool, linux-base-7.2.13-cloud-amd64 (= 1), \
            linux-binary-7.2.13-cloud-amd64 (= 1), linux-modules-7.2.13-cloud-amd64 (= 1)\n";
        assert_eq!(
            parts_of_kernel(description, "7.2.13-cloud-amd64"),
            ["base", "binary", "modules"].map(|part| format!("linux-{part}-7.2.13-cloud-amd64"))
        );
        assert!(parts_of_kernel("Depends: kmod, linux-base (>= 4.3~)\n", "6.1.0-50-cloud-amd64").is_empty());
    }
}
