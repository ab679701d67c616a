//! Runs the same cases on the servers of all adapters, with real clients over loopback, HTTP/1.1 and HTTP/2.

#![forbid(unsafe_code)]

mod app;
mod hub;

use std::io::{self, Write};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use app::{App, Body, Client, Http, KINDS, Kind, chunks, events, soon, until};
use futures_util::{StreamExt, stream};
use hyper::StatusCode;
use ssekit::server::{AfterEnd, CloseReason, DrainOptions, DrainPolicy, EventBody, KeepAlive};
use ssekit::{EncodedEvent, Event, event_type};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::sleep;
use tokio_stream::wrappers::UnboundedReceiverStream;

const HOUR: Duration = Duration::from_secs(3600);

fn data(text: &str) -> EncodedEvent {
    EncodedEvent::from(Event::data(text))
}

/// Runs a case on every server, over HTTP/1.1 and HTTP/2.
async fn on_all(case: impl AsyncFn(Kind, Http)) {
    for kind in KINDS {
        for http in [Http::One, Http::Two] {
            // A failure then shows the server.
            eprintln!("{kind:?} {http:?}");
            case(kind, http).await;
        }
    }
}

/// Returns an application whose streams the test writes, and a function that returns the sender of the next stream.
fn written(make: fn(Body) -> Body) -> (App, impl AsyncFnMut() -> UnboundedSender<EncodedEvent>) {
    let (opened, mut streams) = unbounded_channel();
    let app = App::new(move |_| {
        let (sender, receiver) = unbounded_channel();
        opened.send(sender).unwrap();
        make(EventBody::new(UnboundedReceiverStream::new(receiver).map(Ok).boxed()))
    });
    (app, async move || soon(streams.recv()).await.unwrap())
}

#[tokio::test]
async fn each_event_goes_out_at_once() {
    on_all(async |kind, http| {
        let (app, mut stream) = written(|body| body);
        let server = app.start(kind, DrainOptions::new()).await;
        let response = Client::connect(server.addr, http).await.get("/events", &[]).await;
        assert_eq!(response.status(), StatusCode::OK);
        let headers = response.headers();
        assert_eq!(headers["content-type"], "text/event-stream");
        assert_eq!(headers["cache-control"], "no-cache, no-transform");
        assert_eq!(headers["x-accel-buffering"], "no");
        for name in ["connection", "content-encoding", "content-length"] {
            assert!(!headers.contains_key(name), "{headers:?}");
        }
        assert_eq!(headers.contains_key("transfer-encoding"), http == Http::One);
        let sender = stream().await;
        let mut events = events(response);
        for n in 0..10 {
            // The next event is sent after this one was read.
            sender.send(data(&n.to_string())).unwrap();
            assert_eq!(soon(events.next()).await.unwrap().data, *n.to_string());
        }
        drop(sender);
        assert!(soon(events.next()).await.is_none(), "the end of the stream is the end of the body");
        assert_eq!(app.closed(), [CloseReason::StreamEnd]);
    })
    .await;
}

#[tokio::test]
async fn stream_channel_and_function_send_the_same_and_finished_client_gets_204() {
    on_all(async |kind, http| {
        let app = App::new(|_| {
            EventBody::new(stream::iter((1..=3).map(|n| data(&n.to_string()))).map(Ok).boxed())
                .with_after_end(AfterEnd::Stop)
        });
        let server = app.start(kind, DrainOptions::new()).await;
        for path in ["/events", "/channel", "/callback"] {
            let response = Client::connect(server.addr, http).await.get(path, &[]).await;
            let chunks: Vec<_> = soon(chunks(response).collect::<Vec<_>>()).await;
            let text: String =
                chunks.into_iter().map(|chunk| String::from_utf8(chunk.unwrap().to_vec()).unwrap()).collect();
            assert_eq!(text, ": \n\ndata: 1\n\ndata: 2\n\ndata: 3\n\nid: ssekit:done\n\n", "{path}");
        }
        // The next request of an EventSource.
        let response =
            Client::connect(server.addr, http).await.get("/events", &[("last-event-id", "ssekit:done")]).await;
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert!(!response.headers().contains_key("content-type"));
    })
    .await;
}

#[tokio::test]
async fn extractor_reads_id_and_accept_header() {
    on_all(async |kind, http| {
        let app = App::new(|request| {
            let text = format!("{:?} {}", request.last_event_id().map(|id| id.as_str()), request.wants_event_stream());
            EventBody::new(stream::iter([Ok(data(&text))]).boxed())
        });
        let server = app.start(kind, DrainOptions::new()).await;
        type Case = (&'static str, &'static [(&'static str, &'static str)], &'static str);
        let cases: [Case; 5] = [
            ("/events", &[], "None false"),
            ("/events", &[("accept", "*/*")], "None false"),
            ("/events", &[("last-event-id", "7"), ("accept", "text/event-stream")], "Some(\"7\") true"),
            (
                "/events?lastEventId=a%20b",
                &[("accept", "application/json, text/event-stream;q=0.9")],
                "Some(\"a b\") true",
            ),
            (
                "/events?last_event_id=8",
                &[("last-event-id", "9"), ("accept", "a/b"), ("accept", "text/event-stream")],
                "Some(\"9\") true",
            ),
        ];
        for (path, headers, expected) in cases {
            let response = Client::connect(server.addr, http).await.get(path, headers).await;
            assert_eq!(soon(events(response).next()).await.unwrap().data, *expected);
        }
        let response = Client::connect(server.addr, http).await.get("/events?lastEventId=a%0Ab", &[]).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let text = soon(chunks(response).next()).await.unwrap().unwrap();
        assert!(text.starts_with(b"malformed last event id: "), "{text:?}");
    })
    .await;
}

/// The stream is idle, so no write fails.
#[tokio::test]
async fn client_that_disconnects_is_noticed_at_once() {
    on_all(async |kind, http| {
        let (app, mut stream) = written(|body| body.with_keep_alive(KeepAlive::every(HOUR)));
        let server = app.start(kind, DrainOptions::new()).await;
        let mut client = Client::connect(server.addr, http).await;
        let response = client.get("/events", &[]).await;
        let sender = stream().await;
        let mut events = events(response);
        sender.send(data("one")).unwrap();
        soon(events.next()).await.unwrap();
        drop((events, client));
        soon(sender.closed()).await;
        until("the close reason is reported", || app.closed() == [CloseReason::ClientGone]).await;
        assert_eq!(app.streams.len(), 0);
    })
    .await;
}

/// By default, actix-web treats a closed connection as half closed.
#[tokio::test]
async fn default_actix_notices_a_disconnect_by_the_keep_alive() {
    let (app, mut stream) = written(|body| body.with_keep_alive(KeepAlive::every(Duration::from_millis(50))));
    let server = app.start(Kind::ActixDefault, DrainOptions::new()).await;
    let response = Client::connect(server.addr, Http::One).await.get("/events", &[]).await;
    let sender = stream().await;
    drop(response);
    soon(sender.closed()).await;
    until("the close reason is reported", || app.closed() == [CloseReason::ClientGone]).await;
}

#[tokio::test]
async fn handle_ends_a_stream() {
    on_all(async |kind, http| {
        let (app, mut stream) = written(|body| body);
        let server = app.start(kind, DrainOptions::new()).await;
        let response = Client::connect(server.addr, http).await.get("/events", &[]).await;
        let _sender = stream().await;
        let mut chunks = chunks(response);
        assert_eq!(soon(chunks.next()).await.unwrap().unwrap(), ": \n\n");
        app.streams.handles()[0].finish();
        assert_eq!(soon(chunks.next()).await.unwrap().unwrap(), "id: ssekit:done\n\n");
        assert!(soon(chunks.next()).await.is_none());
        assert_eq!(app.closed(), [CloseReason::Disconnected]);
    })
    .await;
}

/// The frameworks' own ways to stop wait for open streams: actix-web for 30 seconds, axum forever.
#[tokio::test]
async fn server_drains_a_thousand_idle_streams_and_exits() {
    on_all(async |kind, http| {
        let app = App::new(|_| EventBody::new(stream::pending().boxed()).with_keep_alive(KeepAlive::every(HOUR)));
        let bye = Event::data("bye").with_event_type(event_type!("bye"));
        let options =
            DrainOptions::new().with_farewell(bye).with_reconnection_time(Duration::from_secs(3)).with_deadline(HOUR);
        let mut server = app.start(kind, options).await;
        let (mut open, mut clients) = (Vec::new(), Vec::new());
        let (connections, each) = if http == Http::One { (1000, 1) } else { (10, 100) };
        for _ in 0..connections {
            let mut client = Client::connect(server.addr, http).await;
            for _ in 0..each {
                let mut chunks = chunks(client.get("/events", &[]).await);
                assert_eq!(soon(chunks.next()).await.unwrap().unwrap(), ": \n\n");
                open.push(chunks);
            }
            clients.push(client);
        }
        assert_eq!(app.streams.len(), 1000);
        let start = Instant::now();
        server.stop();
        let mut retries = Vec::new();
        for mut chunks in open {
            let text = soon(chunks.next()).await.unwrap().unwrap();
            let retry = std::str::from_utf8(&text).unwrap().strip_prefix("event: bye\ndata: bye\n\nretry: ").unwrap();
            retries.push(retry.trim_end().parse::<u64>().unwrap());
            assert!(soon(chunks.next()).await.is_none());
        }
        assert!(retries.iter().all(|retry| (3000..=6000).contains(retry)), "{retries:?}");
        // The deadline is in an hour.
        let report = server.ended().await;
        // Shown by `cargo test --release --test servers thousand -- --nocapture`.
        eprintln!("{kind:?} {http:?}: ended {:.1?} after the signal; {report}", start.elapsed());
        assert_eq!((report.open, report.drained, report.forced), (1000, 1000, 0));
    })
    .await;
}

#[tokio::test]
async fn client_during_a_drain_gets_a_retry_line() {
    on_all(async |kind, http| {
        // One stream delays the drain.
        let (app, mut stream) = written(|body| body.with_drain_policy(DrainPolicy::FinishThenClose { max: HOUR }));
        let options = DrainOptions::new().with_reconnection_time(Duration::from_secs(7)).with_deadline(HOUR);
        let mut server = app.start(kind, options).await;
        let first = Client::connect(server.addr, http).await.get("/events", &[]).await;
        let sender = stream().await;
        until("the stream is open", || app.streams.len() == 1).await;
        server.stop();
        until("the group is drained", || !app.streams.is_ready()).await;
        let late = Client::connect(server.addr, http).await.get("/events", &[]).await;
        assert_eq!(late.status(), StatusCode::OK, "503 would be for good");
        let text: Vec<_> = soon(chunks(late).collect()).await;
        let retry = std::str::from_utf8(text[0].as_ref().unwrap()).unwrap().strip_prefix("retry: ").unwrap();
        assert!((7000..=14000).contains(&retry.trim_end().parse::<u64>().unwrap()) && text.len() == 1);
        // The open stream runs to its end.
        let mut first = events(first);
        sender.send(data("last word")).unwrap();
        assert_eq!(soon(first.next()).await.unwrap().data, "last word");
        drop(sender);
        assert!(soon(first.next()).await.is_none());
        let report = server.ended().await;
        assert_eq!((report.open, report.ended, report.drained, report.forced, report.rejected), (1, 1, 0, 0, 1));
    })
    .await;
}

/// Its events must not fill the memory, other clients must not wait, and its stream must close.
#[tokio::test]
async fn client_that_reads_nothing_is_cut_off_without_harm_to_others() {
    on_all(async |kind, http| {
        let frame = data(&"x".repeat(250));
        let produced = Arc::new(AtomicU64::new(0));
        let counter = produced.clone();
        // The first client gets events as fast as its connection takes them.
        let is_first = AtomicBool::new(true);
        let app = App::new(move |_| {
            if !is_first.swap(false, Ordering::Relaxed) {
                let ticks = stream::repeat(data("tick")).then(async |tick| {
                    sleep(Duration::from_millis(10)).await;
                    tick
                });
                return EventBody::new(ticks.map(Ok).boxed());
            }
            let (frame, counter) = (frame.clone(), counter.clone());
            let firehose = stream::repeat_with(move || {
                counter.fetch_add(frame.as_bytes().len() as u64, Ordering::Relaxed);
                frame.clone()
            });
            EventBody::new(firehose.map(Ok).boxed()).with_stall_timeout(Duration::from_secs(1))
        });
        let server = app.start(kind, DrainOptions::new()).await;
        let mut client = Client::connect(server.addr, http).await;
        let stuck = client.get("/events", &[]).await;
        loop {
            let before = produced.load(Ordering::Relaxed);
            sleep(Duration::from_millis(100)).await;
            if before > 0 && before == produced.load(Ordering::Relaxed) {
                break;
            }
        }
        let held = produced.load(Ordering::Relaxed);
        assert!(held < 16 << 20, "{held} bytes for one that does not read");
        // Over HTTP/2, the other stream shares the connection.
        let mut other = if http == Http::One { Client::connect(server.addr, http).await } else { client };
        let mut events = events(other.get("/events", &[]).await);
        for _ in 0..20 {
            soon(events.next()).await.unwrap();
        }
        until("the stream is closed", || app.closed() == [CloseReason::SlowConsumer]).await;
        assert_eq!(app.streams.len(), 1);
        if kind == Kind::AxumServe && http == Http::One {
            // The connection closes too.
            until("the connection is closed", || app.streams.connections() == 1).await;
        }
        soon(events.next()).await.unwrap();
        drop(stuck);
    })
    .await;
}

/// Only the deadline ends its stream. `axum::serve` would wait forever, actix-web for 30 seconds.
#[tokio::test]
async fn client_that_reads_nothing_does_not_delay_the_shutdown() {
    for kind in [Kind::AxumServe, Kind::Actix] {
        eprintln!("{kind:?}");
        let app = App::new(|_| {
            let firehose = stream::repeat_with(|| Ok(data(&"x".repeat(1000))));
            EventBody::new(firehose.boxed()).without_stall_timeout()
        });
        let mut server = app.start(kind, DrainOptions::new().with_deadline(Duration::from_millis(300))).await;
        let stuck = Client::connect(server.addr, Http::One).await.get("/events", &[]).await;
        until("the stream is open", || app.streams.len() == 1).await;
        server.stop();
        let report = server.ended().await;
        assert_eq!((report.open, report.forced), (1, 1));
        assert_eq!(app.closed(), [CloseReason::Forced]);
        drop(stuck);
    }
}

/// Each event arrives by itself, although a layer compresses the response.
#[tokio::test]
async fn compression_delays_no_event() {
    type Decoder = Box<dyn FnMut(&[u8]) -> Vec<u8> + Send>;
    fn decoder<W: Write + Send + 'static>(mut writer: W, out: fn(&mut W) -> &mut Vec<u8>) -> Decoder {
        Box::new(move |bytes| {
            writer.write_all(bytes).unwrap();
            writer.flush().unwrap();
            std::mem::take(out(&mut writer))
        })
    }
    type Encoding = (&'static str, fn() -> Decoder);
    let encodings: [Encoding; 3] = [
        ("gzip", || decoder(flate2::write::GzDecoder::new(Vec::new()), |writer| writer.get_mut())),
        ("br", || decoder(brotli::DecompressorWriter::new(Vec::new(), 4096), |writer| writer.get_mut())),
        ("zstd", || decoder(zstd::stream::write::Decoder::new(Vec::new()).unwrap(), |writer| writer.get_mut())),
    ];
    for (encoding, decoder) in encodings {
        on_all(async |kind, http| {
            let (app, mut stream) = written(|body| body);
            let app = app.compressed();
            let server = app.start(kind, DrainOptions::new()).await;
            let mut client = Client::connect(server.addr, http).await;
            let response = client.get("/events", &[("accept-encoding", encoding)]).await;
            assert_eq!(response.headers()["content-encoding"], encoding);
            let sender = stream().await;
            let (mut chunks, mut decode) = (chunks(response), decoder());
            let mut text = Vec::new();
            for n in 0..10 {
                sender.send(data(&n.to_string())).unwrap();
                let expected = format!("data: {n}\n\n");
                while !text.ends_with(expected.as_bytes()) {
                    let chunk = soon(chunks.next()).await.unwrap().unwrap();
                    text.extend(decode(&chunk));
                }
            }
        })
        .await;
    }
}

#[tokio::test]
async fn fifty_streams_share_one_http_2_connection() {
    for kind in KINDS {
        let (app, mut stream) = written(|body| body);
        let server = app.start(kind, DrainOptions::new()).await;
        let mut client = Client::connect(server.addr, Http::Two).await;
        let mut streams = Vec::new();
        for _ in 0..50 {
            let events = events(client.get("/events", &[]).await);
            streams.push((stream().await, events));
        }
        for (n, (sender, _)) in streams.iter().enumerate() {
            sender.send(data(&n.to_string())).unwrap();
        }
        for (n, (_, events)) in streams.iter_mut().enumerate() {
            assert_eq!(soon(events.next()).await.unwrap().data, *n.to_string());
        }
    }
}

/// Reads from a raw connection until `end` has come.
async fn read_until(connection: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 1024];
    while !text.contains(end) {
        let n = soon(connection.read(&mut buffer)).await.unwrap();
        assert!(n > 0, "closed after {text:?}");
        text.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
    }
    text
}

#[tokio::test]
async fn http_1_response_has_the_expected_bytes() {
    for kind in KINDS {
        let (app, mut stream) = written(|body| {
            let body = body.with_reconnection_time(Duration::from_secs(2));
            body.with_keep_alive(KeepAlive::every(Duration::from_millis(100)))
        });
        let server = app.start(kind, DrainOptions::new()).await;
        let mut connection = TcpStream::connect(server.addr).await.unwrap();
        // The first byte comes alone, and could start another protocol.
        connection.write_all(b"G").await.unwrap();
        connection.write_all(b"ET /events HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        // Head and preamble come before the first event.
        let text = read_until(&mut connection, "retry: 2000\n\n\r\n").await;
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("\r\ntransfer-encoding: chunked"), "{head}");
        assert_eq!(body, "10\r\n: \nretry: 2000\n\n\r\n");
        // An idle stream sends keep-alives.
        for _ in 0..3 {
            assert!(read_until(&mut connection, "4\r\n: \n\n\r\n").await.starts_with("4\r\n: \n\n\r\n"));
        }
        let sender = stream().await;
        sender.send(data("two\nlines")).unwrap();
        let text = read_until(&mut connection, "lines\n\n\r\n").await;
        assert!(text.ends_with("17\r\ndata: two\ndata: lines\n\n\r\n"), "{text}");
    }
}

#[tokio::test]
async fn failed_stream_cuts_the_response_short() {
    on_all(async |kind, http| {
        let app =
            App::new(|_| EventBody::new(stream::iter([Ok(data("one")), Err(io::Error::other("broken"))]).boxed()));
        let server = app.start(kind, DrainOptions::new()).await;
        // Repeated, because the server must never lose the event right before the error.
        for _ in 0..20 {
            let mut chunks = chunks(Client::connect(server.addr, http).await.get("/events", &[]).await);
            let mut read = Vec::new();
            let error = loop {
                match soon(chunks.next()).await.expect("it does not just end") {
                    Ok(chunk) => read.extend_from_slice(&chunk),
                    Err(error) => break error,
                }
            };
            assert_eq!(String::from_utf8_lossy(&read), ": \n\ndata: one\n\n", "{error}");
        }
        assert_eq!(app.closed(), [CloseReason::Error; 20]);
    })
    .await;
}

#[tokio::test]
async fn received_data_is_the_sent_data() {
    on_all(async |kind, http| {
        let texts = ["", "\n", "a\r\nb\rc", "  x", "data: x", "漢字 😀", "\u{feff}", &"long ".repeat(100_000)];
        let frames: Vec<EncodedEvent> = texts.iter().map(|text| data(text)).collect();
        let app = App::new(move |_| EventBody::new(stream::iter(frames.clone()).map(Ok).boxed()));
        let server = app.start(kind, DrainOptions::new()).await;
        let response = Client::connect(server.addr, http).await.get("/events", &[]).await;
        let events: Vec<_> = soon(events(response).collect()).await;
        let received: Vec<_> = events.iter().map(|event| event.data.as_str()).collect();
        assert_eq!(received, texts.map(|text| text.replace("\r\n", "\n").replace('\r', "\n")));
    })
    .await;
}

#[tokio::test]
async fn curl_shows_each_event_at_once() {
    on_all(async |kind, http| {
        let (app, mut stream) = written(|body| body);
        let server = app.start(kind, DrainOptions::new()).await;
        let mut command = Command::new("curl");
        command.args(["--silent", "--no-buffer", "--include"]).kill_on_drop(true).stdout(Stdio::piped());
        if http == Http::Two {
            command.arg("--http2-prior-knowledge");
        }
        let mut curl = command.arg(format!("http://{}/events", server.addr)).spawn().unwrap();
        let mut lines = BufReader::new(curl.stdout.take().unwrap()).lines();
        let version = if http == Http::One { "HTTP/1.1 200" } else { "HTTP/2 200" };
        assert!(soon(lines.next_line()).await.unwrap().unwrap().starts_with(version));
        let sender = stream().await;
        for n in 0..3 {
            sender.send(data(&n.to_string())).unwrap();
            let expected = format!("data: {n}");
            while soon(lines.next_line()).await.unwrap().unwrap() != expected {}
        }
        drop(sender);
        assert!(soon(curl.wait()).await.unwrap().success());
    })
    .await;
}
