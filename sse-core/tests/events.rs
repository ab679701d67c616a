//! Events that borrow or own their text, and the ways to send a value.

use std::borrow::Cow;

use proptest::prelude::*;
use serde::Serialize;
use serde_json::value::RawValue;
use ssekit_core::{
    BoxError, Decoder, EncodedEvent, Event, EventBuffer, EventChunk, EventId, EventType, IntoEvent, IntoEventId,
    JsonData, MessageEvent, ReceivedEvent, SharedStr, event_id, event_type,
};

/// Borrows its data and takes an integer ID. It compiles only if the impls for integers do not need `'static`.
fn lend(text: &str, id: u64) -> Event<'_> {
    Event::data(text).with_id(id)
}

#[test]
fn event_from_closure_owns_its_text() {
    let events = (1..=2).map(|n| Event::data(n.to_string()).with_id(n));
    let text: String = events.map(|event| event.to_string()).collect();
    assert_eq!(text, "id: 1\ndata: 1\n\nid: 2\ndata: 2\n\n");
}

#[allow(clippy::needless_borrows_for_generic_args, reason = "the test is about the borrowed kinds")]
#[test]
fn text_of_every_kind_encodes_the_same() {
    let (owned, received) = (String::from("a\nb"), SharedStr::from("a\nb"));
    let events = [
        Event::data("a\nb"),
        Event::data(&owned),
        Event::data("a\nb"),
        Event::data(Cow::Borrowed("a\nb")),
        Event::data(owned.clone().into_boxed_str()).into_owned(),
        Event::data(owned.clone()),
        Event::data(owned.clone().into_boxed_str()),
        Event::data(Cow::Borrowed("a\nb")),
        Event::data(Cow::Owned::<str>(owned.clone())),
        Event::data(&received),
        Event::data(received.clone()),
        Event::data("a\nb").into_owned(),
    ];
    for event in &events {
        assert_eq!(event, &events[0]);
        assert_eq!(event.to_string(), "data: a\ndata: b\n\n");
    }
    assert_eq!(lend("x", 7).to_string(), "id: 7\ndata: x\n\n");
}

#[test]
fn integers_of_every_type_are_ids() {
    fn id<'a>(id: impl IntoEventId<'a>) -> String {
        id.into_event_id().to_string()
    }
    assert_eq!([id(7), id(-7), id(7_u8), id(7_u16), id(7_u32), id(7_usize)], ["7", "-7", "7", "7", "7", "7"]);
    assert_eq!([id(-1_i8), id(-1_i16), id(-1_isize)], ["-1"; 3]);
    assert_eq!((id(u64::MAX), id(i64::MIN)), (u64::MAX.to_string(), i64::MIN.to_string()));
    let checked = EventId::new(String::from("a-1")).unwrap();
    assert_eq!((id(&checked), id(checked.clone()), id(event_id!("b"))), ("a-1".into(), "a-1".into(), "b".into()));
}

#[test]
fn invalid_text_is_rejected_whether_borrowed_or_owned() {
    assert_eq!(EventId::new("a\n").unwrap_err().position(), 1);
    assert_eq!(EventId::new(String::from("a\n")).unwrap_err().position(), 1);
    assert_eq!(EventType::new(Cow::Owned::<str>("\r".into())).unwrap_err().position(), 0);
    assert_eq!(EventType::try_from(String::from("ok")).unwrap(), "ok");
}

#[test]
fn value_of_every_kind_converts_to_the_same_bytes() {
    fn sent(event: impl IntoEvent) -> Result<String, String> {
        let event = event.into_event().map_err(|error| error.to_string())?;
        Ok(String::from_utf8(event.as_bytes().to_vec()).unwrap())
    }
    let (event, encoded) = (Event::data("x"), EncodedEvent::from(Event::data("x")));
    let message = MessageEvent { event_type: "message", data: "x", last_event_id: "" };
    let received = ReceivedEvent::from(message);
    for result in [
        sent(&event),
        sent(event.clone()),
        sent(&encoded),
        sent(encoded.clone()),
        sent(message),
        sent(&received),
        sent(received.clone()),
        sent(Ok::<_, BoxError>(event)),
        sent(Ok::<_, String>(Ok::<_, std::convert::Infallible>(encoded))),
    ] {
        assert_eq!(result.as_deref(), Ok("data: x\n\n"));
    }
    assert_eq!(sent(JsonData((1, "a"))), Ok("data: [1,\"a\"]\n\n".into()));
    assert_eq!(sent(Err::<Event<'_>, _>("the source is gone")), Err("the source is gone".into()));
    let forged = MessageEvent { event_type: "a\nb", ..message };
    assert!(sent(forged).unwrap_err().starts_with("invalid event type"));
}

/// A chunk with limited room. Events that do not fit go to a list.
struct Small {
    room: Vec<u8>,
    used: usize,
    apart: Vec<EncodedEvent>,
}

impl EventBuffer for Small {
    fn push(&mut self, event: EncodedEvent) {
        self.apart.push(event);
    }

    fn room(&mut self) -> &mut [u8] {
        &mut self.room[self.used..]
    }

    fn advance(&mut self, len: usize) {
        self.used += len;
    }
}

/// A value that panics if it is serialised twice.
struct Once(std::cell::Cell<u32>, Box<RawValue>);

impl Serialize for Once {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert_eq!(self.0.replace(1), 0, "serialised twice");
        self.1.serialize(serializer)
    }
}

#[test]
fn json_in_a_chunk_of_any_size_is_serialised_once_and_whole() {
    for (json, head) in [
        ("[1,2,3]", Event::new()),
        ("{\"a\":\n1}", Event::new()),
        ("[1]", Event::new().with_event_type(event_type!("point")).with_id(7)),
        ("[1]", Event::comment("a\nb")),
        ("[\r\n]", Event::data("ignored").with_id(1)),
    ] {
        let raw = RawValue::from_string(json.to_owned()).unwrap();
        let expected = Event { data: Some(json.into()), ..head.clone() }.to_string();
        for room in 0..expected.len() + 3 {
            let mut small = Small { room: vec![0; room], used: 0, apart: Vec::new() };
            let value = Once(std::cell::Cell::new(0), raw.clone());
            EventChunk::new(&mut small).encode_json(&head, &value).unwrap();
            let written = match &small.apart[..] {
                [] => &small.room[..small.used],
                [event] if small.used == 0 => event.as_bytes(),
                _ => panic!("the event was written in two places"),
            };
            assert_eq!(String::from_utf8_lossy(written), expected, "{room}");
            let is_plain = !json.contains(['\r', '\n']) && head.comment.is_none();
            assert_eq!(small.apart.is_empty(), is_plain && room >= expected.len(), "{room}");
        }
    }
}

#[test]
fn json_that_cannot_be_serialised_leaves_the_chunk_unchanged() {
    struct NotToday;
    impl Serialize for NotToday {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("not today"))
        }
    }
    let mut small = Small { room: vec![0; 100], used: 0, apart: Vec::new() };
    let error = JsonData(("half", NotToday)).encode_into(&mut EventChunk::new(&mut small)).unwrap_err();
    assert_eq!(error.to_string(), "cannot serialise the data of an event as JSON: not today");
    assert_eq!((small.used, small.apart.len()), (0, 0));
}

#[test]
fn comment_with_line_breaks_beside_json_stays_a_comment() {
    let event = EncodedEvent::json(&Event::comment("a\nevent: forged"), &1).unwrap();
    assert_eq!(event.as_bytes(), b": a\n: event: forged\ndata: 1\n\n");
}

proptest! {
    #[test]
    fn owned_event_decodes_as_the_borrowed_one(data: String, event_type: String, id: u64, comment: Option<String>) {
        let mut event = Event::data(&data).with_id(id);
        event.comment = comment.as_deref().map(Into::into);
        if let Ok(event_type) = EventType::new(&event_type) {
            event.event_type = Some(event_type);
        }
        let owned = event.clone().into_owned();
        prop_assert_eq!(&owned, &event);
        let bytes = owned.to_string();
        let mut rest = bytes.as_bytes();
        let mut decoder = Decoder::new();
        let decoded = decoder.next_event(&mut rest).unwrap().unwrap();
        prop_assert_eq!(decoded.last_event_id, id.to_string());
        prop_assert_eq!(decoded.data, data.replace("\r\n", "\n").replace('\r', "\n"));
    }
}
