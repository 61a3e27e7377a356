//! Generated types as bytes and back: the keys and values of the maps.

use std::mem::{MaybeUninit, size_of};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use agentguard_bpf::types;

/// A generated type that may cross the boundary as its bytes.
///
/// # Safety
///
/// The type is `repr(C)`, holds integers only (any bytes are a value) and has no padding.
pub(super) unsafe trait Wire: Copy {}

// SAFETY: see wire.h: integers and arrays of integers, padded by hand.
unsafe impl Wire for types::agent {}
// SAFETY: as above.
unsafe impl Wire for types::label {}
// SAFETY: as above.
unsafe impl Wire for types::prefix_key {}
// SAFETY: as above.
unsafe impl Wire for types::prefix_value {}
// SAFETY: as above.
unsafe impl Wire for types::resolver_key {}
// SAFETY: as above.
unsafe impl Wire for types::exec_file_key {}
// SAFETY: as above.
unsafe impl Wire for types::exec_file_value {}
// SAFETY: as above.
unsafe impl Wire for types::peer_key {}
// SAFETY: as above.
unsafe impl Wire for types::peer_value {}
// SAFETY: as above.
unsafe impl Wire for types::hold {}
// SAFETY: as above.
unsafe impl Wire for types::answered_request {}
// SAFETY: as above.
unsafe impl Wire for types::standing_answer {}
// SAFETY: as above.
unsafe impl Wire for types::hash_key {}
// SAFETY: as above.
unsafe impl Wire for types::host_mount {}
// SAFETY: as above.
unsafe impl Wire for types::cgroup_path {}
// SAFETY: as above.
unsafe impl Wire for types::labelled_task {}
// SAFETY: an integer.
unsafe impl Wire for u32 {}
// SAFETY: an integer.
unsafe impl Wire for u64 {}

/// The bytes of a value.
pub(super) fn bytes_of<T: Wire>(value: &T) -> &[u8] {
    // SAFETY: Wire has no padding, so every byte is initialised, and the slice lives as long as the value.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
}

/// A path as the kernel programs hold it, ended by zeros; `None` if it is too long.
pub(super) fn text_of<const SIZE: usize>(path: &Path) -> Option<[i8; SIZE]> {
    let bytes = path.as_os_str().as_bytes();
    let mut text = [0; SIZE];
    text.iter_mut().zip(bytes).for_each(|(to, from)| *to = from.cast_signed());
    (bytes.len() < SIZE).then_some(text)
}

/// The value that these bytes are; `None` if there are too few.
pub(super) fn value_of<T: Wire>(bytes: &[u8]) -> Option<T> {
    let bytes = bytes.get(..size_of::<T>())?;
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: source and target have the size of T, and any bytes are a value of a Wire type.
    unsafe {
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), value.as_mut_ptr().cast(), size_of::<T>());
        Some(value.assume_init())
    }
}
