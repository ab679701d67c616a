//! A gateway in front of a language model. It reads each event of the upstream's answer, changes some events, and sends the
//! original bytes of all others.
//!
//! `cargo run --release --example gateway -- [--addr HOST:PORT] [--upstream URL] [--rename FROM=TO]`
//!
//! # Copies
//!
//! This program and ssekit copy nothing of an unchanged event. The event is a slice of the chunk that hyper has read from
//! the upstream ([`RelayStream`]). The channel and the body pass the slice on, and hyper writes it by a vectored write.
//! Reading the event borrows from the chunk too.
//!
//! Exceptions:
//!
//! - An event that came in several chunks is joined by one copy, and by another one for its data. Data of several lines is
//!   joined for reading.
//! - Text of up to 23 bytes, such as `[DONE]`, is copied into the decoded event, because a copy is cheaper than sharing.
//! - A changed event is written once. The text before and after the change is copied.
//! - The kernel copies all bytes from one socket and to the other.
//!
//! By default, a body copies events that are ready together into one HTTP chunk. Here, each event is a chunk of its own
//! (`with_max_chunk(0)`).

#[path = "../common/mod.rs"]
mod common;
mod edit;
#[path = "../common/model.rs"]
mod model;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use axum::http::uri::{Authority, Scheme};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{BoxError, Router};
use futures_util::{StreamExt, TryStreamExt};
use http_body_util::BodyStream;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use ssekit::axum::{CloseReason, DrainOptions, DrainPolicy, SendError, Sender, Sse, StreamGroup, serve};
use ssekit::{EncodedEvent, Event, RelayStream};
use tokio::net::TcpStream;

use common::{listen, shutdown};
use edit::{Look, Rename};
use model::in_json;

const HELP: &str = "\
Serves POST /v1/chat/completions by asking an upstream that speaks OpenAI's streaming format.

Usage: gateway [--addr HOST:PORT] [--upstream URL] [--rename FROM=TO]

  --addr HOST:PORT  where to listen (default 127.0.0.1:8080; port 0 takes a free one)
  --upstream URL    whom to ask, by plain HTTP: http://HOST:PORT (default: a stand-in of its own)
  --rename FROM=TO  the model FROM is TO in streams (default demo-1=gateway-1)
";

/// The time that an open answer gets during a shutdown. The client cannot get it again.
const LAST_WORDS: Duration = Duration::from_secs(10);

struct Arguments {
    addr: String,
    upstream: Option<Authority>,
    rename: Rename,
}

fn arguments() -> Result<Option<Arguments>, lexopt::Error> {
    use lexopt::prelude::*;

    let rename = format!("{}=gateway-1", model::MODEL).parse()?;
    let mut arguments = Arguments { addr: "127.0.0.1:8080".to_owned(), upstream: None, rename };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("addr") => arguments.addr = parser.value()?.string()?,
            Long("upstream") => arguments.upstream = Some(parser.value()?.parse_with(authority)?),
            Long("rename") => arguments.rename = parser.value()?.parse()?,
            Long("help") | Short('h') => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(arguments))
}

fn authority(url: &str) -> Result<Authority, BoxError> {
    let uri: Uri = url.parse()?;
    match (uri.scheme() == Some(&Scheme::HTTP), uri.authority(), uri.path()) {
        (true, Some(authority), "/") => Ok(authority.clone()),
        _ => Err("expected http://HOST:PORT".into()),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    common::main("gateway", HELP, arguments(), run).await
}

#[derive(Clone)]
struct Gateway {
    upstream: Authority,
    rename: Arc<Rename>,
    streams: StreamGroup,
}

async fn run(Arguments { addr, upstream, rename }: Arguments) -> Result<(), String> {
    let (listener, local) = listen(&addr)?;
    let signal = shutdown()?;
    let upstream = match upstream {
        Some(upstream) => upstream,
        None => {
            let (listener, local) = listen("127.0.0.1:0")?;
            model::start(listener).map_err(|error| error.to_string())?;
            local.to_string().parse().map_err(|error| format!("{local}: {error}"))?
        }
    };
    announce(local, &upstream);
    let gateway = Gateway { upstream, rename: Arc::new(rename), streams: StreamGroup::new() };
    let streams = gateway.streams.clone();
    let router = Router::new().route("/v1/chat/completions", post(completions)).with_state(gateway);
    let server = serve(listener, router).map_err(|error| error.to_string())?;
    let options = DrainOptions::new().with_deadline(LAST_WORDS).with_farewell(failure("the gateway shuts down"));
    let report = server.with_shutdown(signal, &streams, options).await;
    let _ = writeln!(io::stdout(), "gateway ends: {report}");
    Ok(())
}

async fn completions(State(gateway): State<Gateway>, request: Request) -> Response {
    match gateway.ask(request).await {
        Ok(response) => {
            let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            if content_type.is_some_and(|value| value.starts_with("text/event-stream")) {
                return gateway.relay(response.into_body());
            }
            // The client asked for no stream, or the upstream refused the request.
            let content_type = content_type.unwrap_or("application/octet-stream").to_owned();
            (response.status(), [(CONTENT_TYPE, content_type)], Body::new(response.into_body())).into_response()
        }
        Err(error) => {
            eprintln!("gateway: {} cannot be asked: {error}", gateway.upstream);
            in_json(StatusCode::BAD_GATEWAY, &error_object("the upstream cannot be asked"))
        }
    }
}

impl Gateway {
    /// Sends the request over a new connection, which closes when the body of the answer ends or is dropped.
    async fn ask(&self, request: Request) -> Result<hyper::Response<Incoming>, BoxError> {
        let host = self.upstream.host().trim_matches(['[', ']']);
        let stream = TcpStream::connect((host, self.upstream.port_u16().unwrap_or(80))).await?;
        stream.set_nodelay(true)?;
        let (mut upstream, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let (head, body) = request.into_parts();
        let mut builder = hyper::Request::post(head.uri.path()).header(HOST, self.upstream.as_str());
        for name in [AUTHORIZATION, CONTENT_TYPE] {
            if let Some(value) = head.headers.get(&name) {
                builder = builder.header(name, value);
            }
        }
        Ok(upstream.send_request(builder.body(body)?).await?)
    }

    fn relay(&self, answer: Incoming) -> Response {
        let (counts, rename) = (Arc::new(Counts::default()), self.rename.clone());
        let of_stream = counts.clone();
        let start = Instant::now();
        Sse::from_fn(async move |sender| Ok(pass_on(answer, &sender, &rename, &of_stream).await?))
            .with_max_chunk(0)
            .with_group(&self.streams)
            .with_drain_policy(DrainPolicy::FinishThenClose { max: LAST_WORDS })
            // By then, the body of the answer is dropped, and the connection to the upstream is closed.
            .on_close(move |reason| match reason {
                CloseReason::StreamEnd => eprintln!("gateway: {counts} in {:.1?}", start.elapsed()),
                reason => eprintln!("gateway: {counts}, then the request was cancelled upstream: {reason}"),
            })
            .into_response()
    }
}

/// Sends the events of the upstream to the client, no faster than the client reads.
async fn pass_on(answer: Incoming, sender: &Sender, rename: &Rename, counts: &Counts) -> Result<(), SendError> {
    let chunks = BodyStream::new(answer).try_filter_map(async |frame| Ok(frame.into_data().ok()));
    let mut events = pin!(RelayStream::new(chunks));
    loop {
        let event = match events.next().await {
            Some(Ok(event)) => event,
            Some(Err(error)) => return fail(sender, &format!("the upstream has broken off: {error}")).await,
            None => return fail(sender, "the upstream has broken off before its end").await,
        };
        if event.event().data == "[DONE]" {
            return sender.send(event).await;
        }
        let Look { tokens, changed } = Look::at(event.event(), rename);
        counts.add(tokens, changed.is_some());
        match changed {
            Some(frame) => sender.send(frame).await?,
            None => sender.send(event).await?,
        }
    }
}

/// Sends an error event. Without it, the client would take the stream for complete.
async fn fail(sender: &Sender, message: &str) -> Result<(), SendError> {
    eprintln!("gateway: {message}");
    sender.send(failure(message)).await
}

fn failure(message: &str) -> EncodedEvent {
    EncodedEvent::from(Event::data(error_object(message).to_string()))
}

fn error_object(message: &str) -> Value {
    json!({ "error": { "message": message, "type": "gateway_error" } })
}

/// The counts of an answer.
#[derive(Default)]
struct Counts {
    tokens: AtomicUsize,
    changed: AtomicUsize,
    unchanged: AtomicUsize,
}

impl Counts {
    fn add(&self, tokens: usize, is_changed: bool) {
        self.tokens.fetch_add(tokens, Ordering::Relaxed);
        let events = if is_changed { &self.changed } else { &self.unchanged };
        events.fetch_add(1, Ordering::Relaxed);
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [tokens, changed, unchanged] =
            [&self.tokens, &self.changed, &self.unchanged].map(|count| count.load(Ordering::Relaxed));
        write!(f, "{tokens} tokens, {changed} events changed, {unchanged} as they were")
    }
}

/// Prints how to use the gateway. An error is ignored, because nobody may read the output.
fn announce(local: SocketAddr, upstream: &Authority) {
    let url = format!("http://{local}/v1/chat/completions");
    let body = |model| format!(r#"{{"model": "{model}", "stream": true, "messages": []}}"#);
    let _ = write!(
        io::stdout(),
        "ssekit gateway is listening on http://{local}/, and asks http://{upstream}/\n\n\
        \x20 try     curl -N {url} -d '{}'\n\
        \x20 or      stop that half-way, and see here that it is cancelled upstream\n\
        \x20 or      see one that breaks off: curl -N {url} -d '{}'\n",
        body(model::MODEL),
        body(model::BROKEN)
    );
}
