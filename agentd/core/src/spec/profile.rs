//! What an agent is besides what it may do: `[anatomy]`, `[economics]`, `[containment]`, and the words of `[agent]` that
//! promotion asks for. Nothing here makes a rule; policy reads it, and a sandbox is held to its containment.

use std::fmt;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize, Serializer};
use toml::Spanned;
use toml::de::DeValue;

use super::Located;
use super::read::{Reader, Section};

/// Longest version, such as `1.4.0-rc.1+build.7`.
pub(super) const MAX_VERSION_BYTES: usize = 64;
/// Longest one-line text: owner, model, one input, one action.
pub(super) const MAX_LINE_BYTES: usize = 256;
/// Most capabilities, inputs or actions: they are read by people.
pub(super) const MAX_WORDS: usize = 64;
/// Hottest temperature that any model takes, in thousandths.
const MAX_TEMPERATURE: u32 = 2_000;
/// Largest budget, in cents: ten million dollars a month is a typing mistake.
const MAX_BUDGET_CENTS: u64 = 1_000_000_000;

pub(super) const ANATOMY_KEYS: [&str; 4] = ["reasoning", "inputs", "actions", "memory"];
pub(super) const REASONING_KEYS: [&str; 2] = ["model", "temperature"];
pub(super) const ECONOMICS_KEYS: [&str; 1] = ["monthly_budget_usd"];
pub(super) const CONTAINMENT_KEYS: [&str; 3] = ["external_calls", "persistent_writes", "loopback"];
pub(super) const MEMORIES: [(&str, Memory); 3] =
    [("none", Memory::None), ("session", Memory::Session), ("persistent", Memory::Persistent)];

/// `[anatomy]`: what the agent is made of, in its author's words.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Anatomy {
    /// The model that decides.
    pub reasoning: Option<Reasoning>,
    /// What it is given.
    pub inputs: Vec<Located<String>>,
    /// What it does.
    pub actions: Vec<Located<String>>,
    /// What it keeps between runs.
    pub memory: Option<Memory>,
}

/// `[anatomy.reasoning]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reasoning {
    /// As its maker names it.
    pub model: String,
    /// How freely it chooses.
    pub temperature: Option<Temperature>,
}

/// What an agent keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Memory {
    /// Nothing.
    None,
    /// Until it ends.
    Session,
    /// From run to run.
    Persistent,
}

/// `[economics]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Economics {
    /// What it may cost in a calendar month.
    pub monthly_budget_usd: Option<Usd>,
}

/// `[containment]`: what is asked of the sandbox. Everything is contained unless it says otherwise, and only
/// `loopback` may be asked for: with one of the others the agent does not start in the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Containment {
    /// It would reach other hosts.
    pub external_calls: bool,
    /// It would write outside its scratch directory.
    pub persistent_writes: bool,
    /// It may connect to and listen on this host, as far as it is granted.
    pub loopback: bool,
}

/// A model's temperature, in thousandths. As JSON a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Temperature(pub u32);

/// An amount of money, in cents. As JSON dollars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Usd(pub u64);

/// A moment, in UTC. As JSON its RFC 3339 text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Moment {
    text: String,
    /// Nanoseconds since 1970.
    pub wall_ns: u64,
}

impl Memory {
    /// As users write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Session => "session",
            Self::Persistent => "persistent",
        }
    }
}

impl Usd {
    /// Dollars, for people and policy; exact up to 90 trillion.
    #[allow(clippy::cast_precision_loss)]
    pub fn dollars(self) -> f64 {
        self.0 as f64 / 100.0
    }

    /// An amount as people write it: `12`, `12.5` or `12.50`.
    pub fn parse(text: &str) -> Option<Self> {
        decimal(text, 2).map(Self).filter(|amount| amount.0 <= MAX_BUDGET_CENTS)
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${}.{:02}", self.0 / 100, self.0 % 100)
    }
}

impl fmt::Display for Temperature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", f64::from(self.0) / 1000.0)
    }
}

impl Serialize for Temperature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(self.0) / 1000.0)
    }
}

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.dollars())
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Moment {
    /// Reads `2027-06-30T00:00:00Z`.
    pub fn parse(text: &str) -> Option<Self> {
        let since = humantime::parse_rfc3339(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(Self { text: text.to_owned(), wall_ns: u64::try_from(since.as_nanos()).ok()? })
    }
}

pub(super) fn anatomy(reader: &mut Reader, root: Section<'_, '_>) -> Anatomy {
    let section = reader.section(root, "anatomy", &ANATOMY_KEYS);
    Anatomy {
        reasoning: reasoning(reader, section),
        inputs: lines(reader, section, "inputs"),
        actions: lines(reader, section, "actions"),
        memory: reader.choice(section, "memory", &MEMORIES).map(|word| word.value),
    }
}

fn reasoning(reader: &mut Reader, anatomy: Section<'_, '_>) -> Option<Reasoning> {
    let section = reader.subsection(anatomy, "reasoning", "anatomy.reasoning", &REASONING_KEYS);
    if !section.is_written() {
        return None;
    }
    let model = reader.required(section, "model", "name the model, such as model = \"claude-sonnet-4\"");
    let model = model.and_then(|model| line(reader, model, "anatomy.reasoning.model"));
    let temperature = number(reader, section, "temperature", 3, u64::from(MAX_TEMPERATURE), "0 to 2");
    Some(Reasoning {
        model: model?.value,
        temperature: temperature.and_then(|thousandths| u32::try_from(thousandths).ok()).map(Temperature),
    })
}

pub(super) fn economics(reader: &mut Reader, root: Section<'_, '_>) -> Economics {
    let section = reader.section(root, "economics", &ECONOMICS_KEYS);
    let cents = number(reader, section, "monthly_budget_usd", 2, MAX_BUDGET_CENTS, "0 to 10000000");
    Economics { monthly_budget_usd: cents.map(Usd) }
}

pub(super) fn containment(reader: &mut Reader, root: Section<'_, '_>) -> Containment {
    let section = reader.section(root, "containment", &CONTAINMENT_KEYS);
    Containment {
        external_calls: reader.flag(section, "external_calls"),
        persistent_writes: reader.flag(section, "persistent_writes"),
        loopback: reader.flag(section, "loopback"),
    }
}

/// `agent.version`.
pub(super) fn version(reader: &mut Reader, section: Section<'_, '_>) -> Option<String> {
    let written = reader.string(section, "version")?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'-');
    if written.value.is_empty()
        || written.value.len() > MAX_VERSION_BYTES
        || !written.value.bytes().all(plain)
    {
        let message = format!(
            "agent.version `{}` is no version; write 1 to {MAX_VERSION_BYTES} of 0-9, A-Z, a-z, `.`, `+`, `-`, such as \"1.4.0\"",
            written.value
        );
        reader.problem(written.line, message);
        return None;
    }
    Some(written.value)
}

/// `agent.owner`.
pub(super) fn owner(reader: &mut Reader, section: Section<'_, '_>) -> Option<String> {
    let written = reader.string(section, "owner")?;
    line(reader, written, "agent.owner").map(|owner| owner.value)
}

/// `agent.capabilities`: words for people and policy, not those of the kernel.
pub(super) fn capabilities(reader: &mut Reader, section: Section<'_, '_>) -> Vec<Located<String>> {
    let words = lines(reader, section, "capabilities");
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-');
    for word in words.iter().filter(|word| !word.value.bytes().all(plain)) {
        let message = format!(
            "agent.capabilities has `{}`; write words of a-z, 0-9, `.`, `_`, `-`, such as \"code.write\"",
            word.value
        );
        reader.problem(word.line, message);
    }
    words
}

/// `agent.expires`.
pub(super) fn expires(reader: &mut Reader, section: Section<'_, '_>) -> Option<Moment> {
    let value = section.get("expires")?;
    let written = match value.get_ref() {
        DeValue::Datetime(moment) => Some(moment.to_string()),
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => None,
    };
    let moment = written.as_deref().and_then(Moment::parse);
    if moment.is_none() {
        let written = written.unwrap_or_else(|| value.get_ref().type_str().to_owned());
        let line = reader.line(value.span());
        let message =
            format!("agent.expires is `{written}`; write a moment in UTC, such as 2027-06-30T00:00:00Z");
        reader.problem(line, message);
    }
    moment
}

fn lines(reader: &mut Reader, section: Section<'_, '_>, key: &str) -> Vec<Located<String>> {
    let name = section.path(key);
    let read = reader.strings(section, key);
    if let Some(first) = read.get(MAX_WORDS) {
        reader.problem(first.line, format!("{name} has more than {MAX_WORDS} entries; leave some out"));
    }
    read.into_iter().filter_map(|text| line(reader, text, &name)).collect()
}

fn line(reader: &mut Reader, text: Located<String>, name: &str) -> Option<Located<String>> {
    let empty = text.value.trim().is_empty();
    if empty || text.value.len() > MAX_LINE_BYTES || text.value.contains(char::is_control) {
        let message = format!("{name} must be one line of 1 to {MAX_LINE_BYTES} bytes");
        reader.problem(text.line, message);
        return None;
    }
    Some(text)
}

/// A number with so many decimals at most, without its point.
fn number(
    reader: &mut Reader,
    section: Section<'_, '_>,
    key: &str,
    decimals: usize,
    most: u64,
    range: &str,
) -> Option<u64> {
    let value = section.get(key)?;
    let name = section.path(key);
    let text = text_of(value);
    let found = text.as_deref().and_then(|text| decimal(text, decimals)).filter(|number| *number <= most);
    if found.is_none() {
        let written = text.unwrap_or_else(|| format!("of the type {}", value.get_ref().type_str()));
        let line = reader.line(value.span());
        let message =
            format!("{name} is {written}; write a number from {range}, with at most {decimals} decimals");
        reader.problem(line, message);
    }
    found
}

fn text_of(value: &Spanned<DeValue<'_>>) -> Option<String> {
    match value.get_ref() {
        DeValue::Integer(digits) if digits.radix() == 10 => Some(digits.as_str().to_owned()),
        DeValue::Float(digits) => Some(digits.as_str().to_owned()),
        DeValue::Integer(_)
        | DeValue::String(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => None,
    }
}

/// Digits with at most so many behind the point, as a whole number of the smallest unit.
fn decimal(text: &str, decimals: usize) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > decimals {
        return None;
    }
    format!("{whole}{fraction:0<decimals$}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        for (text, decimals, wanted) in
            [("0.3", 3, Some(300)), ("1", 3, Some(1000)), ("150.5", 2, Some(15_050)), ("0", 2, Some(0))]
        {
            assert_eq!(decimal(text, decimals), wanted, "{text}");
        }
        for text in ["", ".5", "-1", "1e3", "nan", "inf", "1.2345", "0x10", "99999999999999999999"] {
            assert_eq!(decimal(text, 3), None, "{text}");
        }
    }

    #[test]
    fn money_reads_as_it_is_written() {
        assert_eq!(Usd::parse("12.5"), Some(Usd(1250)));
        assert_eq!(Usd(1250).to_string(), "$12.50");
        assert_eq!(Usd::parse("10000000.01"), None);
    }

    #[test]
    fn a_moment_is_in_utc() {
        assert_eq!(Moment::parse("1970-01-01T00:00:01Z").unwrap().wall_ns, 1_000_000_000);
        for text in ["2027-06-30", "2027-06-30T00:00:00+02:00", "tomorrow", "1969-01-01T00:00:00Z"] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
    }
}
