//! `kernel`: what of agentd is in the kernel right now, agentd alive or not: its pins, and the programs, maps and
//! links behind them. Reads the kernel's own lists; loads nothing and links no BPF loader in C.

pub(crate) mod entry;
mod log;
mod pins;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use aya::maps::{MapInfo, loaded_maps};
use aya::programs::{ProgramInfo, loaded_links, loaded_programs};
use clap::{Args, Subcommand};
use pins::{FdInfo, Pins};
use serde::Serialize;

use crate::exit::{Failure, Outcome, chain};
use crate::screen::{Format, Screen, Tone, cell};

/// Where agentd pins.
const PINS: &str = "/sys/fs/bpf/agentguard";

/// What was typed after `kernel`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Show everything in the kernel, not only what belongs to agentd
    #[arg(long)]
    all: bool,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Lines for a developer from the programs in the kernel, as they decide
    Log(log::Arguments),
}

/// What is in the kernel.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Contents {
    programs: Vec<Program>,
    maps: Vec<Map>,
    links: Vec<Link>,
}

/// How many objects of agentd are in the kernel.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Counts {
    pub(crate) programs: usize,
    pub(crate) maps: usize,
    pub(crate) links: usize,
    /// How often a program was skipped because it was already running on that CPU.
    pub(crate) recursion_misses: u64,
}

impl Counts {
    pub(crate) fn words(self) -> String {
        let Self { programs, maps, links, recursion_misses } = self;
        format!("{programs} programs, {maps} maps, {links} links, {recursion_misses} recursion misses")
    }
}

#[derive(Debug, Serialize)]
struct Program {
    id: u32,
    name: String,
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_bytes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    runs: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_time_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recursion_misses: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    map_ids: Vec<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pin: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Map {
    id: u32,
    name: String,
    kind: String,
    key_bytes: u32,
    value_bytes: u32,
    max_entries: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pin: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Link {
    id: u32,
    kind: String,
    program_id: u32,
    program: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pin: Option<PathBuf>,
}

/// Lists what is in the kernel.
pub(crate) fn run(arguments: &Arguments, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    if let Some(What::Log(arguments)) = &arguments.what {
        return log::run(arguments, screen);
    }
    let contents = if arguments.all { everything()? } else { pinned()? };
    match screen.format() {
        Format::Table if contents.is_empty() && arguments.all => {
            screen.line("no BPF program, map or link is in the kernel")?
        }
        Format::Table => show(screen, &contents)?,
        Format::Json | Format::Ndjson => screen.document(&contents)?,
    }
    Ok(Outcome::Done)
}

/// What is pinned by agentd, and what hangs on that.
pub(crate) fn pinned() -> Result<Contents, Failure> {
    let mut contents = everything()?;
    contents.keep_pinned();
    Ok(contents)
}

/// Everything in the kernel.
fn everything() -> Result<Contents, Failure> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Failure::Permission("only root may list what is in the kernel".to_owned()));
    }
    let pins = Pins::read(Path::new(PINS))?;
    let mut contents = Contents::default();
    for program in loaded_programs() {
        match program {
            Ok(program) => contents.programs.push(describe_program(&program, &pins)),
            Err(error) => return Err(failed("programs", &error)),
        }
    }
    for map in loaded_maps() {
        contents.maps.push(describe_map(&map.map_err(|error| failed("maps", &error))?, &pins));
    }
    let names: BTreeMap<u32, String> = contents.programs.iter().map(|p| (p.id, p.name.clone())).collect();
    for link in loaded_links() {
        let link = link.map_err(|error| failed("links", &error))?;
        contents.links.push(Link {
            id: link.id(),
            kind: link.link_type().map_or_else(|_| "?".to_owned(), |kind| snake(&format!("{kind:?}"))),
            program_id: link.program_id(),
            program: names.get(&link.program_id()).cloned().unwrap_or_default(),
            pin: pins.links.get(&link.id()).cloned(),
        });
    }
    Ok(contents)
}

fn failed(what: &str, error: &dyn std::error::Error) -> Failure {
    Failure::Failed(format!("cannot list the kernel's {what}: {}", chain(error)))
}

impl Contents {
    /// Keeps what is pinned, the programs behind pinned links, and the maps those programs use.
    fn keep_pinned(&mut self) {
        self.links.retain(|link| link.pin.is_some());
        let behind: BTreeSet<u32> = self.links.iter().map(|link| link.program_id).collect();
        self.programs.retain(|program| program.pin.is_some() || behind.contains(&program.id));
        let used: BTreeSet<u32> =
            self.programs.iter().flat_map(|program| program.map_ids.iter().copied()).collect();
        self.maps.retain(|map| map.pin.is_some() || used.contains(&map.id));
    }

    /// How many there are of each.
    pub(crate) fn counts(&self) -> Counts {
        let recursion_misses = self.programs.iter().filter_map(|program| program.recursion_misses).sum();
        Counts {
            programs: self.programs.len(),
            maps: self.maps.len(),
            links: self.links.len(),
            recursion_misses,
        }
    }

    fn is_empty(&self) -> bool {
        self.programs.is_empty() && self.maps.is_empty() && self.links.is_empty()
    }
}

fn describe_program(program: &ProgramInfo, pins: &Pins) -> Program {
    let info = program.fd().ok().and_then(|fd| FdInfo::of(&fd).ok()).unwrap_or_default();
    Program {
        id: program.id(),
        name: program.name_as_str().unwrap_or_default().to_owned(),
        kind: snake(&format!("{:?}", program.program_type()).replace("BPF_PROG_TYPE_", "")),
        memory_bytes: program.memory_locked().ok(),
        runs: info.number("run_cnt"),
        run_time_ns: info.number("run_time_ns"),
        recursion_misses: info.number("recursion_misses"),
        map_ids: program.map_ids().ok().flatten().unwrap_or_default(),
        pin: pins.programs.get(&program.id()).cloned(),
    }
}

fn describe_map(map: &MapInfo, pins: &Pins) -> Map {
    let info = map.fd().ok().and_then(|fd| FdInfo::of(&fd).ok()).unwrap_or_default();
    Map {
        id: map.id(),
        name: map.name_as_str().unwrap_or_default().to_owned(),
        kind: map.map_type().map_or_else(|_| "?".to_owned(), |kind| snake(&format!("{kind:?}"))),
        key_bytes: map.key_size(),
        value_bytes: map.value_size(),
        max_entries: map.max_entries(),
        memory_bytes: info.number("memlock"),
        pin: pins.maps.get(&map.id()).cloned(),
    }
}

/// `PerfEventArray` as `perf_event_array`, `LSM` as `lsm`.
fn snake(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    let mut after_small = false;
    for character in name.chars() {
        if character.is_ascii_uppercase() && after_small {
            out.push('_');
        }
        after_small = character.is_ascii_lowercase() || character.is_ascii_digit();
        out.push(character.to_ascii_lowercase());
    }
    out
}

fn show(screen: &mut Screen<'_>, contents: &Contents) -> io::Result<()> {
    if contents.is_empty() {
        return screen.line(format!("nothing of agentd is in the kernel (no pins in {PINS})"));
    }
    let number = |value: Option<u64>| {
        cell(value.map_or_else(|| "-".to_owned(), |value| value.to_string()), Tone::Plain)
    };
    let pin =
        |pin: &Option<PathBuf>| cell(pin.as_ref().map_or("-".into(), |pin| pin.to_string_lossy()), Tone::Dim);

    let mut programs = screen.new_table(&["program", "name", "kind", "bytes", "runs", "missed", "pin"]);
    for program in &contents.programs {
        programs.add_row([
            cell(program.id.to_string(), Tone::Plain),
            cell(&program.name, Tone::Plain),
            cell(&program.kind, Tone::Plain),
            number(program.memory_bytes.map(u64::from)),
            number(program.runs),
            number(program.recursion_misses),
            pin(&program.pin),
        ]);
    }
    let mut maps = screen.new_table(&["map", "name", "kind", "key", "value", "entries", "bytes", "pin"]);
    for map in &contents.maps {
        maps.add_row([
            cell(map.id.to_string(), Tone::Plain),
            cell(&map.name, Tone::Plain),
            cell(&map.kind, Tone::Plain),
            number(Some(map.key_bytes.into())),
            number(Some(map.value_bytes.into())),
            number(Some(map.max_entries.into())),
            number(map.memory_bytes),
            pin(&map.pin),
        ]);
    }
    let mut links = screen.new_table(&["link", "kind", "program", "name", "pin"]);
    for link in &contents.links {
        links.add_row([
            cell(link.id.to_string(), Tone::Plain),
            cell(&link.kind, Tone::Plain),
            cell(link.program_id.to_string(), Tone::Plain),
            cell(&link.program, Tone::Plain),
            pin(&link.pin),
        ]);
    }
    for (number, table) in [programs, maps, links].iter().filter(|table| table.row_count() > 0).enumerate() {
        if number > 0 {
            screen.line("")?;
        }
        screen.table(table)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(id: u32, map_ids: Vec<u32>, pin: Option<&str>) -> Program {
        Program {
            id,
            name: format!("program_{id}"),
            kind: "lsm".to_owned(),
            memory_bytes: Some(4096),
            runs: Some(12),
            run_time_ns: None,
            recursion_misses: Some(0),
            map_ids,
            pin: pin.map(PathBuf::from),
        }
    }

    fn map(id: u32, pin: Option<&str>) -> Map {
        Map {
            id,
            name: format!("map_{id}"),
            kind: "hash".to_owned(),
            key_bytes: 4,
            value_bytes: 8,
            max_entries: 1024,
            memory_bytes: Some(8192),
            pin: pin.map(PathBuf::from),
        }
    }

    fn link(id: u32, program_id: u32, pin: Option<&str>) -> Link {
        Link {
            id,
            kind: "tracing".to_owned(),
            program_id,
            program: String::new(),
            pin: pin.map(PathBuf::from),
        }
    }

    fn contents() -> Contents {
        Contents {
            programs: vec![program(1, vec![10], None), program(2, vec![11], None), program(3, vec![], None)],
            maps: vec![map(10, None), map(11, None), map(12, Some("/sys/fs/bpf/agentguard/maps/agents"))],
            links: vec![link(20, 1, Some("/sys/fs/bpf/agentguard/links/file_open")), link(21, 2, None)],
        }
    }

    #[test]
    fn keeps_what_is_pinned_and_what_hangs_on_it() {
        let mut contents = contents();
        contents.keep_pinned();
        assert_eq!(contents.programs.iter().map(|program| program.id).collect::<Vec<_>>(), [1]);
        assert_eq!(contents.maps.iter().map(|map| map.id).collect::<Vec<_>>(), [10, 12]);
        assert_eq!(contents.links.iter().map(|link| link.id).collect::<Vec<_>>(), [20]);
    }

    #[test]
    fn writes_kinds_as_the_kernel_does() {
        assert_eq!(snake("PerfEventArray"), "perf_event_array");
        assert_eq!(snake("LSM"), "lsm");
        assert_eq!(snake("CGROUP_SOCK_ADDR"), "cgroup_sock_addr");
    }

    #[test]
    fn shows_three_tables() {
        let mut out = Vec::new();
        show(&mut Screen::plain(&mut out, Format::Table, 110), &contents()).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }

    #[test]
    fn says_so_when_nothing_is_there() {
        let mut out = Vec::new();
        show(&mut Screen::plain(&mut out, Format::Table, 110), &Contents::default()).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "nothing of agentd is in the kernel (no pins in /sys/fs/bpf/agentguard)\n"
        );
    }
}
