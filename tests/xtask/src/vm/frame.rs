//! The line between the two halves of `xtask vm`: frames over one virtio-serial port.
//!
//! A frame is a magic byte, a kind, a length (u32, little endian) and a payload. The port is reliable and
//! keeps order, so there is no checksum; the magic byte and the length limit exist to turn a foreign writer
//! or a version mismatch into one clear error instead of garbage on somebody's terminal.
//! This module knows nothing of QEMU, processes or terminals.

use std::io::Write;

use serde::{Deserialize, Serialize};

/// First byte of every frame.
const MAGIC: u8 = 0xA6;
/// Magic, kind and length.
const HEADER_LEN: usize = 6;
/// Bounds the memory one frame can cost; output is cut into far smaller pieces.
pub(crate) const MAX_PAYLOAD: usize = 256 * 1024;

/// Why bytes are not frames.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("the line to the VM carries bytes that are no frame (first byte {0:#04x})")]
    Magic(u8),
    #[error("unknown kind of frame {0}")]
    Kind(u8),
    #[error("a frame of {0} bytes is over the limit of {MAX_PAYLOAD}")]
    TooLong(usize),
    #[error("a frame does not contain what its kind says")]
    Payload(#[source] serde_json::Error),
}

/// Guest to host, first: the machine is up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// `uname -r`.
    pub(crate) kernel: String,
    /// `/sys/kernel/security/lsm`.
    pub(crate) lsm: String,
    pub(crate) agentd: AgentdState,
    /// The journal's end when agentd is not active.
    pub(crate) journal: String,
}

/// What systemd says of `agentd.service`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AgentdState {
    Active,
    Failed,
    /// There is no such unit.
    NotInstalled,
}

/// Host to guest, once: what to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Start {
    pub(crate) command: Vec<String>,
    pub(crate) timeout_s: u64,
    /// `TERM` of the caller.
    pub(crate) term: String,
    /// Rows and columns; run the command on a terminal of its own.
    pub(crate) terminal: Option<TerminalSize>,
    /// Names below `/share`; the n-th is on the disk with the serial `share<n>`.
    pub(crate) shares: Vec<String>,
}

/// Rows and columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TerminalSize {
    pub(crate) rows: u16,
    pub(crate) columns: u16,
}

/// Guest to host: how the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exit {
    /// As a shell reports it: 128 + n for signal n.
    pub(crate) status: u8,
    pub(crate) timed_out: bool,
}

/// One path that the command removed from a share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Removed {
    pub(crate) share: usize,
    pub(crate) path: String,
}

/// One message on the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Hello(Hello),
    Start(Start),
    Stdin(Vec<u8>),
    Resize(TerminalSize),
    Stdout(Vec<u8>),
    Stderr(Vec<u8>),
    Exit(Exit),
    Removed(Removed),
    /// Guest to host, last: shares are written back, or the reason why not.
    Done(Option<String>),
}

impl Frame {
    fn kind(&self) -> u8 {
        match self {
            Self::Hello(_) => 1,
            Self::Start(_) => 2,
            Self::Stdin(_) => 3,
            Self::Resize(_) => 4,
            Self::Stdout(_) => 5,
            Self::Stderr(_) => 6,
            Self::Exit(_) => 7,
            Self::Removed(_) => 8,
            Self::Done(_) => 9,
        }
    }

    /// The bytes of this frame on the line.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, FrameError> {
        let payload = match self {
            Self::Stdin(bytes) | Self::Stdout(bytes) | Self::Stderr(bytes) => bytes.clone(),
            Self::Hello(value) => to_json(value)?,
            Self::Start(value) => to_json(value)?,
            Self::Resize(value) => to_json(value)?,
            Self::Exit(value) => to_json(value)?,
            Self::Removed(value) => to_json(value)?,
            Self::Done(value) => to_json(value)?,
        };
        let length = u32::try_from(payload.len())
            .ok()
            .filter(|_| payload.len() <= MAX_PAYLOAD)
            .ok_or(FrameError::TooLong(payload.len()))?;
        let mut bytes = Vec::with_capacity(HEADER_LEN + payload.len());
        bytes.push(MAGIC);
        bytes.push(self.kind());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&payload);
        Ok(bytes)
    }

    fn decode(kind: u8, payload: &[u8]) -> Result<Self, FrameError> {
        Ok(match kind {
            1 => Self::Hello(from_json(payload)?),
            2 => Self::Start(from_json(payload)?),
            3 => Self::Stdin(payload.to_vec()),
            4 => Self::Resize(from_json(payload)?),
            5 => Self::Stdout(payload.to_vec()),
            6 => Self::Stderr(payload.to_vec()),
            7 => Self::Exit(from_json(payload)?),
            8 => Self::Removed(from_json(payload)?),
            9 => Self::Done(from_json(payload)?),
            other => return Err(FrameError::Kind(other)),
        })
    }

    /// Sends this frame as one write.
    pub(crate) fn send(&self, mut line: impl Write) -> std::io::Result<()> {
        let bytes = self.encode().map_err(std::io::Error::other)?;
        line.write_all(&bytes)?;
        line.flush()
    }
}

fn to_json<T: Serialize>(value: &T) -> Result<Vec<u8>, FrameError> {
    serde_json::to_vec(value).map_err(FrameError::Payload)
}

fn from_json<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, FrameError> {
    serde_json::from_slice(payload).map_err(FrameError::Payload)
}

/// Turns pieces of the line, cut anywhere, into frames.
#[derive(Default)]
pub(crate) struct Decoder {
    pending: Vec<u8>,
}

impl Decoder {
    /// Adds what was read.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next complete frame, or `None` when more bytes are needed. After an error the line is useless.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(&magic) = self.pending.first() else {
            return Ok(None);
        };
        if magic != MAGIC {
            return Err(FrameError::Magic(magic));
        }
        let Some((header, rest)) = self.pending.split_first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        let [_, kind, l0, l1, l2, l3] = *header;
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if length > MAX_PAYLOAD {
            return Err(FrameError::TooLong(length));
        }
        let Some(payload) = rest.get(..length) else {
            return Ok(None);
        };
        let frame = Frame::decode(kind, payload)?;
        self.pending.drain(..HEADER_LEN + length);
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Frame> {
        vec![
            Frame::Hello(Hello {
                kernel: "6.1.0".into(),
                lsm: "capability,bpf".into(),
                agentd: AgentdState::Active,
                journal: String::new(),
            }),
            Frame::Stdout(vec![0, 255, MAGIC, 10]),
            Frame::Stderr(Vec::new()),
            Frame::Exit(Exit { status: 7, timed_out: false }),
            Frame::Done(None),
        ]
    }

    #[test]
    fn frames_survive_any_cut_of_the_line() {
        let bytes: Vec<u8> = samples().iter().flat_map(|f| f.encode().expect("small frame")).collect();
        for size in [1, 2, 5, 7, bytes.len()] {
            let mut decoder = Decoder::default();
            let mut seen = Vec::new();
            for piece in bytes.chunks(size) {
                decoder.push(piece);
                while let Some(frame) = decoder.next_frame().expect("own bytes") {
                    seen.push(frame);
                }
            }
            assert_eq!(seen, samples(), "cut every {size} bytes");
        }
    }

    #[test]
    fn refuses_bytes_that_are_no_frame() {
        let mut decoder = Decoder::default();
        decoder.push(b"[    0.000000] Linux version");
        assert!(matches!(decoder.next_frame(), Err(FrameError::Magic(b'['))));
    }

    #[test]
    fn refuses_an_unknown_kind() {
        let mut decoder = Decoder::default();
        decoder.push(&[MAGIC, 200, 0, 0, 0, 0]);
        assert!(matches!(decoder.next_frame(), Err(FrameError::Kind(200))));
    }

    #[test]
    fn refuses_a_length_over_the_limit_before_waiting_for_it() {
        let mut decoder = Decoder::default();
        decoder.push(&[MAGIC, 5, 0xff, 0xff, 0xff, 0xff]);
        assert!(matches!(decoder.next_frame(), Err(FrameError::TooLong(_))));
        let big = Frame::Stdout(vec![0; MAX_PAYLOAD + 1]);
        assert!(matches!(big.encode(), Err(FrameError::TooLong(_))));
    }

    #[test]
    fn refuses_a_payload_that_its_kind_does_not_allow() {
        let mut decoder = Decoder::default();
        decoder.push(&[MAGIC, 7, 2, 0, 0, 0, b'{', b'}']);
        assert!(matches!(decoder.next_frame(), Err(FrameError::Payload(_))));
    }

    #[test]
    fn waits_for_the_rest_of_a_short_frame() {
        let mut decoder = Decoder::default();
        decoder.push(&[MAGIC, 5, 4, 0, 0, 0, 1, 2]);
        assert!(decoder.next_frame().expect("not wrong yet").is_none());
    }
}
