//! `agent show`: one agent, and whether what runs is what was signed: by agentd's word, and as root by the kernel's own.

use std::collections::BTreeMap;
use std::io;
use std::time::SystemTime;

use agentguard_api::report::{AgentDetail, InstanceView, ProofView};
use agentguard_api::v1::AgentRequest;
use agentguard_governance::proof::Act;
use clap::Args;
use serde::Serialize;

use super::list::expiry_tone;
use crate::command::kernel::entry::{Entry, Table};
use crate::daemon::Daemon;
use crate::describe;
use crate::exit::{Failure, Outcome};
use crate::moment;
use crate::screen::{Format, Screen, Tone, printable};
use crate::standing::{self, short};

/// What was typed after `agent show`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The agent
    name: String,
    /// Print only the text of its spec
    #[arg(long)]
    spec: bool,
}

/// What the kernel's own table says of a run, and whether that is what agentd says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Reading {
    Same(Entry),
    Other { entry: Entry, why: String },
    Failed(String),
}

/// An agent with what was read here: what `-o json` prints.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    detail: AgentDetail,
    /// By the name of the run; empty if the table is not there or not for this caller.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    read_by_agentctl: BTreeMap<String, Reading>,
}

pub(super) fn run(
    arguments: &Arguments,
    daemon: &mut Daemon,
    screen: &mut Screen<'_>,
) -> Result<Outcome, Failure> {
    let detail = ask(&arguments.name, daemon)?;
    if arguments.spec {
        screen.text(&detail.spec)?;
        return Ok(Outcome::Done);
    }
    let read_by_agentctl = read(&detail.instances);
    let shown = Shown { detail, read_by_agentctl };
    match screen.format() {
        Format::Table => print(screen, &shown, SystemTime::now())?,
        Format::Json | Format::Ndjson => screen.document(&shown)?,
    }
    Ok(Outcome::of(shown.holds()))
}

/// The agent, as agentd tells of it.
pub(super) fn ask(name: &str, daemon: &mut Daemon) -> Result<AgentDetail, Failure> {
    let request = AgentRequest { name: name.to_owned(), because: String::new() };
    daemon.call(async |client| client.agent_show(request).await)
}

/// Looks at the kernel's table for every run, if there are any and the table is for this caller.
fn read(instances: &[InstanceView]) -> BTreeMap<String, Reading> {
    if instances.is_empty() {
        return BTreeMap::new();
    }
    let table = Table::open().transpose();
    let Some(table) = table else { return BTreeMap::new() };
    let of = |instance: &InstanceView| match &table {
        Ok(table) => match table.at(instance.agent.key.slot) {
            Ok(entry) => compare(instance, entry),
            Err(why) => Reading::Failed(why),
        },
        Err(why) => Reading::Failed(why.clone()),
    };
    instances.iter().map(|instance| (instance.agent.name.0.clone(), of(instance))).collect()
}

fn compare(instance: &InstanceView, entry: Entry) -> Reading {
    let InstanceView { agent, kernel } = instance;
    let mut why = Vec::new();
    if entry.serial != agent.key.serial {
        why.push(format!("serial {} instead of {}", entry.serial, agent.key.serial));
    }
    for (what, here, said) in [
        ("spec", &entry.spec_sha256, &kernel.spec_sha256),
        ("policy", &entry.policy_sha256, &kernel.policy_sha256),
    ] {
        if here != said {
            why.push(format!("{what} {} instead of {}", short(here), short(said)));
        }
    }
    if why.is_empty() { Reading::Same(entry) } else { Reading::Other { entry, why: why.join(", ") } }
}

impl Shown {
    /// Whether everything that runs is what was signed.
    fn holds(&self) -> bool {
        let by_agentd = self.detail.instances.iter().all(|instance| instance.kernel.holds);
        by_agentd && self.read_by_agentctl.values().all(|reading| matches!(reading, Reading::Same(_)))
    }
}

fn print(screen: &mut Screen<'_>, shown: &Shown, now: SystemTime) -> io::Result<()> {
    let detail = &shown.detail;
    head(screen, detail, now)?;
    if let Some(proof) = &detail.proof {
        print_proof(screen, proof)?;
    }
    standing::admission(screen, &detail.admission)?;
    if detail.instances.is_empty() {
        return screen.line("runs        nowhere");
    }
    for instance in &detail.instances {
        print_instance(screen, instance, shown.read_by_agentctl.get(&instance.agent.name.0))?;
    }
    Ok(())
}

fn head(screen: &mut Screen<'_>, detail: &AgentDetail, now: SystemTime) -> io::Result<()> {
    let agent = &detail.agent;
    let state = agent.standing.state;
    let title = screen.paint(Tone::Strong, &format!("Agent {}", agent.name));
    let state = screen.paint(standing::tone(state), state.name());
    screen.line(format!("{title}  {state}"))?;
    if let Some(problem) = &agent.problem {
        line(screen, "problem", Tone::Bad, problem)?;
    }
    let by: Vec<&str> = agent.standing.restricted_by.iter().map(|cause| cause.name()).collect();
    if !by.is_empty() {
        line(screen, "restricted", Tone::Warn, &format!("by {}", by.join(" and ")))?;
    }
    if !agent.reason.is_empty() {
        line(screen, "because", Tone::Warn, &agent.reason)?;
    }
    let version = agent.version.as_deref().unwrap_or("none");
    let made = format!("{}, {}, by {}", agent.origin, moment::short(agent.created_ns), agent.created_by);
    let (spent, spent_tone) = standing::budget(agent);
    let variables: Vec<String> =
        detail.variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
    for (name, words) in [
        ("what", agent.description.clone()),
        ("role", format!("{}, tier {}", agent.role, agent.tier)),
        ("owner", agent.owner.clone().unwrap_or_else(|| "nobody".to_owned())),
        ("version", format!("{version}, revision {}", agent.revision)),
        ("made", made),
        ("variables", variables.join(" ")),
    ] {
        if !words.is_empty() {
            line(screen, name, Tone::Plain, &words)?;
        }
    }
    line(screen, "expires", expiry_tone(agent, now), &moment::short(agent.expires_ns))?;
    line(screen, "budget", spent_tone, &format!("{spent} this month"))?;
    line(screen, "spec", Tone::Plain, &format!("sha256 {}", agent.spec_sha256))?;
    line(screen, "policy", Tone::Plain, &format!("sha256 {}, in force", detail.policy_sha256))
}

fn print_proof(screen: &mut Screen<'_>, view: &ProofView) -> io::Result<()> {
    let proof = &view.proof;
    let act = match proof.authority.act {
        Act::Promotion => "promotion",
        Act::Revalidation => "revalidation",
        Act::Rotation => "rotation",
    };
    let roles = proof.authority.roles.join(", ");
    let signed = moment::of_sec(proof.signed_sec);
    line(screen, "proof", Tone::Plain, &format!("{act}, {signed}, by {} ({roles})", proof.authority.name))?;
    let key = view.envelope.signatures.first().map_or("none", |signature| signature.keyid.0.as_str());
    let tone = if view.signature == "good" { Tone::Good } else { Tone::Bad };
    line(screen, "", tone, &format!("signature {}, key {key}", view.signature))?;
    line(screen, "", Tone::Plain, &format!("spec {}", proof.spec_sha256))?;
    line(screen, "", Tone::Plain, &format!("policy {}", proof.policy_sha256))?;
    line(screen, "", Tone::Plain, &format!("until {}", moment::of_sec(proof.expires_sec)))
}

fn print_instance(
    screen: &mut Screen<'_>,
    instance: &InstanceView,
    reading: Option<&Reading>,
) -> io::Result<()> {
    let InstanceView { agent, kernel } = instance;
    let processes = describe::count(agent.processes, "process");
    let governance = printable(&agent.governance);
    line(screen, "run", Tone::Plain, &format!("{}, {}, {governance}, {processes}", agent.name, agent.mode))?;
    let hashes = format!("spec {}, policy {}", short(&kernel.spec_sha256), short(&kernel.policy_sha256));
    if kernel.holds {
        let words = if agent.governance == "SANDBOX" { "as they are" } else { "as signed" };
        line(screen, "  kernel", Tone::Good, &format!("{hashes}: {words}; rules identical"))?;
    } else {
        line(screen, "  kernel", Tone::Bad, &format!("{hashes}: not what was signed"))?;
    }
    for difference in &kernel.differences {
        line(screen, "", Tone::Bad, difference)?;
    }
    match reading {
        None => Ok(()),
        Some(Reading::Same(entry)) => {
            let words = format!("spec {}, policy {}", short(&entry.spec_sha256), short(&entry.policy_sha256));
            line(screen, "", Tone::Good, &format!("read by agentctl itself: {words}: the same"))
        }
        Some(Reading::Other { why, .. }) => {
            line(screen, "", Tone::Bad, &format!("read by agentctl itself: {why}: agentd says otherwise"))
        }
        Some(Reading::Failed(why)) => {
            line(screen, "", Tone::Bad, &format!("could not be read by agentctl itself: {why}"))
        }
    }
}

fn line(screen: &mut Screen<'_>, name: &str, tone: Tone, words: &str) -> io::Result<()> {
    let words = screen.paint(tone, &printable(words));
    screen.line(format!("{name:<11} {words}"))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use agentguard_governance::state::State;

    use super::*;
    use crate::command::agent::samples;
    use crate::standing::tests::denied;

    fn entry(serial: u32) -> Entry {
        Entry { serial, spec_sha256: "ab".repeat(32), policy_sha256: "cd".repeat(32) }
    }

    fn text(shown: &Shown) -> String {
        let mut out = Vec::new();
        print(&mut Screen::plain(&mut out, Format::Table, 120), shown, UNIX_EPOCH).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_agent_is_shown_with_its_proof_and_what_the_kernel_has() {
        let detail = samples::detail("coder");
        let [first, second] = detail.instances.as_slice() else { panic!("two instances") };
        let read_by_agentctl = BTreeMap::from([
            ("coder".to_owned(), compare(first, entry(7))),
            ("coder-2".to_owned(), compare(second, entry(8))),
        ]);
        let shown = Shown { detail, read_by_agentctl };
        assert!(!shown.holds());
        insta::assert_snapshot!(text(&shown));
    }

    #[test]
    fn a_restricted_agent_without_a_proof_says_why_it_does_not_start() {
        let mut detail = samples::detail("coder");
        detail.agent = samples::registered("coder", State::Restricted);
        detail.agent.reason = "the budget is spent".to_owned();
        (detail.proof, detail.instances, detail.admission) = (None, Vec::new(), denied());
        let shown = Shown { detail, read_by_agentctl: BTreeMap::new() };
        assert!(shown.holds());
        insta::assert_snapshot!(text(&shown));
    }

    #[test]
    fn what_the_kernel_says_is_compared_with_what_agentd_says() {
        let detail = samples::detail("coder");
        let Some(instance) = detail.instances.first() else { panic!("an instance") };
        assert!(matches!(compare(instance, entry(7)), Reading::Same(_)));
        let other = Entry { policy_sha256: "ef".repeat(32), ..entry(7) };
        let Reading::Other { why, .. } = compare(instance, other) else { panic!("another") };
        assert_eq!(why, "policy efefefefefef instead of cdcdcdcdcdcd");
    }
}
