//! A line's bytes.

use core::str::{Utf8Error, from_utf8};

use memchr::{memchr, memchr2};

use crate::unchecked::plain_prefix;

/// A line's bytes, or those of them that lie in one chunk.
#[derive(Clone, Copy)]
pub(crate) enum Text<'c> {
    Plain(&'c str),
    Other(&'c [u8]),
}

impl<'c> Text<'c> {
    /// `bytes` up to its first LF or CR, or all of it if there is none, and what is behind it.
    pub(crate) fn scan(bytes: &'c [u8]) -> (Self, &'c [u8]) {
        let plain = plain_prefix(bytes);
        if let tail @ ([] | [b'\n' | b'\r', ..]) = &bytes[plain.len()..] {
            return (Self::Plain(plain), tail);
        }
        let (line, tail) = bytes.split_at(line_len(bytes));
        (Self::Other(line), tail)
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

    #[inline(always)]
    pub(crate) fn to_str(self) -> Result<&'c str, Utf8Error> {
        match self {
            Self::Plain(text) => Ok(text),
            Self::Other(bytes) => from_utf8(bytes),
        }
    }
}

#[inline(never)]
fn line_len(bytes: &[u8]) -> usize {
    memchr2(b'\n', b'\r', bytes).unwrap_or(bytes.len())
}

/// `bytes` without the line end that they start with.
#[inline(always)]
pub(crate) const fn behind_line_end(bytes: &[u8]) -> &[u8] {
    match bytes {
        [b'\r', b'\n', tail @ ..] | [_, tail @ ..] => tail,
        [] => &[],
    }
}
