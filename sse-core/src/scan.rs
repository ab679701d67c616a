//! Fast search for line ends. All `unsafe` code of the crate is in this module.
//!
//! **Plain** text has only bytes from 0x0E to 0x7F. So it has no line end and no NUL, and it is valid UTF-8 without a
//! check. Nearly all bytes of an event stream are plain text or line ends.
//!
//! One comparison finds the bytes of a 64-byte window that are not plain. The result, the *marks*, serves all lines
//! of the window: no line needs a search or a UTF-8 check of its own. `DESIGN.md` has the figures.

use core::str::from_utf8_unchecked;

#[cfg(feature = "bytes")]
use bytes::Bytes;
#[cfg(feature = "bytes")]
use bytestring::ByteString;
use memchr::{memchr, memchr2};

mod digits;

pub(crate) use digits::Digits;
#[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
use portable::Window;
#[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
pub(crate) use portable::line_breaks;
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
use x86_64::Window;
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
pub(crate) use x86_64::line_breaks;

/// An iterator over the lines that lie whole in a chunk.
///
/// ```text
///          rest
///          v
/// chunk: [ d a t a :   x \n d a t a :   y \n | d a t a :   z \n ]
///          0 0 0 0 0 0 0 1  0 0 0 0 0 0 0 1    unseen bytes
///          marks, lowest bit first
/// ```
///
/// Invariants: `unseen <= rest.len()`. For each `n < rest.len() - unseen`: if `rest[n]` is not plain, `n < 64` and
/// bit `n` of `marks` is set; otherwise that bit is 0.
#[derive(Clone, Copy)]
pub(crate) struct Lines<'c> {
    /// The bytes after the last line.
    rest: &'c [u8],
    /// The number of bytes at the end of `rest` that were not searched yet.
    unseen: usize,
    /// The searched bytes of `rest` that are not plain.
    marks: u64,
}

impl<'c> Lines<'c> {
    #[inline(always)]
    pub(crate) fn new(chunk: &'c [u8]) -> Self {
        Self { rest: chunk, unseen: chunk.len(), marks: 0 }
    }

    /// Returns the bytes after the last line.
    #[inline(always)]
    pub(crate) fn rest(self) -> &'c [u8] {
        self.rest
    }

    /// Returns the next line, without its line end.
    ///
    /// Returns `None`, and takes nothing, if the line is difficult:
    ///
    /// - its end, or an LF after its CR, can be in the next chunk;
    /// - it is not UTF-8;
    /// - it starts with `id` and has a NUL.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Option<&'c str> {
        let Self { mut marks, mut unseen, .. } = *self;
        let mut end = 0;
        if marks == 0 {
            let seen = self.rest.len() - unseen;
            let found = find(self.rest.get(seen..)?)?;
            (end, marks, unseen) = (seen + found.start, found.marks, found.unseen);
        }
        let mark = marks.trailing_zeros() as usize;
        let (line, tail) = self.rest.split_at_checked(end + mark)?;
        marks = marks >> mark >> 1;
        *self = match tail {
            [b'\n', rest @ ..] => Self { rest, unseen, marks },
            // The LF can be an unseen byte: the CR is the last byte of its window.
            [b'\r', b'\n', rest @ ..] => Self { rest, unseen: unseen.min(rest.len()), marks: marks >> 1 },
            [b'\r', rest @ ..] if !rest.is_empty() => Self { rest, unseen, marks },
            _ => {
                let (line, rest) = odd_line(self.rest, line.len())?;
                *self = Self::new(rest);
                return Some(line);
            }
        };
        debug_assert!(line.is_ascii());
        // SAFETY: the line ends at or before the first byte that is not plain. Plain bytes are ASCII.
        Some(unsafe { from_utf8_unchecked(line) })
    }
}

/// Returns the first line of `bytes`, which starts with `plain` plain bytes, and the bytes after the line.
#[cold]
#[inline(never)]
fn odd_line(bytes: &[u8], plain: usize) -> Option<(&str, &[u8])> {
    let odd = bytes.get(plain..)?;
    let (odd, tail) = odd.split_at_checked(memchr2(b'\n', b'\r', odd)?)?;
    let rest = match tail {
        [b'\n', rest @ ..] | [b'\r', b'\n', rest @ ..] => rest,
        [b'\r', rest @ ..] if !rest.is_empty() => rest,
        _ => return None,
    };
    if bytes.starts_with(b"id") && memchr(0, odd).is_some() {
        return None;
    }
    simdutf8::basic::from_utf8(odd).ok()?;
    let line = bytes.get(..plain + odd.len())?;
    debug_assert!(core::str::from_utf8(line).is_ok());
    // SAFETY: `plain` bytes are ASCII, and the other bytes were checked by `from_utf8`.
    Some((unsafe { from_utf8_unchecked(line) }, rest))
}

/// Returns the longest plain prefix of `bytes`.
#[inline]
pub(crate) fn plain_prefix(bytes: &[u8]) -> &str {
    let len = find(bytes).map_or(bytes.len(), |found| found.start + found.marks.trailing_zeros() as usize);
    let plain = bytes.get(..len).unwrap_or_default();
    debug_assert!(plain.is_ascii());
    // SAFETY: the prefix ends before the first byte that is not plain. Plain bytes are ASCII.
    unsafe { from_utf8_unchecked(plain) }
}

/// The first window of some bytes that has marks.
struct Found {
    /// The start of the window. All bytes before it are plain.
    start: usize,
    /// The marks of the window, of up to 64 bytes. Never 0.
    marks: u64,
    /// The number of bytes after the window.
    unseen: usize,
}

#[inline(always)]
fn find(bytes: &[u8]) -> Option<Found> {
    let Some((window, rest)) = bytes.split_first_chunk() else { return find_in_last(bytes, 0) };
    let window = Window::load(window);
    if window.has_marks() {
        return Some(Found { start: 0, marks: window.marks(), unseen: rest.len() });
    }
    let (start, marks) = if rest.len() < 64 { (0, 0) } else { find_in_windows(rest) };
    if marks == 0 {
        return find_in_last(rest.get(start..)?, 64 + start);
    }
    Some(Found { start: 64 + start, marks, unseen: rest.len() - start - 64 })
}

/// Searches the last bytes, fewer than 64, which follow `start` other bytes.
#[inline(always)]
fn find_in_last(bytes: &[u8], start: usize) -> Option<Found> {
    let marks = if bytes.is_empty() { 0 } else { marks_of_few(bytes) };
    if marks == 0 { None } else { Some(Found { start, marks, unseen: 0 }) }
}

/// Searches the whole windows of `bytes`.
///
/// Returns the start of the first window with marks, and its marks. Without one, returns the end of the last whole
/// window, and 0.
#[inline(always)]
fn find_in_windows(bytes: &[u8]) -> (usize, u64) {
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2", feature = "std"))]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the CPU has AVX2.
        return unsafe { x86_64::find_by_avx2(bytes) };
    }
    find_by_windows(bytes)
}

#[inline(never)]
fn find_by_windows(bytes: &[u8]) -> (usize, u64) {
    let mut rest = bytes;
    while let Some((window, tail)) = rest.split_first_chunk() {
        let window = Window::load(window);
        if window.has_marks() {
            return (bytes.len() - rest.len(), window.marks());
        }
        rest = tail;
    }
    (bytes.len() - rest.len(), 0)
}

/// Returns the marks of fewer than 64 bytes.
#[inline(never)]
fn marks_of_few(bytes: &[u8]) -> u64 {
    let len = bytes.len();
    let block = |start: usize| {
        let block = bytes.get(start..).and_then(|rest| rest.first_chunk());
        block.map_or(0, |block| Window::marks_of_block(block) << start)
    };
    if len >= 32 {
        return block(0) | block(16) | block(len - 32) | block(len - 16);
    }
    if len >= 16 {
        return block(0) | block(len - 16);
    }
    // The two halves overlap.
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let marks = Window::marks_of_words(u64::from_le_bytes(*first), u64::from_le_bytes(*last));
        return marks & 0xFF | marks >> 8 << (len - 8);
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let marks = Window::marks_of_words(u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into());
        return marks & 0xF | (marks >> 8 & 0xF) << (len - 4);
    }
    bytes.iter().rev().fold(0, |marks, &byte| marks << 1 | u64::from(!matches!(byte, 0x0E..=0x7F)))
}

/// Search by SSE2, and by AVX2 for long text.
///
/// Every x86-64 with an operating system has SSE2. Bytes that are not plain are those below 0x0E, as signed numbers.
/// So one comparison finds them all.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
// Since Rust 1.87, only the read through a pointer is unsafe.
#[allow(unused_unsafe)]
mod x86_64 {
    use core::arch::x86_64::*;

    /// The comparison of 64 bytes: all ones for each byte that is not plain.
    pub(super) struct Window([__m128i; 4]);

    impl Window {
        #[inline(always)]
        pub(super) fn load(bytes: &[u8; 64]) -> Self {
            let at = bytes.as_ptr();
            // SAFETY: `bytes` has 64 bytes, and each call reads 16 of them.
            unsafe { Self([compare(at), compare(at.add(16)), compare(at.add(32)), compare(at.add(48))]) }
        }

        #[inline(always)]
        pub(super) fn has_marks(&self) -> bool {
            let [a, b, c, d] = self.0;
            // SAFETY: this module is compiled only with SSE2.
            unsafe { _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(a, b), _mm_or_si128(c, d))) != 0 }
        }

        #[inline(always)]
        pub(super) fn marks(&self) -> u64 {
            let [a, b, c, d] = self.0;
            bits(a) | bits(b) << 16 | bits(c) << 32 | bits(d) << 48
        }

        #[inline(always)]
        pub(super) fn marks_of_block(bytes: &[u8; 16]) -> u64 {
            // SAFETY: `bytes` has the 16 bytes that the call reads.
            bits(unsafe { compare(bytes.as_ptr()) })
        }

        #[inline(always)]
        pub(super) fn marks_of_words(low: u64, high: u64) -> u64 {
            // SAFETY: this module is compiled only with SSE2.
            bits(unsafe { _mm_cmplt_epi8(_mm_set_epi64x(high as i64, low as i64), _mm_set1_epi8(0x0E)) })
        }
    }

    /// Returns a bit for each byte: 1 for CR and LF. The lowest bit is the first byte.
    #[inline(always)]
    pub(crate) fn line_breaks(bytes: &[u8; 64]) -> u64 {
        let at = bytes.as_ptr();
        // SAFETY: `bytes` has 64 bytes, and each call reads 16 of them. This module is compiled only with SSE2.
        let (a, b, c, d, all) = unsafe {
            let (cr, lf) = (_mm_set1_epi8(0x0D), _mm_set1_epi8(0x0A));
            let breaks = |start| {
                let block = _mm_loadu_si128(at.add(start).cast());
                _mm_or_si128(_mm_cmpeq_epi8(block, cr), _mm_cmpeq_epi8(block, lf))
            };
            let (a, b, c, d) = (breaks(0), breaks(16), breaks(32), breaks(48));
            (a, b, c, d, _mm_or_si128(_mm_or_si128(a, b), _mm_or_si128(c, d)))
        };
        if bits(all) == 0 {
            return 0;
        }
        bits(a) | bits(b) << 16 | bits(c) << 32 | bits(d) << 48
    }

    /// # Safety
    ///
    /// `at` must be valid for reads of 16 bytes.
    #[inline(always)]
    unsafe fn compare(at: *const u8) -> __m128i {
        // SAFETY: the caller guarantees 16 bytes at `at`. This module is compiled only with SSE2.
        unsafe { _mm_cmplt_epi8(_mm_loadu_si128(at.cast()), _mm_set1_epi8(0x0E)) }
    }

    #[inline(always)]
    fn bits(block: __m128i) -> u64 {
        // SAFETY: this module is compiled only with SSE2.
        unsafe { _mm_movemask_epi8(block) as u64 }
    }

    /// Does the same as [`find_by_windows`](super::find_by_windows), by AVX2.
    ///
    /// # Safety
    ///
    /// The CPU must have AVX2.
    #[cfg(feature = "std")]
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn find_by_avx2(bytes: &[u8]) -> (usize, u64) {
        let mut rest = bytes;
        while let Some((window, tail)) = rest.split_first_chunk::<64>() {
            let at = window.as_ptr();
            // SAFETY: `window` has 64 bytes, and each load reads 32 of them. The caller guarantees AVX2.
            let marks = unsafe {
                let plain = _mm256_set1_epi8(0x0E);
                let a = _mm256_cmpgt_epi8(plain, _mm256_loadu_si256(at.cast()));
                let b = _mm256_cmpgt_epi8(plain, _mm256_loadu_si256(at.add(32).cast()));
                if _mm256_movemask_epi8(_mm256_or_si256(a, b)) == 0 {
                    0
                } else {
                    _mm256_movemask_epi8(a) as u32 as u64 | (_mm256_movemask_epi8(b) as u32 as u64) << 32
                }
            };
            if marks != 0 {
                return (bytes.len() - rest.len(), marks);
            }
            rest = tail;
        }
        (bytes.len() - rest.len(), 0)
    }
}

/// Search without SIMD instructions, by words of eight bytes.
#[cfg(any(test, not(all(target_arch = "x86_64", target_feature = "sse2"))))]
mod portable {
    const LOW: u64 = u64::from_le_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);

    /// A window of 64 bytes.
    pub(super) struct Window<'b>(&'b [u8; 64]);

    impl<'b> Window<'b> {
        #[inline(always)]
        pub(super) fn load(bytes: &'b [u8; 64]) -> Self {
            Self(bytes)
        }

        /// The compiler turns this form into the SIMD instructions of the target.
        #[inline(always)]
        pub(super) fn has_marks(&self) -> bool {
            self.0.iter().fold(false, |has, &byte| has | ((byte as i8) < 0x0E))
        }

        #[inline(always)]
        pub(super) fn marks(&self) -> u64 {
            let (mut marks, mut rest) = (0, &self.0[..]);
            while let Some((block, tail)) = rest.split_first_chunk() {
                marks = marks >> 16 | Self::marks_of_block(block) << 48;
                rest = tail;
            }
            marks
        }

        #[inline(always)]
        pub(super) fn marks_of_block(bytes: &[u8; 16]) -> u64 {
            let words = u128::from_le_bytes(*bytes);
            Self::marks_of_words(words as u64, (words >> 64) as u64)
        }

        #[inline(always)]
        pub(super) fn marks_of_words(low: u64, high: u64) -> u64 {
            marks_of_word(low) | marks_of_word(high) << 8
        }
    }

    #[inline(always)]
    fn marks_of_word(word: u64) -> u64 {
        // A byte keeps its high bit if its other seven bits are at least 0x0E. No byte borrows from the next.
        let is_low = !((word | HIGH) - 0x0E * LOW);
        // The multiplication collects the eight high bits in the highest byte.
        (((word | is_low) & HIGH) >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
    }

    /// Returns a bit for each byte: 1 for CR and LF. The lowest bit is the first byte.
    #[inline(always)]
    pub(crate) fn line_breaks(bytes: &[u8; 64]) -> u64 {
        transpose(columns(bytes))
    }

    /// Returns the line breaks as an 8 by 8 matrix of bits: byte `n` is bit `8 * (n % 8) + n / 8`.
    #[inline(always)]
    fn columns(block: &[u8; 64]) -> u64 {
        let mut columns = [0; 16];
        for (n, column) in columns.iter_mut().enumerate() {
            let bit = |row: usize| u8::from(matches!(block[16 * row + n], b'\n' | b'\r')) << (2 * row);
            *column = bit(0) | bit(1) | bit(2) | bit(3);
        }
        let columns = u128::from_le_bytes(columns);
        columns as u64 | ((columns >> 64) as u64) << 1
    }

    /// Transposes an 8 by 8 matrix of bits.
    #[inline(always)]
    const fn transpose(bits: u64) -> u64 {
        let swap = (bits ^ bits >> 7) & 0x00AA_00AA_00AA_00AA;
        let bits = bits ^ swap ^ swap << 7;
        let swap = (bits ^ bits >> 14) & 0x0000_CCCC_0000_CCCC;
        let bits = bits ^ swap ^ swap << 14;
        let swap = (bits ^ bits >> 28) & 0x0000_0000_F0F0_F0F0;
        bits ^ swap ^ swap << 28
    }
}

/// Text of up to 23 bytes, stored in place.
///
/// ```text
/// [ m e s s a g e . ][ . . . . . . . . ][ . . . . . . . 7 ]
///   text (the bytes after it have no meaning)       length
/// ```
///
/// Invariants: the length is at most 23, and the first bytes of that length are valid UTF-8.
#[cfg(feature = "bytes")]
#[derive(Clone, Copy, Default)]
pub(crate) struct ShortStr([[u8; 8]; 3]);

#[cfg(feature = "bytes")]
impl ShortStr {
    pub(crate) const MAX_LEN: usize = 23;
    /// The event type of most events.
    pub(crate) const MESSAGE: Self = Self([*b"message\0", [0; 8], [0, 0, 0, 0, 0, 0, 0, 7]]);

    /// Returns `text` if it is short. This is fastest if `text` lies in `chunk`.
    #[inline(always)]
    pub(crate) fn new(text: &str, chunk: &[u8]) -> Option<Self> {
        if text.len() > Self::MAX_LEN {
            return None;
        }
        let start = text.as_ptr().addr().wrapping_sub(chunk.as_ptr().addr());
        // The bytes after the text are copied as well: they have no meaning.
        let bytes = match chunk.get(start..).and_then(|rest| rest.first_chunk::<24>()) {
            Some(bytes) => &bytes[..],
            None => text.as_bytes(),
        };
        let word = |start: usize| first_word(bytes.get(start..).unwrap_or_default());
        let last = word(16) & (u64::MAX >> 8) | (text.len() as u64) << 56;
        Some(Self([word(0).to_le_bytes(), word(8).to_le_bytes(), last.to_le_bytes()]))
    }

    #[inline]
    pub(crate) fn as_str(&self) -> &str {
        let [.., len] = self.0[2];
        let text = self.0.as_flattened().get(..usize::from(len)).unwrap_or_default();
        debug_assert!(core::str::from_utf8(text).is_ok());
        // SAFETY: `new` copied the text from a `str` of this length. `MESSAGE` and the default are ASCII.
        unsafe { from_utf8_unchecked(text) }
    }
}

/// Returns the first eight bytes as a number, padded with zeros.
// The number is built in a register. Bytes that were just written one by one are slow to read as a word.
#[cfg(feature = "bytes")]
#[inline(always)]
fn first_word(bytes: &[u8]) -> u64 {
    if let Some(word) = bytes.first_chunk() {
        return u64::from_le_bytes(*word);
    }
    // The two halves overlap.
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let [first, last] = [u32::from_le_bytes(*first), u32::from_le_bytes(*last)];
        return u64::from(first) | u64::from(last) << (8 * (bytes.len() - 4));
    }
    bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

/// Returns `text` as a part of `chunk`, if it lies in the chunk.
#[cfg(feature = "bytes")]
#[inline]
pub(crate) fn share(text: &str, chunk: &Bytes) -> Option<ByteString> {
    let start = text.as_ptr().addr().wrapping_sub(chunk.as_ptr().addr());
    let end = start.checked_add(text.len()).filter(|&end| end <= chunk.len())?;
    let shared = chunk.slice(start..end);
    debug_assert_eq!(&shared, text.as_bytes());
    // SAFETY: the bytes are those of `text`, at the same address. Shared bytes do not change.
    Some(unsafe { ByteString::from_bytes_unchecked(shared) })
}

#[cfg(test)]
mod tests;
