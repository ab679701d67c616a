//! Generators of strings and streams in which what matters is likely.

use proptest::collection::vec;
use proptest::prelude::*;

/// Text in which line breaks, NUL, separators that are no line breaks, byte order marks, colons, spaces and field names
/// are likely.
pub fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "\r", "\n", "\r\n", "\n\r", "\0", "\u{2028}", "\u{2029}", "\u{85}", "\u{b}", "\u{c}", "\u{feff}", ":", " ", "  ",
            "data", "data:", "data: x", "id: 1", "event: forged", "retry: 1", "\n\n", "\r\r", "é", "漢字", "😀",
        ])
        .prop_map(str::to_owned),
        2 => "[ -~]{0,12}",
        1 => any::<char>().prop_map(String::from),
        1 => any::<String>(),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// Text that may stand in an event type.
pub fn event_type() -> impl Strategy<Value = String> {
    text().prop_map(|text| text.replace(['\r', '\n'], ""))
}

/// Text that may stand in an ID.
pub fn event_id() -> impl Strategy<Value = String> {
    text().prop_map(|text| text.replace(['\r', '\n', '\0'], ""))
}

/// Bytes of an event stream: mostly lines that mean something, with what breaks decoders between them.
pub fn stream() -> impl Strategy<Value = Vec<u8>> {
    let line_end = prop::sample::select(vec![&b"\n"[..], b"\r", b"\r\n", b"\n\n", b"\r\n\r\n", b"\r\r", b""]);
    let name = prop::sample::select(vec![
        &b"data"[..],
        b"data:",
        b"data: ",
        b"event:",
        b"event: ",
        b"id:",
        b"id: ",
        b"id",
        b"retry:",
        b"retry: ",
        b":",
        b": ",
        b"dat",
        b"Data:",
        b"datax:",
        b"evil:",
        b" data:",
        b"ids:",
        b"\xEF\xBB\xBF",
        b"\xEF\xBB",
        b"",
    ]);
    let value = prop_oneof![
        3 => "[ -~]{0,9}".prop_map(String::into_bytes),
        2 => "[0-9]{0,21}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..6),
        2 => prop::sample::select(vec![
            &b"\0"[..], b"a\0b", b"\xE2\x82\xAC", b"\xE2\x82", b"\xF0\x9F\x98\x80", b"\xF0\x9F", b"\xF0\x9F\x98", b"\xC3", b"\xFF", b"\x80",
            b"\xED\xA0\x80", b"\xC0\x80", b"\xF4\x90\x80\x80", b"\xEF\xBB\xBF",
        ])
        .prop_map(<[u8]>::to_vec),
    ];
    let line =
        (name, vec(value, 0..3), line_end).prop_map(|(name, values, end)| [name, &values.concat(), end].concat());
    vec(line, 0..16).prop_map(|lines| lines.concat())
}
