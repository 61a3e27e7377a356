//! The ring of records. Bounded work per call: what is taken from the ring is handed on before more is taken.

use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use libbpf_rs::{MapHandle, RingBuffer, RingBufferBuilder};
use nix::poll::{PollFd, PollFlags, PollTimeout};

use super::KernelError;
use super::maps::failed;

/// Records taken from the ring at once: enough to amortise the wake-up, few enough to stay small in memory.
const BATCH: usize = 2048;

/// Records as one run of bytes, with where each ends.
#[derive(Default)]
struct Taken {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// The reading end of the ring.
pub(super) struct Ring {
    ring: RingBuffer<'static>,
    taken: Arc<Mutex<Taken>>,
}

// SAFETY: libbpf's ring buffer is not tied to a thread; `Ebpf` keeps it behind a mutex, so that one thread uses it
// at a time.
unsafe impl Send for Ring {}

impl Ring {
    /// Opens the ring of a map.
    pub(super) fn open(map: &MapHandle) -> Result<Self, KernelError> {
        let taken = Arc::new(Mutex::new(Taken::default()));
        let into = Arc::clone(&taken);
        let mut builder = RingBufferBuilder::new();
        builder
            .add(map, move |record: &[u8]| {
                let mut taken = into.lock().unwrap_or_else(PoisonError::into_inner);
                taken.bytes.extend_from_slice(record);
                let end = taken.bytes.len();
                taken.ends.push(end);
                0
            })
            .map_err(|error| failed("opening the ring of events", error))?;
        let ring = builder.build().map_err(|error| failed("opening the ring of events", error))?;
        Ok(Self { ring, taken })
    }

    /// Waits until one of the rings has records, at most `timeout`.
    pub(super) fn wait(rings: &[&Self], timeout: Duration) -> Result<(), KernelError> {
        let mut waiting: Vec<_> = rings
            .iter()
            .map(|ring| {
                // SAFETY: the ring owns this descriptor and outlives the borrow.
                let fd = unsafe { BorrowedFd::borrow_raw(ring.ring.epoll_fd()) };
                PollFd::new(fd, PollFlags::POLLIN)
            })
            .collect();
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        match nix::poll::poll(&mut waiting, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(error) => {
                Err(KernelError::System { what: "waiting for events".to_owned(), source: error.into() })
            }
        }
    }

    /// Hands on what is there.
    pub(super) fn take(&self, sink: &mut dyn FnMut(&[u8])) -> Result<(), KernelError> {
        loop {
            let count = self.ring.consume_raw_n(BATCH);
            if count < 0 {
                let source = std::io::Error::from_raw_os_error(-count);
                return Err(KernelError::System { what: "reading events".to_owned(), source });
            }
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            let mut begin = 0;
            for end in std::mem::take(&mut taken.ends) {
                if let Some(record) = taken.bytes.get(begin..end) {
                    sink(record);
                }
                begin = end;
            }
            taken.bytes.clear();
            if (count as usize) < BATCH {
                return Ok(());
            }
        }
    }
}
