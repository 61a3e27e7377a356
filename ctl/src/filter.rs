//! Which records: the filters that `events`, `summary` and `policy replay` share.

use std::time::SystemTime;

use agentguard_api::v1::EventFilter;
use agentguard_core::verdict::Verdict;
use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::exit::Failure;
use crate::moment;

/// What was typed.
#[derive(Debug, Default, Args)]
pub(crate) struct Filters {
    /// Only of this agent
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<String>,
    /// Only these calls (open, connect, exec, ...) or groups (file, network, process)
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<String>,
    /// Only these verdicts
    #[arg(long = "verdict", value_name = "VERDICT", value_parser = PossibleValuesParser::new(Verdict::ALL.map(Verdict::name)))]
    pub(crate) verdicts: Vec<String>,
    /// Not before: a span back from now (10m, 2h) or a time (2026-03-01T12:00:00Z)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Not after
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only on paths like this
    #[arg(long, value_name = "GLOB")]
    path: Option<String>,
    /// Only with this address, network or name as the peer
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    /// Only decided by this rule
    #[arg(long, value_name = "ID")]
    rule: Option<String>,
}

impl Filters {
    /// What it means at this time.
    pub(crate) fn meaning(&self, now: SystemTime) -> Result<EventFilter, Failure> {
        let (since_ns, until_ns) = times(self.since.as_deref(), self.until.as_deref(), now)?;
        let (since_ns, until_ns) = (since_ns.unwrap_or_default(), until_ns.unwrap_or_default());
        Ok(EventFilter {
            agent: self.agent.clone().unwrap_or_default(),
            kinds: self.kinds.clone(),
            verdicts: self.verdicts.clone(),
            since_ns,
            until_ns,
            path: self.path.clone().unwrap_or_default(),
            address: self.address.clone().unwrap_or_default(),
            rule: self.rule.clone().unwrap_or_default(),
        })
    }
}

/// What `--since` and `--until` mean.
pub(crate) fn times(
    since: Option<&str>,
    until: Option<&str>,
    now: SystemTime,
) -> Result<(Option<u64>, Option<u64>), Failure> {
    let moment = |option: &str, typed: Option<&str>| {
        let parsed = typed.map(|text| moment::parse(text, now)).transpose();
        parsed.map_err(|error| Failure::Usage(format!("--{option}: {error}")))
    };
    let (since_ns, until_ns) = (moment("since", since)?, moment("until", until)?);
    if since_ns.zip(until_ns).is_some_and(|(since, until)| until < since) {
        return Err(Failure::Usage("--until is before --since".to_owned()));
    }
    Ok((since_ns, until_ns))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        filters: Filters,
    }

    fn meaning(words: &[&str]) -> Result<EventFilter, String> {
        let line = Line::try_parse_from([&["x"], words].concat()).map_err(|error| error.to_string())?;
        let now = humantime::parse_rfc3339("2026-03-01T12:00:00Z").unwrap();
        line.filters.meaning(now).map_err(|failure| failure.to_string())
    }

    #[test]
    fn nothing_typed_filters_nothing() {
        assert_eq!(meaning(&[]).unwrap(), EventFilter::default());
    }

    #[test]
    fn every_filter_reaches_the_request() {
        let words = "--agent a --kind open --kind network --verdict deny --since 1h --until 2026-03-01T11:30:00Z \
                     --path /srv/** --address 10.0.0.0/8 --rule filesystem.ssh_keys";
        insta::assert_debug_snapshot!(meaning(&words.split_whitespace().collect::<Vec<_>>()).unwrap());
    }

    #[test]
    fn a_verdict_that_does_not_exist_is_an_error() {
        assert!(
            meaning(&["--verdict", "block"])
                .unwrap_err()
                .contains("[possible values: allow, audit, evaluate, hold, deny]")
        );
    }

    #[test]
    fn a_time_that_is_none_names_its_option() {
        assert!(meaning(&["--since", "noon"]).unwrap_err().starts_with("--since: 'noon' is no time"));
    }

    #[test]
    fn an_end_before_the_beginning_is_an_error() {
        assert_eq!(meaning(&["--since", "1h", "--until", "2h"]).unwrap_err(), "--until is before --since");
    }
}
