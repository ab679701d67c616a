//! Publishes what waits for it, batch by batch: while one is on its way, the next gathers.

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
/// How many bytes, unless one event has more.
const MAX_BATCH_BYTES: usize = 1 << 20;
const MIN_BATCH_BYTES: usize = 1 << 10;
/// How long is waited before it is looked for another epoch.
const PAUSE: Duration = Duration::from_millis(10);
/// The maximum number of arguments of a command.
const MAX_ARGS: usize = 15;

/// Publishes for ever, first by a connection that has been made, in that epoch.
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
                // Not as fast as somebody can end epochs.
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
    /// Why events are late while there is a connection.
    late: Arc<str>,
    /// How many bytes a batch may have.
    bytes: usize,
    /// The epoch was written into a stream that is not the one where it began.
    is_astray: bool,
}

impl Writer {
    /// Publishes until the connection is of no more use, because of an error, or because the epoch is over.
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

    /// Tells each what became of its event, of which none was to be before what is known. Those that another epoch or another
    /// server may take are put back; then this connection is not used any more.
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
                        // The stream was deleted, and somebody has begun another, with a lower ID: it gives IDs again.
                        self.is_astray |=
                            position.is_some_and(|position| position.epoch == last.epoch && position <= last);
                        // It is where no hub looks for it.
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
