//! The operations that are timed. Each is one small call that a hook looks at, on objects of the field.

use std::ffi::CString;
use std::fs::File;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, connect, setsockopt, socket, sockopt};
use nix::sys::stat::{Mode, stat};

use crate::field::{DEPTHS, Field, Ports};

/// Datagrams and reads of an ordinary small size.
const DATAGRAM_BYTES: usize = 64;
const READ_BYTES: usize = 4096;

/// Tasks that open a file each, at once.
const TASKS: usize = 50;

/// What is held in [`Set::Held`]: again and again the same, or another each time.
pub(crate) const HELD: [&str; 5] = ["open_again", "open_other", "exec_again", "exec_other", "open_by_50"];

/// What an operation is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Set {
    /// Granted in every arm.
    Granted,
    /// Refused in a governed arm; the batch is then made of refusals.
    Denied,
    /// Waits for policy in one arm. Each is a batch of its own.
    Held,
}

/// One operation: what it is called, how many make a batch, and how one is done.
pub(crate) struct Operation {
    pub(crate) name: String,
    pub(crate) batch: u32,
    pub(crate) set: Set,
    once: Box<dyn FnMut() -> Result<()>>,
}

impl Operation {
    fn new(name: impl Into<String>, batch: u32, once: impl FnMut() -> Result<()> + 'static) -> Self {
        Self { name: name.into(), batch, set: Set::Granted, once: Box::new(once) }
    }

    /// Time of a batch, per operation.
    pub(crate) fn time(&mut self) -> Result<Duration> {
        let start = Instant::now();
        for _ in 0..self.batch {
            (self.once)().with_context(|| self.name.clone())?;
        }
        Ok(start.elapsed() / self.batch)
    }
}

/// Every operation. `governed` says what must happen to the two that are not granted.
pub(crate) fn all(field: &Field, ports: Ports, arm: &str, governed: bool) -> Result<Vec<Operation>> {
    let mut all = Vec::new();
    for depth in DEPTHS {
        let path = c_string(&field.file(depth))?;
        all.push(Operation::new(format!("open_close_{depth}"), 20, move || {
            open(path.as_c_str(), OFlag::O_RDONLY, Mode::empty())?;
            Ok(())
        }));
    }
    let paths = field.many().iter().map(|path| c_string(path)).collect::<Result<Vec<_>>>()?;
    let mut next = 0;
    all.push(Operation::new("open_other_10", 20, move || {
        // No two in a row are the same file, so that none repeats a recent one.
        next = (next + 1) % paths.len();
        open(paths.get(next).context("no files")?.as_c_str(), OFlag::O_RDONLY, Mode::empty())?;
        Ok(())
    }));
    let path = c_string(&field.file(DEPTHS[1]))?;
    all.push(Operation::new("stat", 20, move || Ok(stat(path.as_c_str()).map(|_| ())?)));
    all.push(Operation::new("fork_exec", 1, || start_true(&[])));
    all.push(Operation::new("connect", 5, move || connect_to(ports.open)));
    let sender = UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    all.push(Operation::new("udp_send", 20, move || {
        sender.send_to(&[0; DATAGRAM_BYTES], SocketAddr::from(([127, 0, 0, 1], ports.open)))?;
        Ok(())
    }));
    all.push(rename(field, arm)?);
    let file = File::open(field.file(DEPTHS[1]))?;
    let mut buffer = [0; READ_BYTES];
    all.push(Operation::new("read_4k", 40, move || Ok(file.read_exact_at(&mut buffer, 0)?)));
    all.extend(not_granted(field, ports, governed)?);
    all.extend(held(field)?);
    Ok(all)
}

fn rename(field: &Field, arm: &str) -> Result<Operation> {
    let (mut from, mut to) = field.names(arm);
    std::fs::write(&from, "x").with_context(|| from.display().to_string())?;
    Ok(Operation::new("rename", 10, move || {
        std::fs::rename(&from, &to)?;
        std::mem::swap(&mut from, &mut to);
        Ok(())
    }))
}

fn not_granted(field: &Field, ports: Ports, governed: bool) -> Result<[Operation; 2]> {
    let path = c_string(&field.secret())?;
    let mut opening = Operation::new("open_denied", 10, move || {
        match open(path.as_c_str(), OFlag::O_RDONLY, Mode::empty()) {
            Ok(_) if !governed => Ok(()),
            Err(Errno::EPERM) if governed => Ok(()),
            other => bail!("was not denied as it must be: {other:?}"),
        }
    });
    let mut connecting = Operation::new("connect_denied", 5, move || {
        match connect_to(ports.closed).map_err(|error| error.downcast::<Errno>()) {
            Ok(()) if !governed => Ok(()),
            Err(Ok(Errno::EPERM)) if governed => Ok(()),
            other => bail!("was not denied as it must be: {other:?}"),
        }
    });
    opening.set = Set::Denied;
    connecting.set = Set::Denied;
    Ok([opening, connecting])
}

fn held(field: &Field) -> Result<[Operation; 5]> {
    let again = c_string(&field.asked_again())?;
    let paths = field.asked().iter().map(|path| c_string(path)).collect::<Result<Vec<_>>>()?;
    let tasks = paths.clone();
    let (mut next, mut number) = (0, 0_u64);
    let all = [
        Operation::new(HELD[0], 1, move || {
            open(again.as_c_str(), OFlag::O_RDONLY, Mode::empty())?;
            Ok(())
        }),
        Operation::new(HELD[1], 1, move || {
            next = (next + 1) % paths.len();
            open(paths.get(next).context("no files")?.as_c_str(), OFlag::O_RDONLY, Mode::empty())?;
            Ok(())
        }),
        Operation::new(HELD[2], 1, || start_true(&[])),
        Operation::new(HELD[3], 1, move || {
            number += 1;
            start_true(&[&format!("{}-{number}", std::process::id())])
        }),
        Operation::new(HELD[4], 1, move || open_at_once(tasks.get(..TASKS).context("no files")?)),
    ];
    Ok(all.map(|operation| Operation { set: Set::Held, ..operation }))
}

fn start_true(arguments: &[&str]) -> Result<()> {
    match std::process::Command::new("/usr/bin/true").args(arguments).status()?.success() {
        true => Ok(()),
        false => bail!("/usr/bin/true failed"),
    }
}

/// Each by a task of its own; done when the last has opened its file.
fn open_at_once(paths: &[CString]) -> Result<()> {
    std::thread::scope(|scope| {
        let open_one = |path: &'_ CString| open(path.as_c_str(), OFlag::O_RDONLY, Mode::empty()).map(drop);
        let tasks: Vec<_> = paths.iter().map(|path| scope.spawn(move || open_one(path))).collect();
        tasks.into_iter().try_for_each(|task| match task.join() {
            Ok(opened) => Ok(opened?),
            Err(_) => bail!("a task panicked"),
        })
    })
}

fn connect_to(port: u16) -> Result<()> {
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    // Closed with a reset, so that no port stays in TIME_WAIT.
    setsockopt(&socket, sockopt::Linger, &nix::libc::linger { l_onoff: 1, l_linger: 0 })?;
    connect(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, port))?;
    Ok(())
}

fn c_string(path: &Path) -> Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}
