//! A line's bytes.

use memchr::{memchr, memchr2};

use crate::scan::plain_prefix;

/// A line's bytes, or those of them that lie in one chunk.
#[derive(Clone, Copy)]
pub(crate) enum LineBytes<'c> {
    /// Plain, as `scan.rs` has it.
    Plain(&'c str),
    /// Of which nothing is known.
    Other(&'c [u8]),
}

impl<'c> LineBytes<'c> {
    /// `bytes` up to its first LF or CR, or all of it if there is none, and what is behind it.
    #[inline]
    pub(crate) fn scan(bytes: &'c [u8]) -> (Self, &'c [u8]) {
        let plain = plain_prefix(bytes);
        match bytes.split_at(plain.len()) {
            (_, tail @ ([] | [b'\n' | b'\r', ..])) => (Self::Plain(plain), tail),
            (_, odd) => {
                let end = memchr2(b'\n', b'\r', odd).unwrap_or(odd.len());
                let (line, tail) = bytes.split_at(plain.len() + end);
                (Self::Other(line), tail)
            }
        }
    }

    #[inline]
    pub(crate) const fn bytes(self) -> &'c [u8] {
        match self {
            Self::Plain(text) => text.as_bytes(),
            Self::Other(bytes) => bytes,
        }
    }

    /// Its bytes before its first NUL, if it has one.
    pub(crate) fn before_nul(self) -> Option<Self> {
        let Self::Other(bytes) = self else { return None };
        memchr(0, bytes).map(|nul| Self::Other(&bytes[..nul]))
    }
}

/// `bytes` without the line end that they start with.
#[inline(always)]
pub(crate) const fn behind_line_end(bytes: &[u8]) -> &[u8] {
    match bytes {
        [b'\r', b'\n', tail @ ..] | [_, tail @ ..] => tail,
        [] => &[],
    }
}
