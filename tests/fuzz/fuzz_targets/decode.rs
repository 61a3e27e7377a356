//! Any bytes as a record of the ring: the decoder never panics, and a record that was cut is never taken for a whole
//! one.
#![no_main]

use libfuzzer_sys::fuzz_target;

// Only what reads records: the whole of agentd takes minutes to build under the sanitizer.
#[path = "../../../agentd/src/sense/bytes.rs"]
mod bytes;
#[path = "../../../agentd/src/sense/decode.rs"]
mod decode;
#[path = "../../../agentd/src/sense/event.rs"]
#[allow(dead_code)] // some of it serves other modules
mod event;

/// Where a record says how long it is.
const SIZE_AT: usize = std::mem::offset_of!(agentguard_bpf::types::event, size);

fuzz_target!(|input: &[u8]| {
    if decode::decode(input).is_err() {
        return;
    }
    let size = input.get(SIZE_AT..SIZE_AT + 4).and_then(|size| size.try_into().ok()).map(u32::from_le_bytes);
    let size = size.expect("a record that was decoded has a size") as usize;
    let cut = input.get(..size - 1).expect("a record that was decoded is there in full");
    assert!(decode::decode(cut).is_err(), "a record without its last byte was taken for a whole one");
});
