//! The destinations of encoded bytes.
//!
//! | destination | sink |
//! |---|---|
//! | the length of an event | [`Counter`] |
//! | text without line breaks, into any function | [`Plain`] |
//! | a slice | [`SliceWriter`], by [`Room`] |
//! | a `BufMut` | `Stage`, by [`Room`] |
//! | a `fmt::Write` | `FmtSink` in `encode.rs` |

use core::convert::Infallible;
use core::fmt;

use memchr::{memchr, memchr2};

use crate::scan::line_breaks;

/// The length from which text without a line break is searched and copied by calls, in parts of this length.
///
/// A part fits into the first-level cache of a CPU, so the copy finds what the search has loaded.
const RUN: usize = 2048;

/// A destination that takes an event in pieces.
pub(crate) trait Sink {
    type Error;

    fn put(&mut self, text: &str) -> Result<(), Self::Error>;

    /// Takes `text`, with `line_break` in place of each CRLF, CR and LF.
    fn put_lines(&mut self, text: &str, line_break: &'static str) -> Result<(), Self::Error>;
}

/// Counts bytes, and stays at `usize::MAX` when that is exceeded.
pub(crate) struct Counter(pub(crate) usize);

impl Sink for Counter {
    type Error = Infallible;

    #[inline(always)]
    fn put(&mut self, text: &str) -> Result<(), Infallible> {
        self.0 = self.0.saturating_add(text.len());
        Ok(())
    }

    #[inline(always)]
    fn put_lines(&mut self, text: &str, line_break: &'static str) -> Result<(), Infallible> {
        let (breaks, len) = count_breaks(text.as_bytes());
        self.0 = self.0.saturating_add(text.len() - len).saturating_add(line_break.len().saturating_mul(breaks));
        Ok(())
    }
}

/// Passes the pieces of an event to a function. Requires that its text has no line breaks.
pub(crate) struct Plain<F>(pub(crate) F);

impl<F: FnMut(&str)> Sink for Plain<F> {
    type Error = Infallible;

    #[inline(always)]
    fn put(&mut self, text: &str) -> Result<(), Infallible> {
        self.0(text);
        Ok(())
    }

    #[inline(always)]
    fn put_lines(&mut self, text: &str, _: &'static str) -> Result<(), Infallible> {
        self.put(text)
    }
}

/// Returns the number of line breaks in `text`, and the number of bytes in them.
#[inline(never)]
fn count_breaks(text: &[u8]) -> (usize, usize) {
    // At most 192 in each chunk, so that an `u8` can count them: the compiler then counts 16 bytes at a time.
    let counts = text.chunks(192).map(|chunk| chunk.iter().fold(0, |n, &byte| n + u8::from(is_break(byte))));
    let len = counts.map(usize::from).sum();
    if memchr(b'\r', text).is_none() {
        return (len, len);
    }
    (len - text.windows(2).filter(|pair| pair == b"\r\n").count(), len)
}

/// Whether `text` has no line break.
#[inline(never)]
pub(crate) fn is_one_line(text: &[u8]) -> bool {
    if text.len() >= RUN {
        return memchr2(b'\r', b'\n', text).is_none();
    }
    let mut at = 0;
    while let Some(block) = block(text, at) {
        if has_break(block) {
            return false;
        }
        at += 64;
    }
    // The rest is checked as part of the last 64 bytes, which overlap the blocks before.
    match text.last_chunk::<64>() {
        Some(block) => !has_break(block),
        // The compiler removes the copy, because nothing reads it.
        None => copy_short(&mut [0; 64], text),
    }
}

/// Memory to write to. Each `Room` is a [`Sink`] that searches text while it copies it.
///
/// It handles text in blocks of 64 bytes. The compiler turns the search and the copy of a block into a few
/// instructions, each for 16 or more bytes. A call per line would take longer than the work.
pub(crate) trait Room {
    type Error;

    /// Returns all unused memory: at least `len` bytes. Requires `len <= 64`.
    fn room(&mut self, len: usize) -> Result<&mut [u8], Self::Error>;

    /// Takes any number of bytes.
    fn put_run(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Notes that the first `len` bytes of the room were written.
    fn advance(&mut self, len: usize);
}

impl<R: Room> Sink for R {
    type Error = R::Error;

    #[inline(always)]
    fn put(&mut self, text: &str) -> Result<(), R::Error> {
        put_bytes(self, text.as_bytes())
    }

    #[inline(always)]
    #[expect(clippy::too_many_lines, reason = "one loop: a call between its parts costs instructions for each line")]
    fn put_lines(&mut self, text: &str, line_break: &'static str) -> Result<(), R::Error> {
        let text = text.as_bytes();
        // `text[..end]` was searched, and `text[..at]` was written. At the start of a block, `at == end`, or
        // `at == end + 1` if a CRLF lies across the boundary of two blocks.
        let (mut at, mut end) = (0, 0);
        'blocks: while let Some(seen) = block(text, end) {
            let mut breaks = line_breaks(seen);
            if breaks == 0 && at == end {
                copy(self.room(64)?, seen);
                self.advance(64);
                end += 64;
                while let Some(run) = text.get(end..end + RUN) {
                    let len = memchr2(b'\r', b'\n', run).unwrap_or(RUN);
                    self.put_run(run.get(..len).unwrap_or_default())?;
                    end += len;
                    if len < RUN {
                        break;
                    }
                }
                at = end;
                continue;
            }
            loop {
                let line_end = end + breaks.trailing_zeros() as usize;
                let Some(line) = block(text, at) else { break 'blocks };
                // This copies more than the line. The bytes after it are overwritten: the text after it needs as much
                // room or more.
                copy(self.room(64)?, line);
                // At the LF of a CRLF, `line_end` is `at - 1`.
                self.advance(line_end.saturating_sub(at));
                if breaks == 0 {
                    break;
                }
                breaks &= breaks - 1;
                if line_end >= at {
                    self.put(line_break)?;
                    at = after_break(text, line_end);
                }
            }
            end += 64;
            at = at.max(end);
        }
        let rest = text.get(at..).unwrap_or_default();
        if copy_short(self.room(rest.len())?, rest) {
            self.advance(rest.len());
            return Ok(());
        }
        while let Some(end) = text.get(at..).and_then(|rest| memchr2(b'\r', b'\n', rest)) {
            put_bytes(self, text.get(at..at + end).unwrap_or_default())?;
            self.put(line_break)?;
            at = after_break(text, at + end);
        }
        put_bytes(self, text.get(at..).unwrap_or_default())
    }
}

#[inline(always)]
fn put_bytes<R: Room>(room: &mut R, mut bytes: &[u8]) -> Result<(), R::Error> {
    while let Some((block, after)) = bytes.split_first_chunk::<64>() {
        copy(room.room(64)?, block);
        room.advance(64);
        bytes = after;
    }
    copy_short(room.room(bytes.len())?, bytes);
    room.advance(bytes.len());
    Ok(())
}

#[inline(always)]
fn copy<const N: usize>(room: &mut [u8], block: &[u8; N]) {
    if let Some(room) = room.first_chunk_mut() {
        *room = *block;
    }
}

/// Copies fewer than 64 bytes, by two blocks that can overlap. Returns whether they have no line break.
#[inline(always)]
fn copy_short(room: &mut [u8], bytes: &[u8]) -> bool {
    let Some(room) = room.get_mut(..bytes.len()) else { return true };
    if let Some(is_plain) = copy_ends::<32>(room, bytes) {
        return is_plain;
    }
    if let Some(is_plain) = copy_ends::<16>(room, bytes) {
        return is_plain;
    }
    if let Some(is_plain) = copy_ends::<8>(room, bytes) {
        return is_plain;
    }
    if let Some(is_plain) = copy_ends::<4>(room, bytes) {
        return is_plain;
    }
    if let Some(is_plain) = copy_ends::<2>(room, bytes) {
        return is_plain;
    }
    copy_ends::<1>(room, bytes).unwrap_or(true)
}

#[inline(always)]
fn copy_ends<const N: usize>(room: &mut [u8], bytes: &[u8]) -> Option<bool> {
    let (first, last) = (bytes.first_chunk::<N>()?, bytes.last_chunk::<N>()?);
    *room.first_chunk_mut()? = *first;
    *room.last_chunk_mut()? = *last;
    Some(!(has_break(first) | has_break(last)))
}

#[inline(always)]
const fn is_break(byte: u8) -> bool {
    // With `||` the compiler would compare byte by byte.
    (byte == b'\n') | (byte == b'\r')
}

#[inline(always)]
fn has_break<const N: usize>(block: &[u8; N]) -> bool {
    block.iter().fold(0, |has, &byte| has | u8::from(is_break(byte))) != 0
}

#[inline(always)]
fn block(text: &[u8], at: usize) -> Option<&[u8; 64]> {
    text.get(at..)?.first_chunk()
}

/// Returns the start of the line after the line break at `end`.
#[inline(always)]
fn after_break(text: &[u8], end: usize) -> usize {
    let is_crlf = text.get(end) == Some(&b'\r') && text.get(end + 1) == Some(&b'\n');
    end + 1 + usize::from(is_crlf)
}

/// Joins short pieces into longer ones, and passes these to a function.
///
/// ```text
/// bytes: [ joined pieces | unused ]      0 <= len <= bytes.len()
///                        len
/// ```
#[cfg(feature = "bytes")]
pub(crate) struct Stage<F> {
    bytes: [u8; 512],
    len: usize,
    put: F,
}

#[cfg(feature = "bytes")]
impl<F: FnMut(&[u8])> Stage<F> {
    #[inline(always)]
    pub(crate) fn new(put: F) -> Self {
        Self { bytes: [0; 512], len: 0, put }
    }

    /// Passes on the joined pieces.
    #[inline(always)]
    pub(crate) fn flush(&mut self) {
        (self.put)(self.bytes.get(..self.len).unwrap_or_default());
        self.len = 0;
    }
}

#[cfg(feature = "bytes")]
impl<F: FnMut(&[u8])> Room for Stage<F> {
    type Error = Infallible;

    #[inline(always)]
    fn room(&mut self, len: usize) -> Result<&mut [u8], Infallible> {
        if self.len + len > self.bytes.len() {
            self.flush();
        }
        Ok(self.bytes.get_mut(self.len..).unwrap_or_default())
    }

    #[inline(always)]
    fn put_run(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.flush();
        (self.put)(bytes);
        Ok(())
    }

    #[inline(always)]
    fn advance(&mut self, len: usize) {
        self.len += len;
    }
}

/// A `fmt::Write` that writes into a slice.
///
/// It needs no allocator. A write that does not fit is an error, and writes nothing.
///
/// ```
/// use core::fmt::Write;
/// use ssekit_core::{Event, EventWriter, SliceWriter};
///
/// let mut buffer = [0; 32];
/// let mut writer = EventWriter::new(SliceWriter::new(&mut buffer), &Event::new())?;
/// write!(writer, "{}", 42)?;
/// let written = writer.finish()?.into_written();
/// assert_eq!(written, b"data: 42\n\n");
/// # Ok::<(), core::fmt::Error>(())
/// ```
#[derive(Debug)]
pub struct SliceWriter<'b> {
    bytes: &'b mut [u8],
    len: usize,
}

impl<'b> SliceWriter<'b> {
    /// Makes a writer at the start of `bytes`.
    pub const fn new(bytes: &'b mut [u8]) -> Self {
        Self { bytes, len: 0 }
    }

    /// Returns the bytes that were written.
    pub fn written(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Returns the bytes that were written, with the lifetime of the slice.
    pub fn into_written(self) -> &'b mut [u8] {
        self.bytes.get_mut(..self.len).unwrap_or_default()
    }
}

impl fmt::Write for SliceWriter<'_> {
    #[inline]
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put_run(text.as_bytes())
    }
}

impl Room for SliceWriter<'_> {
    type Error = fmt::Error;

    #[inline(always)]
    fn room(&mut self, len: usize) -> Result<&mut [u8], fmt::Error> {
        match self.bytes.get_mut(self.len..) {
            Some(room) if room.len() >= len => Ok(room),
            _ => Err(fmt::Error),
        }
    }

    #[inline(always)]
    fn put_run(&mut self, bytes: &[u8]) -> Result<(), fmt::Error> {
        let room = self.bytes.get_mut(self.len..).and_then(|room| room.get_mut(..bytes.len()));
        room.ok_or(fmt::Error)?.copy_from_slice(bytes);
        self.len += bytes.len();
        Ok(())
    }

    #[inline(always)]
    fn advance(&mut self, len: usize) {
        self.len += len;
    }
}
