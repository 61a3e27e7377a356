//! Many tries at once: N threads do one thing M times each and count how often it worked.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use clap::Subcommand;
use nix::errno::Errno;
use nix::libc;

use crate::address::{self, Address};
use crate::options::open_flags;
use crate::outcome::{Failure, Outcome};
use crate::raw;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Opens a file again and again; the try "works" if a single one did.
    FloodOpen {
        path: PathBuf,
        #[arg(long, value_parser = open_flags, default_value = "rdonly")]
        flags: i32,
        /// Another name each time: the number is appended to the path.
        #[arg(long)]
        distinct: bool,
        #[command(flatten)]
        size: Size,
    },
    /// Connects a UDP socket again and again.
    FloodConnect {
        address: SocketAddr,
        #[command(flatten)]
        size: Size,
    },
}

#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Size {
    /// 0: as many as there are processors.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=256))]
    threads: u32,
    /// Tries of each thread.
    #[arg(long, default_value_t = 1000)]
    times: u64,
}

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::FloodOpen { path, flags, distinct, size } => flood(size, |number| {
            if distinct {
                let mut name = path.clone().into_os_string();
                name.push(number.to_string());
                raw::openat(None, name.as_ref(), flags, 0o600).map(drop)
            } else {
                raw::openat(None, &path, flags, 0o600).map(drop)
            }
        }),
        Command::FloodConnect { address, size } => flood(size, |_| {
            let socket = raw::socket(address::family(address), libc::SOCK_DGRAM, 0)?;
            raw::connect(socket.as_fd(), &Address::internet(address))
        }),
    }
}

fn flood(size: Size, attempt: impl Fn(u64) -> Result<(), Errno> + Sync) -> Outcome {
    let threads = match size.threads {
        0 => std::thread::available_parallelism().map_or(2, usize::from) as u64,
        count => u64::from(count),
    };
    let (successes, last) = (AtomicU64::new(0), AtomicI32::new(0));
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (successes, last, attempt) = (&successes, &last, &attempt);
            scope.spawn(move || {
                for number in 0..size.times {
                    match attempt(thread * size.times + number) {
                        Ok(()) => successes.fetch_add(1, Ordering::Relaxed),
                        Err(errno) => {
                            last.store(errno as i32, Ordering::Relaxed);
                            0
                        }
                    };
                }
            });
        }
    });
    let successes = successes.into_inner();
    println!("successes {successes} of {}", threads * size.times);
    if successes > 0 || size.times == 0 {
        return Ok(());
    }
    Err(Failure::new("every try", Errno::from_raw(last.into_inner())))
}
