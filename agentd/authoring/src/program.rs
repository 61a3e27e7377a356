//! Programs that are known by name: where they are, what they read and change, whom they talk to.
//!
//! A table, so that a workflow, an answer and a permission rule mean the same by `cargo`. What is not in it is granted
//! by path and marked.

mod table;

use agentguard_core::spec::{Executable, Peer};
use agentguard_core::verdict::Verdict;

use crate::draft::Note;
use crate::{Entry, SpecDraft, base};
use table::PROGRAMS;

const HTTPS: u16 = 443;

/// What a program does to the directory that the agent works in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    /// Nothing.
    None,
    /// Reads.
    Read,
    /// Changes.
    Change,
    /// Changes, and runs what it made.
    Run,
}

/// One known program, or several that need the same.
pub(crate) struct Program {
    pub(super) names: &'static [&'static str],
    /// What may run.
    pub(super) run: &'static [&'static str],
    /// What is read.
    pub(super) read: &'static [&'static str],
    /// Directories of caches that are read and changed, and run where `run` says so.
    pub(super) caches: &'static [&'static str],
    /// Peers, by name.
    pub(super) connect: &'static [&'static str],
    /// Unix sockets.
    pub(super) sockets: &'static [&'static str],
    pub(super) work: Work,
    /// Whether it makes code at run time.
    pub(super) makes_code: bool,
    /// The word for `agent.capabilities`.
    pub(super) capability: &'static str,
    /// What its user should know.
    pub(super) note: &'static str,
}

/// The known program of this name.
pub(crate) fn known(name: &str) -> Option<&'static Program> {
    PROGRAMS.iter().find(|program| program.names.contains(&name))
}

/// Grants what a program needs, the work directory included. One that is not known is granted by path, and noted.
pub(crate) fn grant(spec: &mut SpecDraft, notes: &mut Vec<Note>, name: &str) {
    grant_without_work(spec, notes, name);
    work(spec, known(name).map_or(Work::None, |program| program.work));
}

/// The same for a program that works somewhere else.
pub(crate) fn grant_without_work(spec: &mut SpecDraft, notes: &mut Vec<Note>, name: &str) {
    let Some(program) = known(name) else {
        unknown(spec, notes, name);
        return;
    };
    let heading = format!("{name}.");
    if program.run.is_empty() {
        spec.run("Other programs.", &format!("/usr/bin/{name}"));
    }
    program.run.iter().for_each(|path| spec.run(&heading, path));
    program.read.iter().for_each(|path| spec.files.read.add_under(&heading, *path));
    program.caches.iter().for_each(|directory| spec.change_tree(&heading, directory));
    for host in program.connect {
        spec.network.connect.add_under(&heading, peer(host, HTTPS));
    }
    program.sockets.iter().for_each(|socket| spec.unix.connect.add(*socket));
    if program.makes_code {
        spec.exec.anonymous = Some(Verdict::Allow);
    }
    if !program.capability.is_empty() {
        spec.capability(program.capability);
    }
    if !program.note.is_empty() {
        notes.push(Note::unsure(name, program.note));
    }
}

/// Grants the work directory.
pub(crate) fn work(spec: &mut SpecDraft, work: Work) {
    if work >= Work::Read {
        base::workspace(spec);
        spec.read_tree(base::WORK, base::WORKSPACE);
    }
    if work >= Work::Change {
        spec.change_tree(base::WORK, base::WORKSPACE);
        spec.files.link.add("${workspace}/**");
        temporary(spec);
    }
    if work == Work::Run {
        spec.run(base::WORK, "${workspace}/**");
    }
}

/// Grants the directories for temporary files.
pub(crate) fn temporary(spec: &mut SpecDraft) {
    let heading = "Temporary files.";
    spec.read_tree(heading, "/tmp");
    for list in [&mut spec.files.write, &mut spec.files.create, &mut spec.files.delete] {
        list.add_under(heading, "/tmp/**");
    }
}

/// A peer with one port.
pub(crate) fn peer(to: &str, port: u16) -> Peer {
    Peer { to: to.to_owned(), ports: vec![(port, port)], protocol: agentguard_core::rule::Protocol::Any }
}

fn unknown(spec: &mut SpecDraft, notes: &mut Vec<Note>, name: &str) {
    use agentguard_core::pattern::Pattern;
    let path = if name.starts_with('/') {
        Pattern::escape(name)
    } else {
        format!("/usr/bin/{}", Pattern::escape(name))
    };
    let why = "not a program that is known here: check where it is, and grant what it reads, changes and connects to";
    notes.push(Note::unsure(format!("exec.allow {path}"), why));
    let value = Executable { path, sha256: None };
    let unsure = Some("check where it is and what it needs".to_owned());
    spec.exec.allow.insert(Entry { value, heading: Some("Other programs.".to_owned()), unsure });
}

#[cfg(test)]
mod tests {
    use super::*;
    use agentguard_core::spec::Role;

    #[test]
    fn no_name_stands_for_two_programs() {
        let mut seen = std::collections::HashSet::new();
        for name in PROGRAMS.iter().flat_map(|program| program.names) {
            assert!(seen.insert(name), "{name}");
        }
    }

    #[test]
    fn every_known_program_makes_a_spec_that_is_taken() {
        for name in PROGRAMS.iter().flat_map(|program| program.names) {
            let (mut spec, mut notes) = (SpecDraft::new(Role::Ideation), Vec::new());
            base::grant(&mut spec);
            grant(&mut spec, &mut notes, name);
            let made = spec.finish(&crate::Identity::named("a"), notes);
            assert!(made.is_ok(), "{name}: {}", made.unwrap_err());
        }
    }
}
