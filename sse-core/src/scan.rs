//! Text that is not checked to be UTF-8 by the library, since it is known to be: the one place with `unsafe`.
//!
//! **Plain** text is ASCII from 0x0E on: there is no line end in it, no NUL, and nothing that is not UTF-8. An event
//! stream is plain text and line ends, nearly all of it. A window of 64 bytes is looked at once for all that is not
//! plain and gives as many lines as it has; so a line costs no call to search it, and none to check it. What that is
//! worth stands in `DESIGN.md`.

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

/// The lines that lie whole in a chunk.
#[derive(Clone, Copy)]
pub(crate) struct Lines<'c> {
    /// What is left of the chunk.
    rest: &'c [u8],
    /// How many of its last bytes have not been looked at.
    unseen: usize,
    /// Those of the others that are not plain, as bits, the first one lowest.
    marks: u64,
}

impl<'c> Lines<'c> {
    #[inline(always)]
    pub(crate) fn new(chunk: &'c [u8]) -> Self {
        Self { rest: chunk, unseen: chunk.len(), marks: 0 }
    }

    /// What is left of the chunk.
    #[inline(always)]
    pub(crate) fn rest(self) -> &'c [u8] {
        self.rest
    }

    /// The next line, without its end.
    ///
    /// `None` for one that is not easy: its end is not in the chunk, or an LF that belongs to it may follow in the next;
    /// it is not UTF-8; it may be an `id` with a NUL. Nothing is taken then.
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
            // The LF may be the first byte that has not been looked at.
            [b'\r', b'\n', rest @ ..] => Self { rest, unseen: unseen.min(rest.len()), marks: marks >> 1 },
            [b'\r', rest @ ..] if !rest.is_empty() => Self { rest, unseen, marks },
            _ => {
                let (line, rest) = odd_line(self.rest, line.len())?;
                *self = Self::new(rest);
                return Some(line);
            }
        };
        debug_assert!(line.is_ascii());
        // SAFETY: it ends at the first mark from its start on, so it is plain, which is ASCII.
        Some(unsafe { from_utf8_unchecked(line) })
    }
}

/// The first line of `bytes`, of which `plain` bytes are known to be plain, and what is behind it.
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
    // SAFETY: it is ASCII and then what has just been found to be UTF-8.
    Some((unsafe { from_utf8_unchecked(line) }, rest))
}

/// The longest start of `bytes` that is plain.
#[inline]
pub(crate) fn plain_prefix(bytes: &[u8]) -> &str {
    let len = find(bytes).map_or(bytes.len(), |found| found.start + found.marks.trailing_zeros() as usize);
    let plain = bytes.get(..len).unwrap_or_default();
    debug_assert!(plain.is_ascii());
    // SAFETY: it ends at the first mark, so it is plain, which is ASCII.
    unsafe { from_utf8_unchecked(plain) }
}

/// The first bytes that are not plain.
struct Found {
    /// All before it is plain.
    start: usize,
    /// From there on, up to 64 bytes: those which are not plain. Never 0.
    marks: u64,
    /// How many bytes are behind those.
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

/// In what is less than a window, and has `start` bytes before it.
#[inline(always)]
fn find_in_last(bytes: &[u8], start: usize) -> Option<Found> {
    let marks = if bytes.is_empty() { 0 } else { marks_of_few(bytes) };
    if marks == 0 { None } else { Some(Found { start, marks, unseen: 0 }) }
}

/// In whole windows: where the first is that has marks, and these, or where the last one ends, and 0.
#[inline(always)]
fn find_in_windows(bytes: &[u8]) -> (usize, u64) {
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2", feature = "std"))]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the CPU has it.
        return unsafe { x86_64::find_by_avx2(bytes) };
    }
    find_by_windows(bytes)
}

#[inline(never)]
fn find_by_windows(bytes: &[u8]) -> (usize, u64) {
    let mut rest = bytes;
    while let Some((window, behind)) = rest.split_first_chunk() {
        let window = Window::load(window);
        if window.has_marks() {
            return (bytes.len() - rest.len(), window.marks());
        }
        rest = behind;
    }
    (bytes.len() - rest.len(), 0)
}

/// The marks of less than 64 bytes.
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
    // Halves that overlap.
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

/// By SSE2, which every x86-64 with an operating system has, and by AVX2 where there is much to look at.
///
/// Read as signed numbers, the bytes that are not plain are those below 0x0E: one comparison for all.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
// From Rust 1.87 on, only reading by a pointer is unsafe.
#[allow(unused_unsafe)]
mod x86_64 {
    use core::arch::x86_64::*;

    /// Of 64 bytes, where those are that are not plain.
    pub(super) struct Window([__m128i; 4]);

    impl Window {
        #[inline(always)]
        pub(super) fn load(bytes: &[u8; 64]) -> Self {
            let at = bytes.as_ptr();
            // SAFETY: each reads 16 of the 64 bytes.
            unsafe { Self([compare(at), compare(at.add(16)), compare(at.add(32)), compare(at.add(48))]) }
        }

        #[inline(always)]
        pub(super) fn has_marks(&self) -> bool {
            let [a, b, c, d] = self.0;
            // SAFETY: this is compiled for SSE2.
            unsafe { _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(a, b), _mm_or_si128(c, d))) != 0 }
        }

        #[inline(always)]
        pub(super) fn marks(&self) -> u64 {
            let [a, b, c, d] = self.0;
            bits(a) | bits(b) << 16 | bits(c) << 32 | bits(d) << 48
        }

        #[inline(always)]
        pub(super) fn marks_of_block(bytes: &[u8; 16]) -> u64 {
            // SAFETY: it reads the 16 bytes.
            bits(unsafe { compare(bytes.as_ptr()) })
        }

        #[inline(always)]
        pub(super) fn marks_of_words(low: u64, high: u64) -> u64 {
            // SAFETY: this is compiled for SSE2.
            bits(unsafe { _mm_cmplt_epi8(_mm_set_epi64x(high as i64, low as i64), _mm_set1_epi8(0x0E)) })
        }
    }

    /// Which of the bytes are CR or LF, as bits, the first one lowest.
    #[inline(always)]
    pub(crate) fn line_breaks(bytes: &[u8; 64]) -> u64 {
        let at = bytes.as_ptr();
        // SAFETY: each reads 16 of the 64 bytes; this is compiled for SSE2.
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
    /// There are 16 bytes at `at`.
    #[inline(always)]
    unsafe fn compare(at: *const u8) -> __m128i {
        // SAFETY: as the caller says; this is compiled for SSE2.
        unsafe { _mm_cmplt_epi8(_mm_loadu_si128(at.cast()), _mm_set1_epi8(0x0E)) }
    }

    #[inline(always)]
    fn bits(block: __m128i) -> u64 {
        // SAFETY: this is compiled for SSE2.
        unsafe { _mm_movemask_epi8(block) as u64 }
    }

    /// As [`find_by_windows`](super::find_by_windows).
    ///
    /// # Safety
    ///
    /// The CPU has AVX2.
    #[cfg(feature = "std")]
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn find_by_avx2(bytes: &[u8]) -> (usize, u64) {
        let mut rest = bytes;
        while let Some((window, behind)) = rest.split_first_chunk::<64>() {
            let at = window.as_ptr();
            // SAFETY: each reads 32 of the 64 bytes; the caller says that AVX2 is there.
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
            rest = behind;
        }
        (bytes.len() - rest.len(), 0)
    }
}

/// By words, eight bytes at a time.
#[cfg(any(test, not(all(target_arch = "x86_64", target_feature = "sse2"))))]
mod portable {
    const LOW: u64 = u64::from_le_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);

    /// 64 bytes.
    pub(super) struct Window<'b>(&'b [u8; 64]);

    impl<'b> Window<'b> {
        #[inline(always)]
        pub(super) fn load(bytes: &'b [u8; 64]) -> Self {
            Self(bytes)
        }

        /// In a form that compilers turn into what the CPU has for many bytes at a time.
        #[inline(always)]
        pub(super) fn has_marks(&self) -> bool {
            self.0.iter().fold(false, |has, &byte| has | ((byte as i8) < 0x0E))
        }

        #[inline(always)]
        pub(super) fn marks(&self) -> u64 {
            let (mut marks, mut rest) = (0, &self.0[..]);
            while let Some((block, behind)) = rest.split_first_chunk() {
                marks = marks >> 16 | Self::marks_of_block(block) << 48;
                rest = behind;
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
        // The high bit stays where the other seven are 0x0E or more; no byte borrows from the next.
        let is_low = !((word | HIGH) - 0x0E * LOW);
        // Then all high bits are brought together in the highest byte.
        (((word | is_low) & HIGH) >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
    }

    /// Which of the bytes are CR or LF, as bits, the first one lowest.
    #[inline(always)]
    pub(crate) fn line_breaks(bytes: &[u8; 64]) -> u64 {
        transpose(columns(bytes))
    }

    /// Which bytes are CR or LF, as bits: of byte `n`, the one at `n % 8` by 8 and `n / 8`.
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

    /// An 8 by 8 matrix of bits, transposed.
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

/// Text of up to 23 bytes, in place. The last byte is its length.
#[cfg(feature = "bytes")]
#[derive(Clone, Copy, Default)]
pub(crate) struct ShortStr([[u8; 8]; 3]);

#[cfg(feature = "bytes")]
impl ShortStr {
    pub(crate) const MAX_LEN: usize = 23;
    /// The type of most events.
    pub(crate) const MESSAGE: Self = Self([*b"message\0", [0; 8], [0, 0, 0, 0, 0, 0, 0, 7]]);

    /// `text`, if it is short. It is had sooner where it lies in `chunk`.
    #[inline(always)]
    pub(crate) fn new(text: &str, chunk: &[u8]) -> Option<Self> {
        if text.len() > Self::MAX_LEN {
            return None;
        }
        let start = text.as_ptr().addr().wrapping_sub(chunk.as_ptr().addr());
        // What is behind the text does no harm.
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
        // SAFETY: `new` has copied them from a `str` of this length; `MESSAGE` and the default are ASCII.
        unsafe { from_utf8_unchecked(text) }
    }
}

/// The first eight bytes, or as many as there are. In a register: what is put together in memory byte by byte cannot
/// be read from there by words at once.
#[cfg(feature = "bytes")]
#[inline(always)]
fn first_word(bytes: &[u8]) -> u64 {
    if let Some(word) = bytes.first_chunk() {
        return u64::from_le_bytes(*word);
    }
    // Halves that overlap.
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let [first, last] = [u32::from_le_bytes(*first), u32::from_le_bytes(*last)];
        return u64::from(first) | u64::from(last) << (8 * (bytes.len() - 4));
    }
    bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

/// `text` as a part of `chunk`, if it lies in it.
#[cfg(feature = "bytes")]
#[inline]
pub(crate) fn share(text: &str, chunk: &Bytes) -> Option<ByteString> {
    let start = text.as_ptr().addr().wrapping_sub(chunk.as_ptr().addr());
    let end = start.checked_add(text.len()).filter(|&end| end <= chunk.len())?;
    let shared = chunk.slice(start..end);
    debug_assert_eq!(&shared, text.as_bytes());
    // SAFETY: the bytes are those of `text`, at the same address, and shared bytes do not change.
    Some(unsafe { ByteString::from_bytes_unchecked(shared) })
}

#[cfg(test)]
mod tests;
