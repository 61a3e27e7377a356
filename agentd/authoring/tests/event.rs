//! Specs that are made of records.

mod common;

use agentguard_authoring::event::{self, Event};
use agentguard_authoring::{Draft, Identity, NoteKind};
use agentguard_core::operation::{AddressOp, ClassOp, Operation, PathOp};
use agentguard_core::record::{Object, Record};
use agentguard_core::verdict::Verdict;
use common::{
    HOME, WORKSPACE, denied_by_policy, evaluator, file, path_verdict, peer, record, shown, verdict,
};
use proptest::prelude::*;

fn draft(records: &[Record]) -> Draft {
    let identity = Identity::named("learned");
    event::draft(&Event { identity, records, home: HOME, workspace: Some(WORKSPACE) })
        .unwrap_or_else(|error| panic!("{error}"))
}

fn class(op: ClassOp) -> Record {
    record(Operation::Class(op), Object::Class { detail: String::new() })
}

/// A small build: a compiler, its libraries, sources, temporary files, a registry.
fn build() -> Vec<Record> {
    use PathOp::{Attr, Create, Delete, Exec, MapExec, Read, Write};
    let mut records = vec![
        file(Exec, "/usr/bin/gcc"),
        file(Exec, "/usr/bin/gcc"),
        file(Exec, "/usr/bin/make"),
        file(MapExec, "/usr/bin/gcc"),
        file(MapExec, "/usr/lib/x86_64-linux-gnu/libc.so.6"),
        file(MapExec, "/usr/lib/x86_64-linux-gnu/libm.so.6"),
        file(Read, "/etc/ld.so.cache"),
        file(Read, "/etc/ld.so.cache"),
        file(Read, "/proc/4711/status"),
        file(Read, "/proc/4712/status"),
        file(Write, "/proc/4711/task/4713/comm"),
        file(Read, WORKSPACE),
        file(Write, "/dev/null"),
        file(Read, "/home/ada/.gitconfig"),
        file(Attr, "/home/ada/project/out/app"),
        file(Create, "/home/ada/project/out/app"),
        file(Write, "/home/ada/project/out/app"),
        file(Delete, "/home/ada/project/out/app"),
        file(Read, "/home/ada/project/.env"),
        file(Read, "/sys/fs/cgroup/agents.slice/x-1.scope/cpu.max"),
        denied_by_policy(file(Read, "/home/ada/.ssh/id_ed25519"), "filesystem.ssh_keys"),
        peer(AddressOp::Connect, "203.0.113.7", 443, "tcp", Some("crates.io")),
        peer(AddressOp::Connect, "203.0.113.8", 443, "tcp", Some("Crates.io.")),
        peer(AddressOp::Connect, "198.51.100.4", 5432, "tcp", None),
        peer(AddressOp::Connect, "127.0.0.1", 43_211, "tcp", None),
        peer(AddressOp::Listen, "127.0.0.1", 43_211, "tcp", None),
        file(Connect, "/run/nscd/socket"),
        file(Connect, "@/tmp/dbus-x"),
        class(ClassOp::SocketTcp),
        class(ClassOp::SocketUnix),
        class(ClassOp::ExecAnonymous),
        class(ClassOp::Ptrace),
        record(Operation::Capability(0), Object::Class { detail: String::new() }),
    ];
    use PathOp::Connect;
    records.extend((0..12).map(|number| file(Read, &format!("/home/ada/project/src/{}.c", letters(number)))));
    records.extend((0..4).map(|number| file(Read, &format!("/home/ada/project/data/part-{number}.csv"))));
    for name in ["ccAb12Cd.s", "ccXy34Zq.s"] {
        for op in [Create, Write, Delete] {
            records.push(file(op, &format!("/tmp/{name}")));
        }
    }
    records
}

fn letters(number: u8) -> String {
    format!("file_{}", char::from(b'a' + number))
}

#[test]
fn a_recorded_build_becomes_its_spec() {
    let draft = draft(&build());
    common::assert_is_for_the_sandbox(&draft);
    insta::assert_snapshot!(shown(&draft));
}

#[test]
fn the_order_of_the_records_does_not_matter() {
    let mut records = build();
    let first = draft(&records);
    records.reverse();
    assert_eq!(draft(&records), first);
}

#[test]
fn a_whole_directory_that_is_granted_keeps_its_keys_closed() {
    let records: Vec<Record> = (0..40)
        .map(|number| {
            file(PathOp::Read, &format!("{WORKSPACE}/src/m{}/{}.rs", number % 5, letters(number % 25)))
        })
        .collect();
    let draft = draft(&records);
    let evaluator = evaluator(&draft);
    assert_eq!(
        path_verdict(&evaluator, PathOp::Read, "/home/ada/project/src/m1/new.rs"),
        Verdict::Allow,
        "{}",
        draft.text
    );
    for path in ["src/.env", "src/m1/.env.local", "src/m1/server.pem", "src/m1/.ssh/x", ".env", "README.md"] {
        let path = format!("{WORKSPACE}/{path}");
        assert_eq!(path_verdict(&evaluator, PathOp::Read, &path), Verdict::Deny, "{path}\n{}", draft.text);
    }
}

#[test]
fn what_policy_denied_is_left_out_and_noted() {
    let draft =
        draft(&[denied_by_policy(file(PathOp::Read, "/home/ada/.ssh/id_rsa"), "filesystem.ssh_keys")]);
    assert!(!draft.text.contains("id_rsa"));
    let note = draft.notes.iter().find(|note| note.kind == NoteKind::LeftOut).expect("a note");
    assert_eq!(
        note.to_string(),
        "left out: read /home/ada/.ssh/id_rsa: policy denies it (filesystem.ssh_keys), and no grant lifts that"
    );
}

#[test]
fn what_was_denied_once_and_never_tried_again_is_unsure() {
    let mut tried = file(PathOp::Read, "/srv/other/file");
    tried.decision.enforced = true;
    let draft = draft(&[tried]);
    assert!(
        draft.text.contains("\"/srv/other/file\",  # unsure: denied, and never tried again"),
        "{}",
        draft.text
    );
}

#[test]
fn what_only_the_sandbox_held_back_is_granted_and_its_scratch_directory_is_not() {
    use agentguard_core::verdict::{Layer, Reason};
    let by = |rule: &str, verdict, path| {
        let mut record = file(PathOp::Write, path);
        record.decision.layer = Layer::Grant;
        record.decision.reason = Reason::Rule;
        record.decision.verdict = verdict;
        record.decision.enforced = verdict == Verdict::Deny;
        record.decision.rule = Some(rule.to_owned());
        record
    };
    let held_back = by("containment.persistent_writes", Verdict::Deny, "/home/ada/project/out.txt");
    let draft = draft(&[
        held_back.clone(),
        held_back,
        by("containment.scratch.files", Verdict::Allow, "/var/lib/scratch/x"),
        by("files.deny[0]", Verdict::Deny, "/home/ada/project/vendor/x"),
    ]);
    assert!(
        draft.text.contains("write = [\n    # The workspace.\n    \"${workspace}/out.txt\",\n]"),
        "{}",
        draft.text
    );
    assert!(!draft.text.contains("/var/lib/scratch") && !draft.text.contains("vendor"));
}

#[test]
fn a_home_that_is_no_directory_is_refused_in_one_line() {
    let arguments = Event { identity: Identity::named("a"), records: &[], home: "home", workspace: None };
    let error = event::draft(&arguments).unwrap_err().to_string();
    assert_eq!(error, "home: `home` is no directory below `/` written in full; give its whole path");
}

#[test]
fn no_records_make_a_spec_that_grants_nothing() {
    let evaluator = evaluator(&draft(&[]));
    assert_eq!(path_verdict(&evaluator, PathOp::Read, "/usr/lib/x"), Verdict::Deny);
}

/// Places that no run below asks for.
const UNRELATED: [&str; 9] = [
    "/etc/shadow",
    "/etc/unrelated",
    "/root/.bashrc",
    "/home/ada/.ssh/id_unrelated",
    "/home/ada/.aws/unrelated",
    "/home/ada/unrelated",
    "/home/bob/unrelated",
    "/home/ada/project/src/.npmrc",
    "/var/lib/unrelated/x",
];

fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[a-c]{1,2}(\\.rs|\\.c)?",
        2 => "tmp[a-z0-9]{6}",
        2 => "[0-9]{1,4}",
        1 => "part-[0-9]{1,2}",
        1 => "[0-9a-f]{40}",
        1 => "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        1 => "lib[a-c]\\.so\\.[0-9]",
        1 => Just("x86_64-linux-gnu".to_owned()),
        1 => Just(".env".to_owned()),
        1 => Just("id_rsa".to_owned()),
        1 => Just("key.pem".to_owned()),
        1 => "[^/\\x00]{1,6}".prop_filter("a name", |name| !matches!(name.as_str(), "." | "..")),
    ]
}

fn any_path() -> impl Strategy<Value = String> {
    let roots = prop_oneof![
        Just(WORKSPACE),
        Just("/home/ada/project/src"),
        Just("/home/ada"),
        Just("/home/ada/.cache/pip"),
        Just("/etc"),
        Just("/usr/lib"),
        Just("/usr/bin"),
        Just("/tmp"),
        Just("/proc"),
        Just("/srv/data"),
        Just("/home/bob"),
        Just("/var/lib/a"),
        Just(""),
    ];
    (roots, prop::collection::vec(any_name(), 1..4))
        .prop_map(|(root, names)| format!("{root}/{}", names.join("/")))
}

fn any_record() -> impl Strategy<Value = Record> {
    use PathOp::{Attr, Connect, Create, Delete, Exec, Link, MapExec, Read, Write};
    let op = prop::sample::select(vec![Read, Write, Create, Delete, Attr, Link, Exec, MapExec, Connect]);
    let address =
        prop::sample::select(vec!["127.0.0.1", "::1", "10.0.0.7", "2001:db8::1", "::ffff:10.0.0.7"]);
    let name = prop::sample::select(vec![None, Some("a.example.com"), Some("b.example.com"), Some("-")]);
    let protocol = prop::sample::select(vec!["tcp", "udp", "132"]);
    prop_oneof![
        8 => (op, any_path()).prop_map(|(op, path)| file(op, &path)),
        2 => (address, 1_u16.., protocol, name).prop_map(|(address, port, protocol, name)| {
            peer(AddressOp::Connect, address, port, protocol, name)
        }),
        1 => prop::sample::select(ClassOp::ALL.to_vec()).prop_map(class),
        1 => (0_u8..=40).prop_map(|number| record(Operation::Capability(number), Object::Class { detail: String::new() })),
    ]
}

/// The request of a record as `policy explain` would ask it, and as a note about it would name it.
fn asked(record: &Record) -> (agentguard_core::decide::Request, String) {
    use agentguard_core::decide::Request;
    let op = record.operation.unwrap();
    match (&record.object, op) {
        (Object::File { path, .. }, Operation::Path(path_op)) => {
            (Request::Path { op: path_op, text: path.clone().into_bytes() }, format!("{op} {path}"))
        }
        (Object::Address { address, port, protocol, name, .. }, Operation::Address(op)) => {
            let request = Request::Address {
                op,
                address: agentguard_core::address::canonical(*address),
                port: *port,
                protocol: match protocol.as_str() {
                    "tcp" => agentguard_core::rule::Protocol::Tcp,
                    "udp" => agentguard_core::rule::Protocol::Udp,
                    _ => agentguard_core::rule::Protocol::Any,
                },
                names: name.iter().cloned().collect(),
            };
            (request, String::new())
        }
        (_, Operation::Class(op)) => (Request::Class(op), String::new()),
        (_, Operation::Capability(number)) => (Request::Capability(number), String::new()),
        _ => unreachable!(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn everything_asked_for_is_granted_or_noted_and_nothing_sensitive_besides(
        records in prop::collection::vec(any_record(), 0..120)
    ) {
        let draft = draft(&records);
        let evaluator = evaluator(&draft);
        let left_out: Vec<&str> =
            draft.notes.iter().filter(|note| note.kind == NoteKind::LeftOut).map(|note| note.about.as_str()).collect();
        for record in &records {
            let (request, about) = asked(record);
            let about: String = about.chars().flat_map(|letter| if letter.is_control() { letter.escape_debug().collect() } else { vec![letter] }).collect();
            if !left_out.contains(&about.as_str()) {
                let answer = evaluator.explain(&request).result.verdict;
                prop_assert_eq!(answer, Verdict::Allow, "{:?}\n{}", record, &draft.text);
            }
        }
        for path in UNRELATED {
            for op in [PathOp::Read, PathOp::Write, PathOp::Create, PathOp::Delete] {
                prop_assert_eq!(path_verdict(&evaluator, op, path), Verdict::Deny, "{} {}\n{}", op, path, &draft.text);
            }
        }
        prop_assert_eq!(verdict(&evaluator, Operation::Address(AddressOp::Connect), "unrelated.example:443"), Verdict::Deny);
    }
}
