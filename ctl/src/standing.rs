//! Where a registered agent stands, and what stands against it, in words: shared by the commands that show it.

use std::io;

use agentguard_api::report::{RefusalView, RegisteredAgent, Validation};
use agentguard_core::spec::Usd;
use agentguard_governance::admission::Admission;
use agentguard_governance::budget::Spend;
use agentguard_governance::state::State;

use crate::describe;
use crate::screen::{Screen, Tone, cell, printable};

/// Digits of a hash that are enough to tell two apart by eye.
const HASH_SHOWN: usize = 12;

/// Millionths of a dollar.
const MICROS: f64 = 1_000_000.0;

/// The colour of a state.
pub(crate) const fn tone(state: State) -> Tone {
    match state {
        State::Sandbox => Tone::Plain,
        State::Valid => Tone::Good,
        State::Restricted => Tone::Warn,
        State::Invalidated => Tone::Bad,
    }
}

/// The same of its name; what is no state, such as of agents that nobody registered, has no colour.
pub(crate) fn tone_of_name(name: &str) -> Tone {
    State::ALL.into_iter().find(|state| state.name() == name).map_or(Tone::Plain, tone)
}

/// The beginning of a hash; `-` if there is none.
pub(crate) fn short(sha256: &str) -> String {
    let short: String = printable(sha256).chars().take(HASH_SHOWN).collect();
    if short.is_empty() { "-".to_owned() } else { short }
}

/// `12.50/50 USD`; what was spent of what may be, this month.
pub(crate) fn budget(agent: &RegisteredAgent) -> (String, Tone) {
    match agent.monthly_budget_usd {
        Some(budget) => {
            let percent = percent(agent.spent_usd, budget);
            (format!("{}/{} USD", dollars(agent.spent_usd), dollars(budget)), tone_of_percent(percent))
        }
        None => (format!("{} USD", dollars(agent.spent_usd)), Tone::Plain),
    }
}

/// The colour of a share of a budget: from the first alert on a warning, from the last one on worse.
pub(crate) const fn tone_of_percent(percent: u64) -> Tone {
    match percent {
        0..80 => Tone::Plain,
        80..100 => Tone::Warn,
        100.. => Tone::Bad,
    }
}

/// By the same rule as agentd counts.
pub(crate) fn percent(spent_usd: f64, budget_usd: f64) -> u64 {
    // Both are amounts that agentd made of whole numbers; the casts saturate.
    let spent = Spend { micros: (spent_usd * MICROS).round() as u64 };
    spent.percent_of(Usd((budget_usd * 100.0).round() as u64))
}

/// Without the cents where there are none, and with more digits where a cent is too much.
pub(crate) fn dollars(amount: f64) -> String {
    if amount.fract() == 0.0 {
        format!("{amount:.0}")
    } else if amount < 0.01 {
        format!("{amount:.6}")
    } else {
        format!("{amount:.2}")
    }
}

/// Everything that stands against an agent, as a table.
pub(crate) fn refusals(screen: &mut Screen<'_>, refusals: &[RefusalView]) -> io::Result<()> {
    let mut table = screen.new_table(&["rule", "why", "if promoted", "source"]);
    for refusal in refusals {
        table.add_row([
            cell(&refusal.id, Tone::Bad),
            cell(&refusal.reason, Tone::Plain),
            cell(&refusal.then, Tone::Plain),
            cell(format!("{}:{}", refusal.source.file.display(), refusal.source.line), Tone::Dim),
        ]);
    }
    screen.table(&table)
}

/// The checks of a start, in order, one line each.
pub(crate) fn admission(screen: &mut Screen<'_>, admission: &Admission) -> io::Result<()> {
    let (words, tone) =
        if admission.is_allowed() { ("may start", Tone::Good) } else { ("may not start", Tone::Bad) };
    let words = screen.paint(tone, words);
    screen.line(format!("admission   {words}  {}", admission.code.name()))?;
    if !admission.reason.is_empty() {
        screen.line(format!("            {}", printable(&admission.reason)))?;
    }
    for check in &admission.checks {
        let (words, tone) = match check.holds {
            Some(true) => ("ok", Tone::Good),
            Some(false) => ("failed", Tone::Bad),
            None => ("not asked", Tone::Dim),
        };
        let words = screen.paint(tone, &format!("{words:<9}"));
        screen.line(format!("            {words}  {}", printable(&check.name)))?;
    }
    Ok(())
}

/// What would be said to a promotion, and to a start.
pub(crate) fn validation(screen: &mut Screen<'_>, name: &str, validation: &Validation) -> io::Result<()> {
    if validation.refusals.is_empty() {
        screen.line(format!("{name}: policy has nothing against a promotion"))?;
    } else {
        let count = describe::count(validation.refusals.len(), "rule");
        screen.line(format!("{name}: refused by {count}"))?;
        refusals(screen, &validation.refusals)?;
    }
    admission(screen, &validation.admission)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::PathBuf;

    use agentguard_core::rule::Source;
    use agentguard_governance::admission::{CHAIN, CheckResult, Code};

    use super::*;
    use crate::screen::Format;

    pub(crate) fn refusal(id: &str, reason: &str) -> RefusalView {
        RefusalView {
            id: id.to_owned(),
            reason: reason.to_owned(),
            then: "restrict".to_owned(),
            source: Source { file: PathBuf::from("policies/promotion/promotion.rego"), line: 42 },
        }
    }

    pub(crate) fn allowed() -> Admission {
        let checks = CHAIN.iter().map(|check| CheckResult { name: check.name.to_owned(), holds: Some(true) });
        Admission { code: Code::Allow, reason: String::new(), checks: checks.collect() }
    }

    pub(crate) fn denied() -> Admission {
        let mut admission = allowed();
        for (place, check) in admission.checks.iter_mut().enumerate().skip(3) {
            check.holds = (place == 3).then_some(false);
        }
        let reason = "the policy in force is not the one that was signed".to_owned();
        Admission { code: Code::DenyPolicyHashMismatch, reason, ..admission }
    }

    #[test]
    fn every_refusal_is_a_row_and_every_check_a_line() {
        let refusals = vec![
            refusal("promotion.temperature", "temperature 0.9 is above 0.7, the limit of analysis; lower it"),
            refusal("promotion.budget", "no monthly budget; set economics.monthly_budget_usd"),
        ];
        let said = Validation { ok: false, refusals, admission: denied() };
        let mut out = Vec::new();
        validation(&mut Screen::plain(&mut out, Format::Table, 120), "coder", &said).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }

    #[test]
    fn amounts_are_as_long_as_they_must_be() {
        assert_eq!(
            (dollars(50.0), dollars(12.5), dollars(0.0125)),
            ("50".into(), "12.50".into(), "0.01".into())
        );
        assert_eq!(dollars(0.000_125), "0.000125");
        assert_eq!((percent(12.5, 50.0), percent(49.999, 50.0), percent(1.0, 0.0)), (25, 99, 100));
    }

    #[test]
    fn only_states_have_a_colour() {
        assert_eq!(tone_of_name("GOVERNED_INVALIDATED"), Tone::Bad);
        assert_eq!(tone_of_name("UNREGISTERED"), Tone::Plain);
    }
}
