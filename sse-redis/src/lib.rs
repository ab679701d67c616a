//! The log of ssekit's hub on Redis or Valkey Streams. Any number of processes serve the same topics.
//!
//! A client that loses its process resumes on any other, after its last event. Published events outlive every process.
//!
//! ```no_run
//! use ssekit_core::Event;
//! use ssekit_redis::{RedisLog, RedisOptions, redis::Client};
//! use ssekit_server::hub::{Hub, HubOptions, RetentionOptions, Subscribe};
//!
//! # async fn start() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::open("redis://127.0.0.1:6379")?;
//! let log = RedisLog::connect(client, RedisOptions::new("myapp:events"), RetentionOptions::new()).await?;
//! let hub = Hub::with_log(log.clone(), HubOptions::new());
//! let position = hub.publish("news", Event::data("hello")).await?;
//! println!("published at {position}");
//! let body = hub.subscribe(Subscribe::topic("news"))?.into_body();
//! assert!(log.status().is_ready());
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//!
//! - Every event that Redis acknowledged and keeps reaches every client that subscribes to it, on every process, once and
//!   in one order; or the client receives a gap event. This also holds when Redis restarts, with or without its data, or
//!   when a replica without the last events takes over: see
//!   [`RecentEvents::restart_epoch`](ssekit_server::hub::RecentEvents::restart_epoch).
//! - While Redis is away, streams stay open and are kept alive. Publishing fails after the
//!   [timeout](RedisOptions::with_timeout). The error says whether the event may be published all the same: see
//!   [`PublishError`](ssekit_server::hub::PublishError).
//! - Each process reads each new event once, whatever the number of its clients, and serves clients from memory.
//! - Names, keys and events are arguments of commands and never parts of them. Entries of the stream that are not events
//!   of a hub are skipped, counted and logged.
//!
//! # Limits
//!
//! | what | limit | option |
//! |---|---|---|
//! | events that wait to be published | 65,536 and 64 MiB | [`RedisOptions::with_max_queued`] |
//! | one batch | 1,024 events and 1 MiB | |
//! | pages of old events read at once | 8 | |
//! | one page for one client | 64 KiB, or one event | |
//! | events in memory | [`RetentionOptions`](ssekit_server::hub::RetentionOptions) | `RedisLog::connect` |
//!
//! # Crate features
//!
//! - **metrics**: `RedisStatus::record`, for the crate metrics.
//! - **tls**: `rediss://`, by rustls and ring with the certificates that the system trusts. A program that has chosen
//!   another provider for rustls keeps it.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]
#![cfg_attr(not(test), warn(clippy::expect_used, clippy::panic, clippy::unwrap_used))]
#![cfg_attr(not(test), warn(clippy::too_many_lines))]

mod connection;
mod entry;
mod epoch;
mod error;
mod log;
mod maintenance;
mod options;
mod queue;
mod reader;
mod shared;
mod source;
mod status;
mod writer;

pub use error::RedisConnectError;
pub use log::RedisLog;
pub use options::RedisOptions;
pub use source::RedisSource;
pub use status::RedisStatus;

#[doc(no_inline)]
pub use redis;
