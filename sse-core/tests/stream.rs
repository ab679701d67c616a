//! `EventStream`: order, errors, shared memory, end.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::stream::{self, FusedStream};
use futures_util::{Stream, StreamExt};
use ssekit_core::{DecodeError, Decoder, EventStream, Limits, ReceivedEvent, SharedStr, StreamError, event_id};

type Item = Result<&'static str, &'static str>;

fn poll<S: Stream + Unpin>(stream: &mut S) -> Poll<Option<S::Item>> {
    Pin::new(stream).poll_next(&mut Context::from_waker(Waker::noop()))
}

fn shown(item: Result<ReceivedEvent, StreamError<&str>>) -> String {
    match item {
        Ok(event) => format!("{}={}@{}", event.event_type, event.data, event.last_event_id),
        Err(error) => format!("!{error}"),
    }
}

#[test]
fn stream_after_error_continues() {
    let items: [Item; 6] = [
        Ok("data: a\n\nid: 1\nda"),
        Err("hiccup"),
        Ok("ta: b\n\n"),
        Ok(""),
        Ok("data: 123456\n\ndata: c\n\n"),
        Ok("data"),
    ];
    let mut events = EventStream::with_limits(stream::iter(items), Limits { data: 4, ..Limits::default() });
    let mut seen = Vec::new();
    while let Poll::Ready(Some(item)) = poll(&mut events) {
        seen.push(shown(item));
    }
    assert_eq!(
        seen,
        [
            "message=a@",
            "!hiccup",
            "message=b@1",
            "!data is longer than the limit `Limits::data` of 4 bytes",
            "message=c@1"
        ]
    );
    assert!(events.is_terminated());
    assert!(matches!(poll(&mut events), Poll::Ready(None)));
    assert_eq!(events.last_event_id(), "1");
}

#[test]
fn stream_over_pending_inner_stream_is_pending() {
    let chunks = stream::iter([Item::Ok("retry: 9\ndata: a\n\ndata: b\n\n")]).chain(stream::pending());
    let mut events = EventStream::new(chunks);
    assert!(matches!(poll(&mut events), Poll::Ready(Some(Ok(_)))));
    assert!(matches!(poll(&mut events), Poll::Ready(Some(Ok(_)))));
    assert!(poll(&mut events).is_pending());
    assert!(!events.is_terminated());
    assert_eq!(events.reconnection_time(), Some(std::time::Duration::from_millis(9)));
}

#[test]
fn long_text_shares_its_chunk() {
    let data = "what is longer than two dozen bytes";
    let chunk =
        Bytes::from(format!("event: t\ndata: {data}\nid: 1{data}\n\nevent: {data}\ndata: caf\u{e9} {data}\n\n"));
    let range = chunk.as_ptr_range();
    let mut events = EventStream::new(stream::iter([Ok::<_, ()>(chunk.clone())]));
    let mut next = || match poll(&mut events) {
        Poll::Ready(Some(Ok(event))) => event,
        _ => panic!("an event"),
    };
    let [first, second] = [next(), next()];
    for text in [&first.data, &second.event_type, &second.data] {
        assert!(range.contains(&text.as_ptr()), "{text:?} was copied");
    }
    assert_eq!((&*first.event_type, &*second.last_event_id), ("t", &*first.last_event_id));
    assert_eq!(Bytes::from(second.data), format!("caf\u{e9} {data}"));
}

#[test]
fn long_id_of_several_events_is_copied_once() {
    let long = "an ID that is longer than two dozen bytes";
    let chunks = [format!("id: {long}\ndata: a\n\n"), "data: b\n\ndata: c\n\n".into()];
    let mut events = EventStream::new(stream::iter(chunks.map(Ok::<_, ()>)));
    let mut ids = Vec::new();
    while let Poll::Ready(Some(Ok(event))) = poll(&mut events) {
        ids.push(event.last_event_id);
    }
    assert_eq!(ids, [long; 3]);
    assert_eq!(ids[1].as_ptr(), ids[2].as_ptr());
}

#[test]
fn pending_stream_has_dropped_its_last_chunk() {
    let chunk = Bytes::from(b"data: hello\n\n".repeat(100));
    let mut events = EventStream::new(stream::iter([Ok::<_, ()>(chunk.clone())]).chain(stream::pending()));
    while let Poll::Ready(Some(Ok(event))) = poll(&mut events) {
        assert!(!chunk.is_unique());
        drop(event);
    }
    assert!(chunk.is_unique(), "an idle stream holds its last chunk");
}

#[test]
fn decoder_in_second_stream_has_id_of_first() {
    let mut decoder = Decoder::new();
    decoder.set_last_event_id(event_id!("41")).unwrap();
    let mut events = EventStream::with_decoder(stream::iter([Item::Ok("data: a\n\nid: 42\n\ndata: lost")]), decoder);
    let Poll::Ready(Some(Ok(event))) = poll(&mut events) else { panic!("an event") };
    assert_eq!(event.last_event_id, "41");
    assert!(matches!(poll(&mut events), Poll::Ready(None)));
    let mut decoder = events.into_decoder();
    decoder.reconnect();
    let mut events = EventStream::with_decoder(stream::iter([Item::Ok("data: b\n\n")]), decoder);
    let Poll::Ready(Some(Ok(event))) = poll(&mut events) else { panic!("an event") };
    assert_eq!((&*event.data, &*event.last_event_id), ("b", "42"));
}

#[test]
fn chunks_of_every_usual_type_are_accepted() {
    fn events<B: Into<Bytes>>(chunk: B) -> usize {
        let mut events = EventStream::new(stream::iter([Ok::<B, ()>(chunk)]));
        usize::from(matches!(poll(&mut events), Poll::Ready(Some(Ok(_)))))
    }
    let bytes = b"data: x\n\n";
    assert_eq!(events(Bytes::from_static(bytes)), 1);
    assert_eq!(events(bytes::BytesMut::from(&bytes[..])), 1);
    assert_eq!(events(bytes.to_vec()), 1);
    assert_eq!(events(&bytes[..]), 1);
    assert_eq!(events("data: x\n\n"), 1);
    assert_eq!(events(String::from("data: x\n\n")), 1);
}

#[test]
fn stream_error_displays_its_cause() {
    use std::error::Error;
    let decode: StreamError<std::io::Error> = StreamError::Decode(DecodeError::DataTooLong { limit: 4 });
    assert_eq!(decode.to_string(), "data is longer than the limit `Limits::data` of 4 bytes");
    let transport = StreamError::Transport(std::io::Error::other("reset"));
    assert_eq!(transport.to_string(), "reset");
    assert!(transport.source().is_none());
}

#[test]
fn shared_str_compares_and_displays_as_str() {
    let text = SharedStr::from("abc");
    assert_eq!(text, "abc");
    assert_eq!(text.len(), 3);
    assert_eq!(format!("{text:?} {text:>5}"), "\"abc\"   abc");
    assert!(std::collections::HashSet::from([text]).contains("abc"));
}
