//! Small questions about texts.

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

/// A name of an agent made of any text: other letters become `-`.
pub(crate) fn agent_name(text: &str) -> String {
    use agentguard_core::spec::MAX_AGENT_NAME_BYTES;
    let lower = text.to_ascii_lowercase();
    let letters = lower.chars().map(|letter| match letter {
        'a'..='z' | '0'..='9' | '.' | '_' => letter,
        _ => '-',
    });
    let name: String = letters.take(MAX_AGENT_NAME_BYTES).collect();
    name.trim_matches(|letter: char| !letter.is_ascii_alphanumeric()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_from_one() {
        assert_eq!((line_at("a\nb", 0), line_at("a\nb", 2), line_at("a", 9)), (1, 2, 1));
    }

    #[test]
    fn any_text_becomes_a_name() {
        assert_eq!(agent_name("@My Org/Server!"), "my-org-server");
        assert_eq!(agent_name("***"), "");
    }
}
