//! `reference-cli`: the reference of the command line as Markdown, from the same definitions that parse it.

use std::fmt::Write;

use clap::Command;

use crate::exit::{EXIT_CODES, Failure, Outcome};
use crate::screen::Screen;

/// Columns of the help texts in the reference.
const WIDTH: usize = 100;

const HEAD: &str = "\
# agentctl

<!-- Generated: agentctl reference-cli > docs/reference/cli.md -->

Results go to stdout, everything else to stderr. `-o json` prints one document, `-o ndjson` one document per line;
their fields are those of [events](events.md) and of the documents in `agentd/api/src/report.rs`, and are only ever
added to. Colours are used on a terminal only, unless `--color` says otherwise; `NO_COLOR` is respected.

";

/// What `-o json` and `-o ndjson` print. Lists are one array as `json` and one document a line as `ndjson`.
const DOCUMENTS: &str = "\
## Documents

| command | document |
|---|---|
| `status` | `Status` of the local API, and as root `kernel_objects`: `programs`, `maps`, `links`, `recursion_misses` |
| `doctor` | `backend`, `full_enforcement` (`possible`, `unproven`, `not-possible`), `not_enforceable`, `findings` (`check`, `state`: `ok`, `warn`, `fail` or `unknown`, `found`, `change`), `facts` |
| `enroll`, `release` | `Enrolled`, `Released` |
| `agents` | list of `AgentView` |
| `agent create` | `RegisteredAgent`; a list of them if a file named several; with `--dry-run` a list of `name`, `origin`, `spec`, `notes` (`kind`, `about`, `why`) |
| `agent create --list-templates` | list of `name`, `file` |
| `agent list` | list of `RegisteredAgent` |
| `agent show` | `AgentDetail`, and as root `read_by_agentctl`: by run `same`, `other` or `failed` |
| `agent update`, `agent restrict`, `agent lift`, `agent revoke` | `RegisteredAgent` |
| `agent diff` | `from`, `to` (`label`, `sha256`), `hash_differs`, `diff` |
| `agent history` | list of `Step`: `time_sec`, `by`, `code`, `state`, `revision`, `spec_sha256`, `reason` |
| `agent validate`, `governance check` | `Validation` |
| `agent promote` | list of `Promotion` |
| `agent export --format bundle` | `agent`, `state`, `revision`, `spec_toml`, `spec_canonical`, `spec_sha256`, `proof`, `public_key_pem`, `history` |
| `agent delete` | `name` |
| `keys list` | `KeyList` |
| `keys generate`, `keys trust`, `keys revoke`, `keys rotate` | `KeyChange` |
| `budget add`, `budget report` | `Spent`, `BudgetReport` |
| `events` | list of records; with `--follow` always one a line |
| `summary` | `agent`, `records`, `allowed` (by group and call), `stopped` (by rule: `blocked`, `observed`, `calls`, `objects`, `message`, `severity`, `source`, `incident`), `findings` (by rule), `read_bytes`, `written_bytes`, `sent_bytes`, `received_bytes` |
| `query` | list of rows: column to value |
| `explain` | `Explanation` |
| `audit verify` | `ok`, `anchor`, and the report: `records`, `segments`, `first_seq`, `newest`, `first_time_ns`, `last_time_ns`, `signatures_checked`, `checkpoints`, `covered_seq`, `uncovered`, `lost`, `findings` (`problem`, `seq`, `through`, `file`, `line`, `what`), `findings_left_out` |
| `audit show` | list of audit records, see [audit](audit.md) |
| `audit export --format json` | `host`, `made`, `period`, `verification` (as `audit verify`), `controls` (`framework`, `id`, `title`, `coverage`, `how`, `settings`, `kinds`, `codes`, `evidence`: `count`, `seqs`), `records` |
| `policy check`, `spec check` | `ok`, `errors` (`file`, `line`, `message`), and what was read |
| `spec hash` | `file`, `sha256` |
| `policy test` | `version`, `tests` (`name`, `file`, `line`, `outcome`, `duration_us`), `coverage` (`file`, `covered`, `lines`, `missed`) |
| `policy show` | list of rules: `agent`, `id`, `layer`, `verdict`, `scope`, `severity`, `reason`, `file`, `line` |
| `policy explain`, `policy diff` | `PolicyExplanation`, `PolicyDiff` |
| `policy replay` | list of `ReplayLine`, the last one a summary |
| `policy reload`, `policy rollback` | `PolicyChange` |
| `policy history` | list of `PolicyVersion` |
| `selftest` | `results` and `summary`; as `ndjson` a result a line, then the counts |
| `kernel` | `programs`, `maps`, `links` |
| `log-level` | `LogLevel` |
| `bugreport` | `made`, `since`, `with_records`, `parts` (`name`, `bytes`), `missing` (`part`, `why`), `redacted` (`what`, `times`) |
| `backup` | `file`, `bytes`, `agents`, `files`, `with_keys`, `left_out` |
| `restore` | `host`, `time`, `product`, `with_keys`, `agents`, `files`, `bytes`, `dry_run`, `set_aside`, `kept`, `missing` |

";

/// Prints the reference.
pub(crate) fn run(screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    screen.raw(&markdown())?;
    Ok(Outcome::Done)
}

/// The whole document.
pub fn markdown() -> String {
    let mut out = HEAD.to_owned();
    let mut root = crate::typed::command().term_width(WIDTH);
    root.build();
    let _infallible = write!(out, "## Exit status\n\n```text\n{EXIT_CODES}\n```\n\n");
    out.push_str(DOCUMENTS);
    add(&mut out, root, "");
    while out.ends_with("\n\n") {
        out.pop();
    }
    out
}

fn add(out: &mut String, command: Command, parents: &str) {
    let name = format!("{parents}{}", command.get_name());
    let inner: Vec<Command> =
        command.get_subcommands().filter(|inner| !inner.is_hide_set()).cloned().collect();
    let command = command.after_help("").after_long_help("");
    let help = command.clone().term_width(WIDTH).render_help().to_string();
    let _infallible = write!(out, "## {name}\n\n```text\n{}\n```\n\n", trimmed(&help));
    for command in inner {
        add(out, command, &format!("{name} "));
    }
}

/// Without the spaces at the ends of lines and the empty lines at the end.
fn trimmed(help: &str) -> String {
    let lines: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
    lines.join("\n")
}
