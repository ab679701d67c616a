//! Events that come by another way than a node, which costs this process nothing, and how they are read.

use std::io;
use std::thread;
use std::time::Duration;

use futures_util::StreamExt;
use redis::{Value, cmd};
use ssekit_core::Event;
use ssekit_redis::redis;
use ssekit_server::LastEventId;
use ssekit_server::hub::{Position, Subscribe};
use tokio::time::sleep;

use super::{KEY, RedisHub, TOPIC, client, connect, node};
use crate::fanout::event::{self, EVENT_LEN};
use crate::process::wrong;

/// How many are asked for at once by hand.
const PAGE: usize = 1024;
const A_WHILE: Duration = Duration::from_millis(2);
/// From one event to the next when each is read by itself.
const PAUSE: Duration = Duration::from_micros(500);

/// Adds events from number 1 on, as a node does.
const SCRIPT: &str = "\
for n = 1, tonumber(ARGV[1]) do
    redis.call('XADD', KEYS[1], ARGV[2], 'topic', ARGV[3], 'at', ARGV[4],
        'event', ARGV[5] .. string.format('%010d', n) .. ARGV[6])
end";

/// Has the server add so many events behind this place.
pub(super) async fn fill(url: &str, epoch: u64, events: u64) -> io::Result<()> {
    let mut text = String::new();
    event::write(&mut text, 0, 0);
    let (start, rest) = event::START.split_at("data: ".len());
    let end = text.get(rest.len() + 10..).unwrap_or_default();
    let mut command = cmd("EVAL");
    command.arg(SCRIPT).arg(1).arg(KEY).arg(events).arg(format!("{epoch}-*")).arg(TOPIC).arg(1u64 << 40);
    command.arg(format!("{start}{rest}")).arg(format!("{end}\n\n"));
    let mut connection = connect(url).await?;
    command.exec_async(&mut connection).await.map_err(io::Error::other)
}

/// A node that has published one event.
async fn begin(url: &str) -> io::Result<(RedisHub, Position)> {
    let hub = node(url).await?;
    let position = hub.publish(TOPIC, Event::data("first")).await.map_err(io::Error::other)?;
    until_read(&hub, 1).await;
    Ok((hub, position))
}

async fn until_read(hub: &RedisHub, entries: u64) {
    while hub.log().status().entries < entries {
        sleep(A_WHILE).await;
    }
}

/// A node with no subscribers reads so many events that are there at once. What is measured when that begins.
pub(super) async fn read_all<T>(url: &str, events: u64, measure: impl FnOnce() -> T) -> io::Result<T> {
    let (hub, first) = begin(url).await?;
    let entries = hub.log().status().entries;
    let measured = measure();
    fill(url, first.epoch, events).await?;
    until_read(&hub, entries + events).await;
    Ok(measured)
}

/// The same, of events that come one by one, each of which it is woken for.
pub(super) async fn read_each(url: &str, events: u64) -> io::Result<()> {
    let (hub, first) = begin(url).await?;
    let entries = hub.log().status().entries;
    let mut text = String::new();
    event::write(&mut text, 0, 0);
    let command = super::publish::add(&format!("{}-*", first.epoch), &format!("data: {text}\n\n"));
    let url = url.to_owned();
    let adding = thread::spawn(move || {
        let mut connection = client(&url)?.get_connection().map_err(io::Error::other)?;
        for _ in 0..events {
            command.exec(&mut connection).map_err(io::Error::other)?;
            thread::sleep(PAUSE);
        }
        Ok(())
    });
    until_read(&hub, entries + events).await;
    adding.join().unwrap_or_else(|_| Err(wrong("the thread that adds has panicked".into())))
}

/// Fills the stream, for who comes late. Where it begins.
pub(super) async fn old(url: &str, events: u64) -> io::Result<Position> {
    let (_, first) = begin(url).await?;
    fill(url, first.epoch, events).await?;
    Ok(first)
}

/// A client of a node that has just started gets all that it has missed.
pub(super) async fn catch_up(hub: &RedisHub, first: Position, events: u64) -> io::Result<()> {
    let last = LastEventId::try_from(&*first.to_string()).map_err(io::Error::other)?;
    let subscribe = Subscribe::topic(TOPIC).with_last_event_id(Some(last));
    let mut body = hub.subscribe(subscribe).map_err(io::Error::other)?.into_body();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(io::Error::other)?;
        let last = chunk.len().checked_sub(EVENT_LEN).and_then(|at| event::parse(&chunk[at..]));
        if last.is_some_and(|(number, _)| number == events) {
            return Ok(());
        }
    }
    Err(wrong("the body has ended".into()))
}

/// The same pages by hand, of which nothing is made.
pub(super) async fn range(url: &str, first: Position, events: u64) -> io::Result<()> {
    let mut connection = connect(url).await?;
    let (mut last, mut count) = (first.to_string(), 0);
    while count < events {
        let mut command = cmd("XRANGE");
        command.arg(KEY).arg(format!("({last}")).arg("+").arg("COUNT").arg(PAGE);
        let page: Vec<(String, Value)> = command.query_async(&mut connection).await.map_err(io::Error::other)?;
        let Some((id, _)) = page.last() else { return Err(wrong(format!("{count} of {events} entries"))) };
        last.clone_from(id);
        count += page.len() as u64;
    }
    Ok(())
}
