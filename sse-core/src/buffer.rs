//! Where a decoder keeps what does not lie in one chunk.

#[cfg(feature = "alloc")]
use alloc::string::String;
use core::fmt;
use core::str::from_utf8;

/// Text that a decoder gathers over chunks and lines, up to a bound.
///
/// It is implemented by `String` (feature `alloc`), [`FixedBuffer`] and [`SliceBuffer`]; a string type of your own
/// (heapless, in an arena) takes five short methods. It deals in `&str`, so that nothing an implementation does can
/// break the promise that an event's strings are valid UTF-8.
pub trait Buffer {
    /// The most bytes it can ever hold. The decoder takes it for a limit, like those of [`Limits`](crate::Limits).
    fn max_len(&self) -> usize;

    /// What it holds.
    fn as_str(&self) -> &str;

    /// Number of bytes it holds. It is asked for often.
    fn len(&self) -> usize;

    /// Whether it holds nothing.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends `text`, whole or not at all.
    ///
    /// # Errors
    ///
    /// [`BufferFull`] when there is no room for it.
    fn push_str(&mut self, text: &str) -> Result<(), BufferFull>;

    /// Empties it. What was allocated may stay, for the next event.
    fn clear(&mut self);

    /// Holds `text` instead of what it held, or on an error still that.
    ///
    /// To be overridden where [`push_str`](Self::push_str) can fail for less than [`max_len`](Self::max_len) bytes.
    ///
    /// # Errors
    ///
    /// [`BufferFull`] when there is no room for it.
    fn replace(&mut self, text: &str) -> Result<(), BufferFull> {
        if text.len() > self.max_len() {
            return Err(BufferFull);
        }
        self.clear();
        self.push_str(text)
    }
}

/// A [`Buffer`] has no room, or no memory could be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "implementations of `Buffer` return it")]
pub struct BufferFull;

impl fmt::Display for BufferFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("buffer is full")
    }
}

impl core::error::Error for BufferFull {}

/// Grows as needed, by doubling, and keeps what it has allocated: up to twice the decoder's limit.
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

/// A [`Buffer`] of `N` bytes that lie in the value itself.
///
/// Being bytes, they are checked to be UTF-8 each time they are asked for, which costs a decoder one look at the last
/// event ID for each event: a reason to give IDs no more room than they need.
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
    /// An empty buffer.
    pub const fn new() -> Self {
        Self { bytes: [0; N], len: 0 }
    }
}

impl<const N: usize> Default for FixedBuffer<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// A [`Buffer`] over bytes of the caller's: a static, a part of an arena, the stack.
///
/// What the bytes were does not matter; they are overwritten.
pub struct SliceBuffer<'b> {
    bytes: &'b mut [u8],
    len: usize,
}

impl<'b> SliceBuffer<'b> {
    /// An empty buffer over `bytes`.
    pub const fn new(bytes: &'b mut [u8]) -> Self {
        Self { bytes, len: 0 }
    }
}

/// The two that hold `bytes` and a `len` differ in nothing else.
macro_rules! buffer_over_bytes {
    () => {
        fn max_len(&self) -> usize {
            self.bytes.len()
        }

        fn as_str(&self) -> &str {
            // Only whole strings were ever put in, so the default is never taken.
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
