//! The bytes of one line.

use memchr::{memchr, memchr2};

use crate::scan::plain_prefix;

/// The bytes of a line, or of its part in one chunk.
#[derive(Clone, Copy)]
pub(crate) enum LineBytes<'c> {
    /// Plain text, as defined in `scan.rs`: ASCII without control characters below 0x0E.
    Plain(&'c str),
    /// Bytes that were not checked. They can be text that is not UTF-8, or plain text after all.
    Other(&'c [u8]),
}

impl<'c> LineBytes<'c> {
    /// Splits `bytes` before the first LF or CR. Without one, all of `bytes` is the line.
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

    /// Returns the bytes before the first NUL, or `None` if there is no NUL.
    pub(crate) fn before_nul(self) -> Option<Self> {
        let Self::Other(bytes) = self else { return None };
        memchr(0, bytes).map(|nul| Self::Other(&bytes[..nul]))
    }
}

/// Returns `bytes` without the line end at its start.
#[inline(always)]
pub(crate) const fn after_line_end(bytes: &[u8]) -> &[u8] {
    match bytes {
        [b'\r', b'\n', tail @ ..] | [_, tail @ ..] => tail,
        [] => &[],
    }
}
