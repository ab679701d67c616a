//! Events that wait to be published.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use ssekit_server::hub::{Position, PublishError};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::error;

/// How many bytes an event takes beside its own: in memory, and as a command but for the stream's key.
const OVERHEAD: usize = 128;

pub(crate) struct Item {
    pub(crate) topic: Box<str>,
    pub(crate) key: Option<Box<str>>,
    pub(crate) block: Bytes,
    /// When it was published, in milliseconds since 1970.
    pub(crate) at: u64,
    pub(crate) deadline: Instant,
    pub(crate) reply: oneshot::Sender<Result<Position, PublishError>>,
}

impl Item {
    pub(crate) fn size(&self) -> usize {
        OVERHEAD + self.topic.len() + self.key.as_ref().map_or(0, |key| key.len()) + self.block.len()
    }

    pub(crate) fn end(self, result: Result<Position, PublishError>) {
        // Nobody may wait for it.
        let _ = self.reply.send(result);
    }
}

pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    news: Notify,
    max: usize,
    max_bytes: usize,
}

#[derive(Default)]
struct Waiting {
    items: VecDeque<Item>,
    bytes: usize,
}

impl Queue {
    pub(crate) fn new(max: usize, max_bytes: usize) -> Self {
        Self { waiting: Mutex::default(), news: Notify::new(), max, max_bytes }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting().items.len()
    }

    /// Adds an event, or says how many there are.
    pub(crate) fn push(&self, item: Item) -> Result<(), usize> {
        let mut waiting = self.waiting();
        if waiting.items.len() >= self.max || waiting.bytes + item.size() > self.max_bytes {
            return Err(waiting.items.len());
        }
        let was_empty = waiting.items.is_empty();
        waiting.bytes += item.size();
        waiting.items.push_back(item);
        drop(waiting);
        if was_empty {
            self.news.notify_one();
        }
        Ok(())
    }

    /// Puts events back that were taken, before all others, in their order.
    pub(crate) fn put_back(&self, items: Vec<Item>) {
        let mut waiting = self.waiting();
        for item in items.into_iter().rev() {
            waiting.bytes += item.size();
            waiting.items.push_front(item);
        }
    }

    /// Waits for events, and takes the first: at least one, and of the others as many as do not have more bytes than this.
    pub(crate) async fn take(&self, max: usize, max_bytes: usize, late: &Arc<str>) -> Vec<Item> {
        loop {
            self.end_late(late);
            let mut batch = Vec::new();
            {
                let mut waiting = self.waiting();
                let mut bytes = 0;
                while let Some(size) = waiting.items.front().map(Item::size) {
                    if !batch.is_empty() && (batch.len() >= max || bytes + size > max_bytes) {
                        break;
                    }
                    bytes += size;
                    waiting.bytes -= size;
                    batch.extend(waiting.items.pop_front());
                }
            }
            if !batch.is_empty() {
                return batch;
            }
            self.news.notified().await;
        }
    }

    /// Fails the events whose deadline has passed, for this reason. Returns the next deadline, if there is one.
    fn end_late(&self, reason: &Arc<str>) -> Option<Instant> {
        let now = Instant::now();
        let mut late = Vec::new();
        let next = {
            let mut waiting = self.waiting();
            while waiting.items.front().is_some_and(|item| item.deadline <= now) {
                let Some(item) = waiting.items.pop_front() else { break };
                waiting.bytes -= item.size();
                late.push(item);
            }
            waiting.items.front().map(|item| item.deadline)
        };
        late.into_iter().for_each(|item| item.end(Err(PublishError::Unavailable(error::reason(reason)))));
        next
    }

    /// Ends events when they have waited for too long, and never returns.
    pub(crate) async fn expire(&self, reason: impl Fn() -> Arc<str>) {
        loop {
            match self.end_late(&reason()) {
                Some(next) => sleep_until(next).await,
                None => self.news.notified().await,
            }
        }
    }
}
