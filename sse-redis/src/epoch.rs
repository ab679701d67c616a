//! Before anything is published by a connection: in which epoch.
//!
//! An epoch begins by an entry whose ID is `{epoch}-0`, and which names the server: its replication ID, which it has from
//! its start, or from when it became a master. By Redis's own rule no entry can be added behind it with an ID of an earlier
//! epoch. So what is published at a server that has lost events, being started again or a replica before, has other IDs than
//! those had; and where an epoch ended is seen in the stream, by all processes alike.
//!
//! It is named after the time, in microseconds, and up to a second more at random: two processes that begin one at the same
//! time, each at a server that takes itself for the master, give no ID twice. And the ID `*`, which Redis makes of
//! milliseconds, is always one of the present epoch, so that others who add entries do not end it.

use std::time::SystemTime;

use redis::{Value, cmd};
use ssekit_server::hub::Position;

use crate::connection::Connection;
use crate::entry::{self, MAX_OFFSET};
use crate::error::RedisConnectError;

/// The first version that can count on in an epoch.
const MIN_VERSION: u64 = 7;
/// How many epochs may begin at the same time, of which one is chosen.
const SPREAD: u64 = 1_000_000;

/// The epoch in which to publish by this connection; it begins a new one if need be. All up to `known` has been seen in the
/// stream. `is_lost` if something was that none can know by its ID: all clients of all processes are to be told.
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

/// Whether an ID was refused since there is a higher one, or the highest. Redis has no code for it.
pub(crate) fn is_passed(detail: Option<&str>) -> bool {
    let texts = ["equal or smaller", "exhausted the last possible", "too large to be stored"];
    detail.is_some_and(|detail| texts.iter().any(|text| detail.contains(text)))
}

fn line<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// In milliseconds since 1970.
pub(crate) fn now() -> u64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}
