//! Changes the text of a spec and keeps its comments and its order: for what is made of another spec.

use std::path::Path;

use agentguard_core::spec::{Memory, Role, Spec};
use toml_edit::{Array, DocumentMut, Item, Table, Value};

use crate::draft::{Note, NoteKind};
use crate::identity::{
    self, DEFAULT_BUDGET_USD, DEFAULT_MODEL, FIRST_VERSION, temperature_limit, usual_temperature, usual_work,
};
use crate::{AuthoringError, Draft, Identity, Source};

/// What becomes of the version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// It begins at the first one: a new agent.
    First,
    /// It stays what it was: a copy.
    Kept,
}

/// Another agent with this spec: checks the text, puts in what was said, adds the parts that are missing, and makes it
/// a spec for the sandbox.
pub(crate) fn rewrite(
    source: Source<'_>,
    identity: &Identity,
    version: Version,
) -> Result<Draft, AuthoringError> {
    identity.check()?;
    let spec = Spec::parse(source.text, Path::new(source.file))?;
    let mut document: DocumentMut = source.text.parse().map_err(|error: toml_edit::TomlError| {
        let start = error.span().map_or(0, |span| span.start);
        AuthoringError::Line {
            file: source.file.to_owned(),
            line: crate::text::line_at(source.text, start),
            problem: error.message().replace('\n', " "),
        }
    })?;
    let role = identity.role.unwrap_or(spec.agent.role);
    let mut editor =
        Editor { file: source.file, document: &mut document, assumed: Vec::new(), notes: Vec::new() };
    editor.agent(identity, role, version)?;
    let owner = identity.owner.is_some() || spec.agent.owner.is_some();
    let description = identity.description.is_some() || !spec.agent.description.is_empty();
    editor.notes.extend(identity::missing_notes(owner, description));
    editor.anatomy(identity, role)?;
    editor.economics(identity)?;
    editor.containment()?;
    let Editor { assumed, mut notes, .. } = editor;
    notes.extend(identity::assumed_note(&assumed));
    Draft::checked(source.file, document.to_string(), notes)
}

struct Editor<'d> {
    file: &'d str,
    document: &'d mut DocumentMut,
    assumed: Vec<String>,
    notes: Vec<Note>,
}

impl Editor<'_> {
    fn agent(&mut self, identity: &Identity, role: Role, version: Version) -> Result<(), AuthoringError> {
        let mode = self.document.get("agent").and_then(|agent| agent.get("mode")).and_then(Item::as_str);
        if mode.is_some_and(|mode| mode != "enforce") {
            let why = "an agent in the sandbox is enforced; to only watch it, start it with --observe";
            self.notes.push(Note::new(NoteKind::Assumed, "agent.mode = \"enforce\"", why));
        }
        let agent = self.section("agent", "")?;
        set(agent, "name", identity.name.as_str().into());
        set(agent, "mode", "enforce".into());
        set_given(agent, "description", identity.description.as_deref().map(Value::from));
        set_given(agent, "role", identity.role.map(|role| Value::from(role.name())));
        set_given(agent, "tier", identity.tier.map(|tier| Value::from(i64::from(tier))));
        let first = (version == Version::First || !agent.contains_key("version")).then_some(FIRST_VERSION);
        set_given(agent, "version", identity.version.as_deref().or(first).map(Value::from));
        set_given(agent, "owner", identity.owner.as_deref().map(Value::from));
        if let Some(expires) = &identity.expires {
            set(agent, "expires", moment(expires)?);
        }
        let usual = usual_work(role).0;
        let assumed = list(agent, "capabilities", identity.capabilities.as_deref(), usual);
        self.assumed.extend(assumed.then(|| "agent.capabilities".to_owned()));
        Ok(())
    }

    fn anatomy(&mut self, identity: &Identity, role: Role) -> Result<(), AuthoringError> {
        let (_, inputs, actions) = usual_work(role);
        let anatomy = self.section("anatomy", "What it is made of.")?;
        let mut assumed = Vec::new();
        for (key, said, usual) in
            [("inputs", &identity.inputs, inputs), ("actions", &identity.actions, actions)]
        {
            let was_assumed = list(anatomy, key, said.as_deref(), usual);
            assumed.extend(was_assumed.then(|| format!("anatomy.{key}")));
        }
        let memory = identity.memory.or((!anatomy.contains_key("memory")).then_some(Memory::None));
        set_given(anatomy, "memory", memory.map(|memory| Value::from(memory.name())));
        let reasoning = anatomy.entry("reasoning").or_insert_with(|| Item::Table(Table::new()));
        let Some(reasoning) = reasoning.as_table_like_mut() else {
            return Err(self.no_table("anatomy.reasoning"));
        };
        let model = identity.model.as_deref();
        if model.is_none() && !reasoning.contains_key("model") {
            assumed.push(format!("anatomy.reasoning.model ({DEFAULT_MODEL})"));
            reasoning.insert("model", DEFAULT_MODEL.into());
        }
        set_like(reasoning, "model", model.map(Value::from));
        let known = reasoning.get("temperature").and_then(number);
        let temperature = match (identity.temperature, known) {
            (Some(said), _) => said,
            // What is written stays, and is noted below if no promotion takes it; but for another role than it was written
            // for it begins anew.
            (None, Some(known)) if identity.role.is_none() || known <= temperature_limit(role) => known,
            (None, _) => usual_temperature(role),
        };
        if known != Some(temperature) {
            set_like(reasoning, "temperature", Some(Value::from(temperature)));
        }
        self.assumed.extend(assumed);
        self.notes.extend(identity::temperature_note(role, temperature));
        Ok(())
    }

    fn economics(&mut self, identity: &Identity) -> Result<(), AuthoringError> {
        let economics = self.section("economics", "What it may cost.")?;
        let key = "monthly_budget_usd";
        let missing = identity.monthly_budget_usd.is_none() && !economics.contains_key(key);
        let value = identity.monthly_budget_usd.or(missing.then_some(DEFAULT_BUDGET_USD));
        set_given(economics, key, value.map(budget));
        self.assumed.extend(missing.then(|| format!("economics.{key} ({DEFAULT_BUDGET_USD})")));
        Ok(())
    }

    fn containment(&mut self) -> Result<(), AuthoringError> {
        let containment =
            self.section("containment", "What holds while it is in the sandbox, whatever is granted.")?;
        let mut changed = Vec::new();
        for key in ["external_calls", "persistent_writes"] {
            if containment.get(key).and_then(Item::as_bool) == Some(true) {
                changed.push(format!("containment.{key} = false"));
            }
            set(containment, key, false.into());
        }
        if !containment.contains_key("loopback") {
            set(containment, "loopback", false.into());
        }
        let why = "a new agent begins contained in the sandbox, whatever the text said";
        self.notes.extend(changed.into_iter().map(|about| Note::new(NoteKind::Assumed, about, why)));
        Ok(())
    }

    /// A section, made behind the others with a comment if it is not there.
    fn section(&mut self, name: &str, comment: &str) -> Result<&mut Table, AuthoringError> {
        let no_table = self.no_table(name);
        let fresh = || {
            let mut table = Table::new();
            table.decor_mut().set_prefix(format!("\n# {comment}\n"));
            Item::Table(table)
        };
        self.document.entry(name).or_insert_with(fresh).as_table_mut().ok_or(no_table)
    }

    fn no_table(&self, name: &str) -> AuthoringError {
        AuthoringError::file(self.file, format!("{name} is no section of its own; write it as [{name}]"))
    }
}

/// Sets a value and keeps what is written around the old one.
fn set(table: &mut Table, key: &str, value: Value) {
    set_like(table, key, Some(value));
}

fn set_given(table: &mut Table, key: &str, value: Option<Value>) {
    set_like(table, key, value);
}

fn set_like(table: &mut dyn toml_edit::TableLike, key: &str, value: Option<Value>) {
    let Some(mut value) = value else { return };
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(known) => {
            *value.decor_mut() = known.decor().clone();
            *known = value;
        }
        None => {
            table.insert(key, Item::Value(value));
        }
    }
}

/// Sets a list that was said, or a usual one where there is none. Whether the usual one was taken.
fn list(table: &mut Table, key: &str, said: Option<&[String]>, usual: &[&str]) -> bool {
    let (words, usual): (Array, bool) = match said {
        Some(words) => (words.iter().map(String::as_str).collect(), false),
        None if table.contains_key(key) => return false,
        None => (usual.iter().copied().collect(), true),
    };
    set(table, key, Value::Array(words));
    usual
}

/// A moment as TOML writes it.
fn moment(text: &str) -> Result<Value, AuthoringError> {
    identity::check_expiry(text)?;
    text.parse::<Value>().map_err(|error| AuthoringError::value("agent.expires", error.message()))
}

fn number(item: &Item) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a temperature is a small number")]
    item.as_float().or_else(|| item.as_integer().map(|whole| whole as f64))
}

/// Whole dollars are written without a point.
fn budget(dollars: f64) -> Value {
    match crate::render::dollars(dollars).parse::<i64>() {
        Ok(whole) => Value::from(whole),
        Err(_) => Value::from(dollars),
    }
}
