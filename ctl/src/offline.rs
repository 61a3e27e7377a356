//! What agentd would start from, without agentd: a spec resolved for the calling user, and the facts that policy sees.
//!
//! Only for checks and explanations that say they are offline. A host fact that only agentd knows is assumed as on
//! a host that enforces everything.

use std::net::IpAddr;
use std::path::Path;

use agentguard_core::rule::Rule;
use agentguard_core::spec::{ResolvedSpec, Spec, SpecError, Variables};
use agentguard_policy::{AgentFacts, HostFacts, Input, PolicySet, UNREGISTERED};
use nix::unistd::{Uid, User};

use crate::exit::Failure;
use crate::spec_text::{SpecText, Variable};

/// Sockets of container runtimes, where they usually are.
const RUNTIME_SOCKETS: [&str; 4] =
    ["/run/docker.sock", "/run/containerd/containerd.sock", "/run/crio/crio.sock", "/run/podman/podman.sock"];

/// The calling user, who would run the agent.
struct Caller {
    name: String,
    home: String,
    uid: u32,
}

impl Caller {
    fn of_process() -> Self {
        let uid = Uid::current();
        let user = User::from_uid(uid).ok().flatten();
        let home = user.as_ref().map(|user| user.dir.to_string_lossy().into_owned());
        Self {
            name: user.map_or_else(|| uid.to_string(), |user| user.name),
            home: home.unwrap_or_else(|| "/nonexistent".to_owned()),
            uid: uid.as_raw(),
        }
    }
}

/// A spec with values for its variables, as if the caller ran it now.
pub(crate) struct Offline {
    pub(crate) spec: ResolvedSpec,
    input: Input,
}

impl Offline {
    /// Every problem of the spec is a line of the failure.
    pub(crate) fn new(text: &SpecText, typed: &[Variable]) -> Result<Self, Failure> {
        let spec = resolve(text, typed)?.map_err(|error| Failure::Failed(error.to_string()))?;
        let input = Input { agent: agent_facts(&spec, &Caller::of_process())?, host: host_facts() };
        Ok(Self { spec, input })
    }

    /// The guardrails of a policy for this spec.
    pub(crate) fn guardrails(&self, policy: &PolicySet) -> Result<Vec<Rule>, Failure> {
        policy.guardrails(&self.input).map_err(|errors| Failure::Failed(errors.to_string()))
    }

    /// The grants of the spec, with those for the name servers of this host.
    pub(crate) fn grants(&self) -> Vec<Rule> {
        let resolvers = self.spec.resolver_rules(&self.input.host.nameservers);
        self.spec.rules().into_iter().chain(resolvers).collect()
    }
}

/// The spec with the typed values; the outer error is about what was typed, the inner about the spec.
pub(crate) fn resolve(
    text: &SpecText,
    typed: &[Variable],
) -> Result<Result<ResolvedSpec, SpecError>, Failure> {
    let caller = Caller::of_process();
    let mut variables = Variables::of_user(&caller.home, &caller.name, caller.uid);
    for (name, value) in text.variables(typed)? {
        variables.set(&name, &value).map_err(|error| Failure::Usage(error.to_string()))?;
    }
    Ok(Spec::parse(&text.text, Path::new(&text.file)).and_then(|spec| spec.resolve(&variables)))
}

fn agent_facts(resolved: &ResolvedSpec, caller: &Caller) -> Result<AgentFacts, Failure> {
    AgentFacts::of(resolved.spec(), caller.uid, &caller.home, resolved.variables(), UNREGISTERED)
        .map_err(|error| Failure::Failed(error.to_string()))
}

fn host_facts() -> HostFacts {
    let (hostname, kernel) = match nix::sys::utsname::uname() {
        Ok(uname) => {
            (uname.nodename().to_string_lossy().into_owned(), uname.release().to_string_lossy().into_owned())
        }
        Err(_) => (String::new(), String::new()),
    };
    let resolvers = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let there = RUNTIME_SOCKETS.into_iter().filter(|socket| Path::new(socket).exists());
    HostFacts {
        hostname,
        kernel,
        backend: "lsm".to_owned(),
        runtime_sockets: there.map(str::to_owned).collect(),
        nameservers: nameservers(&resolvers),
        interfaces: Vec::new(),
    }
}

fn nameservers(resolv_conf: &str) -> Vec<IpAddr> {
    let lines = resolv_conf.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    // A link-local address may carry its zone.
    lines.filter_map(|rest| rest.split('%').next()?.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_read_from_resolv_conf() {
        let text =
            "# x\nsearch example.com\nnameserver 192.0.2.53\n nameserver fe80::1%eth0\nnameserver bad\n";
        let addresses: Vec<_> = nameservers(text).iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["192.0.2.53", "fe80::1"]);
    }

    #[test]
    fn a_bad_spec_names_file_and_line() {
        let text = SpecText { file: "x.toml".to_owned(), text: "[agent]\nname = 7\n".to_owned() };
        let Err(failure) = Offline::new(&text, &[]) else { panic!("no failure") };
        assert!(failure.to_string().starts_with("x.toml:"), "{failure}");
    }
}
