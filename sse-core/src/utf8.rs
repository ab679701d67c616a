//! The standard's "UTF-8 decode" for a value that comes in pieces.

use simdutf8::basic::from_utf8;

use crate::line_bytes::LineBytes;

/// The start of a character whose other bytes are in the next piece.
///
/// Bytes that are not UTF-8 become U+FFFD, one per maximal subpart, as in `String::from_utf8_lossy`. The result does
/// not depend on where the pieces were cut.
///
/// ```text
/// piece 1: [ c a f C3 ]   piece 2: [ A9 ! ]      é is C3 A9
///                  |                 |
///                  +-> bytes, len 1 -+-> "é"
/// ```
///
/// Invariant: `bytes[..len]` is empty or the start of a character.
#[derive(Clone, Debug, Default)]
pub(crate) struct PartialChar {
    bytes: [u8; 3],
    len: u8,
}

impl PartialChar {
    /// Decodes the next piece of a value and passes the text to `push`.
    ///
    /// With `is_last`, an unfinished character becomes U+FFFD. Otherwise it waits for the next piece.
    #[inline]
    pub(crate) fn decode<E>(
        &mut self,
        piece: LineBytes<'_>,
        is_last: bool,
        mut push: impl FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        match piece {
            LineBytes::Plain(text) if self.len == 0 => push(text),
            _ => self.repair(piece.bytes(), is_last, push),
        }
    }

    /// Decodes a piece that is not plain, or that continues a character.
    #[inline(never)]
    fn repair<E>(&mut self, piece: &[u8], is_last: bool, mut push: impl FnMut(&str) -> Result<(), E>) -> Result<(), E> {
        let piece = self.resume(piece, &mut push)?;
        // Usually the piece is valid, except for a character at its end that continues in the next piece.
        let (whole, cut) = piece.split_at(piece.len() - unfinished_len(piece));
        if let (Ok(text), true) = (from_utf8(whole), !piece.is_empty()) {
            push(text)?;
            self.set(cut);
        } else {
            let mut left = piece.len();
            for part in piece.utf8_chunks() {
                left -= part.valid().len() + part.invalid().len();
                if !part.valid().is_empty() {
                    push(part.valid())?;
                }
                if left == 0 && is_unfinished(part.invalid()) {
                    self.set(part.invalid());
                } else if !part.invalid().is_empty() {
                    push("\u{FFFD}")?;
                }
            }
        }
        if is_last && self.len > 0 {
            self.len = 0;
            push("\u{FFFD}")?;
        }
        Ok(())
    }

    /// Takes from the start of `piece` the bytes that belong to the unfinished character.
    fn resume<'p, E>(
        &mut self,
        mut piece: &'p [u8],
        push: &mut impl FnMut(&str) -> Result<(), E>,
    ) -> Result<&'p [u8], E> {
        while self.len > 0 {
            let Some((&next, tail)) = piece.split_first() else { break };
            let mut bytes = [0; 4];
            let started = usize::from(self.len);
            bytes[..started].copy_from_slice(&self.bytes[..started]);
            bytes[started] = next;
            let bytes = &bytes[..=started];
            match from_utf8(bytes) {
                Ok(character) => {
                    self.len = 0;
                    push(character)?;
                }
                Err(_) if is_unfinished(bytes) => self.set(bytes),
                // `next` does not belong to the character. The bytes before it are a maximal subpart.
                Err(_) => {
                    self.len = 0;
                    push("\u{FFFD}")?;
                    break;
                }
            }
            piece = tail;
        }
        Ok(piece)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets the unfinished character.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    fn set(&mut self, unfinished: &[u8]) {
        self.len = 0;
        for (to, from) in self.bytes.iter_mut().zip(unfinished) {
            *to = *from;
            self.len += 1;
        }
    }
}

/// Returns the number of bytes at the end of `bytes` that are the start of a character.
fn unfinished_len(bytes: &[u8]) -> usize {
    // A character has at most four bytes, so at most three are a start.
    let last = bytes.len().saturating_sub(3);
    let start = (last..bytes.len()).rev().find(|&start| !matches!(bytes[start], 0x80..=0xBF));
    start.map_or(0, |start| if is_unfinished(&bytes[start..]) { bytes.len() - start } else { 0 })
}

/// Whether more bytes can make this a character.
fn is_unfinished(bytes: &[u8]) -> bool {
    !bytes.is_empty() && matches!(core::str::from_utf8(bytes), Err(error) if error.error_len().is_none())
}
