//! `--from event`: the least spec under which a recorded run would have gone on.
//!
//! records -> [`requests`] (what was asked, by object) -> [`tree`] and [`peers`] (fewer, wider grants) -> draft. Wider
//! never crosses a place where other things are kept than those that were asked for: see [`sensitive`].

mod part;
mod peers;
mod requests;
mod sensitive;
mod tree;

use std::collections::BTreeSet;

use agentguard_core::capability;
use agentguard_core::operation::{ClassOp, PathOp};
use agentguard_core::record::Record;
use agentguard_core::spec::{Executable, Role};
use agentguard_core::verdict::Verdict;

use crate::draft::{Note, NoteKind};
use crate::{AuthoringError, Draft, Entry, Identity, List, SpecDraft, base};
use requests::{Requests, Seen};
use sensitive::Places;
use tree::{Grant, Tree, Width};

/// From so many different names in one directory on, the directory is granted instead.
pub const SIBLINGS: usize = 8;
/// From so many different names below one directory on, everything below it is granted instead.
pub const DESCENDANTS: usize = 32;

/// What a spec is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Event<'a> {
    /// The new agent.
    pub identity: Identity,
    /// Records of a run, in any order: best of one in observe mode, or in the sandbox.
    pub records: &'a [Record],
    /// Home of the user for whom it ran: becomes `${home}`.
    pub home: &'a str,
    /// Where it worked: becomes `${workspace}`.
    pub workspace: Option<&'a str>,
}

const HEAD: [&str; 5] = [
    "Made of the records of a run: what was asked for there is granted here, and nothing else.",
    "",
    "Read every line that is marked `unsure` and take out what the work does not need. What policy denied is not in",
    "here, no grant could lift it. Capabilities, changes of user and executable memory make records only where they",
    "are denied: a run in observe mode under a spec from scratch shows them.",
];

/// Makes the spec.
pub fn draft(arguments: &Event<'_>) -> Result<Draft, AuthoringError> {
    let places = Places::new(arguments.home, arguments.workspace)?;
    let requests = Requests::of(arguments.records);
    let mut maker = Maker { spec: SpecDraft::new(Role::Analysis), notes: Vec::new(), places };
    maker.spec.head = HEAD.map(str::to_owned).to_vec();
    if arguments.workspace.is_some() {
        base::workspace(&mut maker.spec);
    }
    maker.files(&requests);
    maker.exec(&requests);
    maker.unix(&requests);
    peers::grant(&mut maker.spec, &mut maker.notes, &requests);
    maker.classes(&requests);
    maker.capabilities(&requests);
    let mut notes = maker.notes;
    notes.extend(requests.left_out.values().cloned());
    maker.spec.finish(&arguments.identity, notes)
}

struct Maker {
    spec: SpecDraft,
    notes: Vec<Note>,
    places: Places,
}

impl Maker {
    fn files(&mut self, requests: &Requests) {
        use PathOp::{Attr, Create, Delete, Link, Read, Write};
        let lists: [(&str, &[PathOp], bool); 5] = [
            ("files.read", &[Read], false),
            ("files.write", &[Write, Attr], true),
            ("files.create", &[Create], true),
            ("files.delete", &[Delete], true),
            ("files.link", &[Link], true),
        ];
        for (key, ops, changes) in lists {
            let grants = self.grants(requests, ops, Width::Directories);
            let mut list = List::default();
            for grant in grants {
                self.guard(&grant);
                let unsure = self.doubt(&grant, changes);
                self.note(key, &grant, unsure.as_deref());
                list.insert(Entry { heading: Some(heading(&grant.pattern)), value: grant.pattern, unsure });
            }
            let files = &mut self.spec.files;
            match key {
                "files.read" => files.read = list,
                "files.write" => files.write = list,
                "files.create" => files.create = list,
                "files.delete" => files.delete = list,
                _ => files.link = list,
            }
        }
    }

    fn exec(&mut self, requests: &Requests) {
        for grant in self.grants(requests, &[PathOp::Exec], Width::Names) {
            let unsure = self.doubt(&grant, false);
            self.note("exec.allow", &grant, unsure.as_deref());
            let value = Executable { path: grant.pattern, sha256: None };
            self.spec.exec.allow.insert(Entry { value, heading: None, unsure });
        }
        let programs: BTreeSet<&str> = requests.paths(&[PathOp::Exec]).map(|(path, _)| path).collect();
        let mapped = requests.paths(&[PathOp::MapExec]).filter(|(path, _)| !programs.contains(path));
        let tree = Tree::of(&self.places, mapped);
        for grant in tree.grants(&self.places, Width::Directories) {
            self.note("exec.libraries", &grant, None);
            self.spec.exec.libraries.add(grant.pattern);
        }
    }

    fn unix(&mut self, requests: &Requests) {
        for grant in self.grants(requests, &[PathOp::Connect], Width::Names) {
            let unsure = self.doubt(&grant, false);
            self.note("unix.connect", &grant, unsure.as_deref());
            self.spec.unix.connect.insert(Entry { value: grant.pattern, heading: None, unsure });
        }
        for grant in self.grants(requests, &[PathOp::Bind], Width::Names) {
            self.note("unix.bind", &grant, None);
            self.spec.unix.bind.add(grant.pattern);
        }
    }

    fn grants(&self, requests: &Requests, ops: &[PathOp], width: Width) -> Vec<Grant> {
        Tree::of(&self.places, requests.paths(ops)).grants(&self.places, width)
    }

    /// A whole directory of the user's may hold keys and passwords one day; they stay out by name.
    fn guard(&mut self, grant: &Grant) {
        if let Some(pattern) = sensitive::guard(&grant.pattern) {
            self.spec
                .files
                .deny
                .add_under("What is granted above by directory does not reach keys and passwords.", pattern);
        }
    }

    fn doubt(&self, grant: &Grant, changes: bool) -> Option<String> {
        let outside =
            changes && !grant.pattern.starts_with(base::WORKSPACE) && !grant.pattern.starts_with("/dev/");
        let wide = grant.pattern.ends_with("/**") || grant.pattern.ends_with("/*");
        match () {
            () if grant.seen.never_granted() => Some("denied, and never tried again".to_owned()),
            () if outside && wide => {
                Some(format!("changes outside of the workspace, for {}", names(grant.names)))
            }
            () if outside => Some("changes outside of the workspace".to_owned()),
            () if wide => Some(format!("asked for were {}", names(grant.names))),
            () => once(grant.seen),
        }
    }

    fn note(&mut self, key: &str, grant: &Grant, unsure: Option<&str>) {
        let about = format!("{key} {}", grant.pattern);
        if grant.is_wider {
            let why = format!("asked for were {}, such as {}", names(grant.names), grant.example);
            self.notes.push(Note::new(NoteKind::Generalised, about.clone(), why));
        }
        // Requests that were seen once are marked in the text; a note for each would hide the others.
        if let Some(why) = unsure.filter(|_| once(grant.seen).as_deref() != unsure) {
            self.notes.push(Note::unsure(about, why));
        }
    }

    fn classes(&mut self, requests: &Requests) {
        for (op, seen) in requests.classes() {
            let unsure = if seen.never_granted() { Some("denied, and never tried again") } else { None };
            match place(op) {
                Place::Socket(word) => add_word(&mut self.spec.network.sockets, word, unsure),
                Place::Process(word) => {
                    let why = unsure.unwrap_or("reaches beyond the agent's own processes");
                    self.notes.push(Note::unsure(format!("process.allow {word}"), why));
                    add_word(&mut self.spec.process.allow, word, Some(why));
                }
                Place::Anonymous => self.spec.exec.anonymous = Some(Verdict::Allow),
                Place::Memfd => {
                    self.spec.exec.memfd = Some(Verdict::Allow);
                    self.notes
                        .push(Note::unsure("exec.memfd", "programs without a name leave nothing to look at"));
                }
                Place::Privileged => {
                    self.spec.exec.privileged = Some(Verdict::Allow);
                    self.notes.push(Note::unsure("exec.privileged", "a program raised its privilege"));
                }
            }
        }
    }

    fn capabilities(&mut self, requests: &Requests) {
        for (number, seen) in requests.capabilities() {
            let name = capability::name(number);
            let why =
                if seen.never_granted() { "denied, and never tried again" } else { "a privilege of root" };
            self.notes.push(Note::unsure(format!("process.capabilities {name}"), why));
            self.spec.process.capabilities.add_unsure(name, why);
        }
    }
}

fn add_word(list: &mut List<String>, word: &str, unsure: Option<&str>) {
    list.insert(Entry { value: word.to_owned(), heading: None, unsure: unsure.map(str::to_owned) });
}

fn once(seen: Seen) -> Option<String> {
    (seen.count == 1).then(|| "asked for once".to_owned())
}

fn names(count: usize) -> String {
    if count == 1 { "1 name".to_owned() } else { format!("{count} names") }
}

fn heading(pattern: &str) -> String {
    let words = match () {
        () if pattern.starts_with(base::WORKSPACE) => "The workspace.",
        () if pattern.starts_with("${home}") => "The user's own.",
        () if pattern.starts_with("/proc") || pattern.starts_with("/sys") => "The kernel.",
        () => "The system.",
    };
    words.to_owned()
}

/// Where a class of operations is written in a spec.
enum Place {
    Socket(&'static str),
    Process(&'static str),
    Anonymous,
    Memfd,
    Privileged,
}

const fn place(op: ClassOp) -> Place {
    match op {
        ClassOp::SocketTcp => Place::Socket("tcp"),
        ClassOp::SocketUdp => Place::Socket("udp"),
        ClassOp::SocketUnix => Place::Socket("unix"),
        ClassOp::SocketNetlinkRoute => Place::Socket("netlink-route"),
        ClassOp::SocketNetlink => Place::Socket("netlink"),
        ClassOp::SocketPing => Place::Socket("ping"),
        ClassOp::SocketRaw => Place::Socket("raw"),
        ClassOp::SocketPacket => Place::Socket("packet"),
        ClassOp::SocketOther => Place::Socket("other"),
        ClassOp::ExecAnonymous => Place::Anonymous,
        ClassOp::ExecMemfd => Place::Memfd,
        ClassOp::ExecPrivileged => Place::Privileged,
        ClassOp::SetId => Place::Process("set-id"),
        ClassOp::UserNamespace => Place::Process("user-namespace"),
        ClassOp::Ptrace => Place::Process("ptrace"),
        ClassOp::Signal => Place::Process("signal"),
        ClassOp::Mount => Place::Process("mount"),
        ClassOp::Kernel => Place::Process("kernel"),
        ClassOp::IoUring => Place::Process("io-uring"),
        ClassOp::ReceiveFd => Place::Process("receive-fd"),
    }
}
