//! The content of streams, however it is cut into chunks.

use std::io::Write;

use ssekit_client::EventSource;

use crate::server::{Act, CHUNKED, STREAM, Server, chunk, write};
use crate::{all_of, get, items, items_with};

const BODY: &str =
    "\u{feff}: hello\r\nevent: greeting\r\ndata: a\u{1f980}\r\ndata\r\nid: 1\r\n\r\nretry: 1\n\nid: \u{fc}\rdata:b\r\r";

const EVENTS: &str = "greeting|a\u{1f980}\n|1\nmessage|b|\u{fc}\n";

#[tokio::test]
async fn events_do_not_depend_on_how_bytes_arrive() {
    let expected = format!("open\n{EVENTS}retry: stream ended\nend: NoContent\n");
    assert_eq!(items(vec![vec![write([STREAM, BODY].concat())]]).await, expected);
    assert_eq!(items(vec![vec![Act::Trickle([STREAM, BODY].concat().into_bytes())]]).await, expected);
    let mut pieces = vec![write(CHUNKED)];
    pieces.extend(BODY.as_bytes().chunks(1).map(chunk));
    pieces.push(write("0\r\n\r\n"));
    assert_eq!(items(vec![pieces]).await, expected);
}

#[tokio::test]
async fn unfinished_event_is_dropped_and_not_joined_with_the_next_connection() {
    let first = vec![write(STREAM), write("id: 1\ndata: a\n\nid: 2\ndata: unfin")];
    let second = vec![write(STREAM), write("ished\n\ndata: b\n\n")];
    assert_eq!(
        items(vec![first, second]).await,
        "open\nmessage|a|1\nretry: stream was cut off\nopen\nmessage|b|1\nretry: stream ended\nend: NoContent\n"
    );
}

#[tokio::test]
async fn event_is_returned_before_the_server_writes_the_next() {
    let acts = (1..=20).flat_map(|n| [chunk(format!("data: {n}\n\n")), Act::Seen(n + 1)]);
    let acts = [write(CHUNKED)].into_iter().chain([Act::Seen(1)]).chain(acts).chain([write("0\r\n\r\n")]);
    let seen = items(vec![acts.collect()]).await;
    assert_eq!(seen.lines().count(), 23, "{seen}");
}

#[tokio::test]
async fn comments_are_returned_in_order_if_enabled() {
    let body = ":one\n: two\ndata: a\n:three\n\n:\n\n:f\u{fc}nf\r\n:cut";
    let expected = "open\n#one\n# two\n#three\nmessage|a|\n#\n#f\u{fc}nf\nretry: stream was cut off\nend: NoContent\n";
    let whole = vec![write([STREAM, body].concat())];
    assert_eq!(items_with(vec![whole.clone()], |source| source.with_comments()).await, expected);
    let mut pieces = vec![write(CHUNKED)];
    pieces.extend(body.as_bytes().chunks(1).map(chunk));
    pieces.push(write("0\r\n\r\n"));
    assert_eq!(items_with(vec![pieces], |source| source.with_comments()).await, expected);
    assert_eq!(items(vec![whole]).await, "open\nmessage|a|\nretry: stream was cut off\nend: NoContent\n");
    // A comment that is cut off is not joined with the next connection.
    let again = vec![vec![write(STREAM), write(":a")], vec![write(STREAM), write("b\n:c\n")]];
    let seen = items_with(again, |source| source.with_comments()).await;
    assert_eq!(seen.matches('#').count(), 1, "{seen}");
    assert!(seen.contains("\n#c\n"), "{seen}");
}

#[tokio::test]
async fn event_over_a_limit_is_an_error_before_its_end_and_the_stream_continues() {
    let limits = ssekit_core::Limits { data: 8, ..ssekit_core::Limits::default() };
    // A line whose end the server delays.
    let mut acts = vec![write(STREAM), write("id: 1\ndata: fits\n\nid: 2\ndata: ")];
    acts.extend(std::iter::repeat_n(write("x".repeat(1000)), 20));
    acts.push(Act::Seen(3));
    acts.extend(std::iter::repeat_n(write("x".repeat(1000)), 20));
    acts.push(write("\n\ndata: again\n\n:too long a comment\ndata: too\n\n"));
    assert_eq!(
        items_with(vec![acts], |source| source.with_limits(limits).with_comments()).await,
        "open\nmessage|fits|1\ncontinue: event was dropped: data is longer than the limit `Limits::data` of 8 bytes\nmessage|again|1\n\
         continue: comment was dropped: it is longer than 8 bytes\nmessage|too|1\nretry: stream ended\nend: NoContent\n"
    );
}

#[tokio::test]
async fn event_in_many_chunks_is_returned_whole() {
    let long = "\u{6f22}".repeat(1 << 20);
    let server = Server::start(vec![vec![write(STREAM), write(format!("data: {long}\n\n"))]]).await;
    let mut source = get(&server).build().unwrap();
    assert_eq!(source.next_event().await.unwrap().unwrap().data, &*long);
}

/// Compresses the parts, with a flush after each.
fn compressed(encoding: &str, parts: &[&str]) -> Vec<Vec<u8>> {
    fn flushed<W: Write>(mut encoder: W, parts: &[&str], taken: impl Fn(&mut W) -> Vec<u8>) -> Vec<Vec<u8>> {
        let pieces = parts.iter().map(|part| {
            encoder.write_all(part.as_bytes()).unwrap();
            encoder.flush().unwrap();
            taken(&mut encoder)
        });
        pieces.collect()
    }
    match encoding {
        "gzip" => {
            let encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            flushed(encoder, parts, |encoder| std::mem::take(encoder.get_mut()))
        }
        "deflate" => {
            let encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            flushed(encoder, parts, |encoder| std::mem::take(encoder.get_mut()))
        }
        "br" => {
            let encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 20);
            let mut done = 0;
            let pieces = flushed(encoder, parts, |encoder| encoder.get_ref().clone());
            let new = pieces.into_iter().map(|all| {
                let piece = all[done..].to_vec();
                done = all.len();
                piece
            });
            new.collect()
        }
        _ => {
            let encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
            flushed(encoder, parts, |encoder| std::mem::take(encoder.get_mut()))
        }
    }
}

#[tokio::test]
async fn compressed_event_is_returned_when_it_is_flushed() {
    for encoding in ["gzip", "deflate", "br", "zstd"] {
        let pieces = compressed(encoding, &["id: 1\ndata: a\n\n", "data: b\n\n"]);
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: {encoding}\r\n\
             transfer-encoding: chunked\r\n\r\n"
        );
        let acts = vec![write(head), chunk(&pieces[0]), Act::Seen(2), chunk(&pieces[1]), Act::Seen(3)];
        let server = Server::start(vec![acts]).await;
        let mut source = get(&server).build().unwrap();
        let seen = all_of(&mut source, &server).await;
        assert!(seen.starts_with("open\nmessage|a|1\nmessage|b|1\nretry: "), "{encoding}: {seen}");
        let accepted = server.requests()[0].header("accept-encoding").concat();
        assert!(String::from_utf8(accepted).unwrap().contains(encoding), "the request accepts {encoding}");
    }
}

#[tokio::test]
async fn unknown_content_encoding_is_a_final_error() {
    for (fields, said) in [
        ("content-encoding: compress\r\n", "compress"),
        ("content-encoding: identity\r\ncontent-encoding: gzip\r\n", "identity, gzip"),
    ] {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n{fields}\r\n");
        assert_eq!(
            items(vec![vec![write(head), write("\u{1}\u{2}")]]).await,
            format!("failed: response has content encoding {said:?}, which the client cannot decode\nend: Failed\n")
        );
    }
}

#[tokio::test]
async fn body_with_a_wrong_content_encoding_is_retried() {
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\nconnection: close\r\n\r\n";
    let seen = items(vec![vec![write(head), write("data: plain\n\n")]]).await;
    assert_eq!(seen, "open\nretry: stream was cut off\nend: NoContent\n");
}

#[tokio::test]
async fn json_error_names_the_event() {
    #[derive(serde::Deserialize)]
    struct Token<'a> {
        text: &'a str,
    }
    let body = "data: {\"text\":\"Hi\"}\n\nevent: odd\nid: 7\ndata: {\"text\":1}\n\n";
    let server = Server::start(vec![vec![write(STREAM), write(body)]]).await;
    let mut source: EventSource = get(&server).build().unwrap();
    let event = source.next_event().await.unwrap().unwrap();
    assert_eq!(event.json::<Token<'_>>().unwrap().text, "Hi");
    let event = source.next_event().await.unwrap().unwrap();
    let error = event.json::<Token<'_>>().err().unwrap();
    assert!(
        error.to_string().starts_with("cannot read the data of event \"odd\" with ID \"7\" as JSON: invalid type"),
        "{error}"
    );
    // The error concerns the data only: the source has not failed.
    assert_eq!(source.next_event().await.unwrap(), None);
    assert!(!matches!(source.end_reason(), Some(ssekit_client::EndReason::Failed)));
}
