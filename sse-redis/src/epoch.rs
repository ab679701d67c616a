//! Finds the epoch in which a connection publishes, before it publishes anything.
//!
//! An epoch begins with an entry whose ID is `{epoch}-0`. The entry contains the replication ID of the server. A server
//! gets its replication ID when it starts, or when it becomes a master. After this entry, Redis refuses IDs of earlier
//! epochs. A server may have lost events, because it was restarted or was a replica. New events on such a server have other
//! IDs than the lost events. All processes see in the stream where an epoch ended.
//!
//! The number of an epoch is the time in microseconds, plus a random time of up to one second. Two processes may begin an
//! epoch at the same time, each at a server that considers itself the master. The random time keeps their IDs different.
//! Redis makes the ID `*` from milliseconds, so it is always an ID of the present epoch. Other programs that add entries
//! with `*` do not end the epoch.

use std::time::SystemTime;

use redis::{Value, cmd};
use ssekit_server::hub::Position;

use crate::connection::Connection;
use crate::entry::{self, MAX_OFFSET};
use crate::error::RedisConnectError;

/// The first major version of Redis that can assign the next offset of an epoch.
const MIN_VERSION: u64 = 7;
/// The range of the random number that is added to a new epoch, in microseconds.
const SPREAD: u64 = 1_000_000;

/// Returns the epoch in which this connection publishes. Begins a new epoch if necessary. All entries up to `known` have been
/// seen in the stream. If `is_lost`, events are lost that no process can recognise by their IDs: all clients of all processes
/// receive a gap event.
pub(crate) async fn join_epoch(
    connection: &mut Connection,
    key: &str,
    known: Position,
    is_lost: bool,
) -> Result<u64, RedisConnectError> {
    let server = connection.info("server").await?;
    let version = line(&server, "redis_version").unwrap_or_default();
    if version.split('.').next().and_then(|major| major.parse::<u64>().ok()).is_some_and(|major| major < MIN_VERSION) {
        return Err(RedisConnectError::TooOld { version: version.to_owned() });
    }
    let replication = connection.info("replication").await?;
    if line(&replication, "role").is_some_and(|role| role != "master") {
        return Err(RedisConnectError::Replica);
    }
    let server = line(&replication, "master_replid").ok_or(RedisConnectError::Unexpected("replication id"))?;
    loop {
        let last = connection.stream(key).await?.map_or(Position { epoch: 0, offset: 0 }, |stream| stream.last);
        if last >= known && last.offset < MAX_OFFSET && last.epoch > 0 && !is_lost {
            let first = connection.from(key, Position { offset: 0, ..last }, 1).await?;
            let begun =
                first.first().filter(|first| first.position.epoch == last.epoch).and_then(|first| first.server());
            if begun == Some(server.as_bytes()) {
                return Ok(last.epoch);
            }
        }
        let later = last.epoch.max(known.epoch).checked_add(1).ok_or(RedisConnectError::Exhausted)?;
        let now = now();
        let epoch = now.saturating_mul(1000).max(later).saturating_add(fastrand::u64(..SPREAD));
        let mut command = cmd("XADD");
        command.arg(key).arg(format!("{epoch}-0"));
        entry::write_epoch(&mut command, server.as_bytes(), now, is_lost);
        match connection.ask(&command).await {
            Ok(Value::BulkString(_) | Value::SimpleString(_)) => {
                tracing::info!(key, epoch, "an epoch begins in redis");
                return Ok(epoch);
            }
            Ok(_) => return Err(RedisConnectError::Unexpected("id")),
            // Another process has begun an epoch meanwhile: examine it.
            Err(RedisConnectError::Redis(error)) if is_passed(error.detail()) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Returns whether Redis refused an ID because the stream has a higher one, or the highest one. Redis has no code for this.
pub(crate) fn is_passed(detail: Option<&str>) -> bool {
    let texts = ["equal or smaller", "exhausted the last possible", "too large to be stored"];
    detail.is_some_and(|detail| texts.iter().any(|text| detail.contains(text)))
}

fn line<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// Returns the time in milliseconds since 1970.
pub(crate) fn now() -> u64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}
