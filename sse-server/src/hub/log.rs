//! What stands behind a hub: where its events get their order, and where old ones are.

use std::future::Future;
use std::io;
use std::pin::Pin;

use ssekit_core::EncodedEvent;

use super::position::Position;
use super::publication::{NewEvent, PublishError};
use super::tail::RecentEvents;

/// What gives the events of a hub their order.
///
/// The hub has the recent part in memory, its [`RecentEvents`], from which all subscribers are served. A log puts events in:
/// [`MemoryLog`] at once; one that several processes share, when it hears of them from there, whoever has published them.
pub trait Log: History {
    /// What [`Hub::publish`](super::Hub::publish) returns: a result, or a future of one.
    type Published;

    /// Puts an event behind all others, and into the tail, now or later.
    fn publish(&self, tail: &RecentEvents, event: NewEvent<'_>) -> Self::Published;
}

/// The part of a log that the tail has no more. Without any, by default.
///
/// A subscriber who needs it reads it page by page, as fast as its client reads, and goes on with the tail. So an event has
/// to be in the history before the tail drops it: what is in neither is told as a gap. It may be ahead of the tail.
pub trait History: Send + Sync + 'static {
    /// Where the oldest event is, or will be, if there is a history. It is asked often, and must not wait.
    fn first(&self) -> Option<Position> {
        None
    }

    /// Reads the events from this place on, of all topics: some 100, or 64 KiB. They may reach into the tail, and beyond it:
    /// whether a client is right that knows an event which the tail does not know yet is seen by this, too.
    fn read(&self, from: Position) -> ReadHistory {
        let _ = from;
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}

/// The reading of a page.
pub type ReadHistory = Pin<Box<dyn Future<Output = io::Result<Vec<LoggedEvent>>> + Send>>;

/// An event that a history has.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a history makes it")]
pub struct LoggedEvent {
    /// Its place. Those of a page are in their order.
    pub position: Position,
    /// As it was published.
    pub topic: String,
    /// As it was published.
    pub key: Option<String>,
    /// As it was published, with no ID. None if there is nothing at this place that anybody could miss.
    pub frame: Option<EncodedEvent>,
}

/// The log that is in memory alone: the hub's own tail, and no more.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct MemoryLog;

impl History for MemoryLog {}

impl Log for MemoryLog {
    type Published = Result<Position, PublishError>;

    fn publish(&self, tail: &RecentEvents, event: NewEvent<'_>) -> Self::Published {
        tail.append(&event)
    }
}
