//! The server: a clock, and notes that anybody publishes.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{self, ExitCode};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;
use ssekit::axum::{DrainOptions, Shutdown, SseRequest, serve};
use ssekit::hub::{Hub, HubOptions, MemoryLog, Subscribe};
use ssekit::{EncodedEvent, Event, event_type};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use crate::common::{self, listen, shutdown};
use crate::successor::{self, generation};

const HELP: &str = "\
Serves a clock and notes as an event stream, and hands over to a successor on SIGHUP.

Usage: restart [--addr HOST:PORT] [--retry MS] [--patience SECONDS]

  --addr HOST:PORT    where to listen (default 127.0.0.1:8080; port 0 takes a free one), if no
                      socket is given by systemd or by a predecessor
  --retry MS          after how long the clients of a server that ends come back, or up to
                      twice as long (default 1000)
  --patience SECONDS  what a successor has to start (default 10)
";

/// The topics of the hub.
const CLOCK: &str = "clock";
const NOTES: &str = "notes";

/// The most bytes of a note.
const MAX_NOTE: usize = 64 << 10;

struct Arguments {
    addr: String,
    retry: Duration,
    patience: Duration,
}

fn arguments() -> Result<Option<Arguments>, lexopt::Error> {
    use lexopt::prelude::*;

    let mut arguments = Arguments {
        addr: "127.0.0.1:8080".to_owned(),
        retry: Duration::from_secs(1),
        patience: Duration::from_secs(10),
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("addr") => arguments.addr = parser.value()?.string()?,
            Long("retry") => arguments.retry = Duration::from_millis(parser.value()?.parse()?),
            Long("patience") => arguments.patience = Duration::from_secs(parser.value()?.parse()?),
            Long("help") | Short('h') => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(arguments))
}

pub(crate) async fn main() -> ExitCode {
    common::main("restart", HELP, arguments(), run).await
}

async fn run(Arguments { addr, retry, patience }: Arguments) -> Result<(), String> {
    let inherited =
        successor::inherited().map_err(|error| format!("the socket that was given is of no use: {error}"))?;
    let (listener, local) = inherited.map_or_else(|| listen(&addr), Ok)?;
    let socket = listener.try_clone().map_err(|error| error.to_string())?;
    // The signal is caught before anybody knows this process.
    let shutdown = shutdown()?;
    let hangup = signal(SignalKind::hangup()).map_err(|error| format!("cannot catch signals: {error}"))?;

    let log = successor::log()?;
    let hub = Hub::with_log(log.clone(), HubOptions::new());
    let router = Router::new()
        .route("/", get(async || format!("generation {}, process {}\n", generation(), process::id())))
        .route("/events", get(events))
        .route("/publish", post(publish).layer(DefaultBodyLimit::max(MAX_NOTE)))
        .with_state(hub.clone());
    let bye = Event::data("come back").with_event_type(event_type!("bye"));
    let options = DrainOptions::new().with_farewell(bye).with_reconnection_time(retry);
    let server = serve(listener, router).map_err(|error| error.to_string())?;
    announce(local);
    successor::consent().map_err(|error| format!("the predecessor has not let go: {error}"))?;
    tokio::spawn(clock(hub.clone()));
    if let Err(error) = successor::notify() {
        say(&format!("systemd is not told: {error}"));
    }
    let hand_over = hand_over(hangup, socket, log, patience);
    let end = async move {
        tokio::select! {
            () = shutdown => Shutdown::Stop,
            () = hand_over => Shutdown::HandOver,
        }
    };
    let report = server.with_shutdown(end, hub.streams(), options).await;
    say(&format!("ends: {report}"));
    Ok(())
}

/// Completes when a successor serves.
async fn hand_over(mut hangup: Signal, listener: TcpListener, log: MemoryLog, patience: Duration) {
    loop {
        hangup.recv().await;
        match successor::start(&listener, &log, patience).await {
            Ok(id) => {
                say(&format!("is succeeded by process {id}"));
                return;
            }
            Err(error) => say(&format!("goes on, since its successor has failed: {error}")),
        }
    }
}

/// The first event of each connection. The resume event of the hub follows.
#[derive(Serialize)]
struct Hello {
    generation: u64,
    process: u32,
}

async fn events(State(hub): State<Hub>, request: SseRequest) -> impl IntoResponse {
    let mut subscribe = Subscribe::topics([CLOCK, NOTES]).with_resume_event();
    let hello = Hello { generation: generation(), process: process::id() };
    if let Ok(hello) = EncodedEvent::json(&Event::new().with_event_type(event_type!("hello")), &hello) {
        subscribe = subscribe.with_first_event(hello);
    }
    hub.respond(&request, subscribe)
}

/// Publishes a note, and answers with its position.
async fn publish(State(hub): State<Hub>, note: String) -> Response {
    match hub.publish(NOTES, Event::data(&note).with_event_type(event_type!("note"))).await {
        Ok(position) => position.to_string().into_response(),
        // The successor gets the log now, and accepts the note in a moment.
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")], error.to_string()).into_response(),
    }
}

/// Publishes the time every second. While the log is sealed, only the successor can publish.
async fn clock(hub: Hub) {
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        seconds.tick().await;
        let _ = hub.publish(CLOCK, Event::data(milliseconds().to_string())).await;
    }
}

fn milliseconds() -> u64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or_default()
}

/// Prints that the server is about to serve. The reader is a user, or the predecessor, which reads one line.
fn announce(local: SocketAddr) {
    let id = process::id();
    let _ = write!(
        io::stdout(),
        "ssekit restart is listening on http://{local}/\n\n\
        \x20 watch   curl -N http://{local}/events\n\
        \x20 and     curl -d 'a note' http://{local}/publish\n\
        \x20 and     kill -HUP {id}\n\
        \x20 then    curl http://{local}/, to see who is there now\n"
    );
}

/// Prints a line to the standard error that all generations share.
fn say(what: &str) {
    eprintln!("restart: generation {}, process {}, {what}", generation(), process::id());
}
