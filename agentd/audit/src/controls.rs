//! Which control of which framework AgentGuard helps to meet, and by what that is seen.
//!
//! The mapping is `controls.toml`, in words for people. It claims what AgentGuard does and not what a whole
//! organisation must do: no control is met by a program alone.

use serde::{Deserialize, Serialize};

use crate::error::AuditError;
use crate::record::{AuditRecord, Kind};

const MAPPING: &str = include_str!("../controls.toml");

/// Who wrote the control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Framework {
    /// NIST SP 800-53, revision 5.
    Nist,
    /// ISO/IEC 27001:2022, Annex A.
    Iso,
    /// OWASP Top 10 for LLM Applications, 2025.
    Owasp,
}

impl Framework {
    /// Every framework.
    pub const ALL: [Self; 3] = [Self::Nist, Self::Iso, Self::Owasp];

    /// As users write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nist => "nist",
            Self::Iso => "iso",
            Self::Owasp => "owasp",
        }
    }

    /// As it calls itself.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Nist => "NIST SP 800-53 Rev. 5",
            Self::Iso => "ISO/IEC 27001:2022 Annex A",
            Self::Owasp => "OWASP Top 10 for LLM Applications 2025",
        }
    }
}

/// How far AgentGuard helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Coverage {
    /// It does what the control asks, for the agents it governs.
    Supports,
    /// It does a part, and the text says which.
    Partly,
    /// It does not help. Said, so that nobody reads silence as a yes.
    None,
}

impl Coverage {
    /// As users read it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Supports => "supports",
            Self::Partly => "partly",
            Self::None => "does not help",
        }
    }
}

/// One control.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// Who wrote it.
    pub framework: Framework,
    /// Its number there: `AC-6`, `A.8.15`, `LLM06`.
    pub id: String,
    /// Its title there.
    pub title: String,
    /// How far AgentGuard helps.
    pub coverage: Coverage,
    /// How, in a sentence or two.
    pub how: String,
    /// Kinds of records that are evidence.
    #[serde(default)]
    pub kinds: Vec<Kind>,
    /// Codes of records that are evidence.
    #[serde(default)]
    pub codes: Vec<String>,
    /// Keys of the configuration and the spec that are evidence.
    #[serde(default)]
    pub settings: Vec<String>,
}

impl Control {
    /// Whether a record is evidence for it.
    pub fn is_shown_by(&self, record: &AuditRecord) -> bool {
        self.kinds.contains(&record.kind) || self.codes.contains(&record.code)
    }

    /// Whether somebody means it: `AC-6`, `nist ac-6`, `NIST:AC-6`.
    pub fn is_called(&self, name: &str) -> bool {
        let name = name.trim();
        let prefix = self.framework.name();
        let is_prefixed = name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        let id = if is_prefixed { name.get(prefix.len()..).unwrap_or_default() } else { name };
        id.trim_start_matches([' ', ':', '/']).eq_ignore_ascii_case(&self.id)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mapping {
    control: Vec<Control>,
}

/// Every control, by framework, in the order of the mapping.
///
/// # Errors
/// Never, says a test: the mapping is part of the program.
pub fn all() -> Result<Vec<Control>, AuditError> {
    let mapping: Mapping = toml::from_str(MAPPING)?;
    Ok(mapping.control)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::codes;

    #[test]
    fn every_code_in_the_mapping_exists_and_every_control_is_there_once() {
        let controls = all().unwrap();
        let mut seen = BTreeSet::new();
        for control in &controls {
            assert!(seen.insert((control.framework, &control.id)), "{} is there twice", control.id);
            for code in &control.codes {
                assert!(codes::find(code).is_some(), "{}: there is no code {code}", control.id);
            }
        }
    }

    #[test]
    fn whoever_claims_help_names_records_or_settings_and_whoever_does_not_names_none() {
        for control in all().unwrap() {
            let named = control.kinds.len() + control.codes.len() + control.settings.len();
            match control.coverage {
                Coverage::Supports | Coverage::Partly => assert!(named > 0, "{}", control.id),
                Coverage::None => assert_eq!(named, 0, "{}", control.id),
            }
            assert!(control.how.ends_with('.') && control.how.len() < 500, "{}: {}", control.id, control.how);
        }
    }

    #[test]
    fn every_kind_of_record_is_evidence_for_something() {
        let controls = all().unwrap();
        for code in codes::ALL {
            let shows = |control: &Control| {
                control.kinds.contains(&code.kind) || control.codes.iter().any(|named| named == code.name)
            };
            assert!(controls.iter().any(shows), "{}", code.name);
        }
    }

    #[test]
    fn the_frameworks_are_complete_where_they_are_short() {
        let controls = all().unwrap();
        for number in 1..=10 {
            let id = format!("LLM{number:02}");
            assert!(controls.iter().any(|control| control.id == id), "{id}");
        }
        for id in ["AU-2", "AU-3", "SC-7", "SC-8", "AC-2", "AC-6", "CM-8", "CM-3", "SC-28"] {
            assert!(controls.iter().any(|control| control.id == id), "{id}");
        }
    }

    #[test]
    fn a_control_is_called_with_and_without_its_framework() {
        let controls = all().unwrap();
        let control = controls.iter().find(|control| control.id == "AC-6").unwrap();
        for name in ["AC-6", "ac-6", "NIST AC-6", "nist:AC-6", " nist/ac-6 "] {
            assert!(control.is_called(name), "{name}");
        }
        for name in ["AC-66", "ISO AC-6", "AC", "", "nist", "é"] {
            assert!(!control.is_called(name), "{name}");
        }
    }
}
