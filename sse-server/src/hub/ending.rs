//! How a client ends after the events that are already published.
//!
//! ```text
//!           end_client            read: cursor > end_after          body, or poll of the stream
//! present ---------------> ending -------------------------> ended ----------------------------> unregistered
//!                             \                                                                     ^
//!                              \____ no progress for the grace time: closed without the rest ______/
//! ```
//!
//! - **present**: listed and counted, `end_after == u64::MAX`.
//! - **ending**: no longer listed or counted, so its place is free. It still reads, up to `end_after`, which is the last
//!   offset that existed when the end was requested. [`reading`](super::reading) returns `End` after that.
//!
//! A client that subscribes to finished topics alone has an `end_after` from the start, and stays present until it ends.
//!
//! A task per hub closes the clients that make no progress: see [`deadlines`](super::deadlines).

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};

use super::disconnect::close_now;
use super::options::MAX_NAME_LEN;
use super::publishing::PublishError;
use super::recent_events::RecentEvents;
use super::registry::{Client, Presence, Slot};
use super::state::State;
use super::store::FeedId;
use crate::close::{AfterEnd, CloseReason};
use crate::stream_control::{EndRequest, StreamControl};

impl State {
    /// Requests the end of a present client after the events that are published by now. The caller wakes it.
    pub(super) fn end_client(&mut self, index: usize, request: EndRequest) -> Option<Arc<StreamControl>> {
        let end_after = self.store.next() - 1;
        let client = self.registry.retire(index)?;
        client.end_after = client.end_after.min(end_after);
        client.end_request.get_or_insert_with(|| Box::new(request));
        for feed in &client.subscribed {
            if let Some(feed) = self.feeds.get_mut(feed.id) {
                feed.ending += 1;
            }
        }
        let control = client.control.clone();
        self.deadlines.add(client, index);
        Some(control)
    }

    /// Marks a topic as finished. Returns the clients that end because all their topics are finished now.
    pub(super) fn finish_topic(&mut self, name: &str) -> Result<Vec<Arc<StreamControl>>, PublishError> {
        self.check_open()?;
        if name.len() > MAX_NAME_LEN {
            return Err(PublishError::NameTooLong { len: name.len() });
        }
        let id = self.feeds.topic(name);
        if let Some(feed) = self.feeds.get_mut(id) {
            feed.is_finished = true;
        }
        let clients = &self.registry.clients;
        let is_over = |index: &usize| clients.get(*index).is_some_and(|client| self.is_finished_for(client));
        let over: Vec<_> = self.registry.of_feed(Presence::Present, id).filter(is_over).collect();
        let ended = over.into_iter().filter_map(|index| self.end_client(index, finished())).collect();
        self.feeds.make_idle(id);
        Ok(ended)
    }

    /// Gives a new client its end if all its topics are finished.
    pub(super) fn end_if_finished(&mut self, slot: Slot) {
        let end_after = self.store.next() - 1;
        let is_over = self.registry.clients.get(slot.index).is_some_and(|client| self.is_finished_for(client));
        if let Some(client) = self.registry.get_mut(slot).filter(|_| is_over) {
            client.end_after = end_after;
            client.end_request = Some(Box::new(finished()));
        }
    }

    /// Whether all feeds of a client are finished topics.
    fn is_finished_for(&self, client: &Client) -> bool {
        let is_finished = |id: FeedId| self.feeds.get(id).is_some_and(|feed| feed.is_finished);
        !client.subscribed.is_empty() && client.subscribed.iter().all(|feed| is_finished(feed.id))
    }

    /// Returns whether a topic is finished.
    pub(super) fn is_finished(&self, name: &str) -> bool {
        let feed = self.feeds.find_topic(name).and_then(|id| self.feeds.get(id));
        feed.is_some_and(|feed| feed.is_finished)
    }
}

/// The end of a stream whose topics are finished: the client does not reconnect.
fn finished() -> EndRequest {
    let last_events = AfterEnd::Stop.last_event().into_iter().collect();
    EndRequest { reason: CloseReason::StreamEnd, last_events, is_graceful: false }
}

/// Wakes clients whose end was requested, and starts the task that ends those that do not read.
///
/// Without a tokio runtime there is no such task. The stall timeout of each body then ends a client that does not read.
pub(super) fn wake_ending(recent: &RecentEvents, clients: &[Arc<StreamControl>]) {
    if clients.is_empty() {
        return;
    }
    clients.iter().for_each(|control| control.wakeups.notify_new_events());
    if let Ok(runtime) = Handle::try_current() {
        let is_watched = std::mem::replace(&mut recent.state().deadlines.is_watched, true);
        if !is_watched {
            runtime.spawn(watch(Watcher(recent.clone())));
        }
    }
}

/// The task that watches the endings of one hub. If its runtime drops it, another one can start.
struct Watcher(RecentEvents);

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.state().deadlines.is_watched = false;
    }
}

async fn watch(watcher: Watcher) {
    loop {
        let (overdue, next) = {
            let mut state = watcher.0.state();
            let State { deadlines, registry, .. } = &mut *state;
            let (overdue, next) = deadlines.take_overdue(registry, Instant::now());
            // Under the lock: a client that ends later starts another task.
            deadlines.is_watched = next.is_some();
            (overdue, next)
        };
        for (control, request) in overdue {
            close_now(&control, request);
        }
        match next {
            Some(deadline) => sleep_until(deadline).await,
            None => return,
        }
    }
}
