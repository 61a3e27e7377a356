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

/// What was recorded of opens, and what was told of files that are open.
pub(super) struct OpenFiles {
    /// Open id to path. Kept after the close: later opens of the same file may have been folded into this one.
    paths: Bounded<u64, Arc<str>>,
    told: Bounded<u64, Moved>,
}

impl Default for OpenFiles {
    fn default() -> Self {
        Self { paths: Bounded::new(MAX_OPEN_FILES), told: Bounded::new(MAX_OPEN_FILES) }
    }
}

impl OpenFiles {
    /// A file was opened. Operations that open nothing have id 0.
    pub(super) fn opened(&mut self, id: u64, path: &str) {
        if id != 0 {
            self.paths.insert(id, path.into());
        }
    }

    /// The path of an open that was recorded, empty if it was not seen. A path that is asked for is kept longer.
    pub(super) fn path(&mut self, id: u64) -> String {
        let Some(path) = self.paths.remove(&id) else { return String::new() };
        self.paths.insert(id, Arc::clone(&path));
        path.as_ref().to_owned()
    }

    /// What was moved through an open file since the last report. `closed` forgets the file.
    pub(super) fn moved(&mut self, id: u64, total: Moved, closed: bool) -> Moved {
        let told = self.told.remove(&id).unwrap_or_default();
        if !closed {
            self.told.insert(id, total);
        }
        Moved {
            read_bytes: total.read_bytes.saturating_sub(told.read_bytes),
            written_bytes: total.written_bytes.saturating_sub(told.written_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_no_byte_twice() {
        let mut files = OpenFiles::default();
        let total = |read_bytes, written_bytes| Moved { read_bytes, written_bytes };
        assert_eq!(files.moved(7, total(10, 0), false), total(10, 0));
        assert_eq!(files.moved(7, total(15, 4), false), total(5, 4));
        assert_eq!(files.moved(7, total(15, 9), true), total(0, 5));
        assert_eq!(files.moved(7, total(3, 0), true), total(3, 0));
    }

    #[test]
    fn a_file_that_is_used_keeps_its_path() {
        let mut files = OpenFiles::default();
        files.opened(1, "/w/a");
        for id in 2..=MAX_OPEN_FILES as u64 * 2 {
            files.opened(id, "/w/other");
            assert_eq!(files.path(1), "/w/a");
        }
        assert_eq!(files.path(2), "");
    }

    #[test]
    fn a_path_outlives_the_close_for_opens_that_are_folded_into_it() {
        let mut files = OpenFiles::default();
        files.opened(7, "/w/a");
        files.opened(0, "/w/b");
        files.moved(7, Moved::default(), true);
        assert_eq!((files.path(7), files.path(0)), ("/w/a".to_owned(), String::new()));
    }
}
