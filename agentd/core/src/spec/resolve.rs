//! From a spec with variables to one without, and to its grants.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::error::Problems;
use super::variables::{self, BUILT_IN, Failure, Use, Values};
use super::{Exec, Files, Located, NetworkSection, Spec, SpecError, Unix, Variables, grants};
use crate::rule::{Defaults, Rule};
use crate::suggest;
use crate::verdict::Verdict;

/// A spec whose variables have values, ready to be put into force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedSpec {
    spec: Spec,
    variables: BTreeMap<String, String>,
    grants: grants::Grants,
}

impl ResolvedSpec {
    /// The spec with every variable replaced; values are escaped where they stand in patterns.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Values in force, also those that agentd set.
    pub fn variables(&self) -> &BTreeMap<String, String> {
        &self.variables
    }

    /// The grants, with ids such as `files.read[2]`; also port 53 of the resolvers that the spec names.
    pub fn rules(&self) -> Vec<Rule> {
        self.grants.rules.clone()
    }

    /// Name servers that the spec names; empty means those of the host.
    pub fn resolvers(&self) -> &[IpAddr] {
        &self.grants.resolvers
    }

    /// Grants of port 53 of the host's name servers; none if the spec names its own.
    pub fn resolver_rules(&self, host: &[IpAddr]) -> Vec<Rule> {
        if self.resolvers().is_empty() { grants::resolver_rules(&self.spec, host) } else { Vec::new() }
    }

    /// Verdicts where no grant matches.
    pub fn defaults(&self) -> Defaults {
        Defaults {
            files: self.spec.files.default,
            exec: self.spec.exec.default,
            network: self.spec.network.default,
            unix: self.spec.unix.default,
            process: self.spec.process.default,
        }
    }

    /// Verdicts where no grant matches, in the sandbox: what has no rule of its own there is denied.
    pub fn contained_defaults(&self) -> Defaults {
        Defaults { network: Verdict::Deny, unix: Verdict::Deny, process: Verdict::Deny, ..self.defaults() }
    }
}

/// Finds what would be wrong with any values, before there are values.
pub(super) fn check(spec: &Spec, problems: &mut Problems) {
    for (name, default) in &spec.variables {
        let value = expand_default(default, |name| Ok(format!("/{name}")));
        if let Err(message) = value.and_then(|value| check_default(name, &value)) {
            problems.add(default.line, message);
        }
    }
    let expanded = expand(spec, &Values::assumed(spec), problems);
    grants::grants(&expanded, problems);
}

fn check_default(name: &str, value: &str) -> Result<(), String> {
    if value.is_empty() { Ok(()) } else { variables::normal(name, value).map(|_| ()) }
}

pub(super) fn resolve(spec: &Spec, given: &Variables) -> Result<ResolvedSpec, SpecError> {
    let mut problems = Problems::new(&spec.file);
    let values = values(spec, given, &mut problems);
    let variables = values
        .iter()
        .filter_map(|(name, value)| value.as_ref().ok().map(|value| (name.clone(), value.clone())))
        .collect();
    let expanded = expand(spec, &Values::Real(values), &mut problems);
    let grants = grants::grants(&expanded, &mut problems);
    problems.into_result(ResolvedSpec { spec: expanded, variables, grants })
}

/// Every variable's value, or why it has none. What agentd sets is a problem only where it is used.
fn values(
    spec: &Spec,
    given: &Variables,
    problems: &mut Problems,
) -> BTreeMap<String, Result<String, Failure>> {
    let mut values = BTreeMap::new();
    for name in BUILT_IN {
        let value =
            given.get(name).ok_or_else(|| format!("variable `{name}` is not known here; name the user"));
        let value = value.and_then(|value| variables::normal(name, value)).map_err(Failure::Problem);
        values.insert(name.to_owned(), value);
    }
    for (name, default) in &spec.variables {
        let value = match given.get(name) {
            Some(value) => Ok(value.to_owned()),
            None => expand_default(default, |name| match given.get(name) {
                Some(value) => Ok(value.to_owned()),
                None => Err(format!("variable `{name}` is not known here; name the user")),
            }),
        };
        let value = value.and_then(|value| variables::normal(name, &value)).map_err(|message| {
            problems.add(default.line, message);
            Failure::Declared
        });
        values.insert(name.clone(), value);
    }
    for (name, _) in given.iter().filter(|(name, _)| !values.contains_key(*name)) {
        let hint = suggest::hint(name, spec.variables.keys().map(String::as_str));
        let hint = if hint.is_empty() { "; declare it in [variables]".to_owned() } else { hint };
        problems.add(1, format!("variable `{name}` was given, but this spec has none of that name{hint}"));
    }
    values
}

/// Defaults may use what agentd sets (`"${home}/work"`), not each other.
fn expand_default(
    default: &Located<String>,
    built_in: impl Fn(&str) -> Result<String, String>,
) -> Result<String, String> {
    let mut expanded = default.value.clone();
    let mut rest = default.value.clone();
    for name in BUILT_IN {
        let reference = format!("${{{name}}}");
        if rest.contains(&reference) {
            expanded = expanded.replace(&reference, &built_in(name)?);
            rest = rest.replace(&reference, "");
        }
    }
    if rest.contains("${") {
        let known = BUILT_IN.join(", ");
        return Err(format!("the default `{}` may use only {known}; write the value out", default.value));
    }
    Ok(expanded)
}

fn expand(spec: &Spec, values: &Values, problems: &mut Problems) -> Spec {
    let mut spec = spec.clone();
    let mut replace = |text: &mut String, line: u32, usage: Use| match values.expand(text, usage) {
        Ok(expanded) => {
            *text = expanded;
            true
        }
        Err(failure) => {
            if let Failure::Problem(message) = failure {
                problems.add(line, message);
            }
            false
        }
    };
    // Every field is named, so that none that is added can be forgotten here.
    let Spec {
        file: _,
        agent: _,
        anatomy: _,
        economics: _,
        containment: _,
        variables: _,
        files,
        exec,
        network,
        unix,
        process: _,
    } = &mut spec;
    let Files { default: _, read, write, create, delete, link, audit, hold, deny } = files;
    let of_files = [read, write, create, delete, link, audit, hold, deny];
    let Exec {
        default: _,
        allow,
        libraries,
        hold,
        deny,
        commands_hold,
        commands_deny,
        anonymous: _,
        memfd: _,
        privileged: _,
    } = exec;
    let of_exec = [libraries, hold, deny, commands_hold, commands_deny];
    allow.retain_mut(|entry| replace(&mut entry.value.path, entry.line, Use::Pattern));
    let NetworkSection { default: _, connect, listen, hold, deny, resolvers, sockets: _ } = network;
    for list in [connect, listen, hold, deny] {
        list.retain_mut(|peer| replace(&mut peer.value.to, peer.line, Use::Plain));
    }
    resolvers.retain_mut(|text| replace(&mut text.value, text.line, Use::Plain));
    let Unix { default: _, connect, bind, hold, deny } = unix;
    let of_unix = [connect, bind, hold, deny];
    for list in of_files.into_iter().chain(of_exec).chain(of_unix) {
        list.retain_mut(|text| replace(&mut text.value, text.line, Use::Pattern));
    }
    spec
}
