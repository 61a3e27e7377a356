//! What no agent may do to agentd, whatever its spec says and whatever policy leaves unsaid: guardrails over the files that
//! this agentd really uses, and over the kernel that it enforces with. Its process is protected by the kernel programs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use agentguard_core::operation::{ClassOp, PathOp};
use agentguard_core::pattern::Pattern;
use agentguard_core::rule::{Rule, Scope, Source};
use agentguard_core::verdict::{Layer, Severity, Verdict};

use crate::config::{Config, DEFAULT_PATH, SHIPPED_POLICIES};

/// What looks into something or uses it.
const USES: [PathOp; 4] = [PathOp::Read, PathOp::Connect, PathOp::Exec, PathOp::MapExec];
/// Folders of units that could start something else in agentd's place.
const UNIT_FOLDERS: [&str; 4] =
    ["/usr/lib/systemd/system", "/lib/systemd/system", "/etc/systemd/system", "/run/systemd/system"];
const UNITS: &str =
    "{agentd.service,agentd.service.d,agentd.service.d/**,agents.slice,agents.slice.d,agents.slice.d/**}";

/// The guardrails of this agentd.
pub fn guardrails(config: &Config) -> Vec<Rule> {
    let socket = config.socket.parent().unwrap_or(&config.socket);
    let secret = [&*config.state_dir, &*config.run_dir, &*config.pin_dir, socket];
    let configuration = Path::new(DEFAULT_PATH).parent().unwrap_or(Path::new(DEFAULT_PATH));
    let shown = [configuration, Path::new(SHIPPED_POLICIES), &*config.policy_dir];
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/usr/sbin/agentd"));

    let mut rules = Vec::new();
    for folder in secret.into_iter().collect::<BTreeSet<_>>() {
        rules.extend(tree(folder).map(|pattern| {
            rule("state", path(&USES, pattern), "records of every agent, and the socket that governs them")
        }));
    }
    let folders: BTreeSet<_> = secret.into_iter().chain(shown).collect();
    let changed = folders.into_iter().flat_map(tree);
    let units = UNIT_FOLDERS.iter().map(|folder| format!("{folder}/{UNITS}"));
    for pattern in changed.chain(units).chain([escaped(&program)]) {
        rules.push(rule(
            "files",
            path(&PathOp::CHANGES, pattern),
            "agentd's own programs, policy, state and sockets",
        ));
    }
    let kernel = Scope::Class { op: ClassOp::Kernel };
    rules.push(rule("kernel", kernel, "modules, BPF programs and kexec change the kernel that enforces"));
    rules
}

fn rule(id: &str, scope: Scope, reason: &str) -> Rule {
    Rule {
        id: format!("agentd.{id}"),
        layer: Layer::Guardrail,
        verdict: Verdict::Deny,
        scope,
        severity: Some(Severity::Critical),
        reason: reason.to_owned(),
        source: Source { file: PathBuf::from("agentd"), line: 1 },
    }
}

fn path(ops: &[PathOp], pattern: String) -> Scope {
    Scope::Path { ops: ops.to_vec(), pattern, sha256: None }
}

/// A directory and everything below it.
fn tree(folder: &Path) -> impl Iterator<Item = String> {
    let folder = escaped(folder);
    [folder.clone(), format!("{folder}/**")].into_iter()
}

fn escaped(path: &Path) -> String {
    Pattern::escape(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_agentd_uses_is_protected_wherever_it_is() {
        let config = Config {
            state_dir: "/data/{agents}".into(),
            pin_dir: "/sys/fs/bpf/second".into(),
            ..Config::default()
        };
        let rules = guardrails(&config);
        let patterns: Vec<_> = rules
            .iter()
            .filter_map(|rule| match &rule.scope {
                Scope::Path { ops, pattern, .. } if ops.contains(&PathOp::Write) => Some(pattern.as_str()),
                _ => None,
            })
            .collect();
        for wanted in ["/data/\\{agents\\}/**", "/sys/fs/bpf/second/**", "/etc/agentguard/**"] {
            assert!(patterns.contains(&wanted), "{wanted} in {patterns:?}");
        }
        assert!(rules.iter().all(|rule| rule.layer == Layer::Guardrail && rule.verdict == Verdict::Deny));
    }
}
