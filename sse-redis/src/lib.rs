//! The log of ssekit's hub on Redis or Valkey Streams: any number of processes serve the same topics.

#![forbid(unsafe_code)]
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

pub use error::{ConnectError, RedisPublishError};
pub use log::{Publishing, RedisLog};
pub use options::RedisOptions;
pub use source::RedisSource;
pub use status::RedisStatus;

#[doc(no_inline)]
pub use redis;
