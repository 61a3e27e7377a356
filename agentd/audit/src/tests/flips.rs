//! Any byte of any file.

use proptest::prelude::*;

use super::*;

/// The log with another content of one of its files.
fn with(file: usize, content: &[u8]) -> Report {
    let dir = tempfile::tempdir().unwrap();
    for (at, (name, original)) in LOG.iter().enumerate() {
        fs::write(dir.path().join(name), if at == file { content } else { original }).unwrap();
    }
    checked(dir.path())
}

#[test]
fn the_log_as_it_is_is_clean() {
    assert_eq!(with(usize::MAX, &[]).findings, []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_byte_that_is_not_what_was_written_is_found(file in 0_usize..100, at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let file = file % LOG.len();
        let mut content = LOG[file].1.clone();
        let at = at.index(content.len());
        content[at] ^= flip;
        prop_assert!(!with(file, &content).is_clean(), "{:?}, byte {at}, by {flip:#x}", LOG[file].0);
    }

    #[test]
    fn bytes_that_are_gone_or_added_are_found(file in 0_usize..100, at in any::<prop::sample::Index>(), gone in 0_usize..40, added in prop::collection::vec(any::<u8>(), 0..40)) {
        let file = file % LOG.len();
        let before = &LOG[file].1;
        let mut content = before.clone();
        let at = at.index(content.len());
        content.splice(at..(at + gone).min(before.len()), added);
        prop_assume!(content != *before);
        prop_assert!(!with(file, &content).is_clean());
    }
}
