//! Who a new agent is, as it is typed. What is not said comes from what its spec is made of.

use agentguard_authoring::Identity;
use agentguard_core::spec::Role;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

const ROLES: [Role; 3] = [Role::Compliance, Role::Analysis, Role::Ideation];

/// The options about the agent.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Who it is")]
pub(super) struct IdentityArguments {
    /// What kind of work it does
    #[arg(long, value_parser = role_parser())]
    role: Option<Role>,
    /// 1 (least risk) to 4
    #[arg(long, value_name = "1-4", value_parser = clap::value_parser!(u8).range(1..=4))]
    tier: Option<u8>,
    /// What it is for, one line
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Who answers for it
    #[arg(long, value_name = "WHO")]
    owner: Option<String>,
    /// Version of its spec, as you count
    #[arg(long = "version", value_name = "VERSION")]
    spec_version: Option<String>,
    /// Model that it reasons with
    #[arg(long)]
    model: Option<String>,
    /// Of that model, 0 to 2
    #[arg(long, value_name = "NUMBER")]
    temperature: Option<f64>,
    /// What it may cost in a month, US dollars
    #[arg(long, value_name = "USD")]
    budget: Option<f64>,
    /// What it can do, in a word such as code.write; may be repeated
    #[arg(long = "capability", value_name = "WORD")]
    capabilities: Vec<String>,
    /// When it may no longer run: 2027-06-30T00:00:00Z
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
}

fn role_parser() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(ROLES.map(Role::name)).try_map(|name| {
        ROLES.into_iter().find(|role| role.name() == name).ok_or_else(|| format!("there is no role `{name}`"))
    })
}

impl IdentityArguments {
    pub(super) fn meaning(&self, name: &str) -> Identity {
        Identity {
            name: name.to_owned(),
            description: self.description.clone(),
            role: self.role,
            tier: self.tier,
            owner: self.owner.clone(),
            version: self.spec_version.clone(),
            expires: self.expires.clone(),
            capabilities: Some(self.capabilities.clone()).filter(|words| !words.is_empty()),
            model: self.model.clone(),
            temperature: self.temperature,
            monthly_budget_usd: self.budget,
            ..Identity::default()
        }
    }
}
