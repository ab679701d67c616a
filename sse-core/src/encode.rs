//! Events into bytes.
//!
//! [`Event::write`] is the one source of those bytes. Every [`Sink`], and the length, is fed by it. The sinks have only the
//! line breaks of data and comment to find, each in the way that is fastest for it.

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

/// The slice given to [`Event::encode_to_slice`], or the `BufMut` given to [`Event::encode`], is too small for the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "programs compare it with an expected error")]
pub struct BufferTooSmall {
    /// How many bytes the event takes.
    pub needed: usize,
}

impl fmt::Display for BufferTooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "buffer is too small for an event of {} bytes", self.needed)
    }
}

impl core::error::Error for BufferTooSmall {}

impl Event<'_> {
    /// Writes the event.
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

    /// All that stands before the data, and its field name.
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

    /// How many bytes the event takes on the wire, exactly.
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

    /// What `encoded_len` is if [`is_plain`](Self::is_plain).
    #[inline]
    pub(crate) fn plain_len(&self) -> usize {
        let mut len = 0_usize;
        let Ok(()) = self.write(&mut Plain(|text: &str| len = len.saturating_add(text.len())));
        len
    }

    /// No less than `encoded_len`, without a look at the text.
    #[cfg(feature = "bytes")]
    fn max_encoded_len(&self) -> usize {
        let len = |text: Option<&str>| text.map_or(0, str::len);
        let one_line = len(self.event_type.as_ref().map(|t| t.as_str()))
            .saturating_add(len(self.id.as_ref().map(|id| id.as_str())));
        let lines =
            len(self.data.as_deref()).saturating_add(len(self.comment.as_deref())).saturating_mul(NEXT_DATA.len());
        // All names, and 20 digits.
        lines.saturating_add(one_line).saturating_add(64)
    }

    /// Writes the event to the start of `buffer` and says how many bytes it took.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`] with the length that is needed. What `buffer` holds then is unspecified.
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

    /// Appends the event to `buffer`: a `BytesMut`, a `Vec<u8>`, a slice.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`] when `buffer` cannot grow to take it whole, which is then as it was. A `BytesMut` and a `Vec`
    /// always can.
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
        // The bound alone mostly says that there is room.
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

    /// Writes the event to `writer`, by one `write_all`, so that it need not be buffered.
    ///
    /// # Errors
    ///
    /// Those of `writer`.
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
                // Never fails: it is as long as was asked for.
                self.encode_to_slice(&mut on_heap).map_err(std::io::Error::other)?;
                writer.write_all(&on_heap)
            }
        }
    }
}

/// The event as it stands on the wire, for any `fmt::Write` by `write!(w, "{event}")`.
impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(&mut FmtSink(f))
    }
}

/// Writes one event whose data comes in pieces, and need never be in memory whole.
///
/// Give it the pieces by `write!` or `write_str`, then [`finish`](Self::finish). Line breaks are found also where a CRLF
/// is cut between two pieces: the result is what [`Event`] writes for the data in one.
///
/// It writes to any `fmt::Write`: a `String`, a `BytesMut`, a [`SliceWriter`]. If it is dropped before `finish`, the
/// event is left unfinished in the sink, and what is written there next becomes a part of it.
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
    /// The last piece ended in a CR: an LF at the start of the next belongs to it.
    after_cr: bool,
    /// The sink has failed, perhaps between a line break and the field name that belongs behind it.
    has_failed: bool,
}

impl<W: fmt::Write> EventWriter<W> {
    /// Writes `head`, and its data, if it has any, as the first piece.
    ///
    /// # Errors
    ///
    /// Those of `sink`.
    pub fn new(mut sink: W, head: &Event<'_>) -> Result<Self, fmt::Error> {
        head.write_start(&mut FmtSink(&mut sink))?;
        let mut writer = Self { sink, after_cr: false, has_failed: false };
        writer.write_str(head.data.as_deref().unwrap_or_default())?;
        Ok(writer)
    }

    /// Ends the event and gives the sink back.
    ///
    /// # Errors
    ///
    /// Those of the sink, also if it was an earlier write that failed: what is in the sink is then no whole event.
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
/// For a line break in the data.
const NEXT_DATA: &str = "\ndata: ";
/// For a line break in the comment.
const NEXT_COMMENT: &str = "\n: ";
/// Ends the last line of data, and the event.
pub(crate) const END: &str = "\n\n";

/// Any `fmt::Write`.
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

/// Whole milliseconds, rounded up: never sooner than asked for.
#[inline(never)]
fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
