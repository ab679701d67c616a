//! Each program of `docs/frameworks.md`, with a client that writes and reads HTTP/1.1 by itself.

use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;
use std::time::Duration;

use ssekit::server::{CloseReason, StreamGroup};
use ssekit_frameworks::{Ending, Trial};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Waits for at most 20 seconds, which only a failing test takes.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), future).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// A program of the page, on a thread with a runtime of its own.
struct Server {
    address: SocketAddr,
    streams: StreamGroup,
    shutdown: oneshot::Sender<()>,
    stopped: oneshot::Receiver<()>,
    thread: JoinHandle<()>,
}

impl Server {
    /// Starts a program, given its listener, its group of streams and its signal.
    fn start<F: Future<Output = ()>>(
        program: impl FnOnce(TcpListener, StreamGroup, oneshot::Receiver<()>) -> F + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let streams = StreamGroup::new();
        let group = streams.clone();
        let ((shutdown, signal), (stopping, stopped)) = (oneshot::channel(), oneshot::channel());
        let thread = std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { program(listener, group, signal).await });
            stopping.send(()).unwrap();
        });
        Self { address, streams, shutdown, stopped, thread }
    }

    /// Prepares a stream and requests it.
    async fn open(&self, id: &str) -> (Trial, Response) {
        let trial = Trial::prepare(id, &self.streams);
        let response = self.request("GET", id).await;
        (trial, response)
    }

    /// Sends a request, and reads the head of the response.
    async fn request(&self, method: &str, last_event_id: &str) -> Response {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "{method} /events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\
             Last-Event-ID: {last_event_id}\r\nConnection: close\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut response = Response { socket, head: String::new(), body: String::new() };
        response.read_until("\r\n\r\n").await;
        let (head, body) = response.body.split_once("\r\n\r\n").unwrap();
        (response.head, response.body) = (format!("{}\r\n", head.to_lowercase()), body.to_owned());
        response
    }

    /// Gives the signal, and waits until the program has ended.
    async fn stop(self) {
        self.shutdown.send(()).unwrap();
        soon("the end of the server", self.stopped).await.unwrap();
        self.thread.join().unwrap();
    }
}

struct Response {
    socket: TcpStream,
    /// In lower case, each line with its end.
    head: String,
    /// The bytes after the head so far, in their transfer encoding.
    body: String,
}

impl Response {
    async fn read(&mut self) -> bool {
        let mut bytes = [0; 4096];
        // A reset connection is at its end, too.
        let n = soon("bytes of the response", self.socket.read(&mut bytes)).await.unwrap_or(0);
        self.body += std::str::from_utf8(&bytes[..n]).unwrap();
        n > 0
    }

    async fn read_until(&mut self, text: &str) {
        while !self.body.contains(text) {
            assert!(self.read().await, "the response ended before {text:?}: {:?}", self.body);
        }
    }

    async fn read_to_end(&mut self) {
        while self.read().await {}
    }

    /// Checks the status, and the header fields that `ssekit::server::headers` promises.
    fn assert_event_stream(&self) {
        assert!(self.head.starts_with("http/1.1 200 "), "{}", self.head);
        for (name, value) in &ssekit::server::headers() {
            let line = format!("\r\n{name}: {}\r\n", value.to_str().unwrap());
            assert_eq!(self.head.matches(&line).count(), 1, "{line:?} in {}", self.head);
        }
        assert_eq!(self.head.matches("\r\ncontent-type:").count(), 1, "{}", self.head);
    }

    /// Returns whether the response has its last chunk, without which a client knows that it was cut.
    fn is_complete(&self) -> bool {
        self.body.ends_with("\r\n0\r\n\r\n")
    }
}

/// An open stream has the head of an event stream and its first event. It is dropped when its client goes.
async fn open_stream(server: Server, name: &str) {
    let id = format!("{name} open");
    let (trial, mut response) = server.open(&id).await;
    response.assert_event_stream();
    response.read_until(&format!("data: last event ID {id}\n\n")).await;
    assert!(response.body.contains(": \n\n"), "no preamble: {}", response.body);
    assert!(!response.is_complete());

    drop(response);
    assert_eq!(soon("the end of the stream", trial.closed).await, Ok(CloseReason::ClientGone));
    server.stop().await;
}

/// A stream that ends completes its response; a stream that fails cuts its response.
async fn ending(server: Server, name: &str) {
    for (ending, reason) in [(Ending::End, CloseReason::StreamEnd), (Ending::Fail, CloseReason::Error)] {
        let (trial, mut response) = server.open(&format!("{name} {ending:?}")).await;
        response.read_until("data: ").await;
        trial.ending.send(ending).unwrap();
        response.read_to_end().await;
        assert_eq!(response.is_complete(), reason == CloseReason::StreamEnd, "{ending:?}: {:?}", response.body);
        assert_eq!(soon("the end of the stream", trial.closed).await, Ok(reason));
    }
    server.stop().await;
}

/// The answer to HEAD has the fields and no body, and its stream is dropped.
async fn head(server: Server, name: &str) {
    let trial = Trial::prepare(&format!("{name} HEAD"), &server.streams);
    let mut response = server.request("HEAD", &trial.id).await;
    response.assert_event_stream();
    response.read_to_end().await;
    assert_eq!(response.body, "");
    // An adapter may drop the stream before any server has it.
    assert_eq!(soon("the end of the stream", trial.closed).await, Ok(CloseReason::ClientGone));
    server.stop().await;
}

/// An invalid last event ID is answered 400, and that of a finished stream 204.
async fn rejection(server: Server) {
    let too_long = "x".repeat(ssekit::server::LastEventId::MAX_LEN + 1);
    let mut response = server.request("GET", &too_long).await;
    assert!(response.head.starts_with("http/1.1 400 "), "{}", response.head);
    response.read_to_end().await;
    assert!(response.body.contains("257 bytes"), "{}", response.body);

    let mut response = server.request("GET", ssekit::server::LastEventId::FINISHED).await;
    assert!(response.head.starts_with("http/1.1 204 "), "{}", response.head);
    response.read_to_end().await;
    assert_eq!(response.body, "");
    server.stop().await;
}

/// At the signal the program drains its streams, and ends.
async fn shutdown(server: Server, name: &str) {
    let (trial, mut response) = server.open(&format!("{name} shutdown")).await;
    response.read_until("data: ").await;
    let Server { shutdown, stopped, thread, .. } = server;
    shutdown.send(()).unwrap();
    response.read_to_end().await;
    assert!(response.body.contains("retry: "), "{}", response.body);
    assert!(response.is_complete(), "{}", response.body);
    assert_eq!(soon("the end of the stream", trial.closed).await, Ok(CloseReason::Draining));
    soon("the end of the server", stopped).await.unwrap();
    thread.join().unwrap();
}

/// The tests of one framework, whose programs take tokio's listener.
macro_rules! framework {
    ($name:ident, |$listener:ident, $streams:ident, $signal:ident| $program:expr) => {
        mod $name {
            use super::*;

            fn start() -> Server {
                Server::start(async |$listener, $streams, signal| {
                    let $signal = async { signal.await.unwrap_or_default() };
                    $program
                })
            }

            #[tokio::test]
            async fn open_stream_is_sent_at_once_and_dropped_with_its_client() {
                open_stream(start(), stringify!($name)).await;
            }

            #[tokio::test]
            async fn response_is_complete_at_an_end_and_cut_at_an_error() {
                ending(start(), stringify!($name)).await;
            }

            #[tokio::test]
            async fn head_request_gets_the_fields_and_no_body() {
                head(start(), stringify!($name)).await;
            }

            #[tokio::test]
            async fn last_event_id_that_is_rejected_gets_its_status() {
                rejection(start()).await;
            }

            #[tokio::test]
            async fn server_ends_after_draining_an_open_stream() {
                shutdown(start(), stringify!($name)).await;
            }
        }
    };
}

/// Makes the listener one of tokio.
fn tokio_listener(listener: TcpListener) -> tokio::net::TcpListener {
    tokio::net::TcpListener::from_std(listener).unwrap()
}

framework!(on_hyper, |listener, streams, signal| {
    ssekit_frameworks::on_hyper::run(tokio_listener(listener), streams, signal).await.unwrap()
});
framework!(on_tower, |listener, streams, signal| {
    ssekit_frameworks::on_tower::run(listener, streams, signal).await.unwrap()
});
framework!(on_axum, |listener, streams, signal| {
    ssekit_frameworks::on_axum::run(tokio_listener(listener), streams, signal).await.unwrap()
});
framework!(on_axum_adapter, |listener, streams, signal| {
    ssekit_frameworks::on_axum_adapter::run(listener, streams, signal).await.unwrap()
});
framework!(on_actix, |listener, streams, signal| {
    ssekit_frameworks::on_actix::run(listener, streams, signal).await.unwrap()
});
framework!(on_warp, |listener, streams, signal| {
    ssekit_frameworks::on_warp::run(tokio_listener(listener), streams, signal).await
});
framework!(on_salvo, |listener, streams, signal| {
    ssekit_frameworks::on_salvo::run(tokio_listener(listener), streams, signal).await.unwrap()
});
framework!(on_poem, |listener, streams, signal| {
    ssekit_frameworks::on_poem::run(listener, streams, signal).await.unwrap()
});

/// The page shows the whole code of each module but for its first lines, and no other Rust code.
#[test]
fn page_shows_the_programs_that_are_tested() {
    let page = include_str!("../../../docs/frameworks.md");
    let mut shown = 0;
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap() {
        let source = std::fs::read_to_string(file.unwrap().path()).unwrap();
        if let Some((_, program)) = source.split_once("use crate::events;\n\n") {
            assert!(
                page.contains(&format!("```rust,ignore\n{program}```\n")),
                "the page lacks this program:\n{program}"
            );
            shown += 1;
        }
    }
    assert!(shown > 0, "there are no programs");
    assert_eq!(page.matches("```rust").count(), shown, "the page has Rust code that is not tested");
}

/// What warp requires of a stream, besides `Send`.
#[test]
fn bodies_of_the_library_are_sync_enough_for_warp() {
    fn is_sync<T: Sync>(_: &T) {}

    is_sync(&ssekit::server::EventBody::channel(1).1);
    let hub = ssekit::hub::Hub::default();
    is_sync(&hub.subscribe(ssekit::hub::Subscribe::topic("news")).unwrap());
}

/// A hub's body is a stream too, for the frameworks that want one.
#[test]
fn body_of_a_hub_converts_like_that_of_a_stream() {
    let request = ssekit::server::SseRequest::from_fields("GET", None, [], None).unwrap();
    let hub = ssekit::hub::Hub::default();
    let respond = || hub.respond(&request, ssekit::hub::Subscribe::topic("news")).into_http();
    let _ = respond().map(poem::Body::from_bytes_stream);
    let _ = respond().map(salvo::http::body::ResBody::stream);
    let _ = respond().map(warp::reply::stream);
    assert_eq!(hub.stats().clients, 0);
}
