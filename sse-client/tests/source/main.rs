//! The event source on reqwest, with real servers on the loopback interface.

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

use ssekit_client::{ClientError, EventSource, EventSourceBuilder, Failure, NextStep, RetryPolicy, SourceItem};
use tokio::time::timeout;

use server::{Act, SOON, Server};

/// Retries at once.
fn eager() -> RetryPolicy {
    let tick = Duration::from_millis(1);
    RetryPolicy::new().with_reconnection_time(tick).with_backoff(tick, tick).with_min_delay(tick)
}

fn get(server: &Server) -> EventSourceBuilder {
    EventSource::get(server.url("/events")).with_retry_policy(eager())
}

/// Returns all items and the end, one per line.
async fn all_of(source: &mut EventSource, server: &Server) -> String {
    let mut lines = String::new();
    while let Some(item) =
        timeout(SOON, source.next()).await.unwrap_or_else(|_| panic!("only these items in time:\n{lines}"))
    {
        writeln!(lines, "{}", line(&item)).unwrap();
        server.saw_one();
    }
    writeln!(lines, "end: {:?}", source.end_reason().unwrap()).unwrap();
    lines
}

fn line(item: &Result<SourceItem, ClientError>) -> String {
    match item {
        Ok(SourceItem::Opened(_)) => "open".to_owned(),
        Ok(SourceItem::Event(event)) => format!("{}|{}|{}", event.event_type, event.data, event.last_event_id),
        Ok(SourceItem::Comment(comment)) => format!("#{comment}"),
        Ok(other) => format!("{other:?}"),
        Err(error) => {
            let then = match error.next_step() {
                NextStep::Continue => "continue",
                NextStep::Retry { .. } => "retry",
                NextStep::End => "failed",
            };
            format!("{then}: {}", error.failure())
        }
    }
}

/// Returns all items from a server with this script, for a source with default settings.
async fn items(script: Vec<Vec<Act>>) -> String {
    items_with(script, |builder| builder).await
}

async fn items_with(script: Vec<Vec<Act>>, options: impl FnOnce(EventSourceBuilder) -> EventSourceBuilder) -> String {
    let server = Server::start(script).await;
    let mut source = options(get(&server)).build().unwrap();
    all_of(&mut source, &server).await
}

/// Returns the next item.
async fn next(source: &mut EventSource) -> Result<SourceItem, ClientError> {
    timeout(SOON, source.next()).await.expect("an item in time").expect("an item before the end")
}

/// Returns the next failure.
async fn next_error(source: &mut EventSource) -> ClientError {
    loop {
        if let Err(error) = next(source).await {
            return error;
        }
    }
}

fn is_status(failure: &Failure, status: u16) -> bool {
    failure.status() == Some(status)
}
