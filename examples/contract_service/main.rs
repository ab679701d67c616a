//! A test service for LaunchDarkly's contract tests of SSE clients.
//!
//! It creates event sources as the harness of the tests asks, and posts their items back to it.
//!
//! `cargo run --release --example contract_service -- [--addr HOST:PORT]`
//!
//! The protocol is `docs/service_spec.md` in launchdarkly/sse-contract-tests. Run its harness by
//! `sse-contract-tests --url http://127.0.0.1:8000`.
//!
//! # How the client is used
//!
//! Each stream is a task that owns an event source (`stream.rs`). It takes an item, posts it, and takes the next. So a slow
//! harness slows down the server of the stream, and no items accumulate here. A restart of the source is a call between two
//! items. Dropping the source ends it, whatever it waits for.
//!
//! All event sources and posts use one HTTP client, and share its connections.

#[path = "../common/mod.rs"]
mod common;
mod stream;

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;
use ssekit::axum::{DrainOptions, StreamGroup, serve};
use ssekit::client::client_builder;
use ssekit::client::reqwest::Client;

use common::{listen, shutdown};
use stream::{Parameters, Stream};

const HELP: &str = "\
Serves LaunchDarkly's sse-contract-tests, for them to test ssekit's client.

Usage: contract_service [--addr HOST:PORT]

  --addr HOST:PORT  where to listen (default 127.0.0.1:8000; port 0 takes a free one)
";

/// The optional abilities that the harness may test.
const CAPABILITIES: [&str; 10] = [
    "bom",
    "comments",
    "headers",
    "last-event-id",
    "payload-size-stress-testable",
    "post",
    "read-timeout",
    "report",
    "restart",
    "server-directed-shutdown-request",
];

const MAX_STREAMS: usize = 1024;
/// The longest body that the harness may send.
const MAX_BODY: usize = 1 << 20;

fn arguments() -> Result<Option<String>, lexopt::Error> {
    use lexopt::prelude::*;

    let mut addr = "127.0.0.1:8000".to_owned();
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("addr") => addr = parser.value()?.string()?,
            Long("help") | Short('h') => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(addr))
}

#[tokio::main]
async fn main() -> ExitCode {
    common::main("contract_service", HELP, arguments(), run).await
}

#[derive(Clone)]
struct Service {
    client: Client,
    table: Arc<Mutex<Table>>,
    quit: Arc<tokio::sync::Notify>,
}

#[derive(Default)]
struct Table {
    streams: HashMap<String, Stream>,
    created: u64,
}

impl Service {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn run(addr: String) -> Result<(), String> {
    let (listener, local) = listen(&addr)?;
    let signal = shutdown()?;
    // The harness runs on this machine.
    let client =
        client_builder().no_proxy().build().map_err(|error| format!("http client cannot be built: {error}"))?;
    announce(local);
    let service = Service { client, table: Arc::default(), quit: Arc::default() };
    let quit_by_request = service.quit.clone();
    let router = Router::new()
        .route("/", get(capabilities).post(create).delete(quit))
        .route("/streams/{id}", post(command).delete(close))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(service);
    let end = async move {
        tokio::select! {
            () = signal => {}
            () = quit_by_request.notified() => {}
        }
    };
    let server = serve(listener, router).map_err(|error| error.to_string())?;
    server.with_shutdown(end, &StreamGroup::new(), DrainOptions::new()).await;
    let _ = writeln!(io::stdout(), "contract_service ends");
    Ok(())
}

async fn capabilities() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], json!({ "capabilities": CAPABILITIES }).to_string())
}

async fn quit(State(service): State<Service>) -> StatusCode {
    service.quit.notify_one();
    StatusCode::NO_CONTENT
}

type Refusal = (StatusCode, String);

fn bad_request(error: impl ToString) -> Refusal {
    (StatusCode::BAD_REQUEST, error.to_string())
}

async fn create(State(service): State<Service>, body: String) -> Result<impl IntoResponse, Refusal> {
    let parameters: Parameters = serde_json::from_str(&body).map_err(bad_request)?;
    let mut table = service.table();
    if table.streams.len() == MAX_STREAMS {
        return Err((StatusCode::SERVICE_UNAVAILABLE, format!("too many streams: at most {MAX_STREAMS} are allowed")));
    }
    let stream = Stream::start(parameters, &service.client).map_err(bad_request)?;
    table.created += 1;
    let id = table.created.to_string();
    let location = format!("/streams/{id}");
    table.streams.insert(id, stream);
    Ok((StatusCode::CREATED, [(LOCATION, location)]))
}

#[derive(Deserialize)]
#[serde(tag = "command", rename_all = "lowercase")]
enum Command {
    Restart,
    /// Listen to a type of events. There is nothing to do, because the source returns all types.
    Listen,
}

async fn command(State(service): State<Service>, Path(id): Path<String>, body: String) -> Result<StatusCode, Refusal> {
    let table = service.table();
    let stream = table.streams.get(&id).ok_or((StatusCode::NOT_FOUND, "no such stream".to_owned()))?;
    match serde_json::from_str(&body).map_err(bad_request)? {
        Command::Restart => stream.restart(),
        Command::Listen => {}
    }
    Ok(StatusCode::ACCEPTED)
}

async fn close(State(service): State<Service>, Path(id): Path<String>) -> StatusCode {
    let Some(stream) = service.table().streams.remove(&id) else { return StatusCode::NOT_FOUND };
    stream.close().await;
    StatusCode::NO_CONTENT
}

/// Writes the address to standard output. Nobody has to read it, so errors are ignored.
fn announce(local: SocketAddr) {
    let _ = writeln!(io::stdout(), "ssekit contract service is listening on http://{local}/");
}
