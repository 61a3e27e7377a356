//! What policy knows about an agent, turned for the engine once and kept while it is asked about.

use std::collections::VecDeque;
use std::sync::Arc;

use agentguard_policy::PreparedInput;

use crate::agents::directory::InForce;

/// Agents whose part of the input is kept: a large spec takes a megabyte.
const MAX_INPUTS: usize = 8;

/// The inputs of the agents that were asked about last.
#[derive(Default)]
pub struct Inputs(VecDeque<(Arc<InForce>, PreparedInput)>);

impl Inputs {
    /// The input of an agent under these rules.
    pub fn of(&mut self, rules: &Arc<InForce>) -> PreparedInput {
        if let Some((_, known)) = self.0.iter().find(|(known, _)| Arc::ptr_eq(known, rules)) {
            return known.clone();
        }
        let input = PreparedInput::new(&rules.input);
        self.0.truncate(MAX_INPUTS - 1);
        self.0.push_front((Arc::clone(rules), input.clone()));
        input
    }
}
