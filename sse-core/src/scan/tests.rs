//! Comparison of the scanning code with safe code that does the same.

use std::boxed::Box;
use std::vec::Vec;

use super::*;

/// Returns streams of all byte values, mostly plain, of 0 to 399 bytes.
// In boxes, so that a sanitizer sees a read after their end.
fn streams() -> impl Iterator<Item = Box<[u8]>> {
    let mut random = 1_u64;
    (0..400).map(move |len| {
        let mut byte = |_| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let [.., kind, value] = random.to_be_bytes().map(|byte| byte.rotate_left(3));
            match kind {
                0..=3 => b'\n',
                4..=6 => b'\r',
                7 => value,
                8 => 0,
                _ => 0x20 + value % 0x5F,
            }
        };
        (0..len).map(&mut byte).collect()
    })
}

fn is_plain(byte: &u8) -> bool {
    matches!(byte, 0x0E..=0x7F)
}

fn naive_marks(bytes: &[u8]) -> u64 {
    bytes.iter().take(64).enumerate().fold(0, |marks, (n, byte)| marks | u64::from(!is_plain(byte)) << n)
}

/// Splits into lines like [`Lines`], byte by byte and with checks.
fn naive_lines(chunk: &[u8]) -> (Vec<&str>, &[u8]) {
    let (mut lines, mut rest) = (Vec::new(), chunk);
    while let Some(end) = rest.iter().position(|byte| b"\r\n".contains(byte)) {
        let (line, tail) = rest.split_at(end);
        let is_id_with_nul = line.starts_with(b"id") && line.contains(&0);
        let Ok(text) = core::str::from_utf8(line) else { break };
        if tail == b"\r" || is_id_with_nul {
            break;
        }
        lines.push(text);
        rest = tail.strip_prefix(b"\r\n").unwrap_or(&tail[1..]);
    }
    (lines, rest)
}

#[test]
fn marks_of_native_and_portable_code_equal_naive_ones() {
    for stream in streams() {
        for bytes in (0..stream.len()).map(|start| &stream[start..]) {
            let Some(window) = bytes.first_chunk::<64>() else {
                assert_eq!(marks_of_few(bytes), naive_marks(bytes));
                continue;
            };
            let (native, portable) = (Window::load(window), portable::Window::load(window));
            let expected = naive_marks(bytes);
            assert_eq!((native.marks(), native.has_marks()), (expected, expected != 0));
            assert_eq!((portable.marks(), portable.has_marks()), (expected, expected != 0));
            let breaks = window.iter().rev().fold(0, |bits, byte| bits << 1 | u64::from(b"\r\n".contains(byte)));
            assert_eq!((line_breaks(window), portable::line_breaks(window)), (breaks, breaks));
        }
    }
}

#[test]
fn byte_at_any_place_is_marked_unless_plain() {
    for byte in 0..=255 {
        for place in 0..200 {
            let mut bytes = [b'x'; 200];
            bytes[place] = byte;
            let expected = if is_plain(&byte) { 200 } else { place };
            assert_eq!(plain_prefix(&bytes).len(), expected, "{byte:#x} at {place}");
            let windows = &bytes[..192];
            let found = |(start, marks): (usize, u64)| {
                if marks == 0 { start } else { start + marks.trailing_zeros() as usize }
            };
            assert_eq!(found(find_by_windows(windows)), expected.min(192), "{byte:#x} at {place}");
            assert_eq!(found(find_in_windows(windows)), expected.min(192), "{byte:#x} at {place}");
        }
    }
}

#[test]
fn lines_of_any_stream_equal_naive_ones() {
    for stream in streams() {
        for chunk in (0..stream.len()).map(|start| &stream[start..]) {
            let (expected, rest) = naive_lines(chunk);
            let mut lines = Lines::new(chunk);
            let found: Vec<_> = core::iter::from_fn(|| lines.next()).collect();
            assert_eq!((found, lines.rest()), (expected, rest));
        }
    }
}

#[cfg(feature = "bytes")]
#[test]
fn short_text_from_chunk_or_elsewhere_is_unchanged() {
    let long = "The quick brown f\u{f6}x: \u{65e5}\u{672c}\u{8a9e}, and on it goes";
    let chunk = Bytes::copy_from_slice(long.as_bytes());
    let texts = (0..long.len()).flat_map(|start| (start..=long.len()).map(move |end| start..end));
    for range in texts.filter(|range| long.is_char_boundary(range.start) && long.is_char_boundary(range.end)) {
        let text = &long[range.clone()];
        let is_short = text.len() <= ShortStr::MAX_LEN;
        // In the chunk, and in other memory.
        let in_chunk = core::str::from_utf8(&chunk[range]).unwrap_or_default();
        for text in [text, in_chunk] {
            assert_eq!(ShortStr::new(text, &chunk).as_ref().map(ShortStr::as_str), is_short.then_some(text));
        }
        assert_eq!(share(in_chunk, &chunk).as_deref(), Some(text));
        assert!(text.is_empty() || share(text, &chunk).is_none());
    }
    assert_eq!((ShortStr::MESSAGE.as_str(), ShortStr::default().as_str()), ("message", ""));
}
