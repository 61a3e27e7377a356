//! The paths of files that were opened, by the number that the kernel gave the open: records of bytes have only that.

use std::sync::Arc;

use crate::bounded::Bounded;

/// As many as the kernel sums bytes for.
const MAX_OPEN_FILES: usize = 32_768;

/// Open id to path. Nothing says when a file was closed: the oldest go.
pub(super) struct OpenFiles(Bounded<u64, Arc<str>>);

impl Default for OpenFiles {
    fn default() -> Self {
        Self(Bounded::new(MAX_OPEN_FILES))
    }
}

impl OpenFiles {
    /// A file was opened. Operations that open nothing have id 0.
    pub(super) fn opened(&mut self, id: u64, path: &str) {
        if id != 0 {
            self.0.insert(id, path.into());
        }
    }

    /// The path of an open that was recorded, empty if it was not seen. A path that is asked for is kept longer.
    pub(super) fn path(&mut self, id: u64) -> String {
        let Some(path) = self.0.remove(&id) else { return String::new() };
        self.0.insert(id, Arc::clone(&path));
        path.as_ref().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn an_operation_that_opens_nothing_has_no_path() {
        let mut files = OpenFiles::default();
        files.opened(0, "/w/b");
        assert_eq!(files.path(0), "");
    }
}
