//! Who a new agent is: what was said, and the usual values of its role where nothing was.

use agentguard_core::spec::{MAX_AGENT_NAME_BYTES, MAX_DESCRIPTION_BYTES, Memory, Moment, Role, Usd};

use crate::draft::{Note, NoteKind};
use crate::text::one_line;
use crate::{Anatomy, AuthoringError, SpecDraft};

/// Version of an agent that has none.
pub(crate) const FIRST_VERSION: &str = "0.1.0";
/// Policy lets a spec grant less, the higher the tier; this one leaves the shell and the workspace.
pub(crate) const DEFAULT_TIER: u8 = 3;
/// Named where nobody names a model, and noted.
pub(crate) const DEFAULT_MODEL: &str = "claude-sonnet-4";
pub(crate) const DEFAULT_BUDGET_USD: f64 = 50.0;
/// Longest text on one line.
const MAX_LINE_BYTES: usize = 256;
const MAX_VERSION_BYTES: usize = 64;
/// Most entries of a list that people read.
const MAX_WORDS: usize = 64;
const MAX_TEMPERATURE: f64 = 2.0;
const TEMPERATURE_DECIMALS: usize = 3;

/// What is said about a new agent, whichever way it is made. What is `None` comes from where the spec is made of, or
/// else from the role.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Identity {
    /// Name: 1 to 63 of `a-z 0-9 - _ .`.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// What kind of work it does.
    pub role: Option<Role>,
    /// 1 (least risk) to 4.
    pub tier: Option<u8>,
    /// Who answers for it, one line.
    pub owner: Option<String>,
    /// 1 to 64 of `0-9 A-Z a-z . + -`.
    pub version: Option<String>,
    /// When it may no longer run, as `2027-06-30T00:00:00Z`.
    pub expires: Option<String>,
    /// What it can do, in words: `code.write`.
    pub capabilities: Option<Vec<String>>,
    /// What it works on.
    pub inputs: Option<Vec<String>>,
    /// What it does.
    pub actions: Option<Vec<String>>,
    /// What it remembers.
    pub memory: Option<Memory>,
    /// Model that it reasons with.
    pub model: Option<String>,
    /// 0 to 2, at most 3 decimals.
    pub temperature: Option<f64>,
    /// US dollars, at most 2 decimals.
    pub monthly_budget_usd: Option<f64>,
}

/// Highest temperature with which an agent of this role is promoted.
pub const fn temperature_limit(role: Role) -> f64 {
    match role {
        Role::Compliance => 0.3,
        Role::Analysis => 0.7,
        Role::Ideation => 1.0,
    }
}

pub(crate) const fn usual_temperature(role: Role) -> f64 {
    match role {
        Role::Compliance => 0.1,
        Role::Analysis => 0.2,
        Role::Ideation => 0.7,
    }
}

/// Capabilities, inputs and actions of a role about which nothing else is known.
pub(crate) const fn usual_work(
    role: Role,
) -> (&'static [&'static str], &'static [&'static str], &'static [&'static str]) {
    match role {
        Role::Compliance => (
            &["evidence.read", "report.write"],
            &["evidence", "policies"],
            &["check evidence", "report findings"],
        ),
        Role::Analysis => {
            (&["data.read", "report.write"], &["files of the workspace"], &["read files", "report"])
        }
        Role::Ideation => (&["code.write", "command.run"], &["repository"], &["edit files", "run commands"]),
    }
}

impl Identity {
    /// An agent of which only the name is known.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Whether every value is one that a spec can hold; the first that is not.
    pub(crate) fn check(&self) -> Result<(), AuthoringError> {
        check_name(&self.name)?;
        given(&self.description, |text| {
            let long = text.len() > MAX_DESCRIPTION_BYTES;
            refuse(long, "agent.description", || {
                format!("longer than {MAX_DESCRIPTION_BYTES} bytes; shorten it")
            })
        })?;
        given(&self.tier, |tier| {
            let bad = !(1..=4).contains(tier);
            refuse(bad, "agent.tier", || format!("{tier} is no tier; give 1 (least risk) to 4"))
        })?;
        given(&self.owner, |owner| check_line("agent.owner", owner))?;
        given(&self.version, |version| {
            let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'-');
            let bad = version.is_empty() || version.len() > MAX_VERSION_BYTES || !version.bytes().all(letter);
            refuse(bad, "agent.version", || {
                format!(
                    "`{version}` is no version; give 1 to {MAX_VERSION_BYTES} of 0-9, A-Z, a-z, `.`, `+`, `-`"
                )
            })
        })?;
        given(&self.expires, |text| check_expiry(text))?;
        given(&self.capabilities, |words| check_capabilities(words))?;
        for (key, list) in [("anatomy.inputs", &self.inputs), ("anatomy.actions", &self.actions)] {
            given(list, |lines| {
                refuse(lines.len() > MAX_WORDS, key, || format!("more than {MAX_WORDS}; name fewer"))?;
                lines.iter().try_for_each(|line| check_line(key, line))
            })?;
        }
        given(&self.model, |model| check_line("anatomy.reasoning.model", model))?;
        given(&self.temperature, |value| {
            let bad = !(0.0..=MAX_TEMPERATURE).contains(value) || decimals(*value) > TEMPERATURE_DECIMALS;
            refuse(bad, "anatomy.reasoning.temperature", || {
                format!(
                    "{value} is no temperature; give 0 to {MAX_TEMPERATURE} with at most {TEMPERATURE_DECIMALS} decimals"
                )
            })
        })?;
        given(&self.monthly_budget_usd, |value| {
            let bad = Usd::parse(&value.to_string()).is_none();
            refuse(bad, "economics.monthly_budget_usd", || {
                format!("{value} is no budget; give 0 to 10000000 dollars with at most 2 decimals")
            })
        })
    }

    /// Puts what was said into a draft, and the usual values of the role where neither it nor the draft says anything.
    pub(crate) fn apply(&self, draft: &mut SpecDraft, notes: &mut Vec<Note>) -> Result<(), AuthoringError> {
        self.check()?;
        draft.name.clone_from(&self.name);
        let keep = |said: &Option<String>, known: &mut Option<String>| {
            if said.is_some() {
                known.clone_from(said);
            }
        };
        keep(&self.description, &mut draft.description);
        keep(&self.owner, &mut draft.owner);
        keep(&self.expires, &mut draft.expires);
        draft.role = self.role.unwrap_or(draft.role);
        draft.tier = self.tier.unwrap_or(draft.tier);
        if let Some(version) = &self.version {
            draft.version.clone_from(version);
        }
        if let Some(words) = &self.capabilities {
            draft.capabilities.clone_from(words);
        }
        self.apply_anatomy(&mut draft.anatomy);
        draft.monthly_budget_usd = self.monthly_budget_usd.or(draft.monthly_budget_usd);
        fill(draft, notes);
        Ok(())
    }

    fn apply_anatomy(&self, anatomy: &mut Anatomy) {
        if let Some(inputs) = &self.inputs {
            anatomy.inputs.clone_from(inputs);
        }
        if let Some(actions) = &self.actions {
            anatomy.actions.clone_from(actions);
        }
        anatomy.memory = self.memory.or(anatomy.memory);
        anatomy.model = self.model.clone().or(anatomy.model.take());
        anatomy.temperature = self.temperature.or(anatomy.temperature);
    }
}

/// Usual values where there are none; one note names them all.
fn fill(draft: &mut SpecDraft, notes: &mut Vec<Note>) {
    let (capabilities, inputs, actions) = usual_work(draft.role);
    let mut assumed = Vec::new();
    let mut list = |key: &str, values: &mut Vec<String>, usual: &[&str]| {
        if values.is_empty() {
            *values = usual.iter().map(|word| (*word).to_owned()).collect();
            assumed.push(key.to_owned());
        }
    };
    list("agent.capabilities", &mut draft.capabilities, capabilities);
    list("anatomy.inputs", &mut draft.anatomy.inputs, inputs);
    list("anatomy.actions", &mut draft.anatomy.actions, actions);
    if draft.anatomy.model.is_none() {
        draft.anatomy.model = Some(DEFAULT_MODEL.to_owned());
        assumed.push(format!("anatomy.reasoning.model ({DEFAULT_MODEL})"));
    }
    if draft.monthly_budget_usd.is_none() {
        draft.monthly_budget_usd = Some(DEFAULT_BUDGET_USD);
        assumed.push(format!("economics.monthly_budget_usd ({DEFAULT_BUDGET_USD})"));
    }
    draft.anatomy.memory = draft.anatomy.memory.or(Some(Memory::None));
    let temperature = *draft.anatomy.temperature.get_or_insert(usual_temperature(draft.role));
    notes.extend(assumed_note(&assumed));
    notes.extend(temperature_note(draft.role, temperature));
    notes.extend(missing_notes(draft.owner.is_some(), draft.description.is_some()));
}

pub(crate) fn assumed_note(keys: &[String]) -> Option<Note> {
    let why = "nobody said these, so they are usual values of the role; change what does not fit";
    (!keys.is_empty()).then(|| Note::new(NoteKind::Assumed, keys.join(", "), why))
}

/// What nobody can assume, and without which no agent is promoted.
pub(crate) fn missing_notes(owner: bool, description: bool) -> impl Iterator<Item = Note> {
    let why = "nobody said it, and policy asks for it before it promotes an agent; write it in";
    let parts = [("agent.description", description), ("agent.owner", owner)];
    parts.into_iter().filter(|(_, said)| !said).map(move |(key, _)| Note::left_out(key, why))
}

/// A temperature that is no error here and will be one at promotion.
pub(crate) fn temperature_note(role: Role, temperature: f64) -> Option<Note> {
    let limit = temperature_limit(role);
    (temperature > limit).then(|| {
        let why = format!(
            "{temperature} is above {limit}, the most with which a {role} agent is promoted; lower it"
        );
        Note::unsure("anatomy.reasoning.temperature", why)
    })
}

/// A moment as the spec takes it, which is also how TOML writes one.
pub(crate) fn check_expiry(text: &str) -> Result<(), AuthoringError> {
    refuse(Moment::parse(text).is_none(), "agent.expires", || {
        format!("`{}` is no moment in UTC; give it as 2027-06-30T00:00:00Z", one_line(text))
    })
}

fn check_line(key: &str, line: &str) -> Result<(), AuthoringError> {
    let bad = line.trim().is_empty() || line.len() > MAX_LINE_BYTES || line.contains(char::is_control);
    refuse(bad, key, || format!("give one line of 1 to {MAX_LINE_BYTES} bytes"))
}

fn check_name(name: &str) -> Result<(), AuthoringError> {
    let edge = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    let good = bytes.len() <= MAX_AGENT_NAME_BYTES
        && bytes.first().is_some_and(edge)
        && bytes.last().is_some_and(edge)
        && bytes.iter().all(|byte| edge(byte) || matches!(byte, b'-' | b'_' | b'.'));
    refuse(!good, "agent.name", || {
        format!(
            "`{}` is no name; give 1 to {MAX_AGENT_NAME_BYTES} of a-z, 0-9, `-`, `_`, `.`, beginning and ending with a \
             letter or digit",
            one_line(name)
        )
    })
}

fn check_capabilities(words: &[String]) -> Result<(), AuthoringError> {
    let key = "agent.capabilities";
    let letter =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-');
    refuse(words.len() > MAX_WORDS, key, || format!("more than {MAX_WORDS}; name fewer"))?;
    let bad = words.iter().find(|word| word.is_empty() || !word.bytes().all(letter));
    given(&bad, |word| {
        refuse(true, key, || format!("`{word}` is no capability; use a-z, 0-9, `.`, `_`, `-`"))
    })
}

fn given<T>(
    value: &Option<T>,
    check: impl FnOnce(&T) -> Result<(), AuthoringError>,
) -> Result<(), AuthoringError> {
    value.as_ref().map_or(Ok(()), check)
}

fn refuse(bad: bool, key: &str, problem: impl FnOnce() -> String) -> Result<(), AuthoringError> {
    if bad { Err(AuthoringError::value(key, problem())) } else { Ok(()) }
}

/// Digits behind the point in the shortest text that reads as this number.
fn decimals(value: f64) -> usize {
    value.to_string().split_once('.').map_or(0, |(_, digits)| digits.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_a_spec_cannot_hold_are_refused_with_their_key() {
        let named = || Identity::named("a");
        for (identity, part) in [
            (Identity::named("A b"), "agent.name: `A b` is no name"),
            (Identity { tier: Some(5), ..named() }, "agent.tier: 5"),
            (Identity { owner: Some("a\nb".into()), ..named() }, "agent.owner: give one line"),
            (Identity { version: Some("1 2".into()), ..named() }, "agent.version: `1 2`"),
            (Identity { expires: Some("2027-06-30".into()), ..named() }, "agent.expires: `2027-06-30`"),
            (Identity { capabilities: Some(vec!["A".into()]), ..named() }, "agent.capabilities: `A`"),
            (Identity { temperature: Some(2.5), ..named() }, "anatomy.reasoning.temperature: 2.5"),
            (Identity { temperature: Some(0.1234), ..named() }, "at most 3 decimals"),
            (Identity { temperature: Some(f64::NAN), ..named() }, "NaN is no temperature"),
            (Identity { monthly_budget_usd: Some(-1.0), ..named() }, "economics.monthly_budget_usd: -1"),
            (Identity { monthly_budget_usd: Some(1.005), ..named() }, "at most 2 decimals"),
        ] {
            let error = identity.check().expect_err(part).to_string();
            assert!(error.contains(part) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn usual_temperatures_are_within_the_limits_of_promotion() {
        for role in [Role::Compliance, Role::Analysis, Role::Ideation] {
            assert!(usual_temperature(role) <= temperature_limit(role));
        }
    }
}
