//! The standard's "UTF-8 decode" of a value that comes in pieces.

use simdutf8::basic::from_utf8;

use crate::line_bytes::LineBytes;

/// The start of a character whose rest has not come yet.
///
/// What is not UTF-8 becomes U+FFFD per maximal subpart, as `String::from_utf8_lossy` does it, wherever the pieces
/// were cut.
#[derive(Clone, Debug, Default)]
pub(crate) struct PartialChar {
    bytes: [u8; 3],
    len: u8,
}

impl PartialChar {
    /// Decodes the next piece of a value into `push`, with what was left over from the last one. With `is_last` nothing
    /// more will come, and an unfinished character is an invalid one.
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

    /// Decodes what is not plain, or does not start with a whole character.
    #[inline(never)]
    fn repair<E>(&mut self, piece: &[u8], is_last: bool, mut push: impl FnMut(&str) -> Result<(), E>) -> Result<(), E> {
        let piece = self.resume(piece, &mut push)?;
        // As a rule all is well but for a character that goes on in the next piece.
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

    /// Takes bytes off `piece` for as long as the character left over from the last piece needs them.
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
                // `next` does not belong to it: what was left over is a maximal subpart.
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

/// How many bytes at the end of `bytes` are the start of a character.
fn unfinished_len(bytes: &[u8]) -> usize {
    // The longest one is of four bytes.
    let last = bytes.len().saturating_sub(3);
    let start = (last..bytes.len()).rev().find(|&start| !matches!(bytes[start], 0x80..=0xBF));
    start.map_or(0, |start| if is_unfinished(&bytes[start..]) { bytes.len() - start } else { 0 })
}

/// Whether more bytes could make this a character.
fn is_unfinished(bytes: &[u8]) -> bool {
    !bytes.is_empty() && matches!(core::str::from_utf8(bytes), Err(error) if error.error_len().is_none())
}
