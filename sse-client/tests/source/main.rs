//! The event source on reqwest, with real servers on loopback.

#![forbid(unsafe_code)]

mod ends;
mod redirects;
mod requests;
mod retries;
mod server;
mod streams;
mod transports;

use std::fmt::Write;
use std::time::Duration;

use ssekit_client::machine::{Failure, Then};
use ssekit_client::{Error, EventSource, EventSourceBuilder, Item, RetryPolicy};
use tokio::time::timeout;

use server::{Act, SOON, Server};

/// Tries again at once.
fn eager() -> RetryPolicy {
    let tick = Duration::from_millis(1);
    RetryPolicy::new().with_reconnection_time(tick).with_backoff(tick, tick).with_min_wait(tick)
}

fn get(server: &Server) -> EventSourceBuilder {
    EventSource::get(server.url("/events")).with_retry(eager())
}

/// What comes, on a line each.
async fn all_of(source: &mut EventSource, server: &Server) -> String {
    let mut lines = String::new();
    while let Some(item) = timeout(SOON, source.next()).await.unwrap_or_else(|_| panic!("no more than:\n{lines}")) {
        writeln!(lines, "{}", line(&item)).unwrap();
        server.saw_one();
    }
    writeln!(lines, "end: {:?}", source.end().unwrap()).unwrap();
    lines
}

fn line(item: &Result<Item, Error>) -> String {
    match item {
        Ok(Item::Open(_)) => "open".to_owned(),
        Ok(Item::Event(event)) => format!("{}|{}|{}", event.event_type, event.data, event.last_event_id),
        Ok(Item::Comment(comment)) => format!("#{comment}"),
        Ok(other) => format!("{other:?}"),
        Err(error) => {
            let then = match error.then() {
                Then::GoOn => "go on",
                Then::Retry { .. } => "retry",
                Then::End => "failed",
            };
            format!("{then}: {}", error.failure())
        }
    }
}

/// What comes of a server that does so with its connections, and is asked with no more than the defaults.
async fn given(script: Vec<Vec<Act>>) -> String {
    given_by(script, |builder| builder).await
}

async fn given_by(script: Vec<Vec<Act>>, options: impl FnOnce(EventSourceBuilder) -> EventSourceBuilder) -> String {
    let server = Server::start(script).await;
    let mut source = options(get(&server)).build().unwrap();
    all_of(&mut source, &server).await
}

/// The next item.
async fn next(source: &mut EventSource) -> Result<Item, Error> {
    timeout(SOON, source.next()).await.expect("there is something in time").expect("there is something")
}

/// The next failure.
async fn next_error(source: &mut EventSource) -> Error {
    loop {
        if let Err(error) = next(source).await {
            return error;
        }
    }
}

fn is_status(failure: &Failure, status: u16) -> bool {
    failure.status() == Some(status)
}
