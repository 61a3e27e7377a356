//! The text of a spec and the variables for it, as they travel to agentd. What the text means is agentd's to say.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::exit::Failure;

/// Where specs are looked up by name, in this order.
pub(crate) const SPEC_FOLDERS: [&str; 2] = ["/etc/agentguard/specs", "/usr/share/agentguard/specs"];

/// A spec is written by hand; whatever is larger is some other file.
const SPEC_MAX_BYTES: u64 = 1 << 20;

/// The variable that is the current directory unless it is set.
const WORKSPACE: &str = "workspace";

/// `NAME=VALUE` for a variable of a spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    name: String,
    value: String,
}

impl FromStr for Variable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
            return Err(format!("'{name}' is no name of a variable"));
        }
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }
}

/// A spec as it is written, and the file as the user named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SpecText {
    pub(crate) file: String,
    pub(crate) text: String,
}

impl SpecText {
    /// The spec of that file, or of that name in the usual folders.
    pub(crate) fn find(spec: &str) -> Result<Self, Failure> {
        let folders = SPEC_FOLDERS.map(PathBuf::from);
        Self::read(&locate(spec, &folders)?)
    }

    /// The text of this file: of a spec, or of what a spec is made of.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let file = path.display().to_string();
        let mut text = String::new();
        let read = File::open(path).and_then(|open| open.take(SPEC_MAX_BYTES + 1).read_to_string(&mut text));
        match read {
            Err(error) => Err(Failure::on(path, &error)),
            Ok(bytes) if bytes as u64 > SPEC_MAX_BYTES => Err(Failure::Failed(format!(
                "{file}: larger than {SPEC_MAX_BYTES} bytes; is it the right file?"
            ))),
            Ok(_) => Ok(Self { file, text }),
        }
    }

    /// The variables to send: what was typed, and the current directory as the workspace if the spec wants one.
    pub(crate) fn variables(&self, typed: &[Variable]) -> Result<HashMap<String, String>, Failure> {
        self.variables_beside(typed, &BTreeMap::new())
    }

    /// The same, where agentd has values of its own for some.
    pub(crate) fn variables_beside(
        &self,
        typed: &[Variable],
        stored: &BTreeMap<String, String>,
    ) -> Result<HashMap<String, String>, Failure> {
        let mut variables = values(typed)?;
        let has_workspace = variables.contains_key(WORKSPACE) || stored.contains_key(WORKSPACE);
        if self.wants_workspace() && !has_workspace {
            let here = std::env::current_dir()
                .map_err(|error| Failure::Failed(format!("cannot tell the current directory: {error}")))?;
            let here = here.into_os_string().into_string().map_err(|here| {
                Failure::Usage(format!(
                    "the current directory {here:?} is not UTF-8: set the variable {WORKSPACE}"
                ))
            })?;
            variables.insert(WORKSPACE.to_owned(), here);
        }
        Ok(variables)
    }

    /// Whether the spec has that variable and leaves it empty. A spec that cannot be read is agentd's to refuse.
    fn wants_workspace(&self) -> bool {
        let Ok(spec) = self.text.parse::<toml::Table>() else { return false };
        let value = spec.get("variables").and_then(|variables| variables.get(WORKSPACE));
        value.and_then(toml::Value::as_str).is_some_and(str::is_empty)
    }
}

/// What was typed, by name.
pub(crate) fn values(typed: &[Variable]) -> Result<HashMap<String, String>, Failure> {
    let mut variables = HashMap::new();
    for Variable { name, value } in typed {
        if variables.insert(name.clone(), value.clone()).is_some() {
            return Err(Failure::Usage(format!("--set {name} is given twice")));
        }
    }
    Ok(variables)
}

/// Names of the specs in the usual folders, each with the file that it stands for.
pub(crate) fn templates() -> BTreeMap<String, PathBuf> {
    templates_in(&SPEC_FOLDERS.map(PathBuf::from))
}

fn templates_in(folders: &[PathBuf]) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    // The first folder that has a name is the one that is used, as in `locate`.
    for file in folders.iter().flat_map(std::fs::read_dir).flatten().flatten().map(|entry| entry.path()) {
        let name = file.file_stem().and_then(|name| name.to_str()).map(str::to_owned);
        if let (Some(name), Some("toml")) = (name, file.extension().and_then(|end| end.to_str())) {
            found.entry(name).or_insert(file);
        }
    }
    found
}

fn locate(spec: &str, folders: &[PathBuf]) -> Result<PathBuf, Failure> {
    let path = Path::new(spec);
    if spec.contains('/') || path.extension().is_some_and(|extension| extension == "toml") {
        return Ok(path.to_owned());
    }
    let candidates = folders.iter().map(|folder| folder.join(format!("{spec}.toml")));
    candidates.into_iter().find(|candidate| candidate.is_file()).ok_or_else(|| {
        let folders: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
        Failure::Failed(format!("no spec named '{spec}' in {}; a file needs its .toml", folders.join(" or ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_split_at_the_first_equals_sign() {
        let variable: Variable = "workspace=/srv/a=b".parse().unwrap();
        assert_eq!((variable.name.as_str(), variable.value.as_str()), ("workspace", "/srv/a=b"));
        assert!("workspace".parse::<Variable>().is_err());
        assert!("=x".parse::<Variable>().is_err());
        assert!("a b=x".parse::<Variable>().is_err());
    }

    #[test]
    fn a_name_is_looked_up_in_the_folders_in_order() {
        let (own, shipped) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folders = [own.path().to_owned(), shipped.path().to_owned()];
        let both = |name: &str| folders.each_ref().map(|folder| folder.join(name));
        let [own_file, shipped_file] = both("coder.toml");
        std::fs::write(&shipped_file, "").unwrap();
        assert_eq!(locate("coder", &folders).unwrap(), shipped_file);
        std::fs::write(&own_file, "").unwrap();
        assert_eq!(locate("coder", &folders).unwrap(), own_file);
        assert!(locate("nobody", &folders).unwrap_err().to_string().contains("no spec named 'nobody'"));
    }

    #[test]
    fn templates_are_listed_by_the_name_that_finds_them() {
        let (own, shipped) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folders = [own.path().to_owned(), shipped.path().to_owned(), PathBuf::from("/nonexistent")];
        for file in [
            own.path().join("coder.toml"),
            shipped.path().join("coder.toml"),
            shipped.path().join("ops.toml"),
        ] {
            std::fs::write(file, "").unwrap();
        }
        std::fs::write(own.path().join("README"), "").unwrap();
        let found = templates_in(&folders);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["coder", "ops"]);
        assert_eq!(found["coder"], own.path().join("coder.toml"));
    }

    #[test]
    fn a_stored_workspace_is_not_sent_again() {
        let spec = SpecText { file: String::new(), text: "[variables]\nworkspace = \"\"\n".to_owned() };
        let stored = BTreeMap::from([("workspace".to_owned(), "/srv".to_owned())]);
        assert!(spec.variables_beside(&[], &stored).unwrap().is_empty());
        assert!(spec.variables_beside(&[], &BTreeMap::new()).unwrap().contains_key("workspace"));
    }

    #[test]
    fn a_path_is_taken_as_it_is() {
        assert_eq!(locate("./coder", &[]).unwrap(), Path::new("./coder"));
        assert_eq!(locate("coder.toml", &[]).unwrap(), Path::new("coder.toml"));
    }

    #[test]
    fn a_workspace_with_a_default_stays() {
        let spec = |text: &str| SpecText { file: String::new(), text: text.to_owned() };
        assert!(spec("[variables]\nworkspace = \"\"\n").wants_workspace());
        assert!(!spec("[variables]\nworkspace = \"/srv\"\n").wants_workspace());
        assert!(!spec("[variables]\nother = \"\"\n").wants_workspace());
        assert!(!spec("not toml").wants_workspace());
    }

    #[test]
    fn a_variable_set_twice_is_an_error() {
        let spec = SpecText { file: String::new(), text: String::new() };
        let twice: Vec<Variable> = ["a=1", "a=2"].iter().map(|text| text.parse().unwrap()).collect();
        assert!(matches!(spec.variables(&twice), Err(Failure::Usage(_))));
    }
}
