//! Any bytes as a record of the ring: the decoder never panics, and a record that was cut is never taken for a whole
//! one.
#![no_main]

use agentd::sense::decode::decode;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if decode(input).is_ok() {
        let cut = input.get(..input.len().saturating_sub(1)).unwrap_or_default();
        assert!(decode(cut).is_err(), "a record without its last byte was taken for a whole one");
    }
});
