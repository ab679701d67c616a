//! Real servers and real clients over loopback, HTTP/1.1 and HTTP/2.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use http_body_util::{BodyExt, BodyStream, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use ssekit::axum::{LastEventId, Sse};
use ssekit::server::KeepAlive;
use ssekit::{Event, EventStream, Frame, OwnedEvent};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;
use tokio_stream::wrappers::UnboundedReceiverStream;

/// Only a failure takes this long.
const SOON: Duration = Duration::from_secs(20);

/// Serves on a free port, for as long as the test runs.
async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    addr
}

/// A server whose every response to `/events` is written by the test: it gets the response's sender, and the last event
/// ID of the request.
struct Server {
    addr: SocketAddr,
    streams: UnboundedReceiver<(UnboundedSender<Frame>, Option<String>)>,
}

impl Server {
    async fn start(configure: fn(Sse<UnboundedReceiverStream<Frame>>) -> Sse<UnboundedReceiverStream<Frame>>) -> Self {
        let (opened, streams) = unbounded_channel();
        let events = move |LastEventId(id): LastEventId| async move {
            let (sender, receiver) = unbounded_channel();
            opened.send((sender, id.map(|id| id.to_string()))).expect("the test goes on");
            configure(Sse::new(UnboundedReceiverStream::new(receiver)))
        };
        let app = Router::new().route("/events", get(events));
        Self { addr: serve(app).await, streams }
    }

    async fn stream(&mut self) -> (UnboundedSender<Frame>, Option<String>) {
        soon(self.streams.recv()).await.expect("a request")
    }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(SOON, future).await.expect("it takes too long")
}

fn data(text: &str) -> Frame {
    Frame::from(Event::data(text))
}

/// A request by hyper, over a connection of its own.
async fn request(version: Version, addr: SocketAddr, last_event_id: Option<&str>) -> Response<Incoming> {
    let io = TokioIo::new(TcpStream::connect(addr).await.unwrap());
    let mut request = Request::builder().uri(format!("http://{addr}/events"));
    if let Some(id) = last_event_id {
        request = request.header("last-event-id", id);
    }
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let response = if version == Version::HTTP_2 {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        soon(sender.send_request(request)).await.unwrap()
    } else {
        let (mut sender, connection) = http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        soon(sender.send_request(request)).await.unwrap()
    };
    assert_eq!(response.version(), version);
    response
}

fn events(response: Response<Incoming>) -> impl futures_util::Stream<Item = OwnedEvent> + Unpin {
    let chunks = BodyStream::new(response.into_body()).try_filter_map(|frame| async { Ok(frame.into_data().ok()) });
    Box::pin(EventStream::new(chunks).map(|event| event.expect("no error")))
}

async fn each_event_is_on_the_wire_at_once(version: Version) {
    let mut server = Server::start(|sse| sse).await;
    let response = request(version, server.addr, Some("41")).await;
    let headers = response.headers();
    assert_eq!(headers["content-type"], "text/event-stream");
    assert_eq!(headers["cache-control"], "no-cache, no-transform");
    assert_eq!(headers["x-accel-buffering"], "no");
    assert!(!headers.contains_key("connection"), "{headers:?}");
    assert!(!headers.contains_key("content-encoding"), "{headers:?}");
    let (sender, last_event_id) = server.stream().await;
    assert_eq!(last_event_id.as_deref(), Some("41"));
    let mut events = events(response);
    for n in 0..10 {
        // The next one does not exist before this one has been read.
        sender.send(data(&n.to_string())).unwrap();
        let event = soon(events.next()).await.expect("an event");
        assert_eq!(event.data, &*n.to_string());
    }
    drop(sender);
    assert!(soon(events.next()).await.is_none(), "the end of the stream is the end of the body");
}

#[tokio::test]
async fn each_event_is_on_the_wire_at_once_over_http_1() {
    each_event_is_on_the_wire_at_once(Version::HTTP_11).await;
}

#[tokio::test]
async fn each_event_is_on_the_wire_at_once_over_http_2() {
    each_event_is_on_the_wire_at_once(Version::HTTP_2).await;
}

async fn the_stream_is_dropped_when_the_client_goes(version: Version) {
    let mut server = Server::start(Sse::without_keep_alive).await;
    // From an idle stream, with nothing ever written that could fail.
    let response = request(version, server.addr, None).await;
    let (sender, _) = server.stream().await;
    drop(response);
    soon(sender.closed()).await;
    // And from the middle of one.
    let response = request(version, server.addr, None).await;
    let (sender, _) = server.stream().await;
    let mut events = events(response);
    sender.send(data("one")).unwrap();
    soon(events.next()).await.expect("an event");
    drop(events);
    soon(sender.closed()).await;
}

#[tokio::test]
async fn the_stream_is_dropped_when_the_client_goes_over_http_1() {
    the_stream_is_dropped_when_the_client_goes(Version::HTTP_11).await;
}

#[tokio::test]
async fn the_stream_is_dropped_when_the_client_goes_over_http_2() {
    the_stream_is_dropped_when_the_client_goes(Version::HTTP_2).await;
}

#[tokio::test]
async fn many_streams_share_one_http_2_connection() {
    let mut server = Server::start(|sse| sse).await;
    let io = TokioIo::new(TcpStream::connect(server.addr).await.unwrap());
    let (client, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let mut streams = Vec::new();
    for _ in 0..50 {
        let request = Request::builder().uri(format!("http://{}/events", server.addr)).body(Empty::<Bytes>::new());
        let response = soon(client.clone().send_request(request.unwrap())).await.unwrap();
        let (sender, _) = server.stream().await;
        streams.push((sender, events(response)));
    }
    for (n, (sender, _)) in streams.iter().enumerate() {
        sender.send(data(&n.to_string())).unwrap();
    }
    for (n, (_, events)) in streams.iter_mut().enumerate() {
        assert_eq!(soon(events.next()).await.expect("an event").data, &*n.to_string());
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
async fn the_bytes_of_http_1_are_as_they_should_be() {
    let mut server = Server::start(|sse| sse.with_reconnection_time(Duration::from_secs(2))).await;
    let mut connection = TcpStream::connect(server.addr).await.unwrap();
    connection.write_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    // Head and preamble come before there is any event.
    let text = read_until(&mut connection, "retry: 2000\n\n\r\n").await;
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("\r\ntransfer-encoding: chunked"), "{head}");
    assert_eq!(body, "10\r\n: \nretry: 2000\n\n\r\n");
    let (sender, _) = server.stream().await;
    sender.send(data("two\nlines")).unwrap();
    let text = read_until(&mut connection, "\n\n\r\n").await;
    assert_eq!(text, "17\r\ndata: two\ndata: lines\n\n\r\n");
}

#[tokio::test]
async fn an_idle_connection_gets_its_keep_alive() {
    let keep_alive = |sse: Sse<_>| sse.with_keep_alive(KeepAlive::every(Duration::from_millis(20)));
    let server = Server::start(keep_alive).await;
    let mut connection = TcpStream::connect(server.addr).await.unwrap();
    connection.write_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut seen = 0;
    while seen < 4 {
        seen += read_until(&mut connection, "4\r\n: \n\n\r\n").await.matches("4\r\n: \n\n\r\n").count();
    }
}

#[tokio::test]
async fn an_error_in_the_stream_cuts_the_response_so_that_the_client_sees_it() {
    let items = || futures_util::stream::iter([Ok(Event::data("one")), Err(std::io::Error::other("broken"))]);
    let app = Router::new().route("/events", get(move || async move { Sse::new(items()) }));
    let addr = serve(app).await;
    // Many times, because the server must not lose what comes right before the error.
    for version in [Version::HTTP_11, Version::HTTP_2].repeat(20) {
        let mut body = request(version, addr, None).await.into_body();
        let mut read = Vec::new();
        let error = loop {
            match soon(body.frame()).await.expect("it does not just end") {
                Ok(frame) => read.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Err(error) => break error,
            }
        };
        assert_eq!(String::from_utf8_lossy(&read), ": \n\ndata: one\n\n", "{version:?}: {error}");
    }
}

#[tokio::test]
async fn what_is_sent_is_what_is_received() {
    let texts = ["", "\n", "a\r\nb\rc", "  x", "data: x", "漢字 😀", "\u{feff}", &"long ".repeat(100_000)];
    let frames: Vec<Frame> = texts.iter().map(|text| data(text)).collect();
    let stream = move || futures_util::stream::iter(frames.clone().into_iter().map(Ok::<_, Infallible>));
    let app = Router::new().route("/events", get(move || async move { Sse::new(stream()) }));
    let addr = serve(app).await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let events: Vec<_> = soon(events(request(version, addr, None).await).collect()).await;
        let received: Vec<_> = events.iter().map(|event| event.data.as_str()).collect();
        assert_eq!(received, texts.map(|text| text.replace("\r\n", "\n").replace('\r', "\n")), "{version:?}");
    }
}
