//! A backup as it is read: its manifest first, then every entry held against it. Nothing is believed but what fits.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use flate2::read::GzDecoder;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tar::{Archive, Entries, EntryType};

use crate::command::backup::manifest::{Entry, FORMAT, MAX_BYTES, Manifest, NAME, What};
use crate::exit::Failure;

type Packed = GzDecoder<BufReader<File>>;

/// What is done with each entry: a folder, a link, or a file whose bytes go into what is returned.
pub(super) trait Sink {
    fn folder(&mut self, entry: &Entry) -> io::Result<()>;
    fn link(&mut self, entry: &Entry, target: &Path) -> io::Result<()>;
    fn file(&mut self, entry: &Entry) -> io::Result<Box<dyn Write>>;
}

/// Looks, and keeps nothing.
struct Nowhere;

impl Sink for Nowhere {
    fn folder(&mut self, _: &Entry) -> io::Result<()> {
        Ok(())
    }

    fn link(&mut self, _: &Entry, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn file(&mut self, _: &Entry) -> io::Result<Box<dyn Write>> {
        Ok(Box::new(io::sink()))
    }
}

fn open(file: &Path) -> Result<Archive<Packed>, Failure> {
    let opened = File::open(file).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => Failure::Permission(format!("{}: {error}", file.display())),
        _ => Failure::on(file, &error),
    })?;
    Ok(Archive::new(GzDecoder::new(BufReader::new(opened))))
}

fn damaged(file: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::Failed(format!("{}: this backup cannot be used, and nothing was changed: {why}", file.display()))
}

/// What the backup says it holds.
pub(super) fn manifest(file: &Path) -> Result<Manifest, Failure> {
    let mut archive = open(file)?;
    let mut entries = archive.entries().map_err(|error| damaged(file, error))?;
    let manifest = first(&mut entries).map_err(|why| damaged(file, why))?;
    match manifest.mistake() {
        Some(mistake) => Err(damaged(file, mistake)),
        None => Ok(manifest),
    }
}

#[derive(Deserialize)]
struct Version {
    format: u32,
    product: String,
}

fn first(entries: &mut Entries<'_, Packed>) -> Result<Manifest, String> {
    let no_backup = || "it is no backup of agentctl".to_owned();
    let entry = entries.next().ok_or_else(no_backup)?.map_err(|_| no_backup())?;
    if entry.path_bytes().as_ref() != NAME.as_bytes() {
        return Err(no_backup());
    }
    let mut text = String::new();
    entry.take(MAX_BYTES).read_to_string(&mut text).map_err(|error| error.to_string())?;
    // A newer form may have other fields: its number is asked first.
    let version: Version = serde_json::from_str(&text).map_err(|error| format!("its manifest: {error}"))?;
    if version.format > FORMAT {
        return Err(format!(
            "it is of format {}, made by AgentGuard {}, and this one reads up to {FORMAT}; install that version",
            version.format, version.product
        ));
    }
    serde_json::from_str(&text).map_err(|error| format!("its manifest: {error}"))
}

/// Whether every entry is there and as it was written.
pub(super) fn verify(file: &Path, manifest: &Manifest) -> Result<(), Failure> {
    unpack(file, manifest, &mut Nowhere)
}

/// Gives every entry to the sink. Only after the last one it is known that all of them were right.
pub(super) fn unpack(file: &Path, manifest: &Manifest, sink: &mut impl Sink) -> Result<(), Failure> {
    let mut archive = open(file)?;
    let mut entries = archive.entries().map_err(|error| damaged(file, error))?;
    first(&mut entries).map_err(|why| damaged(file, why))?;
    let mut expected: BTreeMap<&str, &Entry> =
        manifest.entries.iter().map(|entry| (entry.path.as_str(), entry)).collect();
    for entry in entries {
        let mut packed = entry.map_err(|error| damaged(file, error))?;
        let path = String::from_utf8_lossy(&packed.path_bytes()).trim_end_matches('/').to_owned();
        let Some(entry) = expected.remove(path.as_str()) else {
            return Err(damaged(file, format!("{path} is not in its manifest, or is there twice")));
        };
        let kind = packed.header().entry_type();
        let done = match (&entry.what, kind) {
            (What::Folder, EntryType::Directory) => sink.folder(entry),
            (What::Link { target }, EntryType::Symlink) => {
                let is_same = packed.link_name().is_ok_and(|name| name.as_deref() == Some(target));
                if is_same { sink.link(entry, target) } else { Err(io::Error::other("it points elsewhere")) }
            }
            (What::File { bytes, sha256 }, EntryType::Regular) => {
                sink.file(entry).and_then(|mut out| copy(&mut packed, *bytes, sha256, &mut *out))
            }
            _ => Err(io::Error::other("it is of another kind")),
        };
        done.map_err(|error| damaged(file, format!("{path}: {error}")))?;
    }
    match expected.first_key_value() {
        Some((path, _)) => Err(damaged(file, format!("{path} is missing"))),
        None => Ok(()),
    }
}

fn copy(from: &mut impl Read, bytes: u64, sha256: &str, out: &mut dyn Write) -> io::Result<()> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    let mut copied = 0;
    loop {
        let length = from.read(&mut buffer)?;
        let Some(part) = buffer.get(..length).filter(|part| !part.is_empty()) else { break };
        hasher.update(part);
        out.write_all(part)?;
        copied += length as u64;
    }
    out.flush()?;
    if copied != bytes || hex::encode(hasher.finalize()) != sha256 {
        return Err(io::Error::other("it is not what was written (SHA-256 differs)"));
    }
    Ok(())
}
