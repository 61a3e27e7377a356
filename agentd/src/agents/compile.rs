//! From a spec, a user, this host and the policy to everything that the kernel needs for one agent.
//!
//! A pure computation but for hashing pinned executables. It takes milliseconds to seconds, so never on the async threads.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use agentguard_core::containment::contained;
use agentguard_core::ids::AgentName;
use agentguard_core::rule::{Defaults, Rule, Ruleset};
use agentguard_core::spec::{Mode, ResolvedSpec, Spec, SpecError, VariableError, Variables};
use agentguard_core::tables::Tables;
use agentguard_core::{LowerError, lower};
use agentguard_governance::state::State;
use agentguard_policy::{AgentFacts, HostFacts, Input, PolicyErrors, PolicySet, UNREGISTERED};
use sha2::{Digest, Sha256};

use super::directory::InForce;
use super::user::User;
use super::{Registered, pinned};
use crate::kernel::{AgentRules, MadeOf, PinnedFile};

/// Where a sandbox without a scratch directory may write.
const NOWHERE: &str = "/nonexistent/scratch";

/// Rulesets that are remembered with their tables, each up to some megabytes: a host's agents take turns.
const MAX_LOWERED: usize = 4;

/// Hex digits of a version, as users see it.
const VERSION_DIGITS: usize = 12;

/// A spec and what it is put into force with.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Text.
    pub spec: String,
    /// As the user named the file.
    pub spec_file: String,
    /// What the user set.
    pub variables: BTreeMap<String, String>,
    /// Overrides the spec's.
    pub mode: Option<Mode>,
    /// Whose processes they are.
    pub user: User,
    /// The registered agent that it is a run of. Then its spec says the mode, and the sandbox enforces whatever that says.
    pub registered: Option<Registered>,
}

/// Ready for the kernel.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// The spec, variables replaced.
    pub spec: ResolvedSpec,
    /// In force.
    pub mode: Mode,
    /// Rules.
    pub rules: Arc<InForce>,
    /// The same for the kernel.
    pub tables: Arc<Tables>,
    /// DNS servers whose answers are followed.
    pub resolvers: Vec<IpAddr>,
    /// Executables granted by hash.
    pub pins: Vec<PinnedFile>,
    /// Hashes of the spec and the policy that the rules were made of.
    pub made_of: MadeOf,
    /// Its agent is restricted: connections were made under wider rules.
    pub asks_each_send: bool,
    /// What the user should know.
    pub warnings: Vec<String>,
}

impl Compiled {
    /// As the kernel gets them, under a generation.
    pub fn rules(&self, generation: u32) -> AgentRules<'_> {
        AgentRules {
            mode: self.mode,
            generation,
            tables: &self.tables,
            resolvers: &self.resolvers,
            pins: &self.pins,
            asks_each_send: self.asks_each_send,
            made_of: self.made_of,
        }
    }
}

/// Why there are no rules. Each line names file and line where there is one.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The spec.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A variable.
    #[error(transparent)]
    Variable(#[from] VariableError),
    /// The policy.
    #[error("policy: {0}")]
    Policy(#[from] PolicyErrors),
    /// Rules that do not fit into the kernel.
    #[error(transparent)]
    Lower(#[from] LowerError),
    /// The rules can not be written as JSON.
    #[error("rules: {0}")]
    Json(#[from] serde_json::Error),
}

/// Compiles, and remembers: agents of one host have most of their rules in common, and often all of them.
#[derive(Debug, Default)]
pub struct Compiler {
    guardrails: Vec<Rule>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// The last ones, the newest at the end.
    lowered: VecDeque<Lowered>,
    /// Rules of all agents, each once.
    rules: HashSet<Arc<Rule>>,
}

#[derive(Debug, Clone)]
struct Lowered {
    version: String,
    rules: Vec<Arc<Rule>>,
    defaults: Defaults,
    tables: Arc<Tables>,
}

impl Compiler {
    /// With rules that every agent has beside those of policy.
    pub fn beside(guardrails: Vec<Rule>) -> Self {
        Self { guardrails, known: Mutex::default() }
    }

    /// Everything, or every mistake.
    pub fn compile(
        &self,
        draft: &Draft,
        name: Option<&AgentName>,
        host: &HostFacts,
        policy: &PolicySet,
    ) -> Result<Compiled, CompileError> {
        let spec = Spec::parse(&draft.spec, Path::new(&draft.spec_file))?;
        let mut variables = Variables::of_user(&draft.user.home, &draft.user.name, draft.user.uid);
        for (name, value) in &draft.variables {
            variables.set(name, value)?;
        }
        let resolved = spec.resolve(&variables)?;
        let (mode, state) = standing(draft, &resolved);
        // To policy every run of a registered agent is that agent.
        let registered = draft.registered.as_ref().map(|registered| AgentName(registered.name.clone()));
        let name = registered.as_ref().or(name);
        let input = input(&resolved, name, mode, state, &draft.user, host)?;
        let mut rules = policy.guardrails(&input)?;
        rules.extend_from_slice(&self.guardrails);
        let defaults = match &draft.registered {
            Some(Registered { state: State::Sandbox, scratch, .. }) => {
                let scratch = scratch.as_deref().unwrap_or(Path::new(NOWHERE));
                rules.extend(contained(&resolved, scratch));
                resolved.contained_defaults()
            }
            Some(_) | None => {
                rules.extend(resolved.rules());
                rules.extend(resolved.resolver_rules(&host.nameservers));
                resolved.defaults()
            }
        };
        let made_of =
            MadeOf { spec_sha256: bytes(&spec.sha256()), policy_sha256: bytes(policy.version().hash()) };
        let lowered = self.lower(Ruleset { rules, defaults })?;
        let (pins, warnings) = pinned::pin(&lowered.tables.pinned);
        let resolvers = match resolved.resolvers() {
            [] => host.nameservers.clone(),
            own => own.to_vec(),
        };
        let asks_each_send =
            draft.registered.as_ref().is_some_and(|registered| registered.state == State::Restricted);
        let Lowered { version, rules, defaults, tables } = lowered;
        let rules = InForce { rules, defaults, version, input };
        let rules = Arc::new(rules);
        Ok(Compiled {
            spec: resolved,
            mode,
            rules,
            tables,
            resolvers,
            pins,
            made_of,
            asks_each_send,
            warnings,
        })
    }

    fn lower(&self, ruleset: Ruleset) -> Result<Lowered, CompileError> {
        let version = version(&ruleset)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lowered) = known.lowered.iter().find(|lowered| lowered.version == version) {
            return Ok(lowered.clone());
        }
        let tables = Arc::new(lower(&ruleset)?);
        let mut rules: Vec<_> = ruleset.rules.into_iter().map(|rule| known.share(rule)).collect();
        rules.shrink_to_fit(); // collected in place, in the room that the rules themselves took
        let lowered = Lowered { version, rules, defaults: ruleset.defaults, tables };
        known.lowered.push_back(lowered.clone());
        known.forget();
        Ok(lowered)
    }
}

impl Known {
    fn share(&mut self, rule: Rule) -> Arc<Rule> {
        if let Some(known) = self.rules.get(&rule) {
            return known.clone();
        }
        let rule = Arc::new(rule);
        self.rules.insert(rule.clone());
        rule
    }

    /// What is too old, and rules that nobody has any more.
    fn forget(&mut self) {
        while self.lowered.len() > MAX_LOWERED {
            self.lowered.pop_front();
        }
        self.rules.retain(|rule| Arc::strong_count(rule) > 1);
    }
}

/// Mode and state: what is registered runs as its spec says, and in the sandbox nothing is only observed.
fn standing(draft: &Draft, resolved: &ResolvedSpec) -> (Mode, &'static str) {
    let own = resolved.spec().agent.mode;
    match &draft.registered {
        None => (draft.mode.unwrap_or(own), UNREGISTERED),
        Some(registered) => match registered.state {
            State::Sandbox => (Mode::Enforce, State::Sandbox.name()),
            state @ (State::Valid | State::Restricted | State::Invalidated) => (own, state.name()),
        },
    }
}

/// The bytes of a SHA-256 in hex.
fn bytes(hash: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    // Both hashes are made here, as hex of 32 bytes.
    let _ = hex::decode_to_slice(hash, &mut bytes);
    bytes
}

fn input(
    spec: &ResolvedSpec,
    name: Option<&AgentName>,
    mode: Mode,
    state: &str,
    user: &User,
    host: &HostFacts,
) -> Result<Input, CompileError> {
    Ok(Input {
        agent: AgentFacts {
            name: name.unwrap_or(&spec.spec().agent.name).0.clone(),
            mode: mode.name().to_owned(),
            ..AgentFacts::of(spec.spec(), user.uid, &user.home, spec.variables(), state)?
        },
        host: host.clone(),
    })
}

/// First digits of the hash over everything that decides.
fn version(ruleset: &Ruleset) -> Result<String, CompileError> {
    let mut version = hex::encode(Sha256::digest(serde_json::to_vec(ruleset)?));
    version.truncate(VERSION_DIGITS);
    Ok(version)
}
