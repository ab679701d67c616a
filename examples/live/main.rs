//! Live data of this machine as an event stream, and a page that shows it.
//!
//! `cargo run --release --example live -- [--addr HOST:PORT] [--tail FILE]`

mod feed;
mod machine;
mod tail;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{Html, IntoResponse, Redirect};
use axum::routing::get;
use axum::serve::ListenerExt;
use axum::{Router, serve};
use futures_util::{Stream, StreamExt, stream};
use ssekit::Frame;
use ssekit::axum::{LastEventId, Sse};
use tokio::net::TcpListener;

use feed::{Feed, FellBehind};
use tail::Tail;

const HELP: &str = "\
Serves live data of this machine as an event stream, and a page that shows it.

Usage: live [--addr HOST:PORT] [--tail FILE]

  --addr HOST:PORT  where to listen (default 127.0.0.1:8080; port 0 takes a free one)
  --tail FILE       also send what is appended to FILE, an event a record: a line, with the
                    lines below it that are blank or begin with a space or a tab
";

struct Arguments {
    addr: String,
    tail: Option<PathBuf>,
}

fn arguments() -> Result<Option<Arguments>, lexopt::Error> {
    use lexopt::prelude::*;

    let mut arguments = Arguments { addr: "127.0.0.1:8080".to_owned(), tail: None };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("addr") => arguments.addr = parser.value()?.string()?,
            Long("tail") => arguments.tail = Some(parser.value()?.into()),
            Long("help") | Short('h') => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(arguments))
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match arguments() {
        Ok(Some(arguments)) => run(arguments).await,
        Ok(None) => {
            print!("{HELP}");
            Ok(())
        }
        Err(error) => Err(format!("{error}\n\n{HELP}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("live: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(Arguments { addr, tail }: Arguments) -> Result<(), String> {
    let listener = TcpListener::bind(&addr)
        .await
        .map_err(|error| format!("cannot listen on {addr}: {error} (--addr HOST:PORT takes another)"))?;
    let local = listener.local_addr().map_err(|error| format!("cannot listen on {addr}: {error}"))?;

    let feed = Arc::new(Feed::new(tail.as_deref()));
    tokio::spawn(machine::sample(feed.clone()));
    if let Some(path) = &tail {
        tokio::spawn(Tail::open(path.clone()).await.follow(feed.clone()));
    }
    let app = Router::new()
        .route("/", get(|| async { Html(include_str!("index.html")) }))
        .route("/events", get(events))
        .fallback(|| async { Redirect::to("/").into_response() })
        .with_state(feed);

    announce(local, tail);
    // Without this, Nagle's algorithm holds a small event back until the one before it is acknowledged.
    let listener = listener.tap_io(|connection| {
        let _ = connection.set_nodelay(true);
    });
    serve(listener, app).await.map_err(|error| error.to_string())
}

/// Says what to open. Whoever started it need not listen, so an error is none.
fn announce(local: SocketAddr, tail: Option<PathBuf>) {
    let tail = match tail {
        Some(path) => format!("append  lines to {} and see them come", path.display()),
        None => "start it with --tail FILE to see a file's new lines too".to_owned(),
    };
    let _ = write!(
        io::stdout(),
        "ssekit live is listening on http://{local}/\n\n\
        \x20 open    http://{local}/\n\
        \x20 or      curl -N http://{local}/events\n\
        \x20 or      curl -sN http://{local}/events | cargo run --release --example decode\n\
        \x20 {tail}\n"
    );
}

/// The event stream: where this connection stands, what it has missed, and then all that comes.
async fn events(
    State(feed): State<Arc<Feed>>,
    LastEventId(last): LastEventId,
) -> Sse<impl Stream<Item = Result<Frame, FellBehind>>> {
    let subscription = feed.subscribe(last.as_ref().map(AsRef::as_ref));
    let past = stream::iter(subscription.past).map(Ok);
    Sse::new(past.chain(subscription.live)).with_reconnection_time(Duration::from_secs(1))
}
