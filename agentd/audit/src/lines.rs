//! Lines of a segment, one at a time, none longer than a record may be.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Take};
use std::path::Path;

use crate::error::{AuditError, at};
use crate::record::{AuditRecord, MAX_LINE};

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// From 1.
    pub(crate) number: u64,
    /// Where it ends, its newline included.
    pub(crate) end: u64,
    pub(crate) shape: Shape,
}

/// What can be said of a line before it is read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Without its newline.
    Whole(Vec<u8>),
    /// The last one, without a newline.
    Torn(Vec<u8>),
    /// Longer than any record; the rest was skipped.
    TooLong {
        /// Whether a newline ended it.
        ended: bool,
    },
}

/// The lines of a file.
pub(crate) struct Lines {
    file: BufReader<Take<File>>,
    number: u64,
    end: u64,
}

impl Lines {
    pub(crate) fn open(path: &Path) -> Result<Self, AuditError> {
        Self::up_to(path, u64::MAX)
    }

    /// Of the first `len` bytes.
    pub(crate) fn up_to(path: &Path, len: u64) -> Result<Self, AuditError> {
        let file = File::open(path).map_err(at(path))?;
        Ok(Self { file: BufReader::new(file.take(len)), number: 0, end: 0 })
    }

    /// The next line, or none at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line>> {
        let mut bytes = Vec::new();
        let read = self.file.by_ref().take(MAX_LINE as u64).read_until(b'\n', &mut bytes)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        self.end += read as u64;
        let shape = if bytes.last() == Some(&b'\n') {
            bytes.pop();
            Shape::Whole(bytes)
        } else if read < MAX_LINE {
            Shape::Torn(bytes)
        } else {
            Shape::TooLong { ended: self.skip()? }
        };
        Ok(Some(Line { number: self.number, end: self.end, shape }))
    }

    /// Reads on to the end of the line; whether there was one.
    fn skip(&mut self) -> io::Result<bool> {
        loop {
            let buffer = self.file.fill_buf()?;
            if buffer.is_empty() {
                return Ok(false);
            }
            let newline = buffer.iter().position(|byte| *byte == b'\n');
            let read = newline.map_or(buffer.len(), |at| at + 1);
            self.file.consume(read);
            self.end += read as u64;
            if newline.is_some() {
                return Ok(true);
            }
        }
    }
}

/// The last record of a segment, if its last line is one.
pub(crate) fn last_record(path: &Path) -> Result<Option<AuditRecord>, AuditError> {
    let mut file = File::open(path).map_err(at(path))?;
    let len = file.seek(SeekFrom::End(0)).map_err(at(path))?;
    let start = len.saturating_sub(MAX_LINE as u64 + 1);
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(start)).and_then(|_| file.read_to_end(&mut tail)).map_err(at(path))?;
    let Some(body) = tail.strip_suffix(b"\n") else { return Ok(None) };
    let line = body.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(AuditRecord::parse(line).ok().filter(AuditRecord::has_own_hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes(content: &[u8]) -> Vec<(u64, Shape)> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        let mut lines = Lines::open(file.path()).unwrap();
        std::iter::from_fn(|| lines.next().unwrap()).map(|line| (line.end, line.shape)).collect()
    }

    #[test]
    fn a_line_without_its_end_is_torn() {
        let expected =
            [(2, Shape::Whole(b"a".to_vec())), (3, Shape::Whole(vec![])), (4, Shape::Torn(b"b".to_vec()))];
        assert_eq!(shapes(b"a\n\nb"), expected);
        assert_eq!(shapes(b""), []);
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_not_kept() {
        let long = [vec![b'x'; MAX_LINE * 3], b"\ny\n".to_vec()].concat();
        let end = MAX_LINE as u64 * 3 + 1;
        assert_eq!(
            shapes(&long),
            [(end, Shape::TooLong { ended: true }), (end + 2, Shape::Whole(b"y".to_vec()))]
        );
        assert_eq!(shapes(&vec![b'x'; MAX_LINE])[0].1, Shape::TooLong { ended: false });
    }
}
