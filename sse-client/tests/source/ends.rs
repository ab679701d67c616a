//! The ends of an event source.

use std::time::Duration;

use futures_util::FutureExt;
use ssekit_client::{EndReason, EventSource, Failure, ReadyState};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::server::{Act, CHUNKED, SOON, STREAM, Server, chunk, read_request, status, write};
use crate::{all_of, get, items, items_with, next, next_error};

#[tokio::test]
async fn other_status_is_a_final_error_with_status_headers_and_body() {
    for line in [
        "201 Created",
        "206 Partial Content",
        "300 Multiple Choices",
        "304 Not Modified",
        "400 Bad Request",
        "401 Unauthorized",
        "404 Not Found",
        "429 Too Many Requests",
        "500 Internal Server Error",
        "503 Service Unavailable",
    ] {
        // Even if the body is an event stream. 304 has no body.
        let body = if line.starts_with("304") { "" } else { "data: {\"error\":\"no\"}\n\n" };
        let answer = status(line, "content-type: text/event-stream\r\nx-request-id: 7\r\n", body);
        let server = Server::start(vec![vec![answer]]).await;
        let mut source = get(&server).build().unwrap();
        let error = next_error(&mut source).await;
        let code = line[..3].parse().unwrap();
        assert_eq!(error.failure(), &Failure::Status { status: code, body: body.as_bytes().to_vec() });
        assert_eq!((error.status(), error.body()), (Some(code), Some(body.as_bytes())));
        assert_eq!(error.headers().unwrap()["x-request-id"], "7");
        assert!(error.is_final() && error.retry_delay().is_none());
        assert_eq!((source.ready_state(), source.end_reason()), (ReadyState::Closed, Some(EndReason::Failed)));
        assert_eq!(all_of(&mut source, &server).await, "end: Failed\n");
        assert_eq!(server.requests().len(), 1, "{line}");
    }
}

#[tokio::test]
async fn comments_are_returned_from_event_streams_only() {
    let page = vec![status("404 Not Found", "", ":not a comment\n")];
    let given_404 = items_with(vec![page], |source| source.with_comments()).await;
    assert_eq!(given_404, "failed: server answered with status 404: \":not a comment\"\nend: Failed\n");
    let elsewhere = vec![status("307 Temporary Redirect", "location: /b\r\n", ":nor here\n")];
    let stream = vec![write(STREAM), write(":here\n")];
    let seen = items_with(vec![elsewhere, stream], |source| source.with_comments()).await;
    assert!(seen.starts_with("open\n#here\n"), "{seen}");
}

#[tokio::test]
async fn body_of_a_refusal_is_read_up_to_its_limit() {
    let head = write("HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\n");
    let server = Server::start(vec![vec![head, chunk("x".repeat(5000)), chunk("y".repeat(100_000)), Act::Hold]]).await;
    let error = next_error(&mut get(&server).build().unwrap()).await;
    let body = error.body().unwrap();
    assert_eq!((body.len(), &body[4999..5001]), (8192, &b"xy"[..]));
    // A body that is cut off is returned as far as it was received.
    let head = write("HTTP/1.1 500 No\r\ncontent-length: 100\r\n\r\nnot all");
    let server = Server::start(vec![vec![head]]).await;
    let error = next_error(&mut get(&server).build().unwrap()).await;
    assert_eq!(error.failure(), &Failure::Status { status: 500, body: b"not all".to_vec() });
}

#[tokio::test]
async fn response_without_the_content_type_is_a_final_error() {
    for (content_type, is_accepted) in [
        ("content-type: text/event-stream\r\n", true),
        ("content-type: text/event-stream; charset=utf-8\r\n", true),
        ("content-type: TEXT/Event-Stream;charset=latin1\r\n", true),
        ("content-type: text/event-stream;\r\n", true),
        ("content-type: text/event-stream \t;\r\n", true),
        ("content-type: text/event-stream-foo\r\n", false),
        ("content-type: text/html\r\ncontent-type: text/event-stream\r\n", true),
        ("content-type: text/event-stream, text/html\r\n", false),
        ("content-type: text/plain\r\n", false),
        ("content-type: application/json\r\n", false),
        ("content-type:\r\n", false),
        ("", false),
    ] {
        let server = Server::start(vec![vec![status("200 OK", content_type, "data: a\n\n")]]).await;
        let mut source = get(&server).build().unwrap();
        if is_accepted {
            let expected = "open\nmessage|a|\nretry: stream ended\nend: NoContent\n";
            assert_eq!(all_of(&mut source, &server).await, expected, "{content_type}");
            continue;
        }
        let error = next_error(&mut source).await;
        let value = content_type.trim().strip_prefix("content-type:").map(|value| value.trim().to_owned());
        let body = b"data: a\n\n".to_vec();
        assert_eq!(error.failure(), &Failure::ContentType { content_type: value, body });
        assert!(error.is_final() && error.headers().is_some());
        assert_eq!(all_of(&mut source, &server).await, "end: Failed\n");
    }
}

#[tokio::test]
async fn last_of_several_content_types_decides() {
    let both = "content-type: text/event-stream\r\ncontent-type: text/html\r\n";
    let seen = items(vec![vec![status("200 OK", both, "data: a\n\n")]]).await;
    let said = r#"response has content type "text/event-stream, text/html", expected text/event-stream: "data: a""#;
    assert_eq!(seen, format!("failed: {said}\nend: Failed\n"));
}

#[tokio::test]
async fn status_204_ends_the_source_for_ever() {
    let server = Server::start(vec![]).await;
    let mut source = get(&server).build().unwrap();
    assert_eq!(source.ready_state(), ReadyState::Connecting);
    assert_eq!(all_of(&mut source, &server).await, "end: NoContent\n");
    assert_eq!((source.ready_state(), source.end_reason()), (ReadyState::Closed, Some(EndReason::NoContent)));
    // A restart does not change that.
    source.restart();
    assert!(source.next().await.is_none());
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn single_response_ends_at_its_marker_or_with_the_body() {
    let tokens = "data: {\"token\":1}\n\n";
    let done = [tokens, "data: [DONE]\n\n", "data: no more\n\n"].concat();
    assert_eq!(
        items_with(vec![vec![write(CHUNKED), chunk(&done), Act::Hold]], |source| source.with_single_response()).await,
        "open\nmessage|{\"token\":1}|\nend: Done\n"
    );
    let closed = vec![write(CHUNKED), chunk(tokens), write("0\r\n\r\n")];
    assert_eq!(
        items_with(vec![closed], |source| source.with_single_response()).await,
        "open\nmessage|{\"token\":1}|\nend: StreamEnd\n"
    );
    let other = vec![write(STREAM), write("data: [DONE]\n\ndata: bye\n\n")];
    assert_eq!(
        items_with(vec![other], |source| source.with_single_response_until(|event| event.data == "bye")).await,
        "open\nmessage|[DONE]|\nend: Done\n"
    );
    let cut = vec![write(STREAM), write(tokens)];
    assert_eq!(
        items_with(vec![cut], |source| source.with_single_response_until(|event| event.data == "bye")).await,
        "open\nmessage|{\"token\":1}|\nfailed: stream ended\nend: Failed\n"
    );
    let cut = vec![write(STREAM), write(tokens), write("data: unfin")];
    assert_eq!(
        items_with(vec![cut], |source| source.with_single_response()).await,
        "open\nmessage|{\"token\":1}|\nfailed: stream was cut off\nend: Failed\n"
    );
    // Everything after the end marker is ignored, comments too.
    let more = vec![write(STREAM), write("data: [DONE]\n\n:more\n")];
    let commented = items_with(vec![more], |source| source.with_single_response().with_comments()).await;
    assert_eq!(commented, "open\nend: Done\n");
    // In other streams it is an event like any other.
    let seen = items(vec![vec![write(STREAM), write(done)]]).await;
    assert!(seen.contains("\nmessage|[DONE]|\nmessage|no more|\nretry: "), "{seen}");
}

#[tokio::test]
async fn single_response_is_not_requested_twice() {
    // A response that is cut off is an error, because it is not complete.
    let cut = vec![write(CHUNKED), chunk("data: 1\n\n")];
    assert_eq!(
        items_with(vec![cut], |source| source.with_single_response()).await,
        "open\nmessage|1|\nfailed: stream was cut off\nend: Failed\n"
    );
    // Failures before the response are retried only if a policy is set.
    let busy = || vec![status("503 Service Unavailable", "", "")];
    let stream = || vec![write(STREAM), write("data: 1\n\n")];
    let server = Server::start(vec![busy(), stream()]).await;
    let mut source = EventSource::post(server.url("/")).with_single_response().build().unwrap();
    let seen = all_of(&mut source, &server).await;
    assert_eq!(seen, "failed: server answered with status 503\nend: Failed\n");
    let policy = crate::eager().with_retry_if(Failure::is_transient);
    let seen =
        items_with(vec![busy(), stream(), stream()], |source| source.with_single_response().with_retry_policy(policy))
            .await;
    assert_eq!(seen, "retry: server answered with status 503\nopen\nmessage|1|\nend: StreamEnd\n");
}

#[tokio::test]
async fn dropped_source_closes_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    // The source is dropped while it connects, and while it is open.
    for is_open in [false, true] {
        let mut source = EventSource::get(&url).build().unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await.unwrap();
            if is_open {
                stream.write_all(STREAM.as_bytes()).await.unwrap();
            }
            stream
        };
        let mut stream = if is_open {
            let (stream, item) = tokio::join!(server, next(&mut source));
            item.unwrap();
            assert_eq!(source.ready_state(), ReadyState::Open);
            stream
        } else {
            tokio::select! {
                stream = server => stream,
                _ = source.next() => panic!("there is no answer"),
            }
        };
        drop(source);
        assert_eq!(timeout(SOON, stream.read(&mut [0])).await.unwrap().unwrap_or_default(), 0);
    }
}

/// The source does not wait for the end of the body, and does not keep the connection.
#[tokio::test]
async fn connection_of_a_server_that_floods_after_the_end_is_closed() {
    let stream = format!("{STREAM}data: [DONE]\n\n");
    let answers = [
        (stream.as_str(), "open\nend: Done\n"),
        ("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n", "failed"),
        ("HTTP/1.1 500 No\r\n\r\n", "failed"),
        ("HTTP/1.1 307 No\r\nlocation: ftp://localhost/\r\n\r\n", "failed"),
    ];
    for (answer, expected) in answers {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let answer = answer.to_owned();
        let flood = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            while stream.write_all(&[b':'; 1 << 16]).await.is_ok() {}
        });
        let mut source = EventSource::get(url).with_single_response().build().unwrap();
        let mut seen = String::new();
        while let Some(item) = timeout(SOON, source.next()).await.expect("it ends in time") {
            seen += &crate::line(&item);
            seen += "\n";
        }
        seen += &format!("end: {:?}\n", source.end_reason().unwrap());
        assert!(seen.starts_with(expected), "{seen}");
        // The connection is closed before the source is dropped.
        timeout(SOON, flood).await.unwrap().unwrap();
        drop(source);
    }
}

#[tokio::test]
async fn open_returns_the_head_or_the_final_error() {
    let busy = || vec![status("503 Service Unavailable", "x-request-id: 7\r\n", "busy")];
    let policy = || crate::eager().with_retry_if(Failure::is_transient);
    let stream = vec![write(STREAM), write("data: a\n\n"), Act::Hold];
    let server = Server::start(vec![busy(), vec![], stream]).await;
    let mut source = get(&server).with_retry_policy(policy()).build().unwrap();
    let opened = source.open().await.unwrap().unwrap();
    assert_eq!((opened.attempt, &opened.headers["content-type"]), (3, &"text/event-stream".parse().unwrap()));
    // The stream is open, so the call returns at once and loses no event.
    assert!(source.open().await.unwrap().is_none());
    assert_eq!(source.next_event().await.unwrap().unwrap().data, "a");

    let server = Server::start(vec![busy()]).await;
    let mut source = EventSource::post(server.url("/")).with_single_response().build().unwrap();
    let error = source.open().await.unwrap_err();
    assert_eq!((error.status(), error.body(), error.is_final()), (Some(503), Some(&b"busy"[..]), true));
    assert!(source.open().await.unwrap().is_none());

    // The server answers 204.
    let server = Server::start(vec![]).await;
    let mut source = get(&server).build().unwrap();
    assert!(source.open().await.unwrap().is_none());
    assert_eq!(source.end_reason(), Some(EndReason::NoContent));
}

#[tokio::test]
async fn next_event_skips_failures_that_are_retried() {
    let script = vec![
        vec![write(STREAM), write("id: 1\ndata: a\n\n")],
        vec![],
        vec![write(STREAM), write("data: b\n\n")],
        vec![status("404 Not Found", "", "gone")],
    ];
    let server = Server::start(script).await;
    let mut source = get(&server).build().unwrap();
    assert_eq!(source.next_event().await.unwrap().unwrap().data, "a");
    assert_eq!(source.next_event().await.unwrap().unwrap().data, "b");
    let error = source.next_event().await.unwrap_err();
    assert_eq!(error.to_string(), "server answered with status 404: \"gone\"");
    assert_eq!(source.next_event().await.unwrap(), None);
}

#[tokio::test]
async fn stream_of_events_skips_failures_that_are_retried() {
    use futures_util::{StreamExt, stream::FusedStream};

    let limits = ssekit_core::Limits { data: 3, ..ssekit_core::Limits::default() };
    let script = vec![
        vec![write(STREAM), write("id: 1\ndata: a\n\ndata: too long\n\ndata: b\n\n")],
        vec![],
        vec![write(STREAM), write("data: c\n\n")],
        vec![status("404 Not Found", "", "gone")],
    ];
    let server = Server::start(script).await;
    let mut events = get(&server).with_limits(limits).build().unwrap().into_events();
    let mut seen = Vec::new();
    while let Some(event) = events.next().await {
        seen.push(event.map_or_else(|error| error.to_string(), |event| event.data.to_string()));
    }
    let too_long = "event was dropped: ";
    assert!(seen[1].starts_with(too_long), "{seen:?}");
    seen.remove(1);
    assert_eq!(seen, ["a", "b", "c", "server answered with status 404: \"gone\""]);
    assert!(events.is_terminated() && events.get_mut().next().await.is_none());
    assert_eq!((events.get_ref().end_reason(), events.get_ref().last_event_id()), (Some(EndReason::Failed), "1"));
}

/// Not a panic, because a caller can cause it.
#[test]
fn source_without_a_runtime_returns_a_final_error() {
    let mut source = EventSource::get("http://127.0.0.1:9/").build().unwrap();
    let error = source.next().now_or_never().unwrap().unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        "request cannot be sent: there is no tokio runtime: poll the event source inside one"
    );
    assert!(error.is_final());
    assert!(source.next().now_or_never().unwrap().is_none());
}

/// The source may outlive the runtime that it was first polled in.
#[test]
fn wait_outside_its_runtime_is_an_error_or_uses_another_runtime() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let wait = |source: &mut EventSource| {
        let first = runtime();
        first.block_on(async {
            assert!(source.next().await.unwrap().unwrap_err().retry_delay().is_some());
            assert!(source.next().now_or_never().is_none());
        });
    };
    let policy = || crate::eager().with_reconnection_time(Duration::from_millis(50)).with_max_retries(2);
    let builder = || {
        let source = EventSource::get("http://localhost/").with_retry_policy(policy()).with_response_timeout(None);
        source.with_headers_from(|_| async { Err("no token".into()) })
    };
    let mut source = builder().build().unwrap();
    wait(&mut source);
    let error = source.next().now_or_never().unwrap().unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        "request cannot be sent: there is no tokio runtime: poll the event source inside one"
    );
    let mut source = builder().build().unwrap();
    wait(&mut source);
    let error = runtime().block_on(source.next()).unwrap().unwrap_err();
    assert_eq!(error.failure(), &Failure::Headers);
}

#[test]
fn public_types_are_send_and_sync() {
    fn is_send_and_sync<T: Send + Sync + Unpin>() {}
    is_send_and_sync::<EventSource>();
    is_send_and_sync::<ssekit_client::EventSourceBuilder>();
    is_send_and_sync::<ssekit_client::ClientError>();
    is_send_and_sync::<ssekit_client::machine::ClientMachine>();
}

#[tokio::test]
async fn source_is_a_fused_stream() {
    use futures_util::{StreamExt, stream::FusedStream};

    let server = Server::start(vec![vec![write(STREAM), write("data: a\n\n")]]).await;
    let mut source = get(&server).build().unwrap();
    assert!(!source.is_terminated());
    let items: Vec<_> = StreamExt::collect(StreamExt::by_ref(&mut source)).await;
    let lines: Vec<_> = items.iter().map(crate::line).collect();
    assert_eq!(lines, ["open", "message|a|", "retry: stream ended"]);
    assert!(source.is_terminated() && StreamExt::next(&mut source).await.is_none());
}
