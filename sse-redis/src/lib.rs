//! The log of ssekit's hub on Redis or Valkey Streams: any number of processes serve the same topics, a client goes on at
//! any of them behind the last event that another gave it, and what was published outlives every process.
//!
//! ```no_run
//! use ssekit_core::Event;
//! use ssekit_redis::{RedisLog, RedisOptions, redis::Client};
//! use ssekit_server::hub::{HubOptions, Subscribe};
//!
//! # async fn start() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::open("redis://127.0.0.1:6379")?;
//! let hub = RedisLog::connect(client, RedisOptions::new("myapp:events"), HubOptions::new()).await?;
//! let position = hub.publish("news", Event::data("hello")).await?;
//! println!("published at {position}");
//! let body = hub.subscribe(Subscribe::topic("news"))?.into_body();
//! # Ok(())
//! # }
//! ```
//!
//! # What holds
//!
//! - What Redis has acknowledged and keeps reaches every client that subscribes to it, on every process, once and in one
//!   order; or the client is told of a gap in its stream. That is so also when Redis is restarted, with or without its data,
//!   or a replica takes over that lacks the last events: see [`RecentEvents::start_over`](ssekit_server::hub::RecentEvents::start_over).
//! - While Redis is away, streams stay open and are kept alive. Publishing fails in time, by an error that says whether the
//!   event may be published all the same: see [`RedisPublishError`].
//! - Each process reads new events once, whatever the number of its clients, and serves them from memory.
//! - Names, keys and events are arguments of commands, never parts of them. What others write into the stream and is no
//!   event of a hub is left out, counted and logged.
//!
//! # Limits
//!
//! At most 65,536 events and 64 MiB wait to be published, 1,024 or 1 MiB in a batch; at most 8 pages of old events are read
//! at once, and a client gets 64 KiB of them at a time, or one event. See [`RedisOptions`]. What is kept in memory, and who is
//! served, is said by [`HubOptions`](ssekit_server::hub::HubOptions), as for any hub.
//!
//! # Crate features
//!
//! - **metrics**: `RedisStatus::record`, for the crate metrics.
//! - **tls**: `rediss://`, by rustls and ring with the certificates that the system trusts. A program that has chosen another
//!   provider for rustls keeps that.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(test), warn(clippy::expect_used, clippy::panic, clippy::unwrap_used))]

mod connection;
mod entry;
mod error;
mod join;
mod keeper;
mod log;
mod options;
mod queue;
mod reader;
mod shared;
mod source;
mod status;
mod writer;

pub use error::{RedisConnectError, RedisPublishError};
pub use log::{Publishing, RedisLog};
pub use options::RedisOptions;
pub use source::RedisSource;
pub use status::RedisStatus;

#[doc(no_inline)]
pub use redis;
