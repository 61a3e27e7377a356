//! What is exported, before it has a form.

use std::path::Path;

use agentguard_audit::controls::Control;
use agentguard_audit::read::{Filter, Records};
use agentguard_audit::verify::Report;
use agentguard_audit::{AuditError, AuditRecord, codes};
use serde_json::{Value, json};

use super::super::verify;
use crate::exit::Failure;
use crate::moment;

/// Records of one export: about 200 MB. Years of a busy host are exported in parts.
const MAX_RECORDS: usize = 200_000;

/// A control and its records, by their places in [`Export::records`].
pub(super) struct Evidence {
    pub(super) control: Control,
    pub(super) records: Vec<usize>,
}

/// Everything that an export says.
pub(super) struct Export {
    pub(super) host: String,
    pub(super) since_ns: Option<u64>,
    pub(super) until_ns: Option<u64>,
    pub(super) made_ns: u64,
    pub(super) report: Report,
    pub(super) controls: Vec<Evidence>,
    /// Records that are evidence for any of the controls, in the period, oldest first.
    pub(super) records: Vec<AuditRecord>,
}

impl Export {
    /// Reads the log once.
    pub(super) fn gather(
        dir: &Path,
        controls: Vec<Control>,
        (since_ns, until_ns): (Option<u64>, Option<u64>),
        report: Report,
        made_ns: u64,
    ) -> Result<Self, Failure> {
        let mut controls: Vec<Evidence> =
            controls.into_iter().map(|control| Evidence { control, records: Vec::new() }).collect();
        let (mut records, mut host) = (Vec::new(), None);
        for record in Records::of(dir, Filter::default())? {
            let record = match record {
                Ok(record) => record,
                // A finding of the report.
                Err(AuditError::Line { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            if record.code == codes::LOG_OPENED.name {
                host = record.detail.get("host").and_then(Value::as_str).map(str::to_owned).or(host);
            }
            let is_early = since_ns.is_some_and(|since| record.time_ns < since);
            if is_early || until_ns.is_some_and(|until| record.time_ns > until) {
                continue;
            }
            let mut shows = false;
            for evidence in controls.iter_mut().filter(|evidence| evidence.control.is_shown_by(&record)) {
                evidence.records.push(records.len());
                shows = true;
            }
            if shows {
                records.push(record);
            }
            if records.len() > MAX_RECORDS {
                let advice = "export parts of it with --since, --until or --control";
                return Err(Failure::Failed(format!("there are more than {MAX_RECORDS} records; {advice}")));
            }
        }
        let host = host.filter(|host| !host.is_empty()).unwrap_or_else(hostname);
        Ok(Self { host, since_ns, until_ns, made_ns, report, controls, records })
    }

    /// The records of a control.
    pub(super) fn of<'e>(
        &'e self,
        evidence: &'e Evidence,
    ) -> impl DoubleEndedIterator<Item = &'e AuditRecord> {
        evidence.records.iter().filter_map(|place| self.records.get(*place))
    }

    /// As users read it.
    pub(super) fn period(&self) -> String {
        let since = self.since_ns.map_or("the first record".to_owned(), moment::short);
        let until = self.until_ns.map_or("the last record".to_owned(), moment::short);
        format!("{since} to {until}")
    }

    /// One document, in which each record is there once.
    pub(super) fn json(&self) -> Result<String, Failure> {
        let controls: Vec<Value> = self
            .controls
            .iter()
            .map(|evidence| {
                let control = &evidence.control;
                let seqs: Vec<u64> = self.of(evidence).map(|record| record.seq).collect();
                json!({
                    "framework": control.framework.title(),
                    "id": control.id,
                    "title": control.title,
                    "coverage": control.coverage,
                    "how": control.how,
                    "settings": control.settings,
                    "kinds": control.kinds,
                    "codes": control.codes,
                    "evidence": { "count": seqs.len(), "seqs": seqs },
                })
            })
            .collect();
        let document = json!({
            "host": self.host,
            "made": moment::precise(self.made_ns),
            "period": { "since": self.since_ns.map(moment::precise), "until": self.until_ns.map(moment::precise) },
            "verification": verify::document(&self.report),
            "controls": controls,
            "records": self.records,
        });
        let text = serde_json::to_string_pretty(&document);
        text.map(|text| text + "\n").map_err(|error| Failure::Failed(format!("the export: {error}")))
    }
}

fn hostname() -> String {
    nix::sys::utsname::uname()
        .map(|uname| uname.nodename().to_string_lossy().into_owned())
        .unwrap_or_default()
}
