//! The lines of a chunk, found 64 bytes at a time: the one place with `unsafe`.

use core::arch::x86_64::*;

use core::str::from_utf8_unchecked;

#[cfg(feature = "bytes")]
use bytes::Bytes;
#[cfg(feature = "bytes")]
use bytestring::ByteString;
use memchr::{memchr, memchr2};

/// The lines of a chunk.
///
/// Plain text is ASCII from 0x0E on: it has no line end in it, no NUL, and nothing that is not UTF-8. Nearly all of an
/// event stream is plain text between line ends. A window of 64 bytes is looked at once for all that is not plain, and
/// gives as many lines as it has, so that short ones cost no search each.
#[derive(Clone, Copy)]
pub(crate) struct Lines<'c> {
    /// What is left of the chunk.
    rest: &'c [u8],
    /// Its last bytes that have not been looked at.
    unseen: usize,
    /// The others that are not plain, as bits, the first one lowest.
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

    /// The next line, without its end. `None`, and nothing is taken, if its end is not in the chunk, or may go on in
    /// the next, or if it has a NUL in it or is not UTF-8.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Option<&'c str> {
        let (mut end, mut marks, mut unseen) = (0, self.marks, self.unseen);
        if marks == 0 {
            let start = self.rest.len() - unseen;
            (end, marks, unseen) = find(self.rest.get(start..)?)?;
            end += start;
        }
        let mark = marks.trailing_zeros() as usize;
        let (line, tail) = self.rest.split_at_checked(end + mark)?;
        marks = marks >> mark >> 1;
        match tail {
            [b'\n', tail @ ..] => *self = Self { rest: tail, unseen, marks },
            // The window may end between the two.
            [b'\r', b'\n', tail @ ..] => *self = Self { rest: tail, unseen: unseen.min(tail.len()), marks: marks >> 1 },
            [b'\r', tail @ ..] if !tail.is_empty() => *self = Self { rest: tail, unseen, marks },
            _ => {
                let (line, tail) = odd_line(self.rest, end + mark)?;
                *self = Self::new(tail);
                return Some(line);
            }
        }
        debug_assert!(line.is_ascii());
        // SAFETY: it is ASCII.
        #[allow(unsafe_code)]
        Some(unsafe { from_utf8_unchecked(line) })
    }
}

/// The first line, of which `plain` bytes are plain, and what is behind it.
#[cold]
#[inline(never)]
fn odd_line(bytes: &[u8], plain: usize) -> Option<(&str, &[u8])> {
    let (_, rest) = bytes.split_at_checked(plain)?;
    let (odd, tail) = rest.split_at(memchr2(b'\n', b'\r', rest)?);
    let tail = match tail {
        [b'\n', tail @ ..] | [b'\r', b'\n', tail @ ..] => tail,
        [b'\r', tail @ ..] if !tail.is_empty() => tail,
        _ => return None,
    };
    if bytes.starts_with(b"id") && memchr(0, odd).is_some() {
        return None;
    }
    simdutf8::basic::from_utf8(odd).ok()?;
    let line = &bytes[..plain + odd.len()];
    // SAFETY: it is ASCII, followed by what has just been found to be UTF-8.
    #[allow(unsafe_code)]
    Some((unsafe { from_utf8_unchecked(line) }, tail))
}

/// Text of up to 23 bytes, in place.
#[cfg(feature = "bytes")]
#[derive(Clone, Copy, Default)]
pub(crate) struct ShortStr([[u8; 8]; 3]);

#[cfg(feature = "bytes")]
impl ShortStr {
    const LEN_SHIFT: u32 = 56;
    /// The type of most events.
    pub(crate) const MESSAGE: Self = Self([*b"message\0", [0; 8], [0, 0, 0, 0, 0, 0, 0, 7]]);

    /// `text`, if it is short enough. It can be had faster where it lies in `chunk`.
    #[inline(always)]
    pub(crate) fn new(text: &str, chunk: &[u8]) -> Option<Self> {
        if text.len() > 23 {
            return None;
        }
        let start = text.as_ptr().addr().wrapping_sub(chunk.as_ptr().addr());
        // In whole words, so that no byte is read again before it has arrived in memory.
        let bytes = match chunk.get(start..).and_then(|tail| tail.first_chunk::<24>()) {
            Some(bytes) => &bytes[..],
            None => text.as_bytes(),
        };
        let word = |n: usize| word(bytes.get(n..).unwrap_or_default());
        let (a, b, c) = (word(0), word(8), word(16));
        let c = c & !(0xFF << Self::LEN_SHIFT) | (text.len() as u64) << Self::LEN_SHIFT;
        Some(Self([a.to_le_bytes(), b.to_le_bytes(), c.to_le_bytes()]))
    }

    #[inline]
    pub(crate) fn as_str(&self) -> &str {
        let bytes = self.0.as_flattened();
        let text = bytes.get(..usize::from(self.0[2][7])).unwrap_or_default();
        debug_assert!(core::str::from_utf8(text).is_ok());
        // SAFETY: `new` has taken them from a `str`.
        #[allow(unsafe_code)]
        unsafe {
            from_utf8_unchecked(text)
        }
    }
}

/// The first eight bytes, or as many as there are.
#[cfg(feature = "bytes")]
#[inline(always)]
fn word(bytes: &[u8]) -> u64 {
    if let Some(word) = bytes.first_chunk() {
        return u64::from_le_bytes(*word);
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let [first, last] = [first, last].map(|half| u64::from(u32::from_le_bytes(*half)));
        return first | last << (8 * (bytes.len() - 4));
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
    // SAFETY: the bytes are those of `text`, at the same place, and shared bytes do not change.
    #[allow(unsafe_code)]
    Some(unsafe { ByteString::from_bytes_unchecked(shared) })
}

/// The longest plain prefix
#[inline]
pub(crate) fn plain_prefix(bytes: &[u8]) -> &str {
    let len = find(bytes).map_or(bytes.len(), |(at, marks, _)| at + marks.trailing_zeros() as usize);
    let plain = bytes.get(..len).unwrap_or_default();
    debug_assert!(plain.is_ascii());
    // SAFETY: it is ASCII.
    #[allow(unsafe_code)]
    unsafe {
        from_utf8_unchecked(plain)
    }
}

/// The first window that has a mark: where it starts, its marks, and how many bytes are behind it.
#[inline(always)]
fn find(bytes: &[u8]) -> Option<(usize, u64, usize)> {
    let (at, marks, after) = match bytes.split_first_chunk() {
        Some((window, after)) => {
            let found = Marks64::of(window);
            if found.any() {
                return Some((0, found.bits(), after.len()));
            }
            if after.len() >= 64 {
                let (at, marks) = find_next(after);
                (64 + at, marks, after.len().saturating_sub(at + 64))
            } else if after.is_empty() {
                return None;
            } else {
                (64, marks(after), 0)
            }
        }
        None => (0, marks(bytes), 0),
    };
    if marks == 0 { None } else { Some((at, marks, after)) }
}

#[inline(always)]
fn find_next(bytes: &[u8]) -> (usize, u64) {
    #[cfg(feature = "std")]
    if std::arch::is_x86_feature_detected!("avx2") {
        #[allow(unsafe_code)]
        return unsafe { find_avx2(bytes) };
    }
    find_sse2(bytes)
}

#[target_feature(enable = "avx2")]
#[allow(unsafe_code)]
fn find_avx2(bytes: &[u8]) -> (usize, u64) {
    let mut tail = bytes;
    while let Some((window, after)) = tail.split_first_chunk::<64>() {
        let at = |n: usize| unsafe { _mm256_cmpgt_epi8(_mm256_set1_epi8(0x0E), _mm256_loadu_si256(window.as_ptr().add(n).cast())) };
        let (a, b) = (at(0), at(32));
        if _mm256_movemask_epi8(_mm256_or_si256(a, b)) != 0 {
            let bits = |v| _mm256_movemask_epi8(v) as u32 as u64;
            return (bytes.len() - tail.len(), bits(a) | bits(b) << 32);
        }
        tail = after;
    }
    (bytes.len() - tail.len(), marks(tail))
}

#[inline(never)]
fn find_sse2(bytes: &[u8]) -> (usize, u64) {
    let mut tail = bytes;
    while let Some((window, after)) = tail.split_first_chunk() {
        let marks = Marks64::of(window);
        if marks.any() {
            return (bytes.len() - tail.len(), marks.bits());
        }
        tail = after;
    }
    (bytes.len() - tail.len(), marks(tail))
}

/// Bytes less 0x0E: 0x72 and more are not plain.
#[inline(always)]
fn load(block: &[u8; 16]) -> __m128i {
    #[allow(unsafe_code)]
    unsafe {
        _mm_cmpgt_epi8(_mm_set1_epi8(0x0E), _mm_loadu_si128(block.as_ptr().cast()))
    }
}

#[inline(always)]
fn bits(vector: __m128i) -> u64 {
    #[allow(unsafe_code, unused_unsafe)]
    unsafe {
        _mm_movemask_epi8(vector) as u64
    }
}

#[inline(always)]
fn max(a: __m128i, b: __m128i) -> __m128i {
    #[allow(unsafe_code, unused_unsafe)]
    unsafe {
        _mm_or_si128(a, b)
    }
}

struct Marks64([__m128i; 4]);

impl Marks64 {
    #[inline(always)]
    fn of(window: &[u8; 64]) -> Self {
        let at = |n: usize| window[16 * n..].first_chunk().map_or(load(&[b' '; 16]), load);
        Self([at(0), at(1), at(2), at(3)])
    }

    #[inline(always)]
    fn any(&self) -> bool {
        let [a, b, c, d] = self.0;
        bits(max(max(a, b), max(c, d))) != 0
    }

    #[inline(always)]
    fn bits(&self) -> u64 {
        let [a, b, c, d] = self.0;
        bits(a) | bits(b) << 16 | bits(c) << 32 | bits(d) << 48
    }
}

/// Of less than 64 bytes.
#[inline(never)]
fn marks(bytes: &[u8]) -> u64 {
    let at = |n: usize| bytes.get(n..).and_then(|tail| tail.first_chunk()).map_or(0, |block| bits(load(block)) << n);
    let len = bytes.len();
    if len >= 32 {
        return at(0) | at(16) | at(len - 32) | at(len - 16);
    }
    if len >= 16 {
        return at(0) | at(len - 16);
    }
    // Two words that overlap.
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let marks = bits_of_words(u64::from_le_bytes(*first), u64::from_le_bytes(*last));
        return marks & 0xFF | marks >> 8 << (len - 8);
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let marks = bits_of_words(u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into());
        return marks & 0xF | (marks >> 8 & 0xF) << (len - 4);
    }
    bytes.iter().rev().fold(0, |marks, &byte| marks << 1 | u64::from((byte as i8) < 0x0E))
}

#[inline(always)]
fn bits_of_words(low: u64, high: u64) -> u64 {
    #[allow(unsafe_code, unused_unsafe)]
    unsafe {
        bits(_mm_cmpgt_epi8(_mm_set1_epi8(0x0E), _mm_set_epi64x(high as i64, low as i64)))
    }
}
