//! `EventStream`: order, errors, sharing, the end.

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
fn errors_are_items_and_end_nothing() {
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
    assert_eq!(seen, ["message=a@", "!hiccup", "message=b@1", "!data is longer than 4 bytes", "message=c@1"]);
    assert!(events.is_terminated());
    assert!(matches!(poll(&mut events), Poll::Ready(None)));
    assert_eq!(events.last_event_id(), "1");
}

#[test]
fn it_is_pending_when_the_inner_stream_is() {
    let chunks = stream::iter([Item::Ok("retry: 9\ndata: a\n\ndata: b\n\n")]).chain(stream::pending());
    let mut events = EventStream::new(chunks);
    assert!(matches!(poll(&mut events), Poll::Ready(Some(Ok(_)))));
    assert!(matches!(poll(&mut events), Poll::Ready(Some(Ok(_)))));
    assert!(poll(&mut events).is_pending());
    assert!(!events.is_terminated());
    assert_eq!(events.reconnection_time(), Some(std::time::Duration::from_millis(9)));
}

#[test]
fn events_share_their_chunk() {
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
fn a_long_id_is_copied_once_for_all_events_that_have_it() {
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
fn a_chunk_is_let_go_before_the_next_is_waited_for() {
    let chunk = Bytes::from(b"data: hello\n\n".repeat(100));
    let mut events = EventStream::new(stream::iter([Ok::<_, ()>(chunk.clone())]).chain(stream::pending()));
    while let Poll::Ready(Some(Ok(event))) = poll(&mut events) {
        assert!(!chunk.is_unique());
        drop(event);
    }
    assert!(chunk.is_unique(), "an idle stream holds its last chunk");
}

#[test]
fn a_decoder_carries_over_to_the_next_connection() {
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
fn every_usual_kind_of_chunk_is_taken() {
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
fn errors_name_their_source() {
    use std::error::Error;
    let decode: StreamError<std::io::Error> = StreamError::Decode(DecodeError::DataTooLong { limit: 4 });
    assert_eq!(decode.to_string(), "data is longer than 4 bytes");
    let transport = StreamError::Transport(std::io::Error::other("reset"));
    assert_eq!(transport.to_string(), "reset");
    assert!(transport.source().is_none());
}

#[test]
fn a_shared_str_is_a_str() {
    let text = SharedStr::from("abc");
    assert_eq!(text, "abc");
    assert_eq!(text.len(), 3);
    assert_eq!(format!("{text:?} {text:>5}"), "\"abc\"   abc");
    assert!(std::collections::HashSet::from([text]).contains("abc"));
}
