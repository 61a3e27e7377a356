//! Reads the text of a pattern. Everything that could never match, or that would surprise, is refused here.

use super::{
    ABSTRACT_PREFIX, ByteSet, COMMAND_PREFIX, MAX_GROUP_DEPTH, MAX_PATTERN_BYTES, NAME_PREFIX, Node,
};

/// Why a text is not a pattern. Each says what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing.
    #[error("an empty pattern matches nothing; write a path from `/`")]
    Empty,
    /// Longer than any path.
    #[error("a pattern of {0} bytes is longer than any path; the limit is {MAX_PATTERN_BYTES} bytes")]
    TooLong(usize),
    /// Relative.
    #[error("`{0}` is not a path from `/`; begin it with `/` or `**`")]
    Relative(String),
    /// `//`, `/./`, `/../`.
    #[error("`{0}` has an empty, `.` or `..` part and can never match; write the path without it")]
    Component(String),
    /// `/x/`.
    #[error("`{pattern}` ends in `/` and can never match; write `{directory}` or `{directory}/**`")]
    TrailingSlash {
        /// As written.
        pattern: String,
        /// Without its last byte.
        directory: String,
    },
    /// `{a,b`.
    #[error("`{{` at byte {0} is never closed; add `}}` or write `\\{{`")]
    OpenGroup(usize),
    /// `a}`.
    #[error("`}}` at byte {0} closes nothing; write `\\}}`")]
    StrayClose(usize),
    /// `{a,{b,{c,…`.
    #[error("alternatives nest deeper than {MAX_GROUP_DEPTH} at byte {0}; write several patterns")]
    TooDeep(usize),
    /// `[a`.
    #[error("`[` at byte {0} is never closed; add `]` or write `\\[`")]
    OpenClass(usize),
    /// `[]`, `[!]`, `[/]`.
    #[error("the class at byte {0} matches nothing; name a byte other than `/` in it")]
    EmptyClass(usize),
    /// `[z-a]`.
    #[error("a range in the class at byte {0} ends before it starts; write the lower byte first")]
    Backwards(usize),
    /// `[é]`.
    #[error("the class at byte {0} has a letter of several bytes; write alternatives such as `{{é,è}}`")]
    WideClass(usize),
    /// `\` at the end.
    #[error("the pattern ends in `\\`; write `\\\\` for a backslash")]
    DanglingEscape,
    /// `***`.
    #[error("more than two stars at byte {0}; write `*` (within a directory) or `**` (everything below)")]
    Stars(usize),
    /// A NUL byte.
    #[error("a NUL byte at byte {0} can never match; remove it")]
    Nul(usize),
}

pub(super) fn parse(text: &str) -> Result<Vec<Node>, PatternError> {
    if text.is_empty() {
        return Err(PatternError::Empty);
    }
    if text.len() > MAX_PATTERN_BYTES {
        return Err(PatternError::TooLong(text.len()));
    }
    if let Some(position) = text.bytes().position(|byte| byte == 0) {
        return Err(PatternError::Nul(position));
    }
    let command = text.starts_with(COMMAND_PREFIX);
    if !command && !text.starts_with(NAME_PREFIX) && !text.starts_with(ABSTRACT_PREFIX) {
        check_path(text)?;
    }
    let mut reader = Reader { bytes: text.as_bytes(), at: 0, command };
    let nodes = reader.sequence(0)?;
    match reader.peek() {
        None => Ok(nodes),
        Some(_) => Err(PatternError::StrayClose(reader.at)),
    }
}

/// The kernel's paths begin with `/`, do not end with it, and have no empty, `.` or `..` parts.
fn check_path(text: &str) -> Result<(), PatternError> {
    if !text.starts_with('/') && !text.starts_with("**") {
        return Err(PatternError::Relative(text.to_owned()));
    }
    if text == "/" {
        return Ok(());
    }
    if let Some(directory) = text.strip_suffix('/').filter(|directory| !directory.ends_with(['/', '\\'])) {
        return Err(PatternError::TrailingSlash {
            pattern: text.to_owned(),
            directory: directory.to_owned(),
        });
    }
    let parts = text.strip_prefix('/').unwrap_or(text).split('/');
    for part in parts {
        if matches!(part, "" | "." | "..") {
            return Err(PatternError::Component(text.to_owned()));
        }
    }
    Ok(())
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    command: bool,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn ahead(&self, text: &[u8]) -> bool {
        self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(text))
    }

    /// Reads up to the end, or inside a group up to its next `,` or `}`.
    fn sequence(&mut self, depth: usize) -> Result<Vec<Node>, PatternError> {
        let mut nodes = Vec::new();
        while let Some(byte) = self.peek() {
            let start = self.at;
            if byte == b'}' || (byte == b',' && depth > 0) {
                break;
            }
            self.at += 1;
            nodes.push(match byte {
                b'*' => self.stars(start, nodes.last())?,
                b'?' => Node::Class(self.without_slash(ByteSet::ALL)),
                b'[' => self.class(start)?,
                b'{' => self.group(start, depth + 1)?,
                b'\\' => Node::Byte(self.next().ok_or(PatternError::DanglingEscape)?),
                _ => Node::Byte(byte),
            });
        }
        Ok(nodes)
    }

    /// After the first star.
    fn stars(&mut self, start: usize, before: Option<&Node>) -> Result<Node, PatternError> {
        let two = self.peek() == Some(b'*');
        if two {
            self.at += 1;
        }
        if self.peek() == Some(b'*') {
            return Err(PatternError::Stars(start));
        }
        let after_slash = matches!(before, Some(Node::Byte(b'/') | Node::Gap));
        if two && !self.command && after_slash && self.ahead(b"/") {
            self.at += 1;
            return Ok(Node::Gap);
        }
        Ok(if two || self.command { Node::Any } else { Node::Star })
    }

    /// After the `{`.
    fn group(&mut self, start: usize, depth: usize) -> Result<Node, PatternError> {
        if depth > MAX_GROUP_DEPTH {
            return Err(PatternError::TooDeep(start));
        }
        let mut branches = Vec::new();
        loop {
            branches.push(self.sequence(depth)?);
            match self.next() {
                Some(b',') => {}
                Some(_) => return Ok(Node::Group(branches)),
                None => return Err(PatternError::OpenGroup(start)),
            }
        }
    }

    /// After the `[`.
    fn class(&mut self, start: usize) -> Result<Node, PatternError> {
        let negated = self.peek() == Some(b'!');
        if negated {
            self.at += 1;
        }
        let mut set = ByteSet::default();
        loop {
            if self.peek() == Some(b']') {
                self.at += 1;
                break;
            }
            let low = self.class_byte(start)?;
            let range = self.peek() == Some(b'-') && !self.ahead(b"-]");
            let high = if range {
                self.at += 1;
                self.class_byte(start)?
            } else {
                low
            };
            if low > high {
                return Err(PatternError::Backwards(start));
            }
            (low..=high).for_each(|byte| set.insert(byte));
        }
        if set.is_empty() {
            return Err(PatternError::EmptyClass(start));
        }
        let set = self.without_slash(if negated { set.complement() } else { set });
        if set.is_empty() { Err(PatternError::EmptyClass(start)) } else { Ok(Node::Class(set)) }
    }

    fn class_byte(&mut self, start: usize) -> Result<u8, PatternError> {
        let mut byte = self.next().ok_or(PatternError::OpenClass(start))?;
        if byte == b'\\' {
            byte = self.next().ok_or(PatternError::OpenClass(start))?;
        }
        if byte.is_ascii() { Ok(byte) } else { Err(PatternError::WideClass(start)) }
    }

    /// Single bytes never match `/`, except in command lines, which have no parts.
    fn without_slash(&self, mut set: ByteSet) -> ByteSet {
        if !self.command {
            set.remove(b'/');
        }
        set
    }
}
