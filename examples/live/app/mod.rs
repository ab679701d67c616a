//! All of `live` and `live_actix` but the web framework.

mod feed;
mod machine;
mod tail;

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use ssekit::server::{DrainOptions, DrainReport, EventBody, Streams};
use ssekit::{Event, Frame, event_type};

use crate::common::{self, listen, shutdown};
use feed::{Feed, FellBehind};
use tail::Tail;

pub(crate) const PAGE: &str = include_str!("index.html");

/// The application, for a framework to serve.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) streams: Streams,
    feed: Arc<Feed>,
}

impl App {
    /// The event stream: where this connection stands, what it has missed, and then all that comes.
    pub(crate) fn events(
        &self,
        last_event_id: Option<&str>,
    ) -> EventBody<impl Stream<Item = Result<Frame, FellBehind>> + use<>> {
        let subscription = self.feed.subscribe(last_event_id);
        let past = stream::iter(subscription.past).map(Ok);
        EventBody::new(past.chain(subscription.live))
            .with_reconnection_time(Duration::from_secs(1))
            .with_streams(&self.streams)
    }

    /// How the streams end with the program.
    pub(crate) fn end() -> DrainOptions {
        let bye = Event::data("the server shuts down").with_event_type(event_type!("bye"));
        DrainOptions::new().with_farewell(bye).with_retry(Duration::from_secs(1))
    }
}

/// The program `name`, of which `serve` is what the framework does: to serve the application until the signal.
pub(crate) async fn main<S>(name: &str, serve: S) -> ExitCode
where
    S: AsyncFnOnce(TcpListener, App, Signal) -> io::Result<DrainReport>,
{
    let run = async |Arguments { addr, tail }| {
        let (listener, local) = listen(&addr)?;
        let signal = shutdown()?;
        let feed = Arc::new(Feed::new(tail.as_deref()));
        tokio::spawn(machine::sample(feed.clone()));
        if let Some(path) = &tail {
            tokio::spawn(Tail::open(path.clone()).await.follow(feed.clone()));
        }
        announce(name, local, tail);
        let app = App { streams: Streams::new(), feed };
        let report = serve(listener, app, Box::pin(signal)).await.map_err(|error| error.to_string())?;
        let _ = writeln!(io::stdout(), "{name} ends: {report}");
        Ok(())
    };
    common::main(name, &help(name), arguments(), run).await
}

/// Comes when the program is to end.
pub(crate) type Signal = Pin<Box<dyn Future<Output = ()> + Send>>;

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

fn help(name: &str) -> String {
    format!(
        "\
Serves live data of this machine as an event stream, and a page that shows it.

Usage: {name} [--addr HOST:PORT] [--tail FILE]

  --addr HOST:PORT  where to listen (default 127.0.0.1:8080; port 0 takes a free one)
  --tail FILE       also send what is appended to FILE, an event a record: a line, with the
                    lines below it that are blank or begin with a space or a tab
"
    )
}

/// Says what to open. Whoever started it need not listen, so an error is none.
fn announce(name: &str, local: SocketAddr, tail: Option<PathBuf>) {
    let tail = match tail {
        Some(path) => format!("append  lines to {} and see them come", path.display()),
        None => "start it with --tail FILE to see a file's new lines too".to_owned(),
    };
    let _ = write!(
        io::stdout(),
        "ssekit {name} is listening on http://{local}/\n\n\
        \x20 open    http://{local}/\n\
        \x20 or      curl -N http://{local}/events\n\
        \x20 or      curl -sN http://{local}/events | cargo run --release --example decode\n\
        \x20 {tail}\n"
    );
}
