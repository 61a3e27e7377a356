//! Small questions about texts.

use crate::{AuthoringError, Source};

/// Longest file that is read: as long as a spec may be. Whatever is longer was not written by a person.
const MAX_SOURCE_BYTES: usize = agentguard_core::spec::MAX_SPEC_BYTES;

/// Refuses a file that is too long to be what it is taken for.
pub(crate) fn check_length(source: Source<'_>) -> Result<(), AuthoringError> {
    let length = source.text.len();
    if length <= MAX_SOURCE_BYTES {
        return Ok(());
    }
    let problem = format!("has {length} bytes, the limit is {MAX_SOURCE_BYTES}; give a shorter file");
    Err(AuthoringError::file(source.file, problem))
}

/// Line of a byte, from 1.
pub(crate) fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// A text as one line: what would end a line or move the cursor is written out.
pub(crate) fn one_line(text: &str) -> String {
    let letters = text.chars().flat_map(|letter| {
        if letter.is_control() { letter.escape_debug().collect::<Vec<_>>() } else { vec![letter] }
    });
    letters.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_from_one() {
        assert_eq!((line_at("a\nb", 0), line_at("a\nb", 2), line_at("a", 9)), (1, 2, 1));
    }
}
