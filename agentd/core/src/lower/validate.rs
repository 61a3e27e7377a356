//! Rules may come from anywhere; here each is checked to be one that tables can hold.

use super::error::place;
use super::{Indexed, LowerError, MAX_RULES};
use crate::address::AddressError;
use crate::capability;
use crate::operation::PathOp;
use crate::pattern::{NAME_PREFIX, Pattern};
use crate::rule::{Network, Ports, Rule, Scope};
use crate::verdict::Layer;

/// The rules with their indices, from 1, and patterns.
pub(super) fn indexed(rules: &[Rule]) -> Result<Vec<Indexed<'_>>, LowerError> {
    if rules.len() > MAX_RULES {
        return Err(LowerError::TooManyRules { count: rules.len() });
    }
    (1..).zip(rules).map(|(index, rule)| Ok(Indexed { index, rule, pattern: checked(rule)? })).collect()
}

/// Checks a rule and reads its pattern, if it has one.
fn checked(rule: &Rule) -> Result<Option<Pattern>, LowerError> {
    let wrong = |message| Err(LowerError::Rule { rule: place(rule), message });
    if rule.layer == Layer::Default {
        return wrong("a rule belongs to the guardrails or the grants, not to the defaults");
    }
    match &rule.scope {
        Scope::Path { ops, pattern, sha256 } => {
            if ops.is_empty() {
                return wrong("it speaks about no operation; name at least one");
            }
            let pattern = parse(rule, pattern)?;
            let executes = ops.iter().all(|op| matches!(op, PathOp::Exec | PathOp::MapExec));
            if sha256.is_some() && !(executes && pattern.literal().is_some()) {
                return wrong("a sha256 is of one executable; write its path without wildcards");
            }
            Ok(Some(pattern))
        }
        Scope::Name { name, ports } => {
            check_ports(rule, ports)?;
            if name.is_empty() || name.bytes().any(|byte| byte.is_ascii_uppercase()) {
                return wrong("the name is empty or not in lower case");
            }
            parse(rule, &format!("{NAME_PREFIX}{name}")).map(Some)
        }
        Scope::Address { network, ports, .. } => {
            check_ports(rule, ports)?;
            check_network(rule, *network)?;
            Ok(None)
        }
        Scope::Capability { number } if usize::from(*number) >= capability::SLOTS => {
            wrong("the capability's number is above 63")
        }
        Scope::Capability { .. } | Scope::Class { .. } => Ok(None),
    }
}

fn parse(rule: &Rule, text: &str) -> Result<Pattern, LowerError> {
    Pattern::parse(text).map_err(|error| LowerError::Pattern { rule: place(rule), error })
}

fn check_ports(rule: &Rule, ports: &Ports) -> Result<(), LowerError> {
    match ports.ranges.iter().find(|(low, high)| low > high) {
        None => Ok(()),
        Some((low, high)) => Err(LowerError::Address {
            rule: place(rule),
            error: AddressError::Backwards(format!("{low}-{high}")),
        }),
    }
}

fn check_network(rule: &Rule, network: Network) -> Result<(), LowerError> {
    let canonical = Network::around(network.address, network.bits);
    if canonical == network {
        return Ok(());
    }
    let error = AddressError::HostBits { text: network.to_string(), network: canonical };
    Err(LowerError::Address { rule: place(rule), error })
}
