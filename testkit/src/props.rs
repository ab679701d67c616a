//! The bodies of the properties. Each panics if the property does not hold.
//!
//! Fuzzers call them with raw bytes, and proptest with the values of its strategies. The ordinary tests replay the corpus of
//! the fuzzers.

use bytes::{BufMut, BytesMut};
use ssekit_core::{
    BufferTooSmall, Decoder, EncodedEvent, Event, EventId, EventType, EventWriter, Limits, MessageEvent, ReceivedEvent,
    SliceWriter,
};

use crate::cut;
use crate::decode::{FORMS, Form, decode, expected, lines};
use crate::reference::{self, Dispatched, Item, ReferenceLimits};

/// Splits a fuzzer's input into chunk sizes and the rest. The first byte is the number of chunk sizes.
fn sizes_and_rest(input: &[u8]) -> (&[u8], &[u8]) {
    let Some((&count, rest)) = input.split_first() else { return (&[], &[]) };
    rest.split_at(usize::from(count % 8).min(rest.len()))
}

/// Splits off up to `N` bytes of a fuzzer's input.
fn take<const N: usize>(input: &[u8]) -> ([u8; N], &[u8]) {
    let (head, rest) = input.split_at(N.min(input.len()));
    let mut bytes = [0; N];
    bytes[..head.len()].copy_from_slice(head);
    (bytes, rest)
}

/// Any bytes, cut anywhere, decode to the result of the reference, in every form.
pub fn decodes_like_the_reference(input: &[u8]) {
    let (sizes, stream) = sizes_and_rest(input);
    check_decoding(stream, &cut::by_sizes(stream, sizes), Limits::default());
}

/// As [`decodes_like_the_reference`], with limits of a few bytes, which the input chooses.
pub fn keeps_limits(input: &[u8]) {
    let ([data, event_type, last_event_id], rest) = take::<3>(input);
    let limits = Limits {
        data: usize::from(data),
        event_type: usize::from(event_type) % 32,
        last_event_id: usize::from(last_event_id) % 32,
    };
    let (sizes, stream) = sizes_and_rest(rest);
    check_decoding(stream, &cut::by_sizes(stream, sizes), limits);
}

/// Checks each form of the decoder with `chunks`, which are the pieces of `stream`.
pub fn check_decoding(stream: &[u8], chunks: &[&[u8]], limits: Limits) {
    for form in FORMS {
        let expected = expected(form, limits, stream);
        assert_eq!(decode(form, limits, chunks), expected, "{form:?} in chunks of {:?}", sizes(chunks));
    }
    assert_eq!(lines(chunks), lines(&[stream]), "lexer in chunks of {:?}", sizes(chunks));
    if limits == Limits::default() {
        let mut decoder = Decoder::new();
        for chunk in chunks {
            let mut chunk = *chunk;
            while decoder.next_event(&mut chunk).expect("it is within the limits").is_some() {}
        }
        let (is_unfinished, expected) = (decoder.has_unfinished_event(), reference::has_unfinished_event(stream));
        assert_eq!(is_unfinished, expected, "unfinished event, in chunks of {:?}", sizes(chunks));
    }
}

fn sizes(chunks: &[&[u8]]) -> Vec<usize> {
    chunks.iter().take(20).map(|chunk| chunk.len()).collect()
}

/// An encoded event decodes to its original fields and to nothing else, with every sink. Fields that cannot be encoded are
/// refused.
pub fn round_trips(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    // 0x1F separates the fields, because it is rare in text. 0xFF is never in UTF-8.
    let mut parts = text.split('\u{1f}');
    let head = parts.next().unwrap_or_default();
    let event_type = parts.next();
    let id = parts.next();
    let comment = parts.next();
    let retry =
        parts.next().map(|digits| digits.bytes().fold(0, |n: u64, b| n.wrapping_mul(31).wrapping_add(b.into())));
    check_round_trip(Some(head), event_type, id, comment, retry);
    check_round_trip(None, event_type, id, comment, retry);
}

/// As [`round_trips`], with the fields given one by one.
pub fn check_round_trip(
    data: Option<&str>,
    event_type: Option<&str>,
    id: Option<&str>,
    comment: Option<&str>,
    retry: Option<u64>,
) {
    let mut event = Event { data: data.map(Into::into), comment: comment.map(Into::into), ..Event::new() };
    event.reconnection_time = retry.map(std::time::Duration::from_millis);
    if let Some(name) = event_type {
        match EventType::new(name) {
            Ok(name) => event.event_type = Some(name),
            Err(error) => {
                assert_eq!(Some(error.position()), name.find(['\r', '\n']));
                assert_eq!(error.byte(), name.as_bytes()[error.position()]);
            }
        }
        assert_eq!(event.event_type.is_some(), !name.contains(['\r', '\n']));
    }
    if let Some(id) = id {
        match EventId::new(id) {
            Ok(id) => event.id = Some(id),
            Err(error) => {
                assert_eq!(Some(error.position()), id.find(['\r', '\n', '\0']));
                assert_eq!(error.byte(), id.as_bytes()[error.position()]);
            }
        }
        assert_eq!(event.id.is_some(), !id.contains(['\r', '\n', '\0']));
    }
    let wire = encode_everywhere(&event);

    let decoded = reference::decode(&wire, ReferenceLimits::NONE);
    let id = event.id.as_ref().map_or("", |id| id.as_str());
    let items: Vec<_> = data
        .map(|data| {
            Item::Event(Dispatched {
                event_type: event
                    .event_type
                    .as_ref()
                    .map(|t| t.as_str())
                    .filter(|t| !t.is_empty())
                    .unwrap_or("message")
                    .to_owned(),
                data: data.replace("\r\n", "\n").replace('\r', "\n"),
                last_event_id: id.to_owned(),
            })
        })
        .into_iter()
        .collect();
    assert_eq!(decoded.items, items, "{:?}", String::from_utf8_lossy(&wire));
    assert_eq!(decoded.last_event_id, id);
    assert_eq!(decoded.reconnection_time, retry);

    let same = decode(Form::Growable, Limits::NONE, &wire.chunks(7).collect::<Vec<_>>());
    assert_eq!(same.items, items);

    // Between two other events, the event changes neither of them.
    let around = [&encode(&Event::data("before"))[..], &wire, &encode(&Event::data("after"))].concat();
    let decoded = reference::decode(&around, ReferenceLimits::NONE);
    assert_eq!(decoded.items.len(), items.len() + 2);
    let of = |data: &str, last_event_id: &str| {
        Item::Event(Dispatched {
            event_type: "message".to_owned(),
            data: data.to_owned(),
            last_event_id: last_event_id.to_owned(),
        })
    };
    assert_eq!(decoded.items.first(), Some(&of("before", "")));
    assert_eq!(decoded.items.last(), Some(&of("after", id)));

    // A decoded event can be sent again.
    if let [Item::Event(seen)] = &same.items[..] {
        let seen = MessageEvent { event_type: &seen.event_type, data: &seen.data, last_event_id: &seen.last_event_id };
        let again = Event::try_from(seen).expect("decoded values are valid");
        let again = decode(Form::Growable, Limits::NONE, &[encode(&again)]);
        assert_eq!(again.items, items);
        assert_eq!(ReceivedEvent::from(seen).as_message_event(), seen);
    }
}

fn encode(event: &Event<'_>) -> Vec<u8> {
    event.to_string().into_bytes()
}

/// Encodes into every sink, and asserts that all agree on the bytes and on the length.
fn encode_everywhere(event: &Event<'_>) -> Vec<u8> {
    let wire = encode(event);
    let len = event.encoded_len();
    assert_eq!(len, wire.len());

    let mut slice = vec![0xAA; len + 3];
    assert_eq!(event.encode_to_slice(&mut slice), Ok(len));
    assert_eq!(slice[..len], wire);
    assert_eq!(slice[len..], [0xAA; 3], "written past the event");
    let mut short = vec![0xAA; len - 1];
    assert_eq!(event.encode_to_slice(&mut short), Err(BufferTooSmall { needed: len }));

    let mut bytes = BytesMut::from(&b"kept"[..]);
    event.encode(&mut bytes).expect("it grows");
    assert_eq!(bytes[4..], wire);
    let mut exact = vec![0xAA; len];
    let mut room = &mut exact[..];
    event.encode(&mut room).expect("there is room");
    assert_eq!(room.remaining_mut(), 0);
    assert_eq!(exact, wire);
    let mut room = &mut short[..];
    assert_eq!(event.encode(&mut room), Err(BufferTooSmall { needed: len }));
    assert_eq!(room.len(), len - 1, "all or nothing");

    let mut written = Vec::new();
    event.encode_to_writer(&mut written).expect("a Vec takes all");
    assert_eq!(written, wire);

    assert_eq!(EncodedEvent::from(event).as_bytes(), wire);
    if event.data.is_some() {
        let mut buffer = vec![0; len];
        let writer = EventWriter::new(SliceWriter::new(&mut buffer), event).expect("there is room");
        assert_eq!(writer.finish().expect("there is room").written(), wire);
    }
    wire
}

/// Data that is written in pieces, cut anywhere, is encoded like data that is written at once.
pub fn pieces_are_one(input: &[u8]) {
    let (sizes, rest) = sizes_and_rest(input);
    check_pieces(&String::from_utf8_lossy(rest), sizes);
}

/// As [`pieces_are_one`], with the text and the sizes of its pieces, in characters.
pub fn check_pieces(text: &str, sizes: &[u8]) {
    let characters: Vec<char> = text.chars().collect();
    let mut sizes = sizes.iter().map(|&size| usize::from(size)).cycle();
    let head = Event::new().with_event_type(EventType::from_static("pieces"));
    let frame = EncodedEvent::write(&head, |data| {
        let mut rest = &characters[..];
        // At most as many empty pieces as characters.
        for _ in 0..2 * characters.len() {
            let (piece, tail) = rest.split_at(sizes.next().unwrap_or(1).min(rest.len()));
            data.write_str(&piece.iter().collect::<String>())?;
            rest = tail;
        }
        data.write_str(&rest.iter().collect::<String>())
    });
    let whole = encode(&head.with_data(text));
    assert_eq!(frame.expect("it grows").as_bytes(), whole);
}
