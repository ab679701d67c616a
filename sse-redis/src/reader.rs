//! Reads new entries into the recent events. A process has one reader, whatever the number of its clients.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::cmd;
use ssekit_server::hub::{NewEvent, Position, RecentEvents, RetentionOptions};

use crate::connection::Connection;
use crate::entry::{self, Content, Entry, MAX_OFFSET};
use crate::error::RedisConnectError;
use crate::options::RedisOptions;
use crate::shared::{Backoff, PageLen, Part, Shared};

/// The time that a blocking read waits for a new entry.
const BLOCK: Duration = Duration::from_secs(1);
/// The maximum number of epochs to look for in the stream.
const MAX_EPOCHS: usize = 64;
/// The maximum number of bytes to read before a process serves.
const MAX_PRELOAD: usize = 8 << 20;

/// The entries and positions that are read before a process serves.
pub(crate) struct Start {
    pub(crate) recent: RecentEvents,
    /// The last entry.
    pub(crate) read: Position,
    /// The entries for the recent events.
    pub(crate) entries: Vec<Entry>,
}

impl Start {
    pub(crate) async fn read(
        connection: &mut Connection,
        options: &RedisOptions,
        retention: RetentionOptions,
    ) -> Result<Self, RedisConnectError> {
        let key = &*options.key;
        let read = connection.stream(key).await?.ok_or(RedisConnectError::Unexpected("stream"))?.last;
        let (mut entries, mut bytes, page_len) = (Vec::<Entry>::new(), 0, PageLen::new(options.max_event_bytes));
        let mut end = read.to_string();
        while entries.len() < options.preload && bytes < MAX_PRELOAD {
            let page = connection.before(key, &end, page_len.get().min(options.preload - entries.len())).await?;
            let Some(last) = page.last() else { break };
            end = format!("({}", last.position);
            bytes += page.iter().map(Entry::size).sum::<usize>();
            page_len.learn(&page);
            entries.extend(page);
        }
        entries.reverse();
        let last = entries
            .first()
            .map_or(read, |first| Position { offset: first.position.offset.saturating_sub(1), ..first.position });
        // At a higher offset, an epoch has no events.
        let last = Position { offset: Some(last.offset).filter(|offset| *offset < MAX_OFFSET).unwrap_or(0), ..last };
        // The last positions of the earlier epochs.
        let (mut before, mut first) = (Vec::new(), last);
        // No epoch is before the epoch 0, and Redis refuses to search there.
        while before.len() < MAX_EPOCHS - 1 && first.epoch > 0 {
            let found = connection.before(key, &format!("({}-0", first.epoch), 1).await?;
            let Some(found) = found.first() else { break };
            first = found.position;
            if first.offset >= MAX_OFFSET {
                break;
            }
            before.push(first);
        }
        before.reverse();
        Ok(Self { recent: RecentEvents::starting_after(&before, last, retention), read, entries })
    }
}

/// Appends the entries that were read at the start. The returned future then reads until it is aborted.
pub(crate) fn start(shared: Arc<Shared>, entries: &[Entry]) -> impl Future<Output = ()> + use<> {
    let (at, epoch) = (shared.read(), shared.recent.last_position().epoch);
    let mut reader = Reader { at, epoch, is_broken: false, shared };
    for entry in entries {
        reader.take(entry);
    }
    read(reader)
}

async fn read(mut reader: Reader) {
    let mut backoff = Backoff::new();
    loop {
        let error = match Connection::open(&reader.shared.source, reader.shared.options.timeout).await {
            Ok(connection) => reader.read_by(connection, &mut backoff).await,
            Err(error) => error,
        };
        reader.shared.is_ill(Part::Reader, &error);
        if matches!(error, RedisConnectError::Timeout) {
            reader.shared.page_len.shorten();
        }
        backoff.pause().await;
    }
}

struct Reader {
    shared: Arc<Shared>,
    /// The last entry that was read.
    at: Position,
    /// The epoch of the recent events, which only this reader changes.
    epoch: u64,
    /// Entries after the last position may have been lost before they were read.
    is_broken: bool,
}

impl Reader {
    async fn read_by(&mut self, mut connection: Connection, backoff: &mut Backoff) -> RedisConnectError {
        // The first read does not block, to find out whether Redis answers.
        let mut block = Duration::ZERO;
        loop {
            match self.read_page(&mut connection, block).await {
                Ok(()) => {
                    self.shared.is_well(Part::Reader);
                    backoff.reset();
                    block = BLOCK;
                }
                Err(error) => return error,
            }
        }
    }

    async fn read_page(&mut self, connection: &mut Connection, block: Duration) -> Result<(), RedisConnectError> {
        if self.shared.is_lost.swap(false, Ordering::Relaxed) {
            self.at = self.shared.recent.last_position();
        }
        let acked = self.shared.acked();
        let mut command = cmd("XREAD");
        command.arg("COUNT").arg(self.shared.page_len.get());
        if !block.is_zero() {
            command.arg("BLOCK").arg(block.as_millis() as u64);
        }
        command.arg("STREAMS").arg(&self.shared.options.key).arg(self.at.to_string());
        let entries = entry::entries_of_streams(connection.ask_for(&command, block).await?)?;
        if entries.is_empty() && acked > self.at {
            // The reader is connected to another server than the writer.
            return Err(RedisConnectError::Unexpected("event that it has acknowledged"));
        }
        self.shared.page_len.learn(&entries);
        if let Some(first) = entries.first().filter(|first| first.position.epoch != self.at.epoch) {
            // A foreign entry counts too. Within a page, no entry is missing.
            self.is_broken |= !self.is_behind_the_last(connection, first).await?;
        }
        for entry in &entries {
            self.take(entry);
        }
        self.shared.count(|status| {
            status.read = self.at;
            status.entries += entries.len() as u64;
        });
        Ok(())
    }

    /// Returns whether an epoch begins with this entry.
    fn enters(&self, entry: &Entry) -> bool {
        entry.position.epoch > self.epoch && !matches!(entry.content(), Content::Foreign)
    }

    /// Returns whether the last entry that was read directly precedes this one. If not, that entry or one after it is lost.
    async fn is_behind_the_last(&self, connection: &mut Connection, entry: &Entry) -> Result<bool, RedisConnectError> {
        let before = connection.before(&self.shared.options.key, &format!("({}", entry.position), 1).await?;
        Ok(before.first().is_some_and(|before| before.position == self.at))
    }

    fn take(&mut self, entry: &Entry) {
        let (recent, position) = (&self.shared.recent, entry.position);
        if self.enters(entry) {
            let is_broken = std::mem::take(&mut self.is_broken) || entry.is_break();
            let change =
                if is_broken { recent.restart_epoch(position.epoch) } else { recent.continue_epoch(position.epoch) };
            if change.is_ok() {
                self.epoch = position.epoch;
            }
            if change.is_ok() && is_broken {
                let (key, epoch) = (&self.shared.options.key, position.epoch);
                tracing::warn!(
                    key,
                    epoch,
                    "redis has lost events, or they were dropped before they were read: all clients are told"
                );
            }
        }
        self.at = position;
        let is_taken = match entry.content() {
            Content::Epoch => position.epoch == self.epoch,
            Content::Event(event) => self.append(position, &event),
            Content::Foreign => false,
        };
        if !is_taken {
            self.shared.skip(position);
            if position.offset < MAX_OFFSET {
                // Marks a position of this epoch as empty, so that no client waits for it.
                let _ = recent.skip(position);
            }
        }
    }

    fn append(&self, position: Position, event: &NewEvent<'_>) -> bool {
        self.shared.recent.append_at(position, event).is_ok()
    }
}
