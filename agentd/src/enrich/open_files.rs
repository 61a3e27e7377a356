//! Joins the bytes through an open file with the path of its open.

use std::sync::Arc;

use crate::bounded::Bounded;

/// As many as the kernel sums bytes for.
const MAX_OPEN_FILES: usize = 32_768;

/// Open id to path.
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

    /// The path of an open; empty if the open was not seen. `closed` forgets it.
    pub(super) fn path(&mut self, id: u64, closed: bool) -> String {
        let path = if closed { self.0.remove(&id) } else { self.0.get(&id).cloned() };
        path.map_or_else(String::new, |path| path.as_ref().to_owned())
    }
}
