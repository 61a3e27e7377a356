//! The agent of one scenario, as far as `agentctl` lets one see it: run, events, release.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use agentguard_core::record::Record;

use crate::runner::Context;
use crate::runner::place::Place;
use crate::runner::process::{Ended, Limit, Task};
use crate::scenario::{Scenario, User};

/// Records asked for at once; a scenario that makes more asks only for the newest.
const MAX_RECORDS: &str = "5000";

/// One agent. Released when dropped.
pub(crate) struct Agent<'a> {
    context: &'a Context,
    scenario: &'a Scenario,
    place: &'a Place,
    name: String,
    spec: PathBuf,
    began: SystemTime,
}

impl<'a> Agent<'a> {
    pub(crate) fn new(
        scenario: &'a Scenario,
        context: &'a Context,
        place: &'a Place,
    ) -> Result<Self, String> {
        let spec = place.dir.join("spec.toml");
        fs::write(&spec, scenario.spec_text()?).map_err(|error| error.to_string())?;
        let name = format!("selftest-{}-{}", scenario.id.to_lowercase(), context.run_id);
        Ok(Self { context, scenario, place, name, spec, began: SystemTime::now() })
    }

    /// Runs the trigger under the spec, and waits for its end.
    pub(crate) fn run(&self, limit: Limit) -> Result<Ended, String> {
        let mut words = Vec::new();
        if let Some(within) = &self.scenario.within {
            words.extend(["/bin/sh", "-e", "-c", within, "within"].map(OsString::from));
        }
        if self.scenario.user == User::Dev {
            words.extend(self.context.person.drop_root());
        }
        words.push(self.context.agentctl.clone().into());
        words.extend(["run", "--name", &self.name, "--spec"].map(OsString::from));
        words.push(self.spec.clone().into());
        if self.scenario.observe {
            words.push("--observe".into());
        }
        for (name, value) in self.spec_variables() {
            words.extend(["--set".into(), assignment(name, &value)]);
        }
        for (name, value) in self.place.variables() {
            words.extend(["--env".into(), assignment(name, value)]);
        }
        words.push("--".into());
        words.extend(self.place.words(&self.scenario.trigger));
        let task = Task::new(words, &self.place.workspace).with_environment(self.place.variables());
        task.run(limit)
    }

    fn spec_variables(&self) -> [(&'static str, OsString); 4] {
        [
            ("workspace", self.place.workspace.clone().into()),
            ("protected", self.place.protected.clone().into()),
            ("dir", self.place.dir.clone().into()),
            ("trigger", self.context.trigger.clone().into()),
        ]
    }

    /// The records of this agent.
    pub(crate) fn records(&self) -> Result<Vec<Record>, String> {
        self.events(&["--agent", &self.name])
    }

    /// The records of every agent since this one began.
    pub(crate) fn everybodys_records(&self) -> Result<Vec<Record>, String> {
        let elapsed = self.began.elapsed().unwrap_or_default() + Duration::from_secs(1);
        self.events(&["--since", &format!("{}s", elapsed.as_secs())])
    }

    fn events(&self, filter: &[&str]) -> Result<Vec<Record>, String> {
        let output = Command::new(&self.context.agentctl)
            .args(["-o", "ndjson", "events", "--limit", MAX_RECORDS])
            .args(filter)
            .output()
            .map_err(|error| format!("agentctl events: {error}"))?;
        if !output.status.success() {
            return Err(format!("agentctl events: {}", String::from_utf8_lossy(&output.stderr).trim()));
        }
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(|line| {
                serde_json::from_str(line).map_err(|error| format!("agentctl events: {error}: {line}"))
            })
            .collect()
    }
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        // An agent whose processes are gone may be gone already.
        let _ = Command::new(&self.context.agentctl).args(["release", &self.name]).output();
    }
}

fn assignment(name: &str, value: &OsString) -> OsString {
    let mut text = OsString::from(name);
    text.push("=");
    text.push(value);
    text
}
