//! Publishers that wait until their events are acknowledged.

use std::future::Future;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Value, cmd};
use ssekit_core::Event;
use ssekit_redis::redis;
use tokio::task::JoinHandle;

use super::{KEPT, KEY, RedisHub, TOPIC, client, connect};
use crate::fanout::event;
use crate::process::wrong;
use crate::serve::feed::now;

/// The number of concurrent publishes: by tasks that publish one event after another, or by one task with a window of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    Tasks(usize),
    Window(usize),
}

impl Load {
    pub const ALL: [Self; 4] = [Self::Tasks(1), Self::Tasks(64), Self::Tasks(1000), Self::Window(1000)];

    pub(super) fn width(self) -> usize {
        match self {
            Self::Tasks(count) | Self::Window(count) => count,
        }
    }
}

/// A way to publish an event.
pub(super) trait Publish: Clone + Send + 'static {
    fn publish(&self, text: &str) -> impl Future<Output = io::Result<()>> + Send + use<Self>;
}

impl Publish for RedisHub {
    fn publish(&self, text: &str) -> impl Future<Output = io::Result<()>> + Send + use<> {
        let published = self.hub.publish(TOPIC, Event::data(text));
        async { published.await.map(drop).map_err(io::Error::other) }
    }
}

/// Publishes with the crate `redis` alone, which sends each command by itself.
#[derive(Clone)]
pub(super) struct ByHand {
    connection: MultiplexedConnection,
    has_stream: bool,
}

impl ByHand {
    pub(super) async fn new(url: &str, has_stream: bool) -> io::Result<Self> {
        Ok(Self { connection: connect(url).await?, has_stream })
    }
}

impl Publish for ByHand {
    fn publish(&self, text: &str) -> impl Future<Output = io::Result<()>> + Send + use<> {
        let block = format!("data: {text}\n\n");
        let command = if self.has_stream {
            add("*", &block)
        } else {
            let mut command = cmd("PUBLISH");
            command.arg(KEY).arg(block);
            command
        };
        let mut connection = self.connection.clone();
        async move { command.exec_async(&mut connection).await.map_err(io::Error::other) }
    }
}

/// Returns the command that adds an event. All contestants use it.
pub(super) fn add(id: &str, block: &str) -> Cmd {
    let mut command = cmd("XADD");
    command.arg(KEY).arg("MAXLEN").arg("~").arg(KEPT).arg(id).arg("topic").arg(TOPIC);
    command.arg("at").arg(now() / 1_000_000).arg("event").arg(block);
    command
}

/// A task that reads published events until it is dropped, and returns the block of each event.
pub(super) struct Reading(JoinHandle<()>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Reads events with the crate `redis` alone.
pub(super) async fn read(
    url: &str,
    has_stream: bool,
    mut take: impl FnMut(&[u8]) + Send + 'static,
) -> io::Result<Reading> {
    if !has_stream {
        let mut pubsub = client(url)?.get_async_pubsub().await.map_err(io::Error::other)?;
        pubsub.subscribe(KEY).await.map_err(io::Error::other)?;
        return Ok(Reading(tokio::spawn(async move {
            let mut news = pubsub.into_on_message();
            while let Some(message) = news.next().await {
                take(message.get_payload_bytes());
            }
        })));
    }
    let mut connection = connect(url).await?;
    Ok(Reading(tokio::spawn(async move {
        let mut last = "0".to_owned();
        loop {
            let mut command = cmd("XREAD");
            command.arg("COUNT").arg(1024).arg("BLOCK").arg(1000).arg("STREAMS").arg(KEY).arg(&last);
            let Ok(answer) = command.query_async(&mut connection).await else { return };
            for_each_entry(&answer, &mut |id, block| {
                last.clear();
                last.push_str(&String::from_utf8_lossy(id));
                take(block);
            });
        }
    })))
}

/// Calls `take` with the ID and the last field of each entry.
fn for_each_entry(value: &Value, take: &mut dyn FnMut(&[u8], &[u8])) {
    let Value::Array(values) = value else { return };
    if let [Value::BulkString(id), Value::Array(fields)] = &**values
        && let Some(Value::BulkString(block)) = fields.last()
    {
        return take(id, block);
    }
    values.iter().for_each(|value| for_each_entry(value, take));
}

/// Publishes for `time`. Returns the number of acknowledged events per second.
pub(super) async fn rate(publisher: &impl Publish, load: Load, time: Duration) -> io::Result<f64> {
    let start = Instant::now();
    let end = start + time;
    let published = match load {
        Load::Tasks(count) => {
            let tasks: Vec<_> = (0..count).map(|_| tokio::spawn(one_by_one(publisher.clone(), end))).collect();
            let mut published = 0;
            for task in tasks {
                published += task.await??;
            }
            published
        }
        Load::Window(count) => {
            let mut text = String::new();
            let events = (0..).take_while(|_| Instant::now() < end).map(|n| {
                event::write(&mut text, n, 0);
                publisher.publish(&text)
            });
            let mut acknowledged = stream::iter(events).buffer_unordered(count);
            let mut published = 0;
            while let Some(result) = acknowledged.next().await {
                result?;
                published += 1;
            }
            published
        }
    };
    Ok(published as f64 / start.elapsed().as_secs_f64())
}

async fn one_by_one(publisher: impl Publish, end: Instant) -> io::Result<u64> {
    let (mut published, mut text) = (0, String::new());
    while Instant::now() < end {
        event::write(&mut text, published, 0);
        publisher.publish(&text).await?;
        published += 1;
    }
    Ok(published)
}

/// Returns the maximum rate of the server, with prepared bytes of commands. Sends all commands of the load at a time. With a
/// window it sends a tenth of them, whenever that many are answered.
pub(super) fn raw_rate(address: SocketAddr, load: Load, time: Duration) -> io::Result<f64> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let (width, parts) = if let Load::Window(count) = load { (count / 10, 10) } else { (load.width(), 1) };
    let mut text = String::new();
    event::write(&mut text, 0, 0);
    let command = add("*", &format!("data: {text}\n\n")).get_packed_command();
    let part = command.repeat(width);
    let mut buffer = vec![0; 1 << 16];
    // An answer has two lines.
    let (start, mut sent, mut lines) = (Instant::now(), 0, 0);
    loop {
        while start.elapsed() < time && sent + width <= lines / 2 + width * parts {
            stream.write_all(&part)?;
            sent += width;
        }
        if sent == lines / 2 {
            return Ok(sent as f64 / start.elapsed().as_secs_f64());
        }
        let len = stream.read(&mut buffer)?;
        if len == 0 || lines == 0 && buffer[0] != b'$' {
            return Err(wrong("redis adds nothing".into()));
        }
        lines += memchr::memchr_iter(b'\n', &buffer[..len]).count();
    }
}
