use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ssekit_server::hub::{History, Hub, HubOptions, Log, NewEvent, Position, PublishError, ReadHistory, RecentEvents};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::Instant;

use crate::connection::Connection;
use crate::entry::{Entry, MAX_OFFSET};
use crate::error::{RedisConnectError, RedisPublishError};
use crate::join::{join, now};
use crate::keeper;
use crate::options::RedisOptions;
use crate::queue::Item;
use crate::reader;
use crate::reader::Start;
use crate::shared::{Backoff, Shared};
use crate::source::RedisSource;
use crate::status::RedisStatus;
use crate::writer;

/// How many bytes a page of old events has at the most, unless one has more: each client that reads slowly has one.
const OLD_PAGE: usize = 64 * 1024;

/// The log of a hub in a stream of Redis or Valkey. See the [crate](crate).
pub struct RedisLog {
    shared: Arc<Shared>,
    tasks: [AbortHandle; 3],
}

impl RedisLog {
    /// A hub whose events are in Redis. It takes three connections: one that waits for new events, one that publishes, and
    /// one for all else.
    ///
    /// `hub` says what this process keeps in memory, and whom it serves. Its last events are there when this returns.
    ///
    /// # Errors
    ///
    /// See [`RedisConnectError`]. Later, when Redis is lost, it is looked for until it is there again: see
    /// [`status`](Self::status). It is when the hub and all its streams have gone that the connections are closed.
    pub async fn connect(
        source: impl Into<RedisSource>,
        options: RedisOptions,
        hub: HubOptions,
    ) -> Result<Hub<Self>, RedisConnectError> {
        let source = source.into();
        let mut connection = Connection::open(&source, options.timeout).await?;
        let epoch = join(&mut connection, &options.key, Position { epoch: 0, offset: 0 }, false).await?;
        let Start { tail, read, entries } = Start::read(&mut connection, &options, hub).await?;
        let first = connection.from(&options.key, Position { epoch: 0, offset: 0 }, 1).await?;
        let first =
            first.first().map_or(Position { offset: read.offset.saturating_add(1), ..read }, |entry| entry.position);
        let shared = Arc::new(Shared::new(source, options, tail.clone(), read, first));
        let tasks = [
            tokio::spawn(reader::start(shared.clone(), &entries)),
            tokio::spawn(writer::write(shared.clone(), connection, epoch)),
            tokio::spawn(keeper::keep(shared.clone())),
        ];
        Ok(Hub::with_log(Self { shared, tasks: tasks.map(|task: JoinHandle<()>| task.abort_handle()) }, tail))
    }

    /// How it stands with Redis.
    pub fn status(&self) -> RedisStatus {
        self.shared.status()
    }

    /// Whether all goes well: [`RedisStatus::is_ready`].
    pub fn is_ready(&self) -> bool {
        self.status().is_ready()
    }
}

impl Drop for RedisLog {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl fmt::Debug for RedisLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLog").field("key", &self.shared.options.key).field("status", &self.status()).finish()
    }
}

impl Log for RedisLog {
    type Published = Publishing;

    /// The event is in the queue when this returns; the future is over when Redis has it. They are published in the order of the
    /// calls; but those that Redis does not take for the moment, and others of the same batch that it does, change places.
    fn publish(&self, _tail: &RecentEvents, event: NewEvent<'_>) -> Publishing {
        match self.push(event) {
            Ok(receiver) => Publishing(Waiting::For(receiver)),
            Err(error) => {
                self.shared.count(|status| status.failed += 1);
                Publishing(Waiting::Not(Some(error)))
            }
        }
    }
}

type Reply = oneshot::Receiver<Result<Position, RedisPublishError>>;

impl RedisLog {
    fn push(&self, event: NewEvent<'_>) -> Result<Reply, RedisPublishError> {
        let len = event.block()?.len();
        let max = self.shared.options.max_event_bytes;
        if len > max {
            return Err(PublishError::TooLarge { len, max }.into());
        }
        let NewEvent { topic, key, frame, .. } = event;
        let mut block = frame.into_bytes();
        let block = block.split_off(block.len() - len);
        let (reply, receiver) = oneshot::channel();
        let (topic, key) = (topic.into(), key.map(Into::into));
        let deadline = Instant::now() + self.shared.options.timeout;
        let item = Item { topic, key, block, at: now(), deadline, reply };
        self.shared.queue.push(item).map_err(|queued| RedisPublishError::Overloaded { queued })?;
        Ok(receiver)
    }
}

/// An event on its way to Redis: in time, its place, or why it has none. It is on its way also if this is dropped.
#[must_use = "whether an event is published is known by this only"]
#[derive(Debug)]
pub struct Publishing(Waiting);

#[derive(Debug)]
enum Waiting {
    For(Reply),
    Not(Option<RedisPublishError>),
}

impl Future for Publishing {
    type Output = Result<Position, RedisPublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = match &mut self.0 {
            Waiting::For(reply) => Pin::new(reply).poll(cx),
            Waiting::Not(error) => return Poll::Ready(Err(error.take().unwrap_or(RedisPublishError::Unanswered))),
        };
        if polled.is_ready() {
            self.0 = Waiting::Not(None);
        }
        // If the hub goes, nobody knows.
        polled.map(|reply| reply.unwrap_or(Err(RedisPublishError::Unanswered)))
    }
}

impl History for RedisLog {
    fn first(&self) -> Option<Position> {
        Some(self.shared.first())
    }

    /// While Redis is away, this waits for it, and the client with it.
    fn read(&self, from: Position) -> ReadHistory {
        let shared = self.shared.clone();
        Box::pin(async move {
            let mut backoff = Backoff::new();
            loop {
                let entries = match read_page(&shared, from).await {
                    Ok(entries) => entries,
                    Err(error) if error.is_of_server() => return Err(io::Error::other(error)),
                    Err(error) => {
                        if matches!(error, RedisConnectError::Timeout) {
                            shared.page_len.shorten();
                        }
                        shared.stop_asking().await;
                        backoff.pause().await;
                        continue;
                    }
                };
                let countable = entries.into_iter().filter(|entry| entry.position.offset < MAX_OFFSET);
                return Ok(countable.map(Entry::into_old_event).collect());
            }
        })
    }
}

async fn read_page(shared: &Shared, from: Position) -> Result<Vec<Entry>, RedisConnectError> {
    // It is never closed.
    let _permit = shared.pages.acquire().await;
    let mut connection = shared.asking().await?;
    let mut entries = connection.from(&shared.options.key, from, (shared.page_len.get() / 4).max(1)).await?;
    shared.page_len.learn(&entries);
    // They may be larger than those before were.
    let mut bytes = 0;
    let is_in_page = |entry: &&Entry| {
        bytes += entry.size();
        bytes <= OLD_PAGE
    };
    let len = entries.iter().take_while(is_in_page).count();
    entries.truncate(len.max(1));
    shared.count(|status| status.pages += 1);
    Ok(entries)
}
