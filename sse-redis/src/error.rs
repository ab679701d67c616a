//! Why Redis cannot be used.

use std::fmt;
use std::sync::Arc;

use redis::RedisError;

/// The reason Redis cannot be used, now or for this log.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RedisConnectError {
    /// Redis cannot be reached, refuses the password, or denies a command.
    Redis(RedisError),
    /// Redis has not answered in time.
    Timeout,
    /// The key holds something other than a stream.
    NotAStream,
    /// The server is a replica, which accepts no events. Connect to its master.
    Replica,
    /// The server is older than version 7.0, the first that can assign offsets within an epoch.
    TooOld {
        /// The version of the server.
        version: String,
    },
    /// Something wrote the highest possible ID into the stream, which accepts no more events. Delete the key.
    Exhausted,
    /// The answer did not contain this.
    Unexpected(&'static str),
}

impl fmt::Display for RedisConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redis(error) => write!(f, "redis: {error}"),
            Self::Timeout => f.write_str("redis has not answered in time"),
            Self::NotAStream => f.write_str("key in redis holds something other than a stream: choose another key"),
            Self::Replica => f.write_str("redis server is a replica, which accepts no events: connect to its master"),
            Self::TooOld { version } => write!(f, "redis version {version}: version 7.0 or later is needed"),
            Self::Exhausted => {
                f.write_str("stream in redis has the highest possible id and accepts no more events: delete its key")
            }
            Self::Unexpected(what) => write!(f, "redis has answered without {what}"),
        }
    }
}

impl std::error::Error for RedisConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Redis(error) => Some(error),
            _ => None,
        }
    }
}

impl From<RedisError> for RedisConnectError {
    fn from(error: RedisError) -> Self {
        match error.code() {
            Some("WRONGTYPE") => Self::NotAStream,
            _ => Self::Redis(error),
        }
    }
}

/// Turns text into the source of a [`PublishError`].
pub(crate) fn reason(text: &str) -> Arc<dyn std::error::Error + Send + Sync> {
    Arc::from(Box::<dyn std::error::Error + Send + Sync>::from(text))
}
