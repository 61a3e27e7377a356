//! Programs that agentd runs itself, over each task or each element of a map.

use std::io::Read as _;

use libbpf_rs::{Iter, Link};

use super::KernelError;
use super::maps::failed;

/// One run. Returns what the program wrote; `what` names the walk in an error.
pub(super) fn iterate(program: &Link, what: &str) -> Result<Vec<u8>, KernelError> {
    let mut iter = Iter::new(program).map_err(|error| failed(what, error))?;
    let mut bytes = Vec::new();
    iter.read_to_end(&mut bytes).map_err(|source| KernelError::System { what: what.to_owned(), source })?;
    Ok(bytes)
}
