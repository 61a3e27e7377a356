//! Joins the bytes through an open file with the path of its open.
//!
//! The kernel sums from the open on, and reports the sum while the file is open and once more when it is closed.
//! Here each report becomes what was added since the one before, so that no byte is told twice.

use std::sync::Arc;

use crate::bounded::Bounded;

/// As many as the kernel sums bytes for.
const MAX_OPEN_FILES: usize = 32_768;

/// Bytes through one open file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) read_bytes: u64,
    pub(super) written_bytes: u64,
}

#[derive(Clone)]
struct OpenFile {
    path: Arc<str>,
    told: Moved,
}

/// Open id to path and what was told of it.
pub(super) struct OpenFiles(Bounded<u64, OpenFile>);

impl Default for OpenFiles {
    fn default() -> Self {
        Self(Bounded::new(MAX_OPEN_FILES))
    }
}

impl OpenFiles {
    /// A file was opened. Operations that open nothing have id 0.
    pub(super) fn opened(&mut self, id: u64, path: &str) {
        if id != 0 {
            self.0.insert(id, OpenFile { path: path.into(), told: Moved::default() });
        }
    }

    /// The path of an open, empty if the open was not seen, and what was moved since the last report. `closed` forgets
    /// the file.
    pub(super) fn moved(&mut self, id: u64, total: Moved, closed: bool) -> (String, Moved) {
        let known = if closed { self.0.remove(&id) } else { self.0.get(&id).cloned() };
        let (path, told) = known.map_or_else(Default::default, |file| (file.path, file.told));
        if !closed {
            self.0.insert(id, OpenFile { path: Arc::clone(&path), told: total });
        }
        let since = Moved {
            read_bytes: total.read_bytes.saturating_sub(told.read_bytes),
            written_bytes: total.written_bytes.saturating_sub(told.written_bytes),
        };
        (path.as_ref().to_owned(), since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_no_byte_twice() {
        let mut files = OpenFiles::default();
        let total = |read_bytes, written_bytes| Moved { read_bytes, written_bytes };
        files.opened(7, "/w/a");
        assert_eq!(files.moved(7, total(10, 0), false), ("/w/a".to_owned(), total(10, 0)));
        assert_eq!(files.moved(7, total(15, 4), false), ("/w/a".to_owned(), total(5, 4)));
        assert_eq!(files.moved(7, total(15, 9), true), ("/w/a".to_owned(), total(0, 5)));
        assert_eq!(files.moved(7, total(3, 0), true), (String::new(), total(3, 0)));
    }
}
