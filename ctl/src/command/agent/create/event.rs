//! `--from event`: the least spec under which a recorded run would have gone on.

use std::time::SystemTime;

use agentguard_api::report::EventLine;
use agentguard_api::v1::{EventFilter, EventsRequest};
use agentguard_authoring::{Identity, event};
use agentguard_core::record::Record;
use nix::unistd::{Uid, User};

use super::source::{SourceArguments, needed};
use super::{From, Made, not_made};
use crate::daemon::Daemon;
use crate::exit::Failure;
use crate::moment;
use crate::progress::Progress;
use crate::screen::printable;

/// agentd has a limit of its own, and tells the newest.
const EVERY_RECORD: u32 = u32::MAX;

pub(super) fn make(
    source: &SourceArguments,
    identity: Identity,
    daemon: &mut Daemon,
) -> Result<Made, Failure> {
    let agent = needed(source.agent.as_ref(), From::Event, "--agent NAME; see agentctl agents --all")?;
    let records = fetch(agent, source, daemon)?;
    let Some(first) = records.first() else {
        let agent = printable(agent);
        return Err(Failure::Failed(format!(
            "nothing is recorded of `{agent}` in that time; see agentctl agents --all"
        )));
    };
    let home = match &source.home {
        Some(home) => home.clone(),
        None => home_of(first.process.uid)?,
    };
    let name = identity.name.clone();
    let workspace = source.workspace.as_deref();
    let arguments = event::Event { identity, records: &records, home: &home, workspace };
    let draft = event::draft(&arguments).map_err(not_made)?;
    let origin = format!("{} events of {agent}", records.len());
    Ok(Made { file: format!("{name}.toml"), name, draft, origin })
}

fn fetch(agent: &str, source: &SourceArguments, daemon: &mut Daemon) -> Result<Vec<Record>, Failure> {
    let now = SystemTime::now();
    let time = |text: &Option<String>| match text {
        Some(text) => moment::parse(text, now).map_err(Failure::Usage),
        None => Ok(0),
    };
    let filter = EventFilter {
        agent: agent.to_owned(),
        since_ns: time(&source.since)?,
        until_ns: time(&source.until)?,
        ..EventFilter::default()
    };
    let request = EventsRequest { filter: Some(filter), follow: false, limit: EVERY_RECORD };
    let mut stream = daemon.stream(async |client| client.events(request).await)?;
    let progress = Progress::counting("records read");
    let mut records = Vec::new();
    let mut left_out = 0;
    while let Some(line) = stream.next()? {
        match line {
            EventLine::Record(record) => {
                records.push(*record);
                progress.one_more();
            }
            EventLine::Skipped { skipped } => left_out += skipped,
        }
    }
    drop(progress);
    if left_out > 0 {
        eprintln!("agentctl: {left_out} records left out by agentd; make the time shorter to have all");
    }
    Ok(records)
}

fn home_of(uid: u32) -> Result<String, Failure> {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    let home = user.and_then(|user| user.dir.into_os_string().into_string().ok());
    home.ok_or_else(|| Failure::Usage(format!("this host knows no home of uid {uid}: give --home DIR")))
}
