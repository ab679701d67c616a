use std::fmt;
use std::sync::Arc;

use redis::RedisError;
use ssekit_server::hub::PublishError;

/// Why there is no hub on Redis, or why it is not served for now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RedisConnectError {
    /// Redis cannot be reached, does not take the password, or does not let one do what is needed.
    Redis(RedisError),
    /// Redis does not answer in time.
    Timeout,
    /// There is something else at the key.
    NotAStream,
    /// It is a replica, which takes no events. Ask for the master.
    Replica,
    /// It is older than version 7.0, which is the first that can count the events of a stream.
    TooOld {
        /// Its version.
        version: String,
    },
    /// Something has written the highest ID there is into the stream, which takes no more events: delete the key.
    Exhausted,
    /// It has answered something that cannot be understood.
    Unexpected(&'static str),
}

impl fmt::Display for RedisConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redis(error) => write!(f, "redis: {error}"),
            Self::Timeout => f.write_str("redis does not answer in time"),
            Self::NotAStream => f.write_str("redis has something else than a stream at this key: choose another key"),
            Self::Replica => f.write_str("redis is a replica here, which takes no events: connect to its master"),
            Self::TooOld { version } => write!(f, "redis is of version {version}, and has to be of 7.0 at least"),
            Self::Exhausted => {
                f.write_str("stream has the highest id there is, and takes no more events: delete its key")
            }
            Self::Unexpected(what) => write!(f, "redis has answered with no {what}"),
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

/// Why an event is not published, or is not known to be.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RedisPublishError {
    /// It cannot be published, here or elsewhere.
    Event(PublishError),
    /// Too many wait to be published: it is not one of them. Publish less, or wait for some first.
    Overloaded {
        /// How many wait.
        queued: usize,
    },
    /// Redis could not be reached in time. The event is not published, and can be tried again.
    Unavailable {
        /// Why not, when it was last tried.
        reason: Arc<str>,
    },
    /// Redis does not take it, for a reason of its own, and it is not published: there is no memory left, or no right to.
    Refused {
        /// What it says.
        reason: Arc<str>,
    },
    /// Redis was sent the event, and has not answered in time. It may be published or not: try it again if twice is better than
    /// never.
    Unanswered,
}

impl fmt::Display for RedisPublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(error) => error.fmt(f),
            Self::Overloaded { queued } => {
                write!(f, "event is not published, since {queued} wait already: publish less, or wait for them")
            }
            Self::Unavailable { reason } => write!(f, "event is not published, and can be tried again: {reason}"),
            Self::Refused { reason } => write!(f, "event is not published: redis refuses it: {reason}"),
            Self::Unanswered => f.write_str(
                "event may be published or not, since redis does not answer: try it again if twice is better than never",
            ),
        }
    }
}

impl std::error::Error for RedisPublishError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Event(error) => Some(error),
            _ => None,
        }
    }
}

impl From<PublishError> for RedisPublishError {
    fn from(error: PublishError) -> Self {
        Self::Event(error)
    }
}
