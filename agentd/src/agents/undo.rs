//! Takes back what was done if the rest does not work out, also when the caller goes away half-way.

/// Steps to take back, the last first.
#[derive(Default)]
pub(super) struct Undo(Vec<Box<dyn FnOnce() + Send>>);

impl Undo {
    /// How to take back what was just done.
    pub(super) fn push(&mut self, step: impl FnOnce() + Send + 'static) {
        self.0.push(Box::new(step));
    }

    /// Everything worked out.
    pub(super) fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        while let Some(step) = self.0.pop() {
            step();
        }
    }
}
