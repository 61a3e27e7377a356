//! The commands, one file each: its arguments as typed, what they mean, and how its result looks.

pub(crate) mod agent;
pub(crate) mod agents;
pub(crate) mod approvals;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod budget;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod enroll;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod governance;
pub(crate) mod kernel;
pub(crate) mod keys;
pub(crate) mod man;
pub(crate) mod policy;
pub(crate) mod query;
pub(crate) mod reference;
pub(crate) mod release;
pub(crate) mod restore;
pub(crate) mod run;
pub(crate) mod selftest;
pub(crate) mod spec;
pub(crate) mod status;
pub(crate) mod summary;
