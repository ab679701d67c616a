//! The reconnections of an event source.

use std::io::{Read, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use futures_util::FutureExt;
use ssekit_client::{EventSource, Failure, NextStep, RetryPolicy, SourceItem};
use tokio::time::Instant;

use crate::server::{Act, CHUNKED, SOON, STREAM, Server, chunk, status, write};
use crate::{all_of, eager, get, is_status, items, items_with, line, next, next_error};

#[tokio::test]
async fn source_reconnects_after_every_kind_of_network_error() {
    let refused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = refused.local_addr().unwrap();
    drop(refused);
    let mut source =
        EventSource::get(format!("http://{nobody}/?token=secret")).with_retry_policy(eager()).build().unwrap();
    for _ in 0..3 {
        let error = next(&mut source).await.unwrap_err();
        assert!(error.failure() == &Failure::NoResponse && error.retry_delay().is_some());
        let text = error.to_string();
        assert!(text.contains("Connection refused") && !text.contains("secret"), "{text}");
    }

    let cut = vec![write(CHUNKED), chunk("id: 1\ndata: a\n\n"), write("9\r\ndata: "), Act::Seen(2)];
    let reset = vec![write(CHUNKED), chunk("id: 2\ndata: b\n\ndata: c"), Act::Seen(5), Act::Reset];
    let closed = vec![];
    let half_a_head = vec![write("HTTP/1.1 200 OK\r\ncontent-ty")];
    let no_http = vec![write("nonsense\r\n\r\n")];
    let stream = vec![write(STREAM), write("data: d\n\n")];
    assert_eq!(
        items(vec![cut, reset, closed, half_a_head, no_http, stream]).await,
        "open\nmessage|a|1\nretry: stream was cut off\nopen\nmessage|b|2\nretry: stream was cut off\n\
         retry: no response from the server\nretry: no response from the server\nretry: no response from the server\n\
         open\nmessage|d|2\nretry: stream ended\nend: NoContent\n"
    );
}

#[tokio::test]
async fn silence_is_a_failure_if_there_is_an_idle_timeout() {
    let limit = Duration::from_millis(50);
    let script = vec![vec![write(STREAM), write("data: a\n\n:"), Act::Hold], vec![Act::Hold]];
    let options =
        |source: ssekit_client::EventSourceBuilder| source.with_idle_timeout(limit).with_response_timeout(limit);
    let server = Server::start(script).await;
    let mut source = options(get(&server)).build().unwrap();
    let seen = all_of(&mut source, &server).await;
    let rest =
        seen.strip_prefix("open\nmessage|a|\nretry: nothing received for 50ms\n").unwrap_or_else(|| panic!("{seen}"));
    // Only the start is checked: a busy machine may be late.
    assert!(rest.starts_with("retry: no response from the server within 50ms\n"), "{seen}");
}

/// The program is late, and not the server.
#[tokio::test]
async fn late_poll_does_not_count_as_silence() {
    let acts = vec![write(CHUNKED), chunk("data: a\n\n"), Act::Seen(2), chunk("data: b\n\n"), Act::Hold];
    let mut server = Server::start(vec![acts]).await;
    let limit = Duration::from_millis(100);
    let mut source = get(&server).with_idle_timeout(limit).build().unwrap();
    for expected in ["open", "message|a|"] {
        assert_eq!(line(&next(&mut source).await), expected);
        server.saw_one();
    }
    // The source waits for more, and is then not polled for longer than the limit.
    assert!(source.next().now_or_never().is_none());
    server.did(4).await;
    tokio::time::sleep(limit * 2).await;
    assert_eq!(line(&next(&mut source).await), "message|b|");
    assert_eq!(next_error(&mut source).await.failure(), &Failure::IdleTimeout { limit });
}

/// The runtime was blocked too, and has not read what was received.
#[tokio::test]
async fn blocked_runtime_does_not_count_as_silence() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (say, said) = mpsc::channel();
    let (write, written) = mpsc::channel();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.extend(byte);
        }
        for bytes in [&[STREAM, "data: a\n\n"].concat(), "data: b\n\n"] {
            stream.write_all(bytes.as_bytes()).unwrap();
            write.send(()).unwrap();
            said.recv().unwrap();
        }
    });
    let limit = Duration::from_millis(100);
    let mut source = EventSource::get(&url).with_idle_timeout(limit).build().unwrap();
    for expected in ["open", "message|a|"] {
        assert_eq!(line(&next(&mut source).await), expected);
    }
    assert!(source.next().now_or_never().is_none());
    say.send(()).unwrap();
    // Both events were written before.
    written.iter().take(2).for_each(drop);
    thread::sleep(limit * 5);
    assert_eq!(line(&next(&mut source).await), "message|b|");
    assert_eq!(next_error(&mut source).await.failure(), &Failure::IdleTimeout { limit });
    say.send(()).unwrap();
    server.join().unwrap();
}

#[tokio::test]
async fn policy_decides_which_failures_are_retried_and_how_often() {
    let busy = || vec![status("503 Service Unavailable", "", "")];
    let policy = eager().with_retry_if(|failure| is_status(failure, 503)).with_max_retries(2);
    let stream = vec![write(STREAM), write("data: a\n\n")];
    let seen = items_with(vec![busy(), busy(), stream], |source| source.with_retry_policy(policy.clone())).await;
    let twice = "retry: server answered with status 503\n".repeat(2);
    // This policy does not retry the end of a stream.
    assert_eq!(seen, format!("{twice}open\nmessage|a|\nfailed: stream ended\nend: Failed\n"));
    let seen = items_with(vec![busy(); 4], |source| source.with_retry_policy(policy)).await;
    assert_eq!(seen, format!("{twice}failed: server answered with status 503\nend: Failed\n"));
    let seen = items_with(vec![vec![write(STREAM)]], |source| source.with_retry_policy(RetryPolicy::never())).await;
    assert_eq!(seen, "open\nfailed: stream ended\nend: Failed\n");
}

#[tokio::test]
async fn server_sets_the_delay() {
    let policy = || eager().with_retry_if(Failure::is_transient);
    let wait = async |script: Vec<Act>| {
        let server = Server::start(vec![script]).await;
        let mut source = get(&server).with_retry_policy(policy()).build().unwrap();
        let error = next_error(&mut source).await;
        (error.retry_delay().unwrap(), source.reconnection_time())
    };
    let tick = Duration::from_millis(1);
    let (after, time) = wait(vec![status("429 Too Many Requests", "retry-after: 3600\r\n", "")]).await;
    assert!((0..=1).contains(&(after - Duration::from_secs(3600)).as_millis()), "{after:?}");
    assert_eq!(time, tick);
    let dates = "date: Fri, 31 Dec 1999 23:59:29 GMT\r\nretry-after: Fri, 31 Dec 1999 23:59:59 GMT\r\n";
    let (after, _) = wait(vec![status("503 Service Unavailable", dates, "")]).await;
    assert!((0..=1).contains(&(after - Duration::from_secs(30)).as_millis()), "{after:?}");
    // An intended end has no backoff.
    let (after, time) = wait(vec![write(STREAM), write("retry: 7000\ndata: a\n\n")]).await;
    assert_eq!((after, time), (Duration::from_secs(7), Duration::from_secs(7)));
    // The longest delay does not overflow.
    let (after, _) = wait(vec![write(STREAM), write("retry: 18446744073709551615\n\n")]).await;
    assert!(after >= Duration::from_millis(u64::MAX));
}

/// In virtual time: no request is sent, because a wait for the network would not advance it.
#[tokio::test(start_paused = true)]
async fn source_waits_for_the_delay_that_it_reports() {
    let policy = RetryPolicy::new()
        .with_reconnection_time(Duration::from_secs(2))
        .with_backoff(Duration::from_secs(1), Duration::from_secs(60));
    let mut source = EventSource::get("http://127.0.0.1:9/")
        .with_retry_policy(policy)
        .with_headers_from(|_| async { Err("no token".into()) })
        .build()
        .unwrap();
    let mut last = None;
    for n in 0..20 {
        let error = source.next().await.unwrap().unwrap_err();
        if let Some((at, after)) = last {
            let late = Instant::now().duration_since(at).checked_sub(after).expect("the whole delay");
            assert!(late <= Duration::from_millis(2), "{late:?} late");
        }
        let NextStep::Retry { delay } = error.next_step() else { panic!("{error}") };
        let most = Duration::from_secs(2 + (1 << n).min(60));
        assert!((Duration::from_secs(2)..=most).contains(&delay), "{delay:?} after {n} failures");
        last = Some((Instant::now(), delay));
    }
}

#[tokio::test]
async fn restart_reconnects_at_once() {
    let open = |data: &str| vec![write(CHUNKED), chunk(format!("id: {data}\ndata: {data}\n\ndata: x")), Act::Hold];
    let server = Server::start(vec![open("a"), open("b")]).await;
    // Without a restart it would not reconnect.
    let policy = RetryPolicy::new().with_reconnection_time(Duration::from_secs(100_000));
    let mut source = get(&server).with_retry_policy(policy).build().unwrap();
    for expected in ["a", "b"] {
        assert!(matches!(next(&mut source).await, Ok(SourceItem::Opened(_))));
        assert_eq!(source.next_event().await.unwrap().unwrap().data, expected);
        source.restart();
    }
    assert_eq!(all_of(&mut source, &server).await, "end: NoContent\n");
    let ids: Vec<_> = server.requests().iter().map(|request| request.header("last-event-id").concat()).collect();
    assert_eq!(ids, [b"".to_vec(), b"a".to_vec(), b"b".to_vec()]);
}

/// The waiting task polls several sources. Another task restarts them.
#[tokio::test]
async fn restart_wakes_the_waiting_task() {
    use futures_util::stream::{SelectAll, StreamExt};

    let open = || vec![write(CHUNKED), chunk("data: a\n\n"), Act::Hold];
    let server = Server::start(vec![open(), open()]).await;
    let policy = RetryPolicy::new().with_reconnection_time(Duration::from_secs(100_000));
    let mut sources = SelectAll::new();
    sources.push(get(&server).with_retry_policy(policy).build().unwrap());
    let mut lines = Vec::new();
    while lines.len() < 4 {
        if lines.len() == 2 {
            assert!(sources.next().now_or_never().is_none());
            sources.iter_mut().for_each(EventSource::restart);
        }
        lines.push(line(&tokio::time::timeout(SOON, sources.next()).await.unwrap().unwrap()));
    }
    assert_eq!(lines, ["open", "message|a|", "open", "message|a|"]);
}

/// A compressed body can be small to send and large to read.
#[tokio::test]
async fn flood_of_comments_lets_other_tasks_run() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    Write::write_all(&mut encoder, &[&b":\n".repeat(50 << 20)[..], b"data: end\n\n"].concat()).unwrap();
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\nconnection: close\r\n\r\n";
    let acts = vec![write(head), write(encoder.finish().unwrap()), Act::Hold];
    // Another task, which runs a hundred times before the source finds the event.
    let other_task = || async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    };
    let server = Server::start(vec![acts.clone()]).await;
    let mut source = get(&server).build().unwrap();
    assert_eq!(line(&next(&mut source).await), "open");
    tokio::select! {
        biased;
        item = source.next() => panic!("{item:?}"),
        () = other_task() => {}
    }
    // `next_event` lets others run too, while it skips comments.
    let server = Server::start(vec![acts]).await;
    let mut source = get(&server).with_comments().build().unwrap();
    assert_eq!(line(&next(&mut source).await), "open");
    tokio::select! {
        biased;
        event = source.next_event() => panic!("{event:?}"),
        () = other_task() => {}
    }
}

#[tokio::test]
async fn opening_has_attempt_url_id_version_and_headers() {
    let server = Server::start(vec![vec![], vec![write(STREAM)]]).await;
    let mut source = get(&server).with_last_event_id("7").build().unwrap();
    assert!(next(&mut source).await.is_err());
    let Ok(SourceItem::Opened(opened)) = next(&mut source).await else { panic!("not open") };
    assert_eq!((opened.attempt, &*opened.url, &*opened.last_event_id), (2, &*server.url("/events"), "7"));
    assert_eq!(
        (opened.version, &opened.headers["content-type"]),
        (http::Version::HTTP_11, &"text/event-stream".parse().unwrap())
    );
}
