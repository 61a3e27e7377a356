//! `--from scratch`: what a shell needs to run, one directory to read, and nothing else. The comments say how to go on.

use crate::base;
use crate::{AuthoringError, Draft, Identity, SpecDraft};
use agentguard_core::spec::Role;

/// What a spec is made of: only what is said about the agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Scratch {
    /// Who it is. Role and tier should be said; else they are `analysis` and 3.
    pub identity: Identity,
}

const HEAD: [&str; 12] = [
    "A spec from scratch: a shell runs, reads the workspace, and changes nothing. Everything else is denied.",
    "",
    "Add what the work needs, one line at a time:",
    "  files.write, files.create, files.delete   \"${workspace}/**\" to change files there",
    "  exec.allow                                \"/usr/bin/git\" to run a program",
    "  exec.commands_hold                        \"{git,*/git} push\", \"{git,*/git} push *\" to ask a person first",
    "  network.connect                           { to = \"api.example.com\", ports = [443] } to reach a host",
    "",
    "To see what is missing, let it run in observe mode and make a spec of what was recorded:",
    "  agentctl run --observe --spec FILE -- COMMAND",
    "  agentctl agent create NAME --from event",
    "What policy denies, no grant can lift: agentctl policy explain",
];

/// Makes the spec.
pub fn draft(arguments: &Scratch) -> Result<Draft, AuthoringError> {
    let mut spec = SpecDraft::new(Role::Analysis);
    spec.head = HEAD.map(str::to_owned).to_vec();
    base::workspace(&mut spec);
    base::grant(&mut spec);
    spec.read_tree(base::WORK, base::WORKSPACE);
    spec.finish(&arguments.identity, Vec::new())
}
