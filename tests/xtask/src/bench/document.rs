//! The tables, and their place in docs/BENCHMARKS.md between two markers. What stands around them is written by people.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};

use super::figures::{Ratio, Results, Revalidated};

const BEGIN: &str = "<!-- begin: written by cargo xtask bench -->";
const END: &str = "<!-- end: written by cargo xtask bench -->";

/// Arms with their column.
const ARMS: [(&str, &str); 4] = [
    ("loaded", "not governed"),
    ("rules_10", "10 rules"),
    ("rules_1000", "1,000 rules"),
    ("rules_10000", "10,000 rules"),
];

/// Operations whose programs are shown.
const SHOWN: [&str; 10] = [
    "open_close_3",
    "open_close_10",
    "open_close_30",
    "open_other_10",
    "stat",
    "fork_exec",
    "connect",
    "udp_send",
    "rename",
    "read_4k",
];

/// Programs of one operation that are shown.
const TOP: usize = 4;

/// What a request may cost that waits for policy, to one that is allowed.
const HELD_GOALS: [(&str, &str, f64); 3] = [
    ("an open that was answered before costs what an allowed one does, within 5 %", "open_again", 1.05),
    ("a program that was answered before costs what an allowed one does, within 5 %", "exec_again", 1.05),
    ("a program that policy is asked about under 1.5 times", "exec_other", 1.5),
];

/// Resident memory with 100 agents must be below this.
const MEMORY_GOAL_KIB: u64 = 50 * 1024;

/// Everything that stands between the markers.
pub(crate) fn write(results: &Results) -> Result<String> {
    let mut text = String::new();
    goals(&mut text, results)?;
    arms(&mut text, results)?;
    held(&mut text, results)?;
    programs(&mut text, results)?;
    pipeline(&mut text, results)?;
    memory(&mut text, results)?;
    revalidation(&mut text, results)?;
    Ok(text)
}

/// Replaces what stands between the markers.
pub(crate) fn put(path: &Path, text: &str) -> Result<()> {
    let old = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let (before, rest) = old.split_once(BEGIN).with_context(|| format!("no line `{BEGIN}`"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("no line `{END}`"))?;
    Ok(std::fs::write(path, format!("{before}{BEGIN}\n\n{text}\n{END}{after}"))?)
}

fn goals(text: &mut String, results: &Results) -> Result<()> {
    writeln!(text, "### Goals\n\n| goal | measured | |\n|---|---|---|")?;
    let operations: Vec<_> =
        results.arms.operations().into_iter().filter(|op| !op.ends_with("_denied")).collect();
    let worst = |arm: &str, to: &str| -> Option<(&str, Ratio)> {
        let ratios = operations.iter().filter_map(|op| Some((*op, results.arms.ratio(op, arm, to)?)));
        ratios.max_by(|(_, a), (_, b)| a.typical.total_cmp(&b.typical))
    };
    for (goal, arm, to, limit) in [
        ("not governed within 3 % of no agentd", "loaded", "none", 1.03),
        ("10,000 rules within 5 % of 10 rules", "rules_10000", "rules_10", 1.05),
    ] {
        let Some((op, ratio)) = worst(arm, to) else { continue };
        let over = operations
            .iter()
            .filter(|op| results.arms.ratio(op, arm, to).is_some_and(|ratio| ratio.typical > limit));
        let over = over.count();
        writeln!(
            text,
            "| {goal} | worst: {op} {}; over in {over} of {} | {} |",
            show(ratio),
            operations.len(),
            met(over == 0)
        )?;
    }
    for op in operations.iter().filter(|op| op.starts_with("open_")) {
        let Some(ratio) = results.arms.ratio(op, "rules_10", "none") else { continue };
        writeln!(text, "| governed {op} under 1.5 times | {} | {} |", show(ratio), met(ratio.typical < 1.5))?;
    }
    for (goal, op, limit) in HELD_GOALS {
        let Some(ratio) = results.held.ratio(op, "held", "allowed") else { continue };
        writeln!(text, "| {goal} | {} | {} |", show(ratio), met(ratio.typical <= limit))?;
    }
    if let Some(last) = results.memory.last() {
        let mib = mib(last.rss_kib);
        writeln!(
            text,
            "| agentd with {} agents under 50 MiB | {mib} MiB resident | {} |",
            last.agents,
            met(last.rss_kib < MEMORY_GOAL_KIB)
        )?;
    }
    if !results.pipeline.is_empty() {
        let exact = results.pipeline.iter().all(super::figures::Kept::adds_up);
        writeln!(text, "| emitted = recorded + lost | see pipeline | {} |", met(exact))?;
    }
    Ok(writeln!(text)?)
}

fn met(yes: bool) -> &'static str {
    if yes { "met" } else { "**missed**" }
}

fn show(ratio: Ratio) -> String {
    format!("{:.2} ({:.2}–{:.2})", ratio.typical, ratio.least, ratio.most)
}

fn arms(text: &mut String, results: &Results) -> Result<()> {
    if results.arms.is_empty() {
        return Ok(());
    }
    writeln!(
        text,
        "### Operations and loads\n\nLinux {}, in thousands of instructions. Each ratio is to no agentd: of the medians (of the quartiles).\n",
        results.kernel
    )?;
    writeln!(text, "| operation | no agentd |{} 10,000 to 10 |", columns())?;
    writeln!(text, "|---|---|{}---|", "---|".repeat(ARMS.len()))?;
    for op in results.arms.operations() {
        let base = results.arms.quantile_ns(op, "none", 50).unwrap_or_default() / 1000.0;
        write!(text, "| {op} | {base:.1} |")?;
        let mut ratios: Vec<_> = ARMS.iter().map(|(arm, _)| results.arms.ratio(op, arm, "none")).collect();
        ratios.push(results.arms.ratio(op, "rules_10000", "rules_10"));
        for ratio in ratios {
            write!(text, " {} |", ratio.map_or_else(|| "–".to_owned(), show))?;
        }
        writeln!(text)?;
    }
    Ok(writeln!(text)?)
}

fn held(text: &mut String, results: &Results) -> Result<()> {
    if results.held.is_empty() {
        return Ok(());
    }
    writeln!(
        text,
        "### Held requests\n\nLinux {}, in thousands of instructions, each request by itself. Held ones are answered by policy.\n",
        results.kernel
    )?;
    writeln!(
        text,
        "| operation | allowed p50 | p99 | held p50 | p99 | held to allowed | the kernel to agentd | facts | policy | back to the kernel |"
    )?;
    writeln!(text, "|---|---|---|---|---|---|---|---|---|---|")?;
    let thousands = |ns: Option<f64>| ns.map_or_else(|| "–".to_owned(), |ns| format!("{:.1}", ns / 1000.0));
    for op in results.held.operations() {
        write!(text, "| {op} |")?;
        for (arm, percent) in [("allowed", 50), ("allowed", 99), ("held", 50), ("held", 99)] {
            write!(text, " {} |", thousands(results.held.quantile_ns(op, arm, percent)))?;
        }
        let ratio = results.held.ratio(op, "held", "allowed").map_or_else(|| "–".to_owned(), show);
        write!(text, " {ratio} |")?;
        for stage in ["reach", "facts", "policy", "answer"] {
            write!(text, " {} |", thousands(results.stage(op, stage)))?;
        }
        writeln!(text)?;
    }
    Ok(writeln!(text)?)
}

fn columns() -> String {
    ARMS.iter().fold(String::new(), |columns, (_, name)| columns + &format!(" {name} |"))
}

#[allow(clippy::cast_precision_loss)] // shown with a few digits
fn programs(text: &mut String, results: &Results) -> Result<()> {
    if results.programs.is_empty() {
        return Ok(());
    }
    writeln!(
        text,
        "### Kernel programs\n\nInstructions by `kernel.bpf_stats_enabled`, the programs that take most of each operation.\n"
    )?;
    writeln!(
        text,
        "| operation | load | program | runs per operation | per run | per operation |\n|---|---|---|---|---|---|"
    )?;
    for during in SHOWN {
        for load in ["ungoverned", "governed"] {
            for share in results.top_programs(load, during, TOP) {
                let (runs, ns) = (share.runs as f64, share.program_ns as f64);
                let operations = share.operations.max(1) as f64;
                writeln!(
                    text,
                    "| {during} | {load} | `{}` | {:.2} | {:.0} | {:.0} |",
                    share.program,
                    runs / operations,
                    ns / runs,
                    ns / operations
                )?;
            }
        }
    }
    Ok(writeln!(text)?)
}

#[allow(clippy::cast_precision_loss)] // shown with a few digits
fn pipeline(text: &mut String, results: &Results) -> Result<()> {
    if results.pipeline.is_empty() {
        return Ok(());
    }
    writeln!(
        text,
        "### Pipeline\n\nThis host's own kernel, tracing back end, programs started and datagrams sent. Sums are records that agentd \
         makes of the bytes per peer each second.\n"
    )?;
    writeln!(
        text,
        "| wanted per s | emitted per s | recorded per s | emitted | sums | recorded | lost in ring | lost later | adds up (left over) | agentd µs per event |\n|---|---|---|---|---|---|---|---|---|---|"
    )?;
    for kept in &results.pipeline {
        let wanted = if kept.rate == 0 { "all".to_owned() } else { kept.rate.to_string() };
        writeln!(
            text,
            "| {wanted} | {:.0} | {:.0} | {} | {} | {} | {} | {} | {} | {:.1} |",
            kept.emitted as f64 / kept.seconds,
            kept.recorded as f64 / kept.seconds,
            kept.emitted,
            kept.sums,
            kept.recorded,
            kept.lost_in_ring,
            kept.lost_later,
            format_args!("{} ({})", if kept.adds_up() { "yes" } else { "**no**" }, kept.left_over()),
            kept.cpu_ms as f64 * 1000.0 / (kept.recorded.max(1)) as f64
        )?;
    }
    Ok(writeln!(text)?)
}

fn memory(text: &mut String, results: &Results) -> Result<()> {
    if results.memory.is_empty() {
        return Ok(());
    }
    writeln!(
        text,
        "### Memory\n\nagentd, MiB resident; each agent has a workspace and so rules of its own.\n"
    )?;
    writeln!(text, "| agents | all | anonymous | files | shared | largest |\n|---|---|---|---|---|---|")?;
    for resident in &results.memory {
        let largest: Vec<_> = resident
            .largest
            .iter()
            .take(3)
            .map(|(name, kib)| format!("`{}` {}", short(name), mib(*kib)))
            .collect();
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            resident.agents,
            mib(resident.rss_kib),
            mib(resident.anonymous_kib),
            mib(resident.file_kib),
            mib(resident.shared_kib),
            largest.join(", ")
        )?;
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss)] // shown with a few digits
fn revalidation(text: &mut String, results: &Results) -> Result<()> {
    let Some(first) = results.revalidation.first() else { return Ok(()) };
    writeln!(
        text,
        "\n### Revalidation\n\nAnother policy while so many agents are promoted, none of them running: each is asked about, and its proof is \
         signed anew. Linux {}, in millions of instructions; the median of {} reloads, and of an agent compared with the first row.\n",
        results.kernel,
        first.took_ms.len()
    )?;
    writeln!(text, "| agents | reload | of it per agent | to the first row |\n|---|---|---|---|")?;
    let per_agent = |one: &Revalidated| one.median() as f64 / f64::from(one.agents.max(1));
    for one in &results.revalidation {
        let (each, ratio) = (per_agent(one), per_agent(one) / per_agent(first));
        writeln!(text, "| {} | {} | {each:.2} | {ratio:.2} |", one.agents, one.median())?;
    }
    Ok(())
}

fn short(mapping: &str) -> &str {
    mapping.rsplit('/').next().unwrap_or(mapping)
}

#[allow(clippy::cast_precision_loss)] // shown with one digit
fn mib(kib: u64) -> String {
    format!("{:.1}", kib as f64 / 1024.0)
}
