//! Buffers for text that does not lie in one chunk.

#[cfg(feature = "alloc")]
use alloc::string::String;
use core::fmt;
use core::str::from_utf8;

/// A buffer in which a decoder joins text from several chunks or lines.
///
/// `String` (feature `alloc`), [`FixedBuffer`] and [`SliceBuffer`] implement it. Implement it for another string
/// type, such as heapless's `String` or a string in an arena. It needs five short methods.
///
/// The methods use `&str`, so an implementation cannot break the promise that an event's text is valid UTF-8.
pub trait Buffer {
    /// Returns the maximum length in bytes. The decoder lowers its [`Limits`](crate::Limits) to it.
    fn max_len(&self) -> usize;

    /// Returns the text.
    fn as_str(&self) -> &str;

    /// Returns the length of the text in bytes. The decoder calls it often.
    fn len(&self) -> usize;

    /// Whether the text is empty.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends all of `text`, or nothing.
    ///
    /// # Errors
    ///
    /// [`BufferFull`] when `text` does not fit.
    fn push_str(&mut self, text: &str) -> Result<(), BufferFull>;

    /// Removes the text. Allocated memory can stay for the next event.
    fn clear(&mut self);

    /// Replaces the text. On an error the old text stays.
    ///
    /// Override it if [`push_str`](Self::push_str) can fail before [`max_len`](Self::max_len) is reached.
    ///
    /// # Errors
    ///
    /// [`BufferFull`] when `text` does not fit.
    fn replace(&mut self, text: &str) -> Result<(), BufferFull> {
        if text.len() > self.max_len() {
            return Err(BufferFull);
        }
        self.clear();
        self.push_str(text)
    }
}

/// Text does not fit into a [`Buffer`], or memory for it could not be allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "implementations of `Buffer` return it")]
pub struct BufferFull;

impl fmt::Display for BufferFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the text does not fit into the buffer")
    }
}

impl core::error::Error for BufferFull {}

/// Grows by doubling, up to twice the decoder's limit. It keeps its memory.
#[cfg(feature = "alloc")]
impl Buffer for String {
    fn max_len(&self) -> usize {
        usize::MAX
    }

    #[inline]
    fn as_str(&self) -> &str {
        self
    }

    #[inline]
    fn len(&self) -> usize {
        self.len()
    }

    #[inline]
    fn push_str(&mut self, text: &str) -> Result<(), BufferFull> {
        if text.len() > self.capacity() - self.len() {
            self.try_reserve(text.len()).map_err(|_| BufferFull)?;
        }
        self.push_str(text);
        Ok(())
    }

    #[inline]
    fn clear(&mut self) {
        self.clear();
    }

    #[inline]
    fn replace(&mut self, text: &str) -> Result<(), BufferFull> {
        if text.len() > self.capacity() {
            self.try_reserve(text.len() - self.len()).map_err(|_| BufferFull)?;
        }
        self.clear();
        self.push_str(text);
        Ok(())
    }
}

/// A [`Buffer`] of `N` bytes inside the value.
///
/// It checks its bytes to be UTF-8 at each [`as_str`](Buffer::as_str). A decoder reads the last event ID once for
/// each event, so large IDs cost time.
///
/// ```
/// use ssekit_core::{Buffer, BufferFull, FixedBuffer};
///
/// let mut buffer = FixedBuffer::<4>::new();
/// assert_eq!(buffer.push_str("data"), Ok(()));
/// assert_eq!(buffer.push_str("!"), Err(BufferFull));
/// assert_eq!(buffer.as_str(), "data");
/// ```
#[derive(Clone)]
pub struct FixedBuffer<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> FixedBuffer<N> {
    /// Makes an empty buffer.
    pub const fn new() -> Self {
        Self { bytes: [0; N], len: 0 }
    }
}

impl<const N: usize> Default for FixedBuffer<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// A [`Buffer`] over the caller's bytes: a static, a part of an arena, or the stack.
///
/// It overwrites the bytes.
///
/// ```
/// use ssekit_core::{Buffer, SliceBuffer};
///
/// let mut memory = [0; 4];
/// let mut buffer = SliceBuffer::new(&mut memory);
/// buffer.push_str("id")?;
/// assert_eq!((buffer.as_str(), buffer.max_len()), ("id", 4));
/// # Ok::<(), ssekit_core::BufferFull>(())
/// ```
pub struct SliceBuffer<'b> {
    bytes: &'b mut [u8],
    len: usize,
}

impl<'b> SliceBuffer<'b> {
    /// Makes an empty buffer over `bytes`.
    pub const fn new(bytes: &'b mut [u8]) -> Self {
        Self { bytes, len: 0 }
    }
}

/// Implements [`Buffer`] for a type with the fields `bytes` and `len`.
///
/// Invariants: `len <= bytes.len()`, and `bytes[..len]` is valid UTF-8.
macro_rules! buffer_over_bytes {
    () => {
        fn max_len(&self) -> usize {
            self.bytes.len()
        }

        fn as_str(&self) -> &str {
            // The default is never used: only whole strings were stored.
            self.bytes.get(..self.len).and_then(|text| from_utf8(text).ok()).unwrap_or_default()
        }

        fn len(&self) -> usize {
            self.len
        }

        fn push_str(&mut self, text: &str) -> Result<(), BufferFull> {
            let room = self.bytes.get_mut(self.len..).and_then(|room| room.get_mut(..text.len()));
            room.ok_or(BufferFull)?.copy_from_slice(text.as_bytes());
            self.len += text.len();
            Ok(())
        }

        fn clear(&mut self) {
            self.len = 0;
        }
    };
}

impl<const N: usize> fmt::Debug for FixedBuffer<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Debug for SliceBuffer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl<const N: usize> Buffer for FixedBuffer<N> {
    buffer_over_bytes!();
}

impl Buffer for SliceBuffer<'_> {
    buffer_over_bytes!();
}
