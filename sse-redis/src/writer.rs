//! Publishes the queued events, batch by batch. While Redis answers a batch, the next batch gathers in the queue.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Pipeline, Value};
use ssekit_server::hub::{Position, PublishError};
use tokio::time::sleep;

use crate::connection::{Connection, is_passing};
use crate::entry::{self, MAX_OFFSET};
use crate::epoch;
use crate::error::{self, RedisConnectError};
use crate::queue::Item;
use crate::shared::{Backoff, Part, Shared};

/// The maximum number of events of a batch.
const MAX_BATCH: usize = 1024;
/// The maximum size of a batch in bytes, unless a single event is larger.
const MAX_BATCH_BYTES: usize = 1 << 20;
const MIN_BATCH_BYTES: usize = 1 << 10;
/// The pause before the writer looks for another epoch.
const PAUSE: Duration = Duration::from_millis(10);
/// The maximum number of arguments of a command.
const MAX_ARGS: usize = 15;

/// Publishes until the task is aborted. Starts with this connection and this epoch.
pub(crate) async fn write(shared: Arc<Shared>, connection: Connection, epoch: u64) {
    let late = "redis is slower than events are published".into();
    let mut writer = Writer { late, bytes: MAX_BATCH_BYTES, is_astray: false, shared };
    let mut joined = Ok((connection, epoch));
    let mut backoff = Backoff::new();
    loop {
        let error = match joined {
            Ok((connection, epoch)) => {
                writer.is_astray = false;
                writer.shared.is_well(Part::Writer);
                backoff.reset();
                writer.write_by(connection, epoch).await
            }
            Err(error) => Some(error),
        };
        let shared = &*writer.shared;
        let again = async {
            match error {
                Some(error) => {
                    shared.is_ill(Part::Writer, &error);
                    backoff.pause().await;
                }
                // The pause limits the load if another program keeps ending epochs.
                None => sleep(PAUSE).await,
            }
            let mut connection = Connection::open(&shared.source, shared.options.timeout).await?;
            let epoch =
                epoch::join_epoch(&mut connection, &shared.options.key, shared.known(), writer.is_astray).await?;
            Ok((connection, epoch))
        };
        joined = tokio::select! {
            joined = again => joined,
            () = shared.queue.expire(|| shared.error()) => return,
        };
    }
}

struct Writer {
    shared: Arc<Shared>,
    /// The reason why events are late while there is a connection.
    late: Arc<str>,
    /// The maximum size of the next batch in bytes.
    bytes: usize,
    /// Events of the epoch were written into another stream than the one where the epoch began.
    is_astray: bool,
}

impl Writer {
    /// Publishes until the connection cannot be used any more. Returns the error, or `None` if the epoch must be checked.
    async fn write_by(&mut self, mut connection: Connection, epoch: u64) -> Option<RedisConnectError> {
        loop {
            let batch = tokio::select! {
                batch = self.shared.queue.take(MAX_BATCH, self.bytes, &self.late) => batch,
                () = self.shared.rejoin.notified() => return None,
            };
            let commands = self.commands(epoch, &batch);
            let known = self.shared.known().max(Position { epoch, offset: 0 });
            self.shared.count(|status| status.batches += 1);
            let answers = match connection.ask_all(&commands).await {
                Ok(answers) if answers.len() == batch.len() => answers,
                other => {
                    let error = other.err().unwrap_or(RedisConnectError::Unexpected("answer for each event"));
                    if matches!(error, RedisConnectError::Timeout) {
                        self.bytes = (self.bytes / 8).max(MIN_BATCH_BYTES);
                    }
                    self.shared.count(|status| status.failed += batch.len() as u64);
                    batch.into_iter().for_each(|item| item.end(Err(PublishError::Unanswered)));
                    return Some(error);
                }
            };
            self.bytes = (self.bytes * 2).min(MAX_BATCH_BYTES);
            if let Err(error) = self.take(known, batch, answers) {
                return error;
            }
        }
    }

    fn commands(&self, epoch: u64, batch: &[Item]) -> Pipeline {
        let options = &self.shared.options;
        let id = format!("{epoch}-*");
        let mut commands = Pipeline::with_capacity(batch.len());
        for item in batch {
            let mut command = Cmd::with_capacity(MAX_ARGS, options.key.len() + item.size());
            // A deleted stream is not created again: its events and its epoch are lost.
            command
                .arg("XADD")
                .arg(&options.key)
                .arg("NOMKSTREAM")
                .arg("MAXLEN")
                .arg("~")
                .arg(options.max_events)
                .arg(&id);
            entry::write_event(&mut command, &item.topic, item.key.as_deref(), item.at, &item.block);
            commands.add_command(command);
        }
        commands
    }

    /// Reports the outcome of each event to its publisher. All positions must be after `known`. Puts back the events that may
    /// be published in another epoch or on another server. It then returns `Err`, and this connection is not used any more.
    fn take(
        &mut self,
        known: Position,
        batch: Vec<Item>,
        answers: Vec<Value>,
    ) -> Result<(), Option<RedisConnectError>> {
        let mut back = Vec::new();
        let mut reason = Ok(());
        let (mut published, mut failed, mut last) = (Vec::new(), 0, known);
        for (item, answer) in batch.into_iter().zip(answers) {
            let error = match answer {
                Value::Nil => None,
                Value::ServerError(error) => Some(error),
                answer => match entry::position(&answer) {
                    Some(position)
                        if position.epoch == last.epoch
                            && (last.offset + 1..MAX_OFFSET).contains(&position.offset)
                            && !self.is_astray =>
                    {
                        last = position;
                        published.push((item, position));
                        continue;
                    }
                    position => {
                        // The stream was deleted, and another program has begun a new one with a lower ID. The new stream
                        // assigns IDs again that were used before.
                        self.is_astray |=
                            position.is_some_and(|position| position.epoch == last.epoch && position <= last);
                        // The event is at a position at which no hub looks for it.
                        reason = Err(None);
                        failed += 1;
                        item.end(Err(PublishError::Unanswered));
                        continue;
                    }
                },
            };
            let is_passing = error.as_ref().is_some_and(|error| is_passing(Some(error.code())));
            match error {
                Some(error) if is_passing => {
                    reason = Err(Some(RedisConnectError::Redis(error.into())));
                    back.push(item);
                }
                Some(error) if !epoch::is_passed(error.details()) => {
                    failed += 1;
                    item.end(Err(PublishError::Refused(error::reason(&error.to_string()))));
                }
                // The stream is gone, or its epoch is over.
                _ => {
                    reason = Err(None);
                    back.push(item);
                }
            }
        }
        if let Some((_, last)) = published.last() {
            self.shared.set_acked(*last);
        }
        self.shared.count(|status| {
            status.published += published.len() as u64;
            status.failed += failed;
        });
        published.into_iter().for_each(|(item, position)| item.end(Ok(position)));
        self.shared.queue.put_back(back);
        reason
    }
}
