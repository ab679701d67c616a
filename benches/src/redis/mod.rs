//! A node whose hub has its log on Redis, next to handwritten code.

use std::io;
use std::ops::Deref;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use ssekit_redis::redis;
use ssekit_redis::{RedisLog, RedisOptions};
use ssekit_server::hub::{Hub, HubOptions, RetentionOptions};
use ssekit_testkit::redis::{RedisServer, RedisSetup};

pub mod counted;
pub mod fan;
pub mod fill;
pub mod latency;
pub mod measure;
pub mod publish;
pub mod tables;

/// The name of the stream or the channel.
const KEY: &str = "benches:events";
const TOPIC: &str = "feed";
/// The approximate number of events to keep.
const KEPT: usize = 100_000;

/// A hub on Redis, and its log.
#[derive(Clone)]
struct RedisHub {
    hub: Hub,
    log: RedisLog,
}

impl RedisHub {
    fn log(&self) -> &RedisLog {
        &self.log
    }
}

impl Deref for RedisHub {
    type Target = Hub;

    fn deref(&self) -> &Hub {
        &self.hub
    }
}

/// A Redis server on the first CPU. This thread and its child threads use the other CPUs, if there are any.
pub struct Place(RedisServer);

impl Place {
    /// Starts the server.
    ///
    /// # Errors
    ///
    /// Fails if the system does.
    pub fn new() -> io::Result<Self> {
        let all = sched_getaffinity(None)?;
        let first = (0..CpuSet::MAX_CPU).find(|&cpu| all.is_set(cpu)).filter(|_| all.count() > 1);
        let Some(first) = first else { return Ok(Self(RedisSetup::new().start())) };
        let (mut one, mut others) = (CpuSet::new(), all);
        one.set(first);
        others.unset(first);
        sched_setaffinity(None, &one)?;
        let server = RedisSetup::new().start();
        sched_setaffinity(None, &others)?;
        Ok(Self(server))
    }

    fn url(&self) -> String {
        self.0.url()
    }

    /// Deletes all data of the server.
    fn wipe(&self) {
        self.0.command(&[b"FLUSHALL"]);
    }
}

async fn node(url: &str) -> io::Result<RedisHub> {
    let options = RedisOptions::new(KEY).with_max_events(KEPT);
    let log = RedisLog::connect(client(url)?, options, RetentionOptions::new()).await.map_err(io::Error::other)?;
    Ok(RedisHub { hub: Hub::with_log(log.clone(), HubOptions::new()), log })
}

fn client(url: &str) -> io::Result<Client> {
    Client::open(url).map_err(io::Error::other)
}

/// Connects without timeouts, for handwritten code.
async fn connect(url: &str) -> io::Result<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
    client(url)?.get_multiplexed_async_connection_with_config(&config).await.map_err(io::Error::other)
}
