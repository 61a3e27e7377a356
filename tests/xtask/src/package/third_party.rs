//! The libraries that are linked into the programs, with their licenses: most of these want to be passed on.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::build::{INSTALLED, cargo};
use crate::tools::run;

/// How the names of files with licenses begin.
const LICENSES: [&str; 4] = ["LICENSE", "LICENCE", "COPYING", "NOTICE"];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
    manifest_path: PathBuf,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    /// Nothing for what is linked; `build` and `dev` are not.
    kind: Option<String>,
}

/// One text: a line for each library, then each license once, after the names of those that have it.
pub(super) fn licenses(workspace: &Path) -> Result<String> {
    let mut command = cargo(workspace);
    command.args(["metadata", "--format-version=1", "--locked"]);
    command.args(["--filter-platform", "x86_64-unknown-linux-gnu"]);
    let metadata: Metadata = serde_json::from_str(&run(&mut command)?).context("cargo metadata")?;
    let linked = linked(&metadata);

    let mut text =
        "AgentGuard is linked with these libraries; the texts of their licenses follow.\n\n".to_owned();
    let mut texts: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for package in &linked {
        let license = package.license.as_deref().unwrap_or("see its text");
        writeln!(text, "{} {}: {license}", package.name, package.version)?;
        for license in texts_of(package)? {
            texts.entry(license).or_default().insert(&package.name);
        }
    }
    for (license, names) in &texts {
        let names: Vec<&str> = names.iter().copied().collect();
        writeln!(text, "\n==== {}\n\n{}", names.join(", "), license.trim_end())?;
    }
    Ok(text)
}

/// Of others, and reached from what is installed without build and test dependencies.
fn linked(metadata: &Metadata) -> Vec<&Package> {
    let nodes: HashMap<&str, &Node> =
        metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let ours = |package: &&Package| package.source.is_none() && INSTALLED.contains(&package.name.as_str());
    let mut waiting: Vec<&str> =
        metadata.packages.iter().filter(ours).map(|package| package.id.as_str()).collect();
    let mut reached = BTreeSet::new();
    while let Some(id) = waiting.pop() {
        if !reached.insert(id) {
            continue;
        }
        for dependency in nodes.get(id).into_iter().flat_map(|node| &node.deps) {
            if dependency.dep_kinds.iter().any(|kind| kind.kind.is_none()) {
                waiting.push(&dependency.pkg);
            }
        }
    }
    let mut linked: Vec<&Package> = metadata
        .packages
        .iter()
        .filter(|package| package.source.is_some() && reached.contains(package.id.as_str()))
        .collect();
    linked.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    linked
}

fn texts_of(package: &Package) -> Result<Vec<String>> {
    let Some(folder) = package.manifest_path.parent() else { return Ok(Vec::new()) };
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        if path.is_file() && LICENSES.iter().any(|start| name.starts_with(start)) {
            texts.push(String::from_utf8_lossy(&std::fs::read(&path)?).into_owned());
        }
    }
    Ok(texts)
}
