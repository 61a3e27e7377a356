//! The head: beside the chain, signed, and replaced at once, it says up to where the log is known to be on disk.
//!
//! Records at or before it can never be what a crash tore. It is written before a checkpoint is appended, so it is
//! never older than what the newest checkpoint covers.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::error::{AuditError, at};
use crate::files;
use crate::record::{GENESIS, Receipt};
use crate::sign::{Attestation, Signer, What};

/// Its name.
pub const HEAD_FILE: &str = "head.json";
/// Its name while it is written.
pub(crate) const PARTIAL: &str = ".head.json.partial";
/// It has six short fields; a signature of a kind not known yet may be long.
const MAX_HEAD: usize = 16 * 1024;

/// What was found at its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Head {
    Missing,
    /// And why.
    Unreadable(String),
    There(Attestation),
}

/// What is true of a log without records.
pub(crate) fn nothing() -> Receipt {
    Receipt { seq: 0, hash: GENESIS.to_owned() }
}

impl Head {
    /// Puts a new one in place of the old one.
    pub(crate) fn write(
        dir: &Path,
        newest: &Receipt,
        time_ns: u64,
        signer: &dyn Signer,
        sync: bool,
    ) -> Result<(), AuditError> {
        let head = Attestation::sign(What::Head, newest, time_ns, signer)?;
        let text = canonical(&head).map_err(|source| AuditError::Json { code: HEAD_FILE, source })?;
        files::replace(dir, HEAD_FILE, PARTIAL, &text, sync)
    }

    /// Looks for it.
    pub(crate) fn read(dir: &Path) -> Result<Self, AuditError> {
        let path = dir.join(HEAD_FILE);
        let mut bytes = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(MAX_HEAD as u64 + 1).read_to_end(&mut bytes));
        match read {
            Ok(_) => Ok(parse(&bytes).map_or_else(Self::Unreadable, Self::There)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::Missing),
            Err(error) => Err(at(&path)(error)),
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Attestation, String> {
    if bytes.len() > MAX_HEAD {
        return Err("it is too long".to_owned());
    }
    let head: Attestation = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let canonical = canonical(&head).map_err(|error| error.to_string())?;
    match head.statement.what {
        What::Checkpoint => Err("it is a checkpoint and no head".to_owned()),
        What::Head if canonical != bytes => Err("it is not written as this log writes it".to_owned()),
        What::Head => Ok(head),
    }
}

fn canonical(head: &Attestation) -> Result<Vec<u8>, serde_json::Error> {
    let mut text = serde_json_canonicalizer::to_vec(head)?;
    text.push(b'\n');
    Ok(text)
}
