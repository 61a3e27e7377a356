use std::mem::offset_of;

use super::*;
use crate::sense::sample;

const KEY: AgentKey = AgentKey { slot: 3, serial: 9 };

fn every_kind() -> Vec<sample::Raw> {
    let address = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1];
    vec![
        sample::open("/etc/passwd", 5),
        sample::file_io(5, 100, 20),
        sample::exec("/bin/sh", "/tmp", &["sh", "-c", "true"]),
        sample::connect(address, 443),
        sample::resolved("api.example.com", address),
        sample::fork(4300, 60_000_000_000),
        sample::exit(-1),
        sample::capability(21),
        sample::raw_socket(),
    ]
}

/// A fuzz run that starts from records of an old layout only ever sees the first check fail. `REWRITE=1` writes them.
#[test]
fn seeds_of_the_fuzz_target_are_records_of_this_layout() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fuzz/seeds/decode");
    for (number, raw) in every_kind().into_iter().enumerate() {
        let file = format!("{folder}/{number}");
        if std::env::var_os("REWRITE").is_some() {
            std::fs::write(&file, &raw.0).unwrap();
        }
        assert!(std::fs::read(&file).unwrap() == raw.0, "{file}: run this test with REWRITE=1");
    }
}

#[test]
fn a_denied_open_is_read_whole() {
    let raw = sample::open("/etc/passwd", 5).of(KEY, 2).denied_by(wire::layer::LAYER_GUARDRAIL, 17);
    let event = decode(&raw.0).unwrap();
    assert_eq!((event.agent, event.generation), (KEY, 2));
    assert_eq!(event.process, ProcessId { pid: 4242, start_ns: 50_000_000_000 });
    assert_eq!((event.comm.as_str(), event.call, event.tid), ("sh", "open", 4243));
    assert_eq!(event.operation, Some(Operation::Path(PathOp::Read)));
    let answer =
        Answer { verdict: Verdict::Deny, layer: Layer::Guardrail, rule: RuleIndex(17), pinned: false };
    assert_eq!(event.ruling, Ruling { verdict: Verdict::Deny, answer, reason: Reason::Rule, enforced: true });
    let Body::File(file) = event.body else { panic!("{:?}", event.body) };
    assert_eq!((file.path.as_str(), file.other, file.id, file.device), ("/etc/passwd", None, 5, 8 << 20 | 1));
}

#[test]
fn arguments_are_separated_and_a_cut_is_told() {
    let mut raw = sample::exec("/bin/sh", "/tmp", &["sh", "", "x y"]);
    raw.word(offset_of!(wire::exec_event, argv_size), 9000);
    let Body::Exec(exec) = decode(&raw.0).unwrap().body else { panic!() };
    assert_eq!(exec.argv, ["sh", "", "x y"]);
    assert!(exec.truncated);
    assert_eq!((exec.path.as_str(), exec.cwd.as_str()), ("/bin/sh", "/tmp"));
}

#[test]
fn a_mapped_address_is_an_ipv4_address() {
    let raw = sample::connect([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1], 443);
    let Body::Address { address, port, protocol, .. } = decode(&raw.0).unwrap().body else { panic!() };
    assert_eq!((address.to_string().as_str(), port, protocol), ("10.0.0.1", 443, 6));
}

#[test]
fn a_capability_is_an_operation_of_its_own() {
    let event = decode(&sample::capability(21).0).unwrap();
    assert_eq!(event.operation, Some(Operation::Capability(21)));
    assert_eq!(
        decode(&sample::raw_socket().0).unwrap().operation,
        Some(Operation::Class(ClassOp::SocketRaw))
    );
}

#[test]
fn padding_after_a_record_is_ignored() {
    let mut raw = sample::open("/etc/passwd", 5);
    raw.0.extend([0xaa; 7]);
    assert!(decode(&raw.0).is_ok());
}

#[test]
fn every_truncated_record_is_an_error() {
    for raw in every_kind() {
        assert!(decode(&raw.0).is_ok());
        for length in 0..raw.0.len() {
            assert!(decode(&raw.0[..length]).is_err(), "{length} bytes of {}", raw.0.len());
        }
    }
}

#[test]
fn unknown_numbers_are_errors_that_name_them() {
    let with = |offset: usize, value: u32| {
        let mut raw = sample::open("/x", 1);
        raw.word(offset, value);
        decode(&raw.0).unwrap_err()
    };
    assert_eq!(with(offset_of!(wire::event, verdict), 4), DecodeError::Verdict(4));
    assert_eq!(with(offset_of!(wire::event, reason), 99), DecodeError::Reason(99));
    assert_eq!(with(offset_of!(wire::event, op), 12), DecodeError::Operation(12));
    assert_eq!(with(offset_of!(wire::event, answer), 0xc), DecodeError::Layer(3));
    assert_eq!(with(offset_of!(wire::event, kind), 1 << 16 | 200), DecodeError::Kind(200));
    let mut raw = sample::open("/x", 1);
    raw.set(offset_of!(wire::event, call), &999_u16.to_ne_bytes());
    assert_eq!(decode(&raw.0).unwrap_err(), DecodeError::Call(999));
}

#[test]
fn lengths_that_point_outside_are_errors() {
    for length in [1000, u32::MAX] {
        let mut raw = sample::open("/x", 1);
        raw.word(offset_of!(wire::file_event, other_len), length);
        assert_eq!(decode(&raw.0).unwrap_err(), DecodeError::Length);
    }
    let mut raw = sample::resolved("a.example", [0; 16]);
    raw.word(offset_of!(wire::resolved_event, name_len), 257);
    assert_eq!(decode(&raw.0).unwrap_err(), DecodeError::Length);
}

#[test]
fn no_single_wrong_byte_makes_the_decoder_panic() {
    for raw in every_kind() {
        for position in 0..raw.0.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bytes = raw.0.clone();
                bytes[position] = value;
                let _ = decode(&bytes);
            }
        }
    }
}
