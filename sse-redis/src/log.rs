//! The log: publishing through the queue, and reading old events page by page.

use std::fmt;
use std::io;
use std::sync::Arc;

use ssekit_server::hub::{
    Log, LoggedEvent, NewEvent, Position, PublishError, Publishing, RecentEvents, RetentionOptions,
};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::Instant;

use crate::connection::Connection;
use crate::entry::{Entry, MAX_OFFSET};
use crate::epoch::{join_epoch, now};
use crate::error::RedisConnectError;
use crate::maintenance;
use crate::options::RedisOptions;
use crate::queue::Item;
use crate::reader;
use crate::reader::Start;
use crate::shared::{Backoff, Shared};
use crate::source::RedisSource;
use crate::status::RedisStatus;
use crate::writer;

/// The maximum size of a page of old events in bytes, unless one event is larger. Each slow client holds one page.
const OLD_PAGE: usize = 64 * 1024;

/// A hub's log in a stream of Redis or Valkey. See the [crate](crate).
///
/// Clones are the same log. Its three connections close when the last clone is dropped; a hub and each of its streams hold
/// one.
#[derive(Clone)]
pub struct RedisLog(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    tasks: [AbortHandle; 3],
}

impl RedisLog {
    /// Connects to Redis and reads the last events into memory.
    ///
    /// Opens three connections: one waits for new events, one publishes, one does everything else. `retention` says what
    /// this process keeps in memory; [`RedisOptions`] say what Redis keeps. Give the log to
    /// [`Hub::with_log`](ssekit_server::hub::Hub::with_log).
    ///
    /// # Errors
    ///
    /// See [`RedisConnectError`]. If Redis goes away later, the log reconnects by itself: see [`status`](Self::status).
    pub async fn connect(
        source: impl Into<RedisSource>,
        options: RedisOptions,
        retention: RetentionOptions,
    ) -> Result<Self, RedisConnectError> {
        let source = source.into();
        let mut connection = Connection::open(&source, options.timeout).await?;
        let epoch = join_epoch(&mut connection, &options.key, Position { epoch: 0, offset: 0 }, false).await?;
        let Start { recent, read, entries } = Start::read(&mut connection, &options, retention).await?;
        let first = connection.from(&options.key, Position { epoch: 0, offset: 0 }, 1).await?;
        let first =
            first.first().map_or(Position { offset: read.offset.saturating_add(1), ..read }, |entry| entry.position);
        let shared = Arc::new(Shared::new(source, options, recent, read, first));
        let tasks = [
            tokio::spawn(reader::start(shared.clone(), &entries)),
            tokio::spawn(writer::write(shared.clone(), connection, epoch)),
            tokio::spawn(maintenance::maintain(shared.clone())),
        ];
        let tasks = tasks.map(|task: JoinHandle<()>| task.abort_handle());
        Ok(Self(Arc::new(Inner { shared, tasks })))
    }

    /// Returns the state of the connections, and counts.
    pub fn status(&self) -> RedisStatus {
        self.0.shared.status()
    }

    /// Hands the event to the writer's queue.
    fn push(&self, event: NewEvent<'_>) -> Result<Reply, PublishError> {
        let shared = &self.0.shared;
        let len = event.block()?.len();
        if shared.recent.is_finished(event.topic) {
            return Err(PublishError::Finished);
        }
        let max = shared.options.max_event_bytes;
        if len > max {
            return Err(PublishError::TooLarge { len, max });
        }
        let NewEvent { topic, key, event, .. } = event;
        let mut block = event.into_bytes();
        let block = block.split_off(block.len() - len);
        let (reply, receiver) = oneshot::channel();
        let (topic, key) = (topic.into(), key.map(Into::into));
        let deadline = Instant::now() + shared.options.timeout;
        let item = Item { topic, key, block, at: now(), deadline, reply };
        shared.queue.push(item).map_err(|queued| PublishError::Overloaded { queued })?;
        Ok(receiver)
    }
}

type Reply = oneshot::Receiver<Result<Position, PublishError>>;

impl Drop for Inner {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl fmt::Debug for RedisLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.0.shared.options.key;
        f.debug_struct("RedisLog").field("key", key).field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Log for RedisLog {
    fn recent(&self) -> &RecentEvents {
        &self.0.shared.recent
    }

    /// The event is in the queue when this returns, and is published even if the future is dropped.
    ///
    /// Events are published in the order of the calls. If Redis refuses some events of a batch for the moment, they are
    /// tried again and come after the others.
    fn publish(&self, event: NewEvent<'_>) -> Publishing {
        match self.push(event) {
            // Without a reply the log was dropped, and the event may be in Redis or not.
            Ok(reply) => Publishing::waiting(async { reply.await.unwrap_or(Err(PublishError::Unanswered)) }),
            Err(error) => {
                self.0.shared.count(|status| status.failed += 1);
                Publishing::done(Err(error))
            }
        }
    }

    fn is_ready(&self) -> bool {
        self.status().is_ready()
    }

    fn first(&self) -> Option<Position> {
        Some(self.0.shared.first())
    }

    /// While Redis is away, this waits for it, and the client waits too.
    async fn read(&self, from: Position) -> io::Result<Vec<LoggedEvent>> {
        let shared = &self.0.shared;
        let mut backoff = Backoff::new();
        loop {
            let entries = match read_page(shared, from).await {
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
            return Ok(countable.map(Entry::into_logged_event).collect());
        }
    }
}

async fn read_page(shared: &Shared, from: Position) -> Result<Vec<Entry>, RedisConnectError> {
    // The semaphore is never closed.
    let _permit = shared.pages.acquire().await;
    let mut connection = shared.asking().await?;
    let mut entries = connection.from(&shared.options.key, from, (shared.page_len.get() / 4).max(1)).await?;
    shared.page_len.learn(&entries);
    // These entries may be larger than the entries before.
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
