//! Records by what they are about: for `show` and `export`. What is no record, or does not have the hash of what it says,
//! is an error; more is not proven here, that is what `verify` is for.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use crate::error::{AuditError, at};
use crate::files;
use crate::lines::{Lines, Shape, last_record};
use crate::record::{AuditRecord, Kind};

/// Which records. What is empty or not given is no condition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of one of these kinds.
    pub kinds: Vec<Kind>,
    /// With one of these codes.
    pub codes: Vec<String>,
    /// About this agent.
    pub agent: Option<String>,
    /// By this actor.
    pub actor: Option<String>,
    /// Not before.
    pub since_ns: Option<u64>,
    /// Not after.
    pub until_ns: Option<u64>,
}

impl Filter {
    /// Whether a record is one of them.
    pub fn matches(&self, record: &AuditRecord) -> bool {
        let is = |wanted: &Option<String>, value: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| value == Some(wanted))
        };
        (self.kinds.is_empty() || self.kinds.contains(&record.kind))
            && (self.codes.is_empty() || self.codes.contains(&record.code))
            && is(&self.agent, record.agent.as_deref())
            && is(&self.actor, Some(&record.actor))
            && self.since_ns.is_none_or(|since| record.time_ns >= since)
            && self.until_ns.is_none_or(|until| record.time_ns <= until)
    }
}

/// The records of a log, oldest first.
pub struct Records {
    filter: Filter,
    segments: VecDeque<PathBuf>,
    open: Option<(PathBuf, Lines)>,
    /// Lines that do not name one of the filter's codes are not read.
    skims: bool,
}

impl Records {
    /// The records that a filter takes.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn of(dir: &Path, filter: Filter) -> Result<Self, AuditError> {
        let segments = files::list(dir)?.segments.into_iter().map(|found| found.path).collect();
        Ok(Self { filter, segments, open: None, skims: false })
    }

    /// The same for a log of years, when a few records of late are wanted: segments that begin and end before the
    /// filter's time are passed over, and lines without one of its codes. Whether those can be read is not told.
    ///
    /// # Errors
    /// When the directory or one of its files cannot be read.
    pub fn skim(dir: &Path, filter: Filter) -> Result<Self, AuditError> {
        let since_ns = filter.since_ns.unwrap_or(0);
        let mut segments = VecDeque::new();
        for found in files::list(dir)?.segments {
            if !is_before(&found.path, since_ns)? {
                segments.push_back(found.path);
            }
        }
        Ok(Self { filter, segments, open: None, skims: true })
    }

    /// The newest `limit` records that a filter takes, oldest first, and what could not be read on the way. Reads only
    /// as many segments as it takes.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn newest(
        dir: &Path,
        filter: &Filter,
        limit: usize,
    ) -> Result<(Vec<AuditRecord>, Vec<AuditError>), AuditError> {
        let (mut newest, mut unreadable) = (VecDeque::new(), Vec::new());
        for found in files::list(dir)?.segments.into_iter().rev() {
            let room = limit.saturating_sub(newest.len());
            if room == 0 {
                break;
            }
            let (filter, segments) = (filter.clone(), VecDeque::from([found.path]));
            let mut of_segment = VecDeque::new();
            for record in (Self { filter, segments, open: None, skims: false }) {
                match record {
                    Ok(record) => of_segment.push_back(record),
                    Err(error @ AuditError::Line { .. }) => unreadable.push(error),
                    Err(error) => return Err(error),
                }
                if of_segment.len() > room {
                    of_segment.pop_front();
                }
            }
            of_segment.append(&mut newest);
            newest = of_segment;
        }
        Ok((newest.into(), unreadable))
    }

    fn next_line(&mut self) -> Result<Option<AuditRecord>, AuditError> {
        loop {
            let (path, lines) = match &mut self.open {
                Some(open) => open,
                None => match self.segments.pop_front() {
                    Some(path) => {
                        let lines = Lines::open(&path)?;
                        self.open.insert((path, lines))
                    }
                    None => return Ok(None),
                },
            };
            let Some(line) = lines.next().map_err(at(path))? else {
                self.open = None;
                continue;
            };
            if self.skims && !names_one(&self.filter.codes, &line.shape) {
                continue;
            }
            let wrong = |what: String| AuditError::Line { path: path.clone(), line: line.number, what };
            return match line.shape {
                Shape::Whole(bytes) => match AuditRecord::parse(&bytes) {
                    Ok(record) if record.has_own_hash() => Ok(Some(record)),
                    Ok(_) => Err(wrong(
                        "the record was changed: it does not have the hash of what it says".to_owned(),
                    )),
                    Err(invalid) => Err(wrong(invalid.to_string())),
                },
                Shape::Torn(_) => Err(wrong("the line is cut off".to_owned())),
                Shape::TooLong { .. } => Err(wrong("the line is longer than any record".to_owned())),
            };
        }
    }
}

/// Whether both ends of a segment are from before a time. Of one that a wrong clock ended, or began, the other tells.
fn is_before(path: &Path, since_ns: u64) -> Result<bool, AuditError> {
    let first = match Lines::open(path)?.next().map_err(at(path))?.map(|line| line.shape) {
        Some(Shape::Whole(bytes)) => AuditRecord::parse(&bytes).ok(),
        Some(Shape::Torn(_) | Shape::TooLong { .. }) | None => None,
    };
    let ends = first.zip(last_record(path)?);
    Ok(ends.is_some_and(|(first, last)| first.time_ns < since_ns && last.time_ns < since_ns))
}

fn names_one(codes: &[String], shape: &Shape) -> bool {
    let Shape::Whole(bytes) = shape else { return true };
    std::str::from_utf8(bytes).is_ok_and(|text| codes.iter().any(|code| text.contains(code)))
}

impl Iterator for Records {
    type Item = Result<AuditRecord, AuditError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.next_line().transpose()? {
                Ok(record) if !self.filter.matches(&record) => {}
                Err(error @ AuditError::Line { .. }) => return Some(Err(error)),
                Err(error) => {
                    // The disk: more of the same would only repeat it.
                    (self.open, self.segments) = (None, VecDeque::new());
                    return Some(Err(error));
                }
                Ok(record) => return Some(Ok(record)),
            }
        }
    }
}
