//! The initramfs: busybox, a handful of modules in load order, and the script in `tests/vm/init`.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};

use crate::tools::{run, tool};

const INIT: &str = include_str!("../../../vm/init");

/// What the script needs before the root's own modprobe is there. What a kernel has built in is skipped.
const WANTED: [&str; 4] = ["virtio_pci", "virtio_blk", "virtio_console", "dummy"];

/// What the initramfs is made from, for the cache key.
pub(super) fn recipe() -> String {
    format!("{INIT}\n{}", WANTED.join(" "))
}

/// Builds `archive` in the scratch directory `tree` from the modules in `modules` (one kernel's directory).
pub(super) fn build(modules: &Path, tree: &Path, archive: &Path) -> Result<()> {
    for directory in ["bin", "dev", "proc", "sys", "root", "modules"] {
        std::fs::create_dir_all(tree.join(directory))?;
    }
    let busybox = busybox()?;
    std::fs::copy(&busybox, tree.join("bin/busybox"))?;
    std::fs::write(tree.join("init"), INIT)?;
    std::fs::set_permissions(tree.join("init"), Permissions::from_mode(0o755))?;

    let dependencies = std::fs::read_to_string(modules.join("modules.dep"))?;
    let mut order = String::new();
    for path in load_order(&dependencies, &WANTED) {
        let name = path.rsplit('/').next().unwrap_or(path);
        std::fs::copy(modules.join(path), tree.join("modules").join(name))
            .with_context(|| path.to_owned())?;
        order.push_str(name);
        order.push('\n');
    }
    std::fs::write(tree.join("modules/order"), order)?;
    // Not compressed: unpacking under emulation costs more than reading three megabytes.
    run(tool("sh")
        .current_dir(tree)
        .arg("-c")
        .arg("find . | cpio --quiet -o -H newc -R 0:0 >\"$0\"")
        .arg(archive))?;
    Ok(())
}

/// A busybox that needs no libraries.
fn busybox() -> Result<PathBuf> {
    ["/bin/busybox", "/usr/bin/busybox"]
        .map(PathBuf::from)
        .into_iter()
        .find(|path| path.exists())
        .ok_or_else(|| anyhow!("there is no busybox; install busybox-static"))
}

/// Paths of the wanted modules and all they depend on, dependencies first.
fn load_order<'a>(modules_dep: &'a str, wanted: &[&str]) -> Vec<&'a str> {
    let name_of = |path: &str| {
        let file = path.rsplit('/').next().unwrap_or(path);
        file.split('.').next().unwrap_or(file).replace('-', "_")
    };
    let mut order: Vec<&str> = Vec::new();
    for &module in wanted {
        let line = modules_dep
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(path, _)| name_of(path) == module);
        let Some((path, dependencies)) = line else {
            continue;
        };
        // modules.dep lists all that a module needs, the deepest last.
        for path in dependencies.split_whitespace().rev().chain([path]) {
            if !order.contains(&path) {
                order.push(path);
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_dependencies_first_and_once() {
        let dep = "kernel/virtio.ko:\n\
                   kernel/virtio-ring.ko: kernel/virtio.ko\n\
                   kernel/virtio_pci.ko: kernel/virtio-ring.ko kernel/virtio.ko\n\
                   kernel/virtio_blk.ko: kernel/virtio-ring.ko kernel/virtio.ko\n";
        assert_eq!(
            load_order(dep, &["virtio_pci", "virtio_blk", "built_in"]),
            ["kernel/virtio.ko", "kernel/virtio-ring.ko", "kernel/virtio_pci.ko", "kernel/virtio_blk.ko"]
        );
    }
}
