//! One line on the standard error of a process whose request was denied, so that a language model reads why.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileTypeExt as _;

use agentguard_core::record::{Object, Record};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::act::object;
use crate::kernel::descriptor_of;

/// Standard error.
const STDERR: i32 = 2;

/// What a pipe that can be written to takes without waiting (PIPE_BUF).
const MAX_LINE: usize = 4096;

/// Tells the process, if its standard error is something that takes a line without waiting. It is written through the
/// process' own open file, so that it stands where the next thing that the process says comes after it.
pub(super) fn tell(pid: u32, record: &Record, rule: &str, why: &str) {
    let incident = record.incident.as_ref().map_or("", |id| id.0.as_str());
    let what = match &record.object {
        Object::Exec { argv, .. } if !argv.is_empty() => argv.join(" "),
        other => object(other),
    };
    let mut line =
        format!("agentguard: denied {} on {what}: {why} (rule {rule}, incident {incident})", record.call);
    line.retain(|character| !character.is_control());
    line.truncate(line.floor_char_boundary(MAX_LINE - 1));
    line.push('\n');
    let Ok(descriptor) = descriptor_of(pid, STDERR) else { return };
    let mut stderr = File::from(descriptor);
    let takes_lines = stderr.metadata().is_ok_and(|meta| {
        let kind = meta.file_type();
        kind.is_file() || kind.is_fifo() || kind.is_char_device()
    });
    let mut ready = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    if takes_lines && poll(&mut ready, PollTimeout::ZERO) == Ok(1) {
        // Whoever does not read has only itself to blame.
        let _ = stderr.write_all(line.as_bytes());
    }
}
