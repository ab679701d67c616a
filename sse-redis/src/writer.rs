//! Publishes the queued events, batch by batch. While Redis answers a batch, the next batch gathers in the queue.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Pipeline, RedisError, Value};
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
    let mut writer = Writer { late, bytes: MAX_BATCH_BYTES, is_stream_replaced: false, shared };
    let mut joined = Ok((connection, epoch));
    let mut backoff = Backoff::new();
    loop {
        let error = match joined {
            Ok((connection, epoch)) => {
                writer.is_stream_replaced = false;
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
                epoch::join_epoch(&mut connection, &shared.options.key, shared.known(), writer.is_stream_replaced)
                    .await?;
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
    /// Whether events of the epoch were written into another stream than the one where the epoch began.
    is_stream_replaced: bool,
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
            match self.settle(known, batch, answers) {
                AfterBatch::Continue => {}
                AfterBatch::CheckEpoch => return None,
                AfterBatch::Reconnect(error) => return Some(error),
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

    /// Reports the outcome of each event to its publisher, or queues the event again.
    ///
    /// All positions must be after `known`.
    fn settle(&mut self, known: Position, batch: Vec<Item>, answers: Vec<Value>) -> AfterBatch {
        let mut next = AfterBatch::Continue;
        let (mut published, mut again, mut failed, mut last) = (Vec::new(), Vec::new(), 0, known);
        for (item, answer) in batch.into_iter().zip(answers) {
            match outcome(answer, last, self.is_stream_replaced) {
                Outcome::Published(position) => {
                    last = position;
                    published.push((item, position));
                }
                Outcome::Misplaced(position) => {
                    // Another program deleted the stream and began a new one with a lower ID. The new stream assigns IDs again
                    // that were used before.
                    self.is_stream_replaced |= position.is_some_and(|at| at.epoch == last.epoch && at <= last);
                    next = AfterBatch::CheckEpoch;
                    failed += 1;
                    item.end(Err(PublishError::Unanswered));
                }
                Outcome::EpochOver => {
                    next = AfterBatch::CheckEpoch;
                    again.push(item);
                }
                Outcome::Postponed(error) => {
                    next = AfterBatch::Reconnect(RedisConnectError::Redis(error));
                    again.push(item);
                }
                Outcome::Refused(text) => {
                    failed += 1;
                    item.end(Err(PublishError::Refused(error::reason(&text))));
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
        self.shared.queue.put_back(again);
        next
    }
}

/// What the writer does after a batch.
enum AfterBatch {
    Continue,
    /// Checks the epoch, on a new connection.
    CheckEpoch,
    Reconnect(RedisConnectError),
}

/// The outcome of publishing one event.
///
/// | answer of Redis | outcome | the publisher learns | the writer then |
/// |---|---|---|---|
/// | a position of the epoch after the last one | `Published` | the position | continues |
/// | another position, or another value | `Misplaced` | `Unanswered` | checks the epoch |
/// | null, because the stream is gone | `EpochOver` | nothing yet | queues the event again, checks the epoch |
/// | an error, because the ID is not the next one | `EpochOver` | nothing yet | the same |
/// | an error of a server that cannot accept events now | `Postponed` | nothing yet | queues the event again, reconnects |
/// | another error | `Refused` | `Refused` | continues |
enum Outcome {
    Published(Position),
    /// No hub looks for the event at this position.
    Misplaced(Option<Position>),
    EpochOver,
    Postponed(RedisError),
    Refused(String),
}

fn outcome(answer: Value, last: Position, is_stream_replaced: bool) -> Outcome {
    match answer {
        Value::Nil => Outcome::EpochOver,
        Value::ServerError(error) if is_passing(Some(error.code())) => Outcome::Postponed(error.into()),
        Value::ServerError(error) if epoch::is_passed(error.details()) => Outcome::EpochOver,
        Value::ServerError(error) => Outcome::Refused(error.to_string()),
        answer => {
            let position = entry::position(&answer);
            let is_next = |at: &Position| at.epoch == last.epoch && (last.offset + 1..MAX_OFFSET).contains(&at.offset);
            match position.filter(is_next).filter(|_| !is_stream_replaced) {
                Some(position) => Outcome::Published(position),
                None => Outcome::Misplaced(position),
            }
        }
    }
}
