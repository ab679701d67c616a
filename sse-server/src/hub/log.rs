//! What stands behind a hub: where its events get their order.

use super::position::Position;
use super::publication::{Publication, PublishError};
use super::tail::Tail;

/// What gives the events of a hub their order, and keeps what the hub itself does not keep any more.
///
/// The hub has the recent part in memory, its [`Tail`], from which all subscribers are served. A log puts events in:
/// [`Memory`] at once, one that several processes share when it hears of them from there, whoever published
/// them.
pub trait Log: Send + Sync + 'static {
    /// What [`Hub::publish`](super::Hub::publish) returns: a result, or a future of one.
    type Published;

    /// Puts an event behind all others, and into the tail, now or later.
    fn publish(&self, tail: &Tail, event: Publication<'_>) -> Self::Published;
}

/// The log that is in memory alone: the hub's own tail, and no more.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Memory;

impl Log for Memory {
    type Published = Result<Position, PublishError>;

    fn publish(&self, tail: &Tail, event: Publication<'_>) -> Self::Published {
        tail.append(&event)
    }
}
