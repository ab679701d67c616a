//! The server: a clock, which says by which process it is shown, and for how long it was not.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{self, ExitCode};
use std::time::{Duration, SystemTime};

use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{BoxError, Router};
use serde::Serialize;
use ssekit::axum::{DrainOptions, LastEventId, Sender, Shutdown, Sse, Streams, serve};
use ssekit::{Event, EventId, Frame, event_type};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use crate::common::{self, listen, shutdown};
use crate::successor::{self, generation};

const HELP: &str = "\
Serves a clock as an event stream, and hands over to a successor on SIGHUP.

Usage: restart [--addr HOST:PORT] [--retry MS] [--patience SECONDS]

  --addr HOST:PORT    where to listen (default 127.0.0.1:8080; port 0 takes a free one), if no
                      socket is given by systemd or by a predecessor
  --retry MS          after how long the clients of a server that ends come back, or up to
                      twice as long (default 1000)
  --patience SECONDS  what a successor has to start (default 10)
";

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
    // Caught before anyone knows of this process.
    let signal = end(socket, patience)?;

    let streams = Streams::new();
    let router = Router::new()
        .route("/", get(async || format!("generation {}, process {}\n", generation(), process::id())))
        .route("/events", get(events))
        .with_state(streams.clone());
    let bye = Event::data("come back").with_event_type(event_type!("bye"));
    let options = DrainOptions::new().with_farewell(bye).with_retry(retry);
    let server = serve(listener, router).map_err(|error| error.to_string())?;
    announce(local);
    if let Err(error) = successor::notify() {
        say(&format!("systemd is not told: {error}"));
    }
    let report = server.with_shutdown(signal, &streams, options).await;
    say(&format!("ends: {report}"));
    Ok(())
}

/// Comes when there is a successor that serves, or when there is to be none.
fn end(listener: TcpListener, patience: Duration) -> Result<impl Future<Output = Shutdown> + Send + 'static, String> {
    let shutdown = shutdown()?;
    let mut hangup = signal(SignalKind::hangup()).map_err(|error| format!("cannot catch signals: {error}"))?;
    let hand_over = async move {
        loop {
            hangup.recv().await;
            match successor::start(&listener, patience).await {
                Ok(id) => {
                    say(&format!("is succeeded by process {id}"));
                    return;
                }
                Err(error) => say(&format!("goes on, since its successor has failed: {error}")),
            }
        }
    };
    Ok(async move {
        tokio::select! {
            () = shutdown => Shutdown::Stop,
            () = hand_over => Shutdown::HandOver,
        }
    })
}

/// The first event of each connection.
#[derive(Serialize)]
struct Hello {
    generation: u64,
    process: u32,
    /// For how long the client was served by nobody, in milliseconds, if it was before.
    away: Option<u64>,
}

/// A time as ID is one that the next process makes sense of, too.
async fn events(State(streams): State<Streams>, LastEventId(last): LastEventId) -> impl IntoResponse {
    let since = last.and_then(|id| id.as_str().parse().ok());
    Sse::from_fn(|sender| clock(sender, since)).with_streams(&streams)
}

async fn clock(sender: Sender, since: Option<u64>) -> Result<(), BoxError> {
    let away = since.map(|since| milliseconds().saturating_sub(since));
    let hello = Hello { generation: generation(), process: process::id(), away };
    sender.send(Frame::json(Event::new().with_event_type(event_type!("hello")), &hello)?).await?;
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        seconds.tick().await;
        let id = milliseconds().to_string();
        sender.send(Event::data(&id).with_id(EventId::new(&id)?)).await?;
    }
}

fn milliseconds() -> u64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or_default()
}

/// Says that it serves, to whoever has started it: a user, or its predecessor, which reads one line.
fn announce(local: SocketAddr) {
    let id = process::id();
    let _ = write!(
        io::stdout(),
        "ssekit restart is listening on http://{local}/\n\n\
        \x20 watch   curl -N http://{local}/events\n\
        \x20 and     kill -HUP {id}\n\
        \x20 then    curl http://{local}/, to see who is there now\n"
    );
}

/// For the log, which all generations share.
fn say(what: &str) {
    eprintln!("restart: generation {}, process {}, {what}", generation(), process::id());
}
