//! How far something is, for a person who waits: on stderr, only if that is a terminal, and gone when it is done.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A line that moves.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// For something of which nobody knows how much there is.
    pub(crate) fn counting(what: &'static str) -> Self {
        // Draws nothing if stderr is no terminal.
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_style(style("{spinner} {msg}: {pos}"));
        bar.set_message(what);
        Self(bar)
    }

    /// For something that tells how much there is.
    pub(crate) fn of(what: &'static str) -> Self {
        let progress = Self::counting(what);
        progress.0.set_style(style("{msg} [{bar:30}] {pos}/{len}"));
        progress
    }

    /// One more.
    pub(crate) fn one_more(&self) {
        self.0.inc(1);
    }

    /// So many of so many.
    pub(crate) fn at(&self, done: u64, total: u64) {
        self.0.set_length(total);
        self.0.set_position(done);
    }
}

impl Drop for Progress {
    /// Whatever ended it, what comes next begins on an empty line.
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}
