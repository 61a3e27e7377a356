//! The entry point: reads what was typed, runs what it means, and turns the result into an exit status.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use agentctl::exit::{Failure, Outcome};
use agentctl::typed::Typed;
use clap::Parser;

fn main() -> ExitCode {
    // Usage errors and --help end here, with status 2 and 0.
    let typed = Typed::parse();
    let result = agentctl::run(&typed);
    if let Err(failure) = &result
        && !failure.is_closed_pipe()
    {
        eprintln!("agentctl: {failure}");
    }
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Negative) => ExitCode::from(1),
        Ok(Outcome::Status(status)) => ExitCode::from(status),
        Err(Failure::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Failure::Failed(_) | Failure::Output(_)) => ExitCode::from(1),
        Err(Failure::Usage(_)) => ExitCode::from(2),
        Err(Failure::Unreachable(_)) => ExitCode::from(3),
        Err(Failure::Permission(_)) => ExitCode::from(4),
        Err(Failure::Refused(_)) => ExitCode::from(5),
        Err(Failure::Timeout(_)) => ExitCode::from(124),
        Err(Failure::CannotExecute(_)) => ExitCode::from(126),
        Err(Failure::NotFound(_)) => ExitCode::from(127),
    }
}
