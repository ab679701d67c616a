//! The encoder: from an event to bytes.
//!
//! [`Event::write`] is the only source of an event's bytes. It writes into a [`Sink`]. Each sink finds the line
//! breaks of data and comment in the way that is fastest for it.

#[cfg(feature = "std")]
use alloc::vec;
use core::fmt::{self, Write as _};
use core::time::Duration;

use memchr::memchr2;

use crate::event::Event;
use crate::scan::Digits;
#[cfg(feature = "bytes")]
use crate::sink::Stage;
use crate::sink::{Counter, Plain, Sink, SliceWriter, is_one_line};

/// The buffer given to [`Event::encode_to_slice`] or [`Event::encode`] is too small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "programs compare it with an expected error")]
pub struct BufferTooSmall {
    /// The length of the encoded event, in bytes.
    pub needed: usize,
}

impl fmt::Display for BufferTooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the buffer is too small: the event needs {} bytes", self.needed)
    }
}

impl core::error::Error for BufferTooSmall {}

impl Event<'_> {
    /// Writes the event into a sink.
    #[inline(always)]
    pub(crate) fn write<S: Sink>(&self, sink: &mut S) -> Result<(), S::Error> {
        match &self.data {
            Some(data) => {
                self.write_start(sink)?;
                sink.put_lines(data, NEXT_DATA)?;
                sink.put(END)
            }
            None => {
                self.write_head(sink)?;
                sink.put("\n")
            }
        }
    }

    /// Writes the fields before the data, and the name of the first `data` line.
    #[inline(always)]
    pub(crate) fn write_start<S: Sink>(&self, sink: &mut S) -> Result<(), S::Error> {
        self.write_head(sink)?;
        sink.put(DATA)
    }

    #[inline(always)]
    fn write_head<S: Sink>(&self, sink: &mut S) -> Result<(), S::Error> {
        if let Some(comment) = &self.comment {
            sink.put(COMMENT)?;
            sink.put_lines(comment, NEXT_COMMENT)?;
            sink.put("\n")?;
        }
        if let Some(event_type) = &self.event_type {
            sink.put("event: ")?;
            sink.put(event_type.as_str())?;
            sink.put("\n")?;
        }
        if let Some(id) = &self.id {
            sink.put("id: ")?;
            sink.put(id.as_str())?;
            sink.put("\n")?;
        }
        if let Some(time) = self.reconnection_time {
            sink.put("retry: ")?;
            sink.put(Digits::unsigned(milliseconds(time)).as_str())?;
            sink.put("\n")?;
        }
        Ok(())
    }

    /// Returns the exact length of the encoded event, in bytes.
    ///
    /// It looks for line breaks in the text, so its time is linear. It allocates nothing.
    ///
    /// ```
    /// use ssekit_core::Event;
    ///
    /// assert_eq!(Event::data("hi").encoded_len(), "data: hi\n\n".len());
    /// ```
    pub fn encoded_len(&self) -> usize {
        if self.is_plain() {
            return self.plain_len();
        }
        let mut counter = Counter(0);
        let Ok(()) = self.write(&mut counter);
        counter.0
    }

    /// Whether data and comment have no line breaks.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        [&self.comment, &self.data].into_iter().flatten().all(|text| is_one_line(text.as_bytes()))
    }

    /// Returns [`encoded_len`](Self::encoded_len) for an event that [`is_plain`](Self::is_plain).
    #[inline]
    pub(crate) fn plain_len(&self) -> usize {
        let mut len = 0_usize;
        let Ok(()) = self.write(&mut Plain(|text: &str| len = len.saturating_add(text.len())));
        len
    }

    /// Returns an upper bound of [`encoded_len`](Self::encoded_len), without reading the text.
    #[cfg(feature = "bytes")]
    fn max_encoded_len(&self) -> usize {
        let len = |text: Option<&str>| text.map_or(0, str::len);
        let one_line = len(self.event_type.as_ref().map(|t| t.as_str()))
            .saturating_add(len(self.id.as_ref().map(|id| id.as_str())));
        let lines =
            len(self.data.as_deref()).saturating_add(len(self.comment.as_deref())).saturating_mul(NEXT_DATA.len());
        // 64 bytes are enough for all field names and the 20 digits of `retry`.
        lines.saturating_add(one_line).saturating_add(64)
    }

    /// Writes the event to the start of `buffer`, and returns its length.
    ///
    /// It allocates nothing.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`] with the length of the event. The contents of `buffer` are then unspecified.
    ///
    /// ```
    /// use ssekit_core::{BufferTooSmall, Event};
    ///
    /// let mut buffer = [0; 16];
    /// let n = Event::data("hi").encode_to_slice(&mut buffer)?;
    /// assert_eq!(&buffer[..n], b"data: hi\n\n");
    /// assert_eq!(Event::data("hi").encode_to_slice(&mut buffer[..9]), Err(BufferTooSmall { needed: 10 }));
    /// # Ok::<(), BufferTooSmall>(())
    /// ```
    pub fn encode_to_slice(&self, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let mut writer = SliceWriter::new(buffer);
        match self.write(&mut writer) {
            Ok(()) => Ok(writer.written().len()),
            Err(fmt::Error) => Err(BufferTooSmall { needed: self.encoded_len() }),
        }
    }

    /// Appends the event to a `BytesMut`, a `Vec<u8>`, a slice or another `BufMut`.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`] when the event does not fit and `buffer` cannot grow. Nothing is written then. A `BytesMut`
    /// and a `Vec` always grow.
    ///
    /// ```
    /// use bytes::BytesMut;
    /// use ssekit_core::Event;
    ///
    /// let mut buffer = BytesMut::new();
    /// Event::data("hi").encode(&mut buffer)?;
    /// assert_eq!(&buffer[..], b"data: hi\n\n");
    /// # Ok::<(), ssekit_core::BufferTooSmall>(())
    /// ```
    #[cfg(feature = "bytes")]
    pub fn encode(&self, buffer: &mut impl bytes::BufMut) -> Result<(), BufferTooSmall> {
        let room = buffer.remaining_mut();
        let is_plain = self.is_plain();
        // Usually the bound shows that the event fits, so its length is not counted.
        if self.max_encoded_len() > room {
            let needed = self.encoded_len();
            if needed > room {
                return Err(BufferTooSmall { needed });
            }
        }
        if is_plain {
            let Ok(()) = self.write(&mut Plain(|text: &str| buffer.put_slice(text.as_bytes())));
        } else {
            let mut stage = Stage::new(|bytes: &[u8]| buffer.put_slice(bytes));
            let Ok(()) = self.write(&mut stage);
            stage.flush();
        }
        Ok(())
    }

    /// Writes the event to `writer`, by one call of `write_all`.
    ///
    /// So `writer` needs no buffer. An event of more than 1024 bytes takes one allocation.
    ///
    /// # Errors
    ///
    /// The errors of `writer`.
    ///
    /// ```
    /// use ssekit_core::Event;
    ///
    /// let mut out = Vec::new();
    /// Event::data("hi").encode_to_writer(&mut out)?;
    /// assert_eq!(out, b"data: hi\n\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[cfg(feature = "std")]
    pub fn encode_to_writer(&self, writer: &mut (impl std::io::Write + ?Sized)) -> std::io::Result<()> {
        let mut on_stack = [0; 1024];
        match self.encode_to_slice(&mut on_stack) {
            Ok(len) => writer.write_all(&on_stack[..len]),
            Err(BufferTooSmall { needed }) => {
                let mut on_heap = vec![0; needed];
                // This cannot fail: the vector has the length of the event.
                self.encode_to_slice(&mut on_heap).map_err(std::io::Error::other)?;
                writer.write_all(&on_heap)
            }
        }
    }
}

/// Writes the encoded event, for example by `write!(out, "{event}")`.
impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(&mut FmtSink(f))
    }
}

/// Writes one event whose data comes in pieces.
///
/// The data is never in memory as a whole. Write the pieces by `write!` or `write_str`, then call
/// [`finish`](Self::finish). The result is the same as for an [`Event`] with the joined data, even if a CRLF is split
/// between two pieces.
///
/// The sink can be any `fmt::Write`: a `String`, a `BytesMut`, a [`SliceWriter`]. If the writer is dropped before
/// `finish`, the sink holds an unfinished event. The next text in the sink then becomes part of that event.
///
/// The writer allocates nothing itself.
///
/// ```
/// use std::fmt::Write;
/// use ssekit_core::{Event, EventWriter, event_type};
///
/// let head = Event::new().with_event_type(event_type!("sum"));
/// let mut writer = EventWriter::new(String::new(), &head)?;
/// write!(writer, "{} + {}\r", 1, 2)?;
/// write!(writer, "\n= {}", 1 + 2)?;
/// assert_eq!(writer.finish()?, "event: sum\ndata: 1 + 2\ndata: = 3\n\n");
/// # Ok::<(), std::fmt::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "an event is not complete before `finish`"]
pub struct EventWriter<W> {
    sink: W,
    /// The last piece ended with a CR, so an LF at the start of the next piece belongs to it.
    after_cr: bool,
    /// The sink has failed. The next text could otherwise start a line, without a field name.
    has_failed: bool,
}

impl<W: fmt::Write> EventWriter<W> {
    /// Writes the fields of `head`. Its data, if any, is the first piece.
    ///
    /// # Errors
    ///
    /// The errors of `sink`.
    pub fn new(mut sink: W, head: &Event<'_>) -> Result<Self, fmt::Error> {
        head.write_start(&mut FmtSink(&mut sink))?;
        let mut writer = Self { sink, after_cr: false, has_failed: false };
        writer.write_str(head.data.as_deref().unwrap_or_default())?;
        Ok(writer)
    }

    /// Ends the event and returns the sink.
    ///
    /// # Errors
    ///
    /// The errors of the sink, including errors of earlier writes. The sink then holds an unfinished event.
    pub fn finish(mut self) -> Result<W, fmt::Error> {
        if self.has_failed {
            return Err(fmt::Error);
        }
        self.sink.write_str(END)?;
        Ok(self.sink)
    }
}

impl<W: fmt::Write> fmt::Write for EventWriter<W> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        if !self.has_failed && !piece.is_empty() {
            let tail = if self.after_cr { piece.strip_prefix('\n').unwrap_or(piece) } else { piece };
            self.after_cr = piece.ends_with('\r');
            self.has_failed = FmtSink(&mut self.sink).put_lines(tail, NEXT_DATA).is_err();
        }
        if self.has_failed { Err(fmt::Error) } else { Ok(()) }
    }
}

const DATA: &str = "data: ";
const COMMENT: &str = ": ";
/// Replaces a line break in the data.
const NEXT_DATA: &str = "\ndata: ";
/// Replaces a line break in the comment.
const NEXT_COMMENT: &str = "\n: ";
/// Ends the last line of the data, and the event.
pub(crate) const END: &str = "\n\n";

/// A sink for any `fmt::Write`.
struct FmtSink<'w, W: ?Sized>(&'w mut W);

impl<W: fmt::Write + ?Sized> Sink for FmtSink<'_, W> {
    type Error = fmt::Error;

    #[inline]
    fn put(&mut self, text: &str) -> fmt::Result {
        self.0.write_str(text)
    }

    #[inline]
    fn put_lines(&mut self, text: &str, line_break: &'static str) -> fmt::Result {
        let mut rest = text;
        while let Some(end) = memchr2(b'\r', b'\n', rest.as_bytes()) {
            self.put(&rest[..end])?;
            self.put(line_break)?;
            let tail = &rest[end..];
            rest = tail.strip_prefix("\r\n").unwrap_or(&tail[1..]);
        }
        self.put(rest)
    }
}

/// Returns whole milliseconds, rounded up, so that a receiver never reconnects too early.
#[inline(never)]
fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
