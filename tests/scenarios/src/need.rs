//! What a host must have for a scenario to say anything.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One requirement, as written in a scenario: `kernel >= 6.2`, `command gcc`, `path /dev/net/tun`, `systemd`,
/// `address 10.77.0.2`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Need {
    /// At least this kernel.
    Kernel(u32, u32),
    /// A program in PATH.
    Program(String),
    /// Something at this path.
    Path(PathBuf),
    /// systemd as the first process.
    Systemd,
    /// An address of this host.
    Address(std::net::IpAddr),
}

/// A requirement that nobody understands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown requirement '{0}'")]
pub struct UnknownNeed(String);

impl TryFrom<String> for Need {
    type Error = UnknownNeed;

    fn try_from(text: String) -> Result<Self, UnknownNeed> {
        let unknown = || UnknownNeed(text.clone());
        let (word, rest) = text.split_once(' ').unwrap_or((&text, ""));
        match (word, rest) {
            ("kernel", rest) => {
                let version = rest.strip_prefix(">= ").and_then(version_of).ok_or_else(unknown)?;
                Ok(Self::Kernel(version.0, version.1))
            }
            ("command", name) if !name.is_empty() => Ok(Self::Program(name.to_owned())),
            ("path", path) if path.starts_with('/') => Ok(Self::Path(PathBuf::from(path))),
            ("systemd", "") => Ok(Self::Systemd),
            ("address", address) => FromStr::from_str(address).map(Self::Address).map_err(|_| unknown()),
            _ => Err(unknown()),
        }
    }
}

impl From<Need> for String {
    fn from(need: Need) -> Self {
        need.to_string()
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel(major, minor) => write!(f, "kernel >= {major}.{minor}"),
            Self::Program(name) => write!(f, "command {name}"),
            Self::Path(path) => write!(f, "path {}", path.display()),
            Self::Systemd => f.write_str("systemd"),
            Self::Address(address) => write!(f, "address {address}"),
        }
    }
}

/// `6.12.0-rc1` is 6.12.
fn version_of(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

impl Need {
    /// Whether this host has it.
    pub(crate) fn is_met(&self) -> bool {
        match self {
            Self::Kernel(major, minor) => std::fs::read_to_string("/proc/sys/kernel/osrelease")
                .ok()
                .and_then(|release| version_of(&release))
                .is_some_and(|version| version >= (*major, *minor)),
            Self::Program(name) => in_path(name).is_some(),
            Self::Path(path) => path.exists(),
            Self::Systemd => Path::new("/run/systemd/system").is_dir(),
            // Only an address of this host can be bound.
            Self::Address(address) => std::net::UdpSocket::bind((*address, 0)).is_ok(),
        }
    }
}

/// A program in PATH.
pub(crate) fn in_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_read_and_printed_alike() {
        for text in ["kernel >= 6.2", "command gcc", "path /dev/net/tun", "systemd", "address fd00:77::1"] {
            assert_eq!(Need::try_from(text.to_owned()).unwrap().to_string(), text);
        }
        assert!(Need::try_from("magic".to_owned()).is_err());
    }

    #[test]
    fn a_version_ignores_what_follows_it() {
        assert_eq!(version_of("6.12.0-rc1+deb13-amd64"), Some((6, 12)));
        assert!(Need::Kernel(2, 6).is_met());
        assert!(!Need::Kernel(9999, 0).is_met());
    }
}
