//! Kernels by name: which package a name means, and what of that package the VM needs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, anyhow};

use super::archive::Archive;
use super::cache::Cache;
use super::initramfs;
use super::progress::Progress;
use crate::tools::{run, tool};

/// The oldest series on which everything is supported.
const OLDEST: Series = Series { major: 6, minor: 1 };

/// What `--kernel` was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KernelName {
    Series(Series),
    /// The newest that the archive offers.
    Newest,
    /// The oldest that is fully supported.
    Oldest,
}

/// `6.1`, for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Series {
    major: u32,
    minor: u32,
}

impl FromStr for KernelName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "newest" => return Ok(Self::Newest),
            "oldest" => return Ok(Self::Oldest),
            _ => {}
        }
        text.split_once('.')
            .and_then(|(major, minor)| {
                Some(Series { major: major.parse().ok()?, minor: minor.parse().ok()? })
            })
            .map(Self::Series)
            .ok_or_else(|| format!("{text} is no kernel: write a series such as 6.1, or newest, or oldest"))
    }
}

impl fmt::Display for KernelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Series(Series { major, minor }) => write!(f, "{major}.{minor}"),
            Self::Newest => f.write_str("newest"),
            Self::Oldest => Self::Series(OLDEST).fmt(f),
        }
    }
}

/// A kernel package, ordered by version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KernelPackage {
    numbers: Vec<u32>,
    release: String,
}

impl KernelPackage {
    /// Reads `linux-image-<release>`; debug symbols and unsigned copies are not kernels to boot.
    fn parse(package: &str) -> Option<Self> {
        let release = package.strip_prefix("linux-image-")?;
        let version = release.strip_suffix("-cloud-amd64")?;
        let numbers =
            version.split(['.', '-', '+']).map_while(|part| part.parse().ok()).collect::<Vec<u32>>();
        (numbers.len() >= 2).then(|| Self { numbers, release: release.to_owned() })
    }

    fn series(&self) -> Option<Series> {
        match self.numbers.as_slice() {
            &[major, minor, ..] => Some(Series { major, minor }),
            _ => None,
        }
    }

    fn name(&self) -> String {
        format!("linux-image-{}", self.release)
    }
}

/// The newest package that `name` allows.
fn choose(packages: &[String], name: KernelName) -> Option<KernelPackage> {
    packages
        .iter()
        .filter_map(|package| KernelPackage::parse(package))
        .filter(|package| match name {
            KernelName::Newest => true,
            KernelName::Oldest => package.series() == Some(OLDEST),
            KernelName::Series(series) => package.series() == Some(series),
        })
        .max()
}

/// A kernel that is ready to boot.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    pub(crate) release: String,
    pub(crate) image: PathBuf,
    pub(crate) initramfs: PathBuf,
    /// An ext4 image with the modules, mounted at `/usr/lib/modules`.
    pub(crate) modules: PathBuf,
}

impl Kernel {
    /// 6.12 crashed at times in early boot with every feature of `-cpu max` on QEMU 7.2; without cmpxchg16b it is
    /// steadier. From 6.19 on BPF task storage is allocated by kmalloc_nolock, which needs cmpxchg16b.
    pub(crate) fn needs_plain_cpu(&self) -> bool {
        KernelPackage::parse(&format!("linux-image-{}", self.release))
            .and_then(|package| package.series())
            .is_some_and(|series| {
                series >= Series { major: 6, minor: 12 } && series < Series { major: 6, minor: 19 }
            })
    }

    fn in_directory(directory: &Path) -> Option<Self> {
        let release = std::fs::read_to_string(directory.join("release")).ok()?;
        Some(Self {
            release,
            image: directory.join("vmlinuz"),
            initramfs: directory.join("initramfs.cpio"),
            modules: directory.join("modules.ext4"),
        })
    }
}

/// The kernel called `name`, from the cache or else from the archive.
pub(super) fn prepare(cache: &Cache, name: KernelName, refresh: bool, progress: Progress) -> Result<Kernel> {
    let directory = cache.kernel(&name.to_string(), &initramfs::recipe());
    if !refresh && let Some(kernel) = Kernel::in_directory(&directory) {
        return Ok(kernel);
    }
    let work = cache.work_directory("kernel")?;
    let package = fetch(cache, name, refresh, work.path(), progress).or_else(|error| {
        if refresh {
            return Err(error);
        }
        // A mirror drops old versions: an index of last month names packages that are gone.
        progress.note(&format!("{error:#}; trying again with a fresh package index"));
        fetch(cache, name, true, work.path(), progress)
    })?;
    let _step = progress.step(format!("preparing kernel {}", package.release));
    unpack(work.path(), &package.release)
        .with_context(|| format!("cannot prepare kernel {}", package.release))?;
    cache.publish(&work.path().join("out"), &directory)?;
    Kernel::in_directory(&directory)
        .ok_or_else(|| anyhow!("the kernel cache in {} is damaged", directory.display()))
}

fn fetch(
    cache: &Cache,
    name: KernelName,
    refresh: bool,
    target: &Path,
    progress: Progress,
) -> Result<KernelPackage> {
    let archive = Archive::open(&cache.root, refresh, progress)?;
    let package = choose(&archive.kernel_packages()?, name)
        .ok_or_else(|| anyhow!("the archive has no kernel {name}; see --list-kernels"))?;
    let _step = progress.step(format!("fetching kernel {}", package.release));
    archive.download_kernel(&package.name(), &package.release, target)?;
    Ok(package)
}

/// Makes `out/` from the packages in `work`.
fn unpack(work: &Path, release: &str) -> Result<()> {
    let tree = work.join("tree");
    let out = work.join("out");
    std::fs::create_dir_all(&out)?;
    for entry in std::fs::read_dir(work)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "deb") {
            run(tool("dpkg-deb").arg("-x").arg(&path).arg(&tree))?;
        }
    }
    // /lib became a link to /usr/lib, and newer packages already ship the merged path.
    let modules = [tree.join("usr/lib/modules"), tree.join("lib/modules")]
        .into_iter()
        .map(|parent| parent.join(release))
        .find(|path| path.exists())
        .ok_or_else(|| anyhow!("the package has no modules"))?;
    let first_of = |paths: [PathBuf; 2], what: &str| {
        paths.into_iter().find(|path| path.exists()).ok_or_else(|| anyhow!("the package has no {what}"))
    };
    let boot = tree.join("boot");
    let image = first_of([boot.join(format!("vmlinuz-{release}")), modules.join("vmlinuz")], "kernel image")?;
    std::fs::rename(image, out.join("vmlinuz"))?;
    if let Ok(config) =
        first_of([boot.join(format!("config-{release}")), modules.join("config")], "configuration")
    {
        std::fs::rename(config, modules.join("config"))?;
    }
    // Decompressing on the host once is cheaper than under emulation on every load.
    run(tool("find").arg(&modules).args(["-name", "*.ko.xz", "-exec", "xz", "--decompress", "{}", "+"]))?;
    run(tool("find")
        .arg(&modules)
        .args(["-name", "*.ko.zst", "-exec", "zstd", "-q", "-d", "--rm", "{}", "+"]))?;

    // depmod wants to find lib/modules below its base.
    let base = work.join("base");
    let merged = base.join("lib/modules");
    std::fs::create_dir_all(&merged)?;
    std::fs::rename(&modules, merged.join(release))?;
    run(tool("depmod").arg("-b").arg(&base).arg(release))?;
    initramfs::build(&merged.join(release), &work.join("initramfs"), &out.join("initramfs.cpio"))?;
    run(tool("mke2fs")
        .args(["-q", "-t", "ext4", "-m", "0", "-O", "^has_journal", "-E", "root_owner=0:0", "-d"])
        .arg(&merged)
        .arg(out.join("modules.ext4"))
        .arg("512M"))?;
    std::fs::write(out.join("release"), release)?;
    Ok(())
}

/// What `--list-kernels` prints.
pub(super) fn list(cache: &Cache, refresh: bool, progress: Progress) -> Result<String> {
    let packages = Archive::open(&cache.root, refresh, progress)?.kernel_packages()?;
    let mut series: Vec<Series> =
        packages.iter().filter_map(|package| KernelPackage::parse(package)?.series()).collect();
    series.sort();
    series.dedup();
    let names = series.into_iter().map(KernelName::Series).chain([KernelName::Oldest, KernelName::Newest]);
    let mut text = String::new();
    for name in names {
        let cached = Kernel::in_directory(&cache.kernel(&name.to_string(), &initramfs::recipe()));
        let offered = choose(&packages, name).map_or_else(|| "-".to_owned(), |package| package.release);
        let label = if name == KernelName::Oldest { "oldest".to_owned() } else { name.to_string() };
        let state = match cached {
            Some(kernel) if kernel.release == offered => "cached".to_owned(),
            Some(kernel) => format!("cached: {}", kernel.release),
            None => "not fetched".to_owned(),
        };
        text.push_str(&format!("{label:<8} {offered:<34} {state}\n"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packages() -> Vec<String> {
        [
            "linux-image-5.10.0-30-cloud-amd64",
            "linux-image-6.1.0-9-cloud-amd64",
            "linux-image-6.1.0-50-cloud-amd64",
            "linux-image-6.1.0-50-cloud-amd64-dbg",
            "linux-image-6.1.0-51-cloud-amd64-unsigned",
            "linux-image-6.12.94+deb13-cloud-amd64",
            "linux-image-6.12.107+deb13-cloud-amd64",
            "linux-image-7.2.9+deb13-cloud-amd64",
            "linux-image-7.2.13+deb14-cloud-amd64",
            "linux-image-cloud-amd64",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    fn chosen(name: &str) -> Option<String> {
        choose(&packages(), name.parse().expect("a name")).map(|package| package.release)
    }

    #[test]
    fn chooses_by_number_and_not_by_letter() {
        assert_eq!(chosen("6.1").as_deref(), Some("6.1.0-50-cloud-amd64"));
        assert_eq!(chosen("6.12").as_deref(), Some("6.12.107+deb13-cloud-amd64"));
        assert_eq!(chosen("5.10").as_deref(), Some("5.10.0-30-cloud-amd64"));
    }

    #[test]
    fn newest_and_oldest_are_names() {
        assert_eq!(chosen("newest").as_deref(), Some("7.2.13+deb14-cloud-amd64"));
        assert_eq!(chosen("oldest"), chosen("6.1"));
    }

    #[test]
    fn an_unknown_series_is_none_and_nonsense_is_refused() {
        assert_eq!(chosen("4.19"), None);
        for text in ["", "6", "six.one", "6.1.0", "-1.2"] {
            assert!(text.parse::<KernelName>().is_err(), "{text}");
        }
    }
}
