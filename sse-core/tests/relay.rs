//! `RelayStream`: the bytes sent on are the bytes received.

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use ssekit_core::{EncodedEvent, Limits, RelayEvent, RelayStream, StreamError};
use ssekit_testkit::decode::{Form, decode};
use ssekit_testkit::{cases, cut};

fn relay(limits: Limits, chunks: &[&[u8]]) -> Vec<Result<RelayEvent, String>> {
    let chunks = chunks.iter().map(|chunk| Ok::<_, std::convert::Infallible>(Bytes::copy_from_slice(chunk)));
    let events = RelayStream::with_limits(stream::iter(chunks), limits);
    let events = events.map(|item| item.map_err(|error: StreamError<_>| error.to_string()));
    events.collect().now_or_never().unwrap()
}

/// The events as text. An error starts with `!`.
fn sent(limits: Limits, chunks: &[&[u8]]) -> Vec<String> {
    let items = relay(limits, chunks).into_iter();
    items
        .map(|item| match item {
            Ok(event) => String::from_utf8_lossy(EncodedEvent::from(event).as_bytes()).into_owned(),
            Err(error) => format!("!{error}"),
        })
        .collect()
}

#[test]
fn raw_bytes_of_all_events_join_to_the_stream_at_every_cut() {
    for case in cases::all() {
        let input = case.input.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&case.input);
        let check = |chunks: &[&[u8]]| {
            let mut all = Vec::new();
            for item in relay(Limits::NONE, chunks) {
                let event = item.unwrap();
                let (received, encoded) = (event.event().clone(), EncodedEvent::from(event));
                // Alone, the bytes are one event.
                assert_eq!(decode(Form::Growable, Limits::NONE, &[encoded.as_bytes()]).items.len(), 1, "{}", case.name);
                assert!(encoded.as_bytes().ends_with(b"\n") || encoded.as_bytes().ends_with(b"\r"), "{received:?}");
                all.extend_from_slice(encoded.as_bytes());
            }
            // An event that starts with the bytes of a byte order mark is encoded again.
            let has_other = input.windows(3).any(|bytes| bytes == b"\xEF\xBB\xBF");
            assert!(input.starts_with(&all) || has_other, "{}", case.name);
            assert_eq!(decode(Form::Growable, Limits::NONE, &[&all]).items, case.expected.items, "{}", case.name);
        };
        if input.len() < 512 {
            cut::everywhere(&case.input, check);
        } else {
            check(&[&case.input]);
            check(&case.input.chunks(1000).collect::<Vec<_>>());
        }
    }
}

#[test]
fn raw_bytes_of_event_whole_in_chunk_share_it() {
    let chunk = Bytes::from("\u{feff}:hi\ndata:what is longer than two dozen bytes\n\ndata:x\n\n");
    let chunks = stream::iter([Ok::<_, std::convert::Infallible>(chunk.clone())]);
    let events: Vec<_> = RelayStream::new(chunks).collect().now_or_never().unwrap();
    let encoded: Vec<_> = events.into_iter().map(|event| EncodedEvent::from(event.unwrap())).collect();
    assert_eq!(encoded[0].as_bytes().as_ptr(), chunk[3..].as_ptr());
    assert_eq!(encoded[1].as_bytes().as_ptr(), chunk[encoded[0].as_bytes().len() + 3..].as_ptr());
}

#[test]
fn event_after_one_over_limit_is_encoded_again() {
    let limits = Limits { data: 4, event_type: 4, last_event_id: 4 };
    let input = b"data:a\n\ndata:12345\ndata: tail\n\ndata:b\n\ndata:c\n\nid:12345\ndata:d\n\ndata:e\n\ndata:f\n\n";
    let expected = [
        "data:a\n\n",
        "!data is longer than the limit `Limits::data` of 4 bytes",
        "data: b\n\n",
        "data:c\n\n",
        "!event ID is longer than the limit `Limits::last_event_id` of 4 bytes",
        "data: e\n\n",
        "data:f\n\n",
    ];
    cut::everywhere(input, |chunks| assert_eq!(sent(limits, chunks), expected));
}

#[test]
fn event_after_too_many_comments_is_encoded_again() {
    let limits = Limits { data: 4, event_type: 4, last_event_id: 4 };
    let comments = vec![b':'; 30];
    assert_eq!(sent(limits, &[&comments, b"\ndata:a\n\ndata:b\n\n"]), ["data: a\n\n", "data:b\n\n"]);
    assert_eq!(sent(limits, &[&comments[..20], b"\ndata:a\n\n"]), ["::::::::::::::::::::\ndata:a\n\n"]);
}
