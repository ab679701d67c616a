//! Checks the stream once a second: whether it exists, where it begins, and which entries are too old.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::cmd;
use ssekit_server::hub::Position;
use tokio::time::{MissedTickBehavior, interval};

use crate::connection::{Connection, Stream};
use crate::entry::Entry;
use crate::epoch::now;
use crate::error::RedisConnectError;
use crate::shared::{Part, Shared};

const EVERY: Duration = Duration::from_secs(1);
/// The maximum number of entries without a time to skip.
const AGELESS: usize = 100;

/// Runs until it is aborted.
pub(crate) async fn maintain(shared: Arc<Shared>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match look(&shared).await {
            Ok(()) => shared.is_well(Part::Maintenance),
            Err(error) => {
                if !error.is_of_server() {
                    shared.stop_asking().await;
                }
                shared.is_ill(Part::Maintenance, &error);
            }
        }
    }
}

async fn look(shared: &Shared) -> Result<(), RedisConnectError> {
    let key = &*shared.options.key;
    let known = shared.known().max(shared.read());
    let mut connection = shared.asking().await?;
    let stream = connection.stream(key).await?;
    let Some(Stream { last, first }) = stream.filter(|stream| stream.last >= known) else {
        tracing::warn!(key, %known, "redis has lost events");
        shared.count(|status| status.losses += 1);
        shared.is_lost.store(true, Ordering::Relaxed);
        shared.rejoin.notify_one();
        // The other connections may be connected to another server by now.
        shared.stop_asking().await;
        return Ok(());
    };
    let mut begins =
        first.as_ref().map_or(Position { offset: last.offset.saturating_add(1), ..last }, |first| first.position);
    let cutoff = shared.options.max_age.and_then(|age| now().checked_sub(age.as_millis().try_into().ok()?));
    if let (Some(cutoff), Some(first)) = (cutoff, first) {
        if first.at().is_none_or(|at| at < cutoff) {
            begins = trim(&mut connection, key, first.position, last, cutoff).await?;
        }
    }
    shared.count(|status| status.first = begins);
    Ok(())
}

/// Returns the position of the first entry at or after `from`, if it is of the same epoch and too old. An entry without a time
/// is as old as the next entry with one.
async fn old(
    connection: &mut Connection,
    key: &str,
    from: Position,
    cutoff: u64,
) -> Result<Option<Position>, RedisConnectError> {
    let mut entries = connection.from(key, from, 1).await?;
    if entries.first().is_some_and(|first| first.at().is_none()) {
        entries = connection.from(key, from, AGELESS).await?;
    }
    let is_old = entries.iter().find_map(Entry::at).is_some_and(|at| at < cutoff);
    Ok(entries.first().map(|first| first.position).filter(|first| is_old && first.epoch == from.epoch))
}

/// Removes the entries of the first epoch that are too old. Returns the position at which the stream then begins.
async fn trim(
    connection: &mut Connection,
    key: &str,
    first: Position,
    last: Position,
    cutoff: u64,
) -> Result<Position, RedisConnectError> {
    let at = |offset| Position { offset, ..first };
    let end = match first.epoch == last.epoch {
        true => last.offset,
        false => {
            connection.before(key, &first.epoch.to_string(), 1).await?.first().map_or(0, |entry| entry.position.offset)
        }
    };
    // Offsets before `known` are too old; offsets from `young` on are not.
    let (mut known, mut young) = (first.offset, end.saturating_add(1));
    while known < young {
        let middle = known + (young - known) / 2;
        match old(connection, key, at(middle), cutoff).await? {
            Some(found) => known = found.offset.saturating_add(1),
            None => young = middle,
        }
    }
    // The last entry stays: it shows after which position the next epoch begins.
    let young = if first.epoch == last.epoch { young.min(last.offset) } else { young };
    if young <= first.offset {
        return Ok(first);
    }
    connection.ask(cmd("XTRIM").arg(key).arg("MINID").arg("=").arg(at(young).to_string())).await?;
    Ok(at(young))
}
