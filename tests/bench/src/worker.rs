//! One arm's process: does a round of operations, or a real load, each time its standard input says so.
//!
//! It lives as long as its arm, so that starting, labelling and loading of rules are outside of what is timed.

use std::io::BufRead as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::field::{Field, Ports};
use crate::load::{self, Load};
use crate::operation::{self, Operation, Set};
use crate::say;

/// Batches of one operation in one round. Each is short, so that the timer and agentd disturb few of them.
const BATCHES: usize = 60;

/// The batch that counts is slower than one in so many.
const QUICKEST: usize = 10;

/// Every operation, and how often a round does it.
pub(crate) const OPERATIONS_OF_A_ROUND: [(&str, u64); 10] = {
    let batches = BATCHES as u64 + 1;
    [
        ("open_close_3", 20 * batches),
        ("open_close_10", 20 * batches),
        ("open_close_30", 20 * batches),
        ("open_other_10", 20 * batches),
        ("stat", 20 * batches),
        ("fork_exec", batches),
        ("connect", 5 * batches),
        ("udp_send", 20 * batches),
        ("rename", 10 * batches),
        ("read_4k", 40 * batches),
    ]
};

/// What was typed after `ops`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Name of the arm, in every line
    #[arg(long, default_value = "here")]
    arm: String,
    /// Folder of the field
    #[arg(long, default_value = "/bench")]
    field: PathBuf,
    /// Granted and not granted port of the field; without, the field is made and nothing is taken to be denied
    #[arg(long, num_args = 2, value_names = ["OPEN", "CLOSED"])]
    ports: Vec<u16>,
    /// This process is governed: what is not granted must be denied
    #[arg(long)]
    governed: bool,
    /// Do this many rounds and end, instead of one for each line of standard input (WHAT ROUND; WHAT is granted, denied, an operation or a load)
    #[arg(long)]
    rounds: Option<u32>,
}

/// One measured value.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) op: String,
    pub(crate) arm: String,
    pub(crate) round: u32,
    /// Nanoseconds of one operation, in one of the quickest batches: what disturbed is left out. Of one that is held, of
    /// each. Of a real load, processor time.
    pub(crate) ns: u64,
}

/// Rounds, until told otherwise.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let field = Field::at(&arguments.field);
    let ports = match arguments.ports[..] {
        [open, closed] => Ports { open, closed },
        _ => {
            field.make()?;
            field.open_ports()?
        }
    };
    let mut worker = Worker {
        arm: &arguments.arm,
        operations: operation::all(&field, ports, &arguments.arm, arguments.governed)?,
        field,
        loads: 0,
    };
    if let Some(rounds) = arguments.rounds {
        return (0..rounds).try_for_each(|round| worker.operations(round, |_| true).map(drop));
    }
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (what, round) = line.split_once(' ').context("a line is WHAT ROUND")?;
        let round = round.parse()?;
        let done = match what {
            "nothing" => 0,
            "granted" => worker.operations(round, |operation| operation.set == Set::Granted)?,
            "denied" => worker.operations(round, |operation| operation.set == Set::Denied)?,
            other => match load::LOADS.into_iter().find(|(name, _)| *name == other) {
                Some(load) => worker.load(load, round)?,
                None => worker.operations(round, |operation| operation.name == other)?,
            },
        };
        if done == 0 && what != "nothing" {
            bail!("nobody knows how to do {what}");
        }
        println!();
    }
    Ok(())
}

struct Worker<'a> {
    arm: &'a str,
    operations: Vec<Operation>,
    field: Field,
    /// Loads that were run.
    loads: u32,
}

impl Worker<'_> {
    /// A round of the wanted operations; returns how many.
    fn operations(&mut self, round: u32, wanted: impl Fn(&Operation) -> bool) -> Result<usize> {
        let mut done = 0;
        for operation in self.operations.iter_mut().filter(|operation| wanted(operation)) {
            operation.time()?; // caches
            let times = (0..BATCHES).map(|_| operation.time()).collect::<Result<Vec<_>>>()?;
            let op = &operation.name;
            let tell = |ns| say(&Measured { op: op.clone(), arm: self.arm.to_owned(), round, ns });
            match operation.set {
                // What the slowest take is of interest, too.
                Set::Held => times.iter().try_for_each(|time| tell(nanoseconds(*time)?))?,
                Set::Granted | Set::Denied => tell(quick(times)?)?,
            }
            done += 1;
        }
        Ok(done)
    }

    fn load(&mut self, load: Load, round: u32) -> Result<usize> {
        self.loads += 1;
        let folder = format!("{}-{}-{}", self.arm, std::process::id(), self.loads);
        let time = load::run(load, &self.field.work().join(folder))?;
        let ns = nanoseconds(time)?;
        say(&Measured { op: load.0.to_owned(), arm: self.arm.to_owned(), round, ns })?;
        Ok(1)
    }
}

/// Nanoseconds of one of the quickest.
fn quick(mut times: Vec<Duration>) -> Result<u64> {
    times.sort_unstable();
    nanoseconds(*times.get(times.len() / QUICKEST).context("nothing was timed")?)
}

fn nanoseconds(time: Duration) -> Result<u64> {
    Ok(u64::try_from(time.as_nanos())?)
}
