//! The encoder: exact bytes, sinks, errors.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use serde_json::value::RawValue;
use ssekit_core::{
    BufferTooSmall, EncodedEvent, Event, EventId, EventType, EventWriter, FieldName, InvalidValue, MessageEvent,
    SliceWriter, event_id, event_type,
};

#[test]
fn event_of_each_field_encodes_as_expected() {
    let retry = |time| Event::new().with_reconnection_time(time);
    for (event, wire) in [
        (Event::new(), "\n"),
        (Event::data("x"), "data: x\n\n"),
        // Empty data is data, and a line break at the end makes an empty line.
        (Event::data(""), "data: \n\n"),
        (Event::data("\n"), "data: \ndata: \n\n"),
        (Event::data("a\r"), "data: a\ndata: \n\n"),
        (Event::data("a\r\nb"), "data: a\ndata: b\n\n"),
        (Event::data("a\n\rb"), "data: a\ndata: \ndata: b\n\n"),
        (Event::data("\r\r\n\n"), "data: \ndata: \ndata: \ndata: \n\n"),
        // A leading space is kept. Line breaks of other standards are ordinary text.
        (Event::data("  x"), "data:   x\n\n"),
        (Event::data("a\u{2028}b\u{85}c\u{b}d\0"), "data: a\u{2028}b\u{85}c\u{b}d\0\n\n"),
        (Event::comment(""), ": \n\n"),
        (Event::comment("a\rdata: x"), ": a\n: data: x\n\n"),
        (Event::new().with_event_type(event_type!("")), "event: \n\n"),
        (Event::new().with_event_type(event_type!(" a:b ")), "event:  a:b \n\n"),
        (Event::new().with_id(event_id!("")), "id: \n\n"),
        (Event::new().with_id(event_id!("1-2")), "id: 1-2\n\n"),
        (retry(Duration::ZERO), "retry: 0\n\n"),
        (retry(Duration::from_millis(10)), "retry: 10\n\n"),
        (retry(Duration::from_secs(3)), "retry: 3000\n\n"),
        (retry(Duration::from_nanos(1)), "retry: 1\n\n"),
        (retry(Duration::from_millis(u64::MAX)), "retry: 18446744073709551615\n\n"),
        (retry(Duration::MAX), "retry: 18446744073709551615\n\n"),
        (
            Event {
                comment: Some("c".into()),
                event_type: Some(event_type!("t")),
                id: Some(event_id!("i")),
                reconnection_time: Some(Duration::from_millis(1)),
                data: Some("d".into()),
            },
            ": c\nevent: t\nid: i\nretry: 1\ndata: d\n\n",
        ),
    ] {
        assert_eq!(event.to_string(), wire);
        assert_eq!(event.encoded_len(), wire.len(), "{wire:?}");
    }
}

#[test]
fn value_with_line_break_is_rejected_with_its_position() {
    let shown = |error: InvalidValue| (error.field(), error.byte(), error.position(), error.to_string());
    for (value, byte, position, name) in [
        ("\n", b'\n', 0, "line feed (0x0a)"),
        ("é\r", b'\r', 2, "carriage return (0x0d)"),
        ("a\r\nb", b'\r', 1, "carriage return (0x0d)"),
    ] {
        let text = |what| format!("invalid {what}: a {name} at byte {position} is not allowed");
        assert_eq!(shown(EventType::new(value).unwrap_err()), (FieldName::Event, byte, position, text("event type")));
        assert_eq!(shown(EventId::new(value).unwrap_err()), (FieldName::Id, byte, position, text("event ID")));
    }
    assert!(EventType::new("a\0").is_ok());
    assert!(std::panic::catch_unwind(|| EventId::from_static("a\0")).is_err());
    assert!(std::panic::catch_unwind(|| EventType::from_static("a\r")).is_err());
    assert_eq!(
        EventId::try_from("a\0").unwrap_err().to_string(),
        "invalid event ID: a null character (0x00) at byte 1 is not allowed"
    );
}

#[test]
fn slice_too_small_for_event_is_an_error_with_the_length() {
    let event = Event::data("hello");
    let mut buffer = [1; 13];
    assert_eq!(event.encode_to_slice(&mut buffer[..12]), Err(BufferTooSmall { needed: 13 }));
    assert_eq!(event.encode_to_slice(&mut buffer), Ok(13));
    assert_eq!(&buffer, b"data: hello\n\n");
    assert_eq!(BufferTooSmall { needed: 13 }.to_string(), "the buffer is too small: the event needs 13 bytes");
}

/// A writer that counts calls and bytes.
#[derive(Default)]
struct CountingWriter {
    calls: usize,
    bytes: usize,
}

impl Write for CountingWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.calls += 1;
        self.bytes += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn event_of_any_size_into_writer_is_one_write() {
    for lines in [1, 10, 10_000] {
        let data = "line\n".repeat(lines);
        let event = Event::data(&data).with_event_type(event_type!("big")).with_id(event_id!("1"));
        let mut writer = CountingWriter::default();
        event.encode_to_writer(&mut writer).unwrap();
        assert_eq!((writer.calls, writer.bytes), (1, event.encoded_len()));
        // The writer can be a trait object.
        event.encode_to_writer(&mut writer as &mut dyn Write).unwrap();
        assert_eq!(writer.calls, 2);
    }
}

#[test]
fn pieces_with_crlf_cut_between_them_encode_as_in_one() {
    let written = |pieces: &[&str]| {
        let mut writer = EventWriter::new(String::new(), &Event::new()).unwrap();
        pieces.iter().try_for_each(|piece| writer.write_str(piece)).unwrap();
        writer.finish().unwrap()
    };
    assert_eq!(written(&[]), "data: \n\n");
    assert_eq!(written(&["a\r", "\nb"]), "data: a\ndata: b\n\n");
    assert_eq!(written(&["a\r", "", "\nb"]), "data: a\ndata: b\n\n");
    assert_eq!(written(&["a\r", "\n", "\nb"]), "data: a\ndata: \ndata: b\n\n");
    assert_eq!(written(&["a\r", "b", "\n"]), "data: a\ndata: b\ndata: \n\n");
    assert_eq!(written(&["a\r\n", "\nb"]), "data: a\ndata: \ndata: b\n\n");
    assert_eq!(written(&["a\r", "\r"]), "data: a\ndata: \ndata: \n\n");
    // Data in the head is the first piece.
    let mut writer = EventWriter::new(String::new(), &Event::data("a\r").with_id(event_id!("1"))).unwrap();
    writer.write_str("\nb").unwrap();
    assert_eq!(writer.finish().unwrap(), "id: 1\ndata: a\ndata: b\n\n");
    // A full sink is an error.
    let mut small = [0; 8];
    assert!(EventWriter::new(SliceWriter::new(&mut small), &Event::data("abc")).is_err());
}

/// A sink whose write number `.1` fails. Later writes succeed.
struct Failing(String, usize);

impl std::fmt::Write for Failing {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.1 -= 1;
        if self.1 == 0 {
            return Err(std::fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

#[test]
fn writer_after_failed_write_writes_nothing() {
    // Also if the failed write is the field name after a line break, no field `id` is forged.
    for fails_at in 3..9 {
        let mut sink = Failing(String::new(), fails_at);
        let mut writer = EventWriter::new(&mut sink, &Event::new()).unwrap();
        let failed = ["a", "\n", "id: 666", "\n", "b", "c"].iter().filter(|p| writer.write_str(p).is_err()).count();
        assert!(failed > 0);
        assert!(writer.finish().is_err());
        let written = sink.0;
        assert!(!written.lines().any(|line| line.starts_with("id")), "{written:?}");
    }
}

#[test]
fn json_with_line_breaks_encodes_as_lines_of_data() {
    let encoded =
        EncodedEvent::json(&Event::data("replaced").with_id(event_id!("1")), &serde_json::json!({"a": "x\r\ny"}));
    assert_eq!(encoded.unwrap().as_bytes(), b"id: 1\ndata: {\"a\":\"x\\r\\ny\"}\n\n");
    // Raw JSON can have line breaks between its tokens.
    let raw = RawValue::from_string("{\r\n\"a\":\n[1]\r}".to_owned()).unwrap();
    let encoded = EncodedEvent::json(&Event::new(), &raw).unwrap();
    assert_eq!(encoded.as_bytes(), b"data: {\ndata: \"a\":\ndata: [1]\ndata: }\n\n");
    let raw = RawValue::from_string("{\r\"id\":1}".to_owned()).unwrap();
    let encoded = EncodedEvent::json(&Event::new(), &raw).unwrap();
    assert_eq!(encoded.as_bytes(), b"data: {\ndata: \"id\":1}\n\n", "a CR alone is a line break too");
    // The value can be unsized.
    assert_eq!(EncodedEvent::json(&Event::new(), "text").unwrap().as_bytes(), b"data: \"text\"\n\n");

    struct NotToday;
    impl serde::Serialize for NotToday {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("not today"))
        }
    }
    let error = EncodedEvent::json(&Event::new(), &[NotToday]).unwrap_err();
    assert_eq!(error.to_string(), "cannot serialise the data of an event as JSON: not today");
}

#[test]
fn decoded_event_converts_to_the_same_event() {
    let event = MessageEvent { event_type: "message", data: "a\nb", last_event_id: "" };
    assert_eq!(Event::try_from(event), Ok(Event::data("a\nb")));
    let event = MessageEvent { event_type: "note", data: "", last_event_id: "7" };
    let expected = Event::data("").with_event_type(event_type!("note")).with_id(event_id!("7"));
    assert_eq!(Event::try_from(event), Ok(expected));
    let forged = MessageEvent { event_type: "a\nb", data: "", last_event_id: "" };
    assert_eq!(Event::try_from(forged).unwrap_err().position(), 1);
}

/// Encodes text line by line, by the standard library.
fn naive(text: &str, name: &str) -> String {
    let lines = text.replace("\r\n", "\n").replace('\r', "\n");
    lines.split('\n').map(|line| format!("{name}{line}\n")).collect()
}

/// Compares every sink with [`naive`], and with `every_length` also slices that are too short.
fn check(text: &str, every_length: bool) {
    let bytes = bytes::BytesMut::new;
    for (event, wire) in [
        (Event::data(text), naive(text, "data: ") + "\n"),
        (Event::comment(text).with_id(event_id!("7")), naive(text, ": ") + "id: 7\n\n"),
    ] {
        let needed = wire.len();
        assert_eq!(event.encoded_len(), needed, "{text:?}");
        let mut slice = vec![0xAA; needed + 70];
        assert_eq!(event.encode_to_slice(&mut slice), Ok(needed), "{text:?}");
        assert_eq!(slice[..needed], *wire.as_bytes(), "{text:?}");
        let mut slice = vec![0xAA; needed];
        assert_eq!(event.encode_to_slice(&mut slice), Ok(needed), "{text:?}");
        assert_eq!(slice, wire.as_bytes());
        for short in if every_length { 0..needed } else { needed - 1..needed } {
            assert_eq!(event.encode_to_slice(&mut slice[..short]), Err(BufferTooSmall { needed }), "{text:?}");
            let mut room = &mut slice[..short];
            assert_eq!(event.encode(&mut room), Err(BufferTooSmall { needed }), "{text:?}");
            assert_eq!(room.len(), short);
        }
        let mut buffer = bytes();
        event.encode(&mut buffer).unwrap();
        assert_eq!(buffer, wire);
        let mut room = &mut slice[..];
        event.encode(&mut room).unwrap();
        assert!(room.is_empty());
        assert_eq!(slice, wire.as_bytes());
        assert_eq!(EncodedEvent::from(&event).as_bytes(), wire.as_bytes());
        assert_eq!(event.to_string(), wire);
        let mut writer = Vec::new();
        event.encode_to_writer(&mut writer).unwrap();
        assert_eq!(writer, wire.as_bytes());
    }
}

#[test]
fn text_with_line_break_anywhere_encodes_as_expected() {
    for len in 0..=200 {
        let text = "x".repeat(len);
        check(&text, true);
        for line_break in ["\n", "\r", "\r\n", "\n\r", "\n\n", "\r\r\n"] {
            for at in 0..=len {
                check(&format!("{}{line_break}{}", &text[..at], &text[at..]), at % 16 == len % 16);
            }
        }
    }
}

#[test]
fn text_with_line_breaks_at_any_distance_encodes_as_expected() {
    for len in [1, 63, 64, 65, 127, 128, 129, 300, 2047, 2048, 2049, 2111, 2112, 2113, 5000, 9000] {
        for distance in 1..140 {
            for line_break in ["\n", "\r", "\r\n"] {
                let line = "x".repeat(distance) + line_break;
                let text: String = line.chars().cycle().take(len).collect();
                check(&text, false);
                check(&("y".repeat(5000 - distance) + &text), false);
            }
        }
    }
}

#[test]
fn text_of_only_line_breaks_encodes_as_expected() {
    for line_break in ["\n", "\r", "\r\n", "\n\r"] {
        for count in 0..200 {
            check(&line_break.repeat(count), count % 8 == 0);
            check(&("\n".to_owned() + &line_break.repeat(count)), false);
        }
    }
}
