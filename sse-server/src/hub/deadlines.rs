//! The time by which a client that is about to end must have made progress.
//!
//! The grace time equals the stall timeout of the client. A client whose cursor has moved by its deadline gets another
//! grace time. A client whose cursor has not moved is overdue.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use tokio::time::Instant;

use super::registry::{Client, Registry, Slot};
use crate::body::DEFAULT_STALL_TIMEOUT;
use crate::stream_control::{EndRequest, StreamControl};

/// The clients that are about to end, the earliest deadline first.
#[derive(Default)]
pub(super) struct Deadlines {
    waiting: BinaryHeap<Reverse<Deadline>>,
    /// Whether a task watches them.
    pub(super) is_watched: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Deadline {
    at: Instant,
    id: u64,
    index: usize,
    /// The client's cursor one grace time before.
    cursor: u64,
}

impl Deadlines {
    /// Adds a client, with a grace time from now on.
    pub(super) fn add(&mut self, client: &Client, index: usize) {
        let grace = client.control.stall_timeout().unwrap_or(DEFAULT_STALL_TIMEOUT);
        // A deadline that the clock cannot express never comes.
        let Some(at) = Instant::now().checked_add(grace) else { return };
        self.waiting.push(Reverse(Deadline { at, id: client.id, index, cursor: client.cursor }));
    }

    /// Removes and returns the overdue clients, with the next deadline.
    pub(super) fn take_overdue(
        &mut self,
        registry: &mut Registry,
        now: Instant,
    ) -> (Vec<(Arc<StreamControl>, EndRequest)>, Option<Instant>) {
        let mut overdue = Vec::new();
        while let Some(Reverse(deadline)) = self.waiting.peek().filter(|deadline| deadline.0.at <= now).copied() {
            self.waiting.pop();
            let slot = Slot { index: deadline.index, id: deadline.id };
            let Some(client) = registry.get_mut(slot) else { continue };
            match &client.end_request {
                Some(request) if client.cursor == deadline.cursor => {
                    overdue.push((client.control.clone(), EndRequest::clone(request)));
                }
                _ => self.add(client, deadline.index),
            }
        }
        (overdue, self.waiting.peek().map(|deadline| deadline.0.at))
    }
}
