//! Who makes a held request: what policy and people see besides the request.

use serde::{Deserialize, Serialize};

/// The process, what it wants to start, and who started it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Asker {
    /// SHA-256 of the program that is to start, lower-case hex; empty if nothing starts or it could not be read.
    pub sha256: String,
    /// The process that waits.
    pub process: HeldProcess,
    /// Who started it: its parent first.
    pub lineage: Vec<Ancestor>,
}

/// A process that waits.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HeldProcess {
    /// Process id.
    pub pid: u32,
    /// User.
    pub uid: u32,
    /// Its executable.
    pub exe: String,
    /// SHA-256 of the executable, lower-case hex; empty if it could not be read.
    pub sha256: String,
    /// Its arguments.
    pub argv: Vec<String>,
    /// Its working directory.
    pub cwd: String,
    /// Names of its environment variables, without their values.
    pub environment: Vec<String>,
}

/// A process above one that waits.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ancestor {
    /// Process id.
    pub pid: u32,
    /// Its executable.
    pub exe: String,
    /// Its arguments.
    pub argv: Vec<String>,
}
