//! The place where operations are measured: files at several depths, what is denied, and two sockets to talk to.
//!
//! Made by the ungoverned side, so that every arm finds the same. Knows no timing and no agentd.

use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::socket::{Backlog, listen};

/// Files of [`Field::many`]: more than the opens of a round.
const MANY: usize = 2048;

/// Depths of the files that are opened, in components.
pub(crate) const DEPTHS: [usize; 3] = [3, 10, 30];

/// What may wait to be accepted: more than the connections that one batch makes, so that none waits for us.
const BACKLOG: i32 = 4000;

/// How often waiting connections are taken. Seldom, because it competes with what is measured.
const ACCEPT_EVERY: Duration = Duration::from_millis(40);

/// Below `root`: `work` is granted to governed arms, `secret` is not.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    root: PathBuf,
}

/// Sockets of the field; they live as long as this.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    /// Granted, TCP and UDP.
    pub(crate) open: u16,
    /// Not granted, TCP.
    pub(crate) closed: u16,
}

impl Field {
    /// The field below a folder with one component.
    pub(crate) fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Makes the files.
    pub(crate) fn make(&self) -> Result<()> {
        for depth in DEPTHS {
            write(&self.file(depth))?;
        }
        self.many().iter().try_for_each(|path| write(path))?;
        self.asked().iter().try_for_each(|path| write(path))?;
        write(&self.asked_again())?;
        write(&self.secret())
    }

    /// What governed arms may use.
    pub(crate) fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// A file whose path has this many components.
    pub(crate) fn file(&self, depth: usize) -> PathBuf {
        let mut path = self.work();
        let above = path.components().count(); // with the root
        for level in above..depth {
            path.push(format!("level-{level}"));
        }
        path.push("file");
        path
    }

    /// More files than are opened in a round, beside each other at the middle depth.
    pub(crate) fn many(&self) -> Vec<PathBuf> {
        let folder = self.file(DEPTHS[1]).with_file_name("");
        (0..MANY).map(|number| folder.join(format!("{number:04}"))).collect()
    }

    /// Files that policy is asked about each time.
    pub(crate) fn asked(&self) -> Vec<PathBuf> {
        (0..MANY).map(|number| self.work().join(format!("asked/{number:04}"))).collect()
    }

    /// A file that policy is asked about once.
    pub(crate) fn asked_again(&self) -> PathBuf {
        self.work().join("asked/again")
    }

    /// A file that governed arms may not open.
    pub(crate) fn secret(&self) -> PathBuf {
        self.root.join("secret/level-3/file")
    }

    /// Two names that are swapped back and forth, own for each arm.
    pub(crate) fn names(&self, arm: &str) -> (PathBuf, PathBuf) {
        (self.work().join(format!("{arm}-a")), self.work().join(format!("{arm}-b")))
    }

    /// Opens the sockets and serves them from a thread of its own.
    pub(crate) fn open_ports(&self) -> Result<Ports> {
        let open = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let closed = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let ports = Ports { open: open.local_addr()?.port(), closed: closed.local_addr()?.port() };
        // Nobody reads it: a full queue drops, which costs the sender the same each time.
        let datagrams = UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], ports.open)))?;
        for listener in [&open, &closed] {
            listen(listener, Backlog::new(BACKLOG)?)?;
            listener.set_nonblocking(true)?;
        }
        std::thread::spawn(move || {
            let _kept = datagrams;
            loop {
                while open.accept().is_ok() {}
                while closed.accept().is_ok() {}
                std::thread::sleep(ACCEPT_EVERY);
            }
        });
        Ok(ports)
    }
}

fn write(path: &Path) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    fs::write(path, [b'x'; 4096]).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_as_deep_as_they_are_called() {
        let field = Field::at(Path::new("/bench"));
        for depth in DEPTHS {
            assert_eq!(field.file(depth).iter().count() - 1, depth, "{}", field.file(depth).display());
        }
    }
}
