//! What a folder looked like, to prove that nothing was done to it. Access times are left out: looking changes them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Larger files are compared by their metadata only.
const MAX_CONTENT_BYTES: u64 = 1 << 20;
/// A deeper tree than any scenario makes by paths. What is below is made to be unreachable by a path.
const MAX_DEPTH: u32 = 16;

/// Everything below a folder.
pub(crate) type Snapshot = BTreeMap<PathBuf, Entry>;

/// One file, directory or link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    inode: u64,
    mode: u32,
    owner: (u32, u32),
    links: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    content: Vec<u8>,
}

/// Looks at a folder.
pub(crate) fn take(folder: &Path) -> io::Result<Snapshot> {
    let mut snapshot = Snapshot::new();
    add(folder, 0, &mut snapshot)?;
    Ok(snapshot)
}

fn add(path: &Path, depth: u32, snapshot: &mut Snapshot) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    let content = if metadata.is_file() && metadata.len() <= MAX_CONTENT_BYTES {
        fs::read(path)?
    } else if metadata.is_symlink() {
        fs::read_link(path)?.into_os_string().into_encoded_bytes()
    } else {
        Vec::new()
    };
    let entry = Entry {
        inode: metadata.ino(),
        mode: metadata.mode(),
        owner: (metadata.uid(), metadata.gid()),
        links: metadata.nlink(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
        content,
    };
    snapshot.insert(path.to_owned(), entry);
    if metadata.is_dir() && depth < MAX_DEPTH {
        for entry in fs::read_dir(path)? {
            add(&entry?.path(), depth + 1, snapshot)?;
        }
    }
    Ok(())
}

/// The first thing that is not as it was.
pub(crate) fn difference(before: &Snapshot, now: &Snapshot) -> Option<String> {
    let gone = before.keys().find(|path| !now.contains_key(*path));
    if let Some(path) = gone {
        return Some(format!("{} is gone", path.display()));
    }
    now.iter().find_map(|(path, entry)| match before.get(path) {
        None => Some(format!("{} is new", path.display())),
        Some(was) if was == entry => None,
        Some(was) => Some(format!("{}: {}", path.display(), what_changed(was, entry))),
    })
}

fn what_changed(was: &Entry, is: &Entry) -> String {
    let aspects = [
        ("content", was.content != is.content),
        ("inode", was.inode != is.inode),
        ("mode", was.mode != is.mode),
        ("owner", was.owner != is.owner),
        ("number of links", was.links != is.links),
        ("time of modification", was.modified != is.modified),
        ("time of change", was.changed != is.changed),
    ];
    let changed: Vec<_> = aspects.iter().filter(|(_, changed)| *changed).map(|(name, _)| *name).collect();
    changed.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_first_thing_that_changed() {
        let folder = std::env::temp_dir().join(format!("agentguard-snapshot-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("a"), "1").unwrap();
        let before = take(&folder).unwrap();
        assert_eq!(difference(&before, &take(&folder).unwrap()), None);
        fs::write(folder.join("a"), "2").unwrap();
        let told = difference(&before, &take(&folder).unwrap()).unwrap();
        assert!(told.contains("a: content"), "{told}");
        fs::remove_file(folder.join("a")).unwrap();
        assert!(difference(&before, &take(&folder).unwrap()).unwrap().ends_with("a is gone"));
        fs::remove_dir_all(&folder).unwrap();
    }
}
