//! Events into bytes.
//!
//! [`Event::segments`] is the one source of those bytes. Every sink, and the length, is fed by it, so no two can differ.

#[cfg(feature = "std")]
use alloc::vec;
use core::convert::Infallible;
use core::fmt::{self, Write as _};
use core::time::Duration;

use memchr::memchr2;

use crate::event::Event;

/// The slice given to [`Event::encode_to_slice`], or the `BufMut` given to [`Event::encode`], is too small for the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// Hands `put` the encoded event, piece by piece.
    #[inline]
    pub(crate) fn segments<E>(&self, mut put: impl FnMut(&str) -> Result<(), E>) -> Result<(), E> {
        match self.data {
            Some(data) => {
                self.start(&mut put)?;
                Lines::new(DATA).piece(data, &mut put)?;
                put(END)
            }
            None => {
                self.head(&mut put)?;
                put("\n")
            }
        }
    }

    /// All that stands before the data, and its field name.
    #[inline]
    pub(crate) fn start<E>(&self, put: &mut impl FnMut(&str) -> Result<(), E>) -> Result<(), E> {
        self.head(put)?;
        put(DATA)
    }

    #[inline]
    fn head<E>(&self, put: &mut impl FnMut(&str) -> Result<(), E>) -> Result<(), E> {
        if let Some(comment) = self.comment {
            put(COMMENT)?;
            Lines::new(COMMENT).piece(comment, put)?;
            put("\n")?;
        }
        if let Some(event_type) = self.event_type {
            put("event: ")?;
            put(event_type.as_str())?;
            put("\n")?;
        }
        if let Some(id) = self.id {
            put("id: ")?;
            put(id.as_str())?;
            put("\n")?;
        }
        if let Some(time) = self.reconnection_time {
            put("retry: ")?;
            decimal(milliseconds(time), put)?;
            put("\n")?;
        }
        Ok(())
    }

    /// How many bytes the event takes on the wire, exactly.
    pub fn encoded_len(&self) -> usize {
        let mut len = 0;
        let Ok(()) = self.segments(|segment| {
            len = usize::saturating_add(len, segment.len());
            Ok::<(), Infallible>(())
        });
        len
    }

    /// Writes the event to the start of `buffer` and says how many bytes it took.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`] with the length that is needed; `buffer` is then as it was.
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
        let needed = self.encoded_len();
        let Some(room) = buffer.get_mut(..needed) else { return Err(BufferTooSmall { needed }) };
        let mut writer = SliceWriter::new(room);
        // Never fails: the room was counted from the same segments.
        self.segments(|segment| writer.write_str(segment)).map_err(|_| BufferTooSmall { needed })?;
        Ok(needed)
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
        let needed = self.encoded_len();
        if needed > buffer.remaining_mut() {
            return Err(BufferTooSmall { needed });
        }
        let Ok(()) = self.segments(|segment| {
            buffer.put_slice(segment.as_bytes());
            Ok::<(), Infallible>(())
        });
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
        self.segments(|segment| f.write_str(segment))
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
/// let mut writer = EventWriter::new(String::new(), head)?;
/// write!(writer, "{} + {}\r", 1, 2)?;
/// write!(writer, "\n= {}", 1 + 2)?;
/// assert_eq!(writer.finish()?, "event: sum\ndata: 1 + 2\ndata: = 3\n\n");
/// # Ok::<(), std::fmt::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "an event is not complete before `finish`"]
pub struct EventWriter<W> {
    sink: W,
    lines: Lines,
    /// The sink has failed, perhaps between a line break and the field name that belongs behind it.
    has_failed: bool,
}

impl<W: fmt::Write> EventWriter<W> {
    /// Writes `head`, and its data, if it has any, as the first piece.
    ///
    /// # Errors
    ///
    /// Those of `sink`.
    pub fn new(mut sink: W, head: Event<'_>) -> Result<Self, fmt::Error> {
        head.start(&mut |segment: &str| sink.write_str(segment))?;
        let mut writer = Self { sink, lines: Lines::new(DATA), has_failed: false };
        writer.write_str(head.data.unwrap_or_default())?;
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
        if !self.has_failed {
            self.has_failed = self.lines.piece(piece, &mut |segment: &str| self.sink.write_str(segment)).is_err();
        }
        if self.has_failed { Err(fmt::Error) } else { Ok(()) }
    }
}

/// A `fmt::Write` into a slice. Needs no allocator.
///
/// Writing past the slice's end is an error, and writes nothing of that piece.
///
/// ```
/// use core::fmt::Write;
/// use ssekit_core::{Event, EventWriter, SliceWriter};
///
/// let mut buffer = [0; 32];
/// let mut writer = EventWriter::new(SliceWriter::new(&mut buffer), Event::new())?;
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
    /// A writer at the start of `bytes`.
    pub const fn new(bytes: &'b mut [u8]) -> Self {
        Self { bytes, len: 0 }
    }

    /// What has been written.
    pub fn written(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// What has been written, for as long as the slice lives.
    pub fn into_written(self) -> &'b mut [u8] {
        self.bytes.get_mut(..self.len).unwrap_or_default()
    }
}

impl fmt::Write for SliceWriter<'_> {
    #[inline]
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.len..).and_then(|room| room.get_mut(..text.len()));
        room.ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

const DATA: &str = "data: ";
const COMMENT: &str = ": ";
/// Ends the last line of data, and the event.
pub(crate) const END: &str = "\n\n";

/// Splits text that comes in pieces into lines, each with the field name that it takes on the wire before it.
///
/// The name before the first line and the LF behind the last are the caller's to write.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    name: &'static str,
    /// The last piece ended in a CR: an LF at the start of the next belongs to it.
    after_cr: bool,
}

impl Lines {
    const fn new(name: &'static str) -> Self {
        Self { name, after_cr: false }
    }

    #[inline]
    fn piece<E>(&mut self, piece: &str, put: &mut impl FnMut(&str) -> Result<(), E>) -> Result<(), E> {
        let mut rest = piece;
        if self.after_cr && !rest.is_empty() {
            self.after_cr = false;
            rest = rest.strip_prefix('\n').unwrap_or(rest);
        }
        while let Some(end) = memchr2(b'\r', b'\n', rest.as_bytes()) {
            put(&rest[..end])?;
            put("\n")?;
            put(self.name)?;
            let is_cr = rest.as_bytes()[end] == b'\r';
            rest = &rest[end + 1..];
            if is_cr {
                self.after_cr = rest.is_empty();
                rest = rest.strip_prefix('\n').unwrap_or(rest);
            }
        }
        put(rest)
    }
}

/// Whole milliseconds, rounded up: never sooner than asked for.
fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

fn decimal<E>(number: u64, put: &mut impl FnMut(&str) -> Result<(), E>) -> Result<(), E> {
    const DIGITS: &str = "0123456789";
    let mut unit = 1;
    while number / unit >= 10 {
        unit *= 10;
    }
    let mut rest = number;
    while unit > 0 {
        let digit = (rest / unit) as usize;
        put(&DIGITS[digit..=digit])?;
        rest %= unit;
        unit /= 10;
    }
    Ok(())
}
