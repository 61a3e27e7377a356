//! Budgets: what an agent spent in a calendar month, and when somebody must be told. Pure; amounts in millionths of a
//! dollar, because one call of a model costs less than a cent.

use std::time::{Duration, UNIX_EPOCH};

use agentguard_core::spec::Usd;
use serde::{Deserialize, Serialize};

/// Shares of the budget at which people are told, percent.
pub const ALERTS: [u8; 3] = [80, 90, 100];
/// Millionths of a dollar in a cent.
const MICROS_PER_CENT: u64 = 10_000;
/// Largest amount of one entry: what a month's budget may be at most.
const MAX_MICROS: u64 = 10_000_000 * 1_000_000;

/// An amount that was spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Spend {
    /// Millionths of a dollar.
    pub micros: u64,
}

impl Spend {
    /// Dollars, for people and policy.
    #[allow(clippy::cast_precision_loss)]
    pub fn dollars(self) -> f64 {
        self.micros as f64 / 1_000_000.0
    }

    /// Reads an amount that is no less than zero, with at most six decimals: `0.0125`.
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 6 {
            return None;
        }
        let micros = format!("{whole}{fraction:0<6}").parse().ok()?;
        (micros <= MAX_MICROS).then_some(Self { micros })
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { micros: self.micros.saturating_add(other.micros) }
    }

    /// Percent of a budget, rounded down. Of a budget of nothing any amount is 100.
    pub fn percent_of(self, budget: Usd) -> u64 {
        let budget = budget.0.saturating_mul(MICROS_PER_CENT);
        let of_nothing = if self.micros == 0 { 0 } else { 100 };
        self.micros.saturating_mul(100).checked_div(budget).unwrap_or(of_nothing)
    }
}

/// The highest alert that is passed now and was not before.
pub fn alert(before: Spend, after: Spend, budget: Usd) -> Option<u8> {
    let passed =
        |spend: Spend| ALERTS.into_iter().filter(|alert| spend.percent_of(budget) >= u64::from(*alert)).max();
    passed(after).filter(|now| passed(before).is_none_or(|then| then < *now))
}

/// The calendar month of a moment, in UTC: `2026-11`.
pub fn month(wall_ns: u64) -> String {
    let text = humantime::format_rfc3339(UNIX_EPOCH + Duration::from_nanos(wall_ns)).to_string();
    text.get(..7).unwrap_or_default().to_owned()
}

/// When the calendar month of a moment began.
pub fn month_began_ns(wall_ns: u64) -> u64 {
    let first = humantime::parse_rfc3339(&format!("{}-01T00:00:00Z", month(wall_ns)));
    let since = first.ok().and_then(|first| first.duration_since(UNIX_EPOCH).ok());
    since.and_then(|since| u64::try_from(since.as_nanos()).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_exact() {
        assert_eq!(Spend::parse("0.0125"), Some(Spend { micros: 12_500 }));
        assert_eq!(Spend::parse("12"), Some(Spend { micros: 12_000_000 }));
        for text in ["", "-1", "1e3", "0.0000001", ".5", "1,5", "99999999999999999999"] {
            assert_eq!(Spend::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_month_is_of_the_calendar() {
        assert_eq!(month(0), "1970-01");
        assert_eq!(month(1_796_083_199_999_999_999), "2026-11");
        assert_eq!(month(1_796_083_200_000_000_000), "2026-12");
        assert_eq!(month_began_ns(1_796_083_200_000_000_000), 1_796_083_200_000_000_000);
        assert_eq!(month_began_ns(1_798_761_599_999_999_999), 1_796_083_200_000_000_000);
    }

    proptest! {
        /// However it is spent: each alert comes once, in order, and the last one exactly when the budget is spent.
        #[test]
        fn every_alert_comes_once(budget in 0_u64..100_000, parts in prop::collection::vec(0_u64..2_000_000_000, 0..60)) {
            let budget = Usd(budget);
            let mut spent = Spend::default();
            let mut told = Vec::new();
            for micros in parts {
                let after = spent.plus(Spend { micros });
                told.extend(alert(spent, after, budget));
                spent = after;
            }
            prop_assert!(told.is_sorted_by(|a, b| a < b));
            prop_assert_eq!(told.contains(&100), spent.percent_of(budget) >= 100);
            prop_assert_eq!(told.is_empty(), spent.percent_of(budget) < 80);
        }
    }
}
