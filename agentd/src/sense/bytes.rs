//! Reads fields out of a kernel record by the layout of the generated types, without trusting its length.

use super::decode::DecodeError;

/// One record as it came from the ring.
#[derive(Clone, Copy)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

/// A field that the kernel writes in its own byte order.
pub(super) trait Field: Sized {
    fn read(bytes: &[u8]) -> Option<Self>;
}

macro_rules! integers {
    ($($kind:ty),*) => {$(
        impl Field for $kind {
            fn read(bytes: &[u8]) -> Option<Self> {
                bytes.first_chunk().copied().map(Self::from_ne_bytes)
            }
        }
    )*};
}

integers!(u16, u32, u64, i32);

impl<const N: usize> Field for [u8; N] {
    fn read(bytes: &[u8]) -> Option<Self> {
        bytes.first_chunk().copied()
    }
}

impl<const N: usize> Field for [u32; N] {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (words, _) = bytes.get(..N * 4)?.as_chunks::<4>();
        let mut all = words.iter().copied().map(u32::from_ne_bytes);
        let mut out = [0; N];
        for slot in &mut out {
            *slot = all.next()?;
        }
        Some(out)
    }
}

impl<'a> Bytes<'a> {
    /// The field at `offset`. `_named` only ties the type of the field to the type that is read.
    pub(super) fn field<T, F: Field>(self, offset: usize, _named: fn(&T) -> &F) -> Result<F, DecodeError> {
        self.0.get(offset..).and_then(F::read).ok_or(DecodeError::Short)
    }

    /// Texts of the given lengths that follow a fixed part of `offset` bytes.
    pub(super) fn tails<const N: usize>(
        self,
        offset: usize,
        lengths: [u32; N],
    ) -> Result<[&'a [u8]; N], DecodeError> {
        let mut rest = self.0.get(offset..).ok_or(DecodeError::Short)?;
        let mut out: [&[u8]; N] = [&[]; N];
        for (slot, length) in out.iter_mut().zip(lengths) {
            let length = usize::try_from(length).map_err(|_| DecodeError::Length)?;
            let (text, after) = rest.split_at_checked(length).ok_or(DecodeError::Length)?;
            (*slot, rest) = (text, after);
        }
        Ok(out)
    }
}

/// `read!(bytes, file_event.inode)`: offset and type come from the generated struct.
macro_rules! read {
    ($bytes:expr, $kind:ident $(. $field:ident)+) => {
        $bytes.field(std::mem::offset_of!(wire::$kind, $($field).+), |record: &wire::$kind| &record$(.$field)+)
    };
}
pub(super) use read;
