//! Which agent a kernel key means, and which rules a generation stood for. Written when an agent is enrolled or its rules
//! change, read for every event.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};

use agentguard_core::ids::{AgentKey, AgentName};
use agentguard_core::rule::{Defaults, Rule, Ruleset};
use agentguard_policy::Input;

/// Generations of one agent whose rules are remembered: events of an older one are seconds old at most.
const MAX_GENERATIONS: usize = 8;

/// Ended agents whose last events may still be on their way.
const MAX_ENDED: usize = 256;

/// Rules that are or were in force for an agent.
#[derive(Debug, PartialEq)]
pub struct InForce {
    /// Both layers, guardrails first. Agents share the rules that they have in common.
    pub rules: Vec<Arc<Rule>>,
    /// Where no grant matches.
    pub defaults: Defaults,
    /// Hash over the rules, first 12 hex digits.
    pub version: String,
    /// What policy was asked, to ask it again about single requests.
    pub input: Input,
}

impl InForce {
    /// A rule by the kernel's index; none for 0, which stands for a default.
    pub fn rule(&self, index: u32) -> Option<&Rule> {
        let position = usize::try_from(index.checked_sub(1)?).ok()?;
        self.rules.get(position).map(Arc::as_ref)
    }

    /// The same with rules of its own, to ask it about requests.
    pub fn ruleset(&self) -> Ruleset {
        let rules = self.rules.iter().map(|rule| rule.as_ref().clone()).collect();
        Ruleset { rules, defaults: self.defaults }
    }
}

/// Kernel key to agent.
#[derive(Debug, Default)]
pub struct Directory {
    agents: RwLock<Agents>,
}

#[derive(Debug, Default)]
struct Agents {
    by_key: HashMap<AgentKey, Entry>,
    ended: VecDeque<AgentKey>,
}

#[derive(Debug)]
struct Entry {
    name: AgentName,
    generations: VecDeque<(u32, Arc<InForce>)>,
}

impl Directory {
    /// Rules that the kernel is about to use under a generation. Must be told before the kernel is, so that no event
    /// refers to unknown rules.
    pub fn announce(&self, key: AgentKey, name: &AgentName, generation: u32, rules: Arc<InForce>) {
        let mut agents = self.agents.write().unwrap_or_else(PoisonError::into_inner);
        let entry = agents
            .by_key
            .entry(key)
            .or_insert_with(|| Entry { name: name.clone(), generations: VecDeque::new() });
        entry.generations.push_back((generation, rules));
        if entry.generations.len() > MAX_GENERATIONS {
            entry.generations.pop_front();
        }
    }

    /// An agent ended. It is kept a while for the events that are still on their way.
    pub fn ended(&self, key: AgentKey) {
        let mut agents = self.agents.write().unwrap_or_else(PoisonError::into_inner);
        agents.ended.push_back(key);
        if agents.ended.len() > MAX_ENDED
            && let Some(oldest) = agents.ended.pop_front()
        {
            agents.by_key.remove(&oldest);
        }
    }

    /// The agent's name. An unknown key (its agent ended long ago, or the store was lost) is named by its numbers.
    pub fn name(&self, key: AgentKey) -> AgentName {
        let agents = self.agents.read().unwrap_or_else(PoisonError::into_inner);
        match agents.by_key.get(&key) {
            Some(entry) => entry.name.clone(),
            None => AgentName(format!("unknown-{}.{}", key.slot, key.serial)),
        }
    }

    /// The rules that a generation stood for.
    pub fn in_force(&self, key: AgentKey, generation: u32) -> Option<Arc<InForce>> {
        let agents = self.agents.read().unwrap_or_else(PoisonError::into_inner);
        let entry = agents.by_key.get(&key)?;
        entry.generations.iter().find(|(known, _)| *known == generation).map(|(_, rules)| rules.clone())
    }
}
