use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use http::{HeaderMap, Version};
use ssekit_core::{ReceivedEvent, SharedStr};

use crate::machine::exchange::without_query;

/// What an [`EventSource`](crate::EventSource) gives.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Item {
    /// A connection has been established: the first one, or another.
    Open(Box<Open>),
    /// An event.
    Event(ReceivedEvent),
    /// A comment, without the colon, if it was [asked for](crate::EventSourceBuilder::with_comments).
    Comment(SharedStr),
}

/// An open connection.
#[derive(Clone)]
#[non_exhaustive]
pub struct Open {
    /// Which attempt it is, counted from 1.
    pub attempt: u64,
    /// Where it is to, behind all redirects, and without the credentials that the URL may have had.
    pub url: String,
    /// The last event ID that the request has had, or empty.
    pub last_event_id: String,
    /// The version of HTTP.
    pub version: Version,
    /// The response's header fields.
    pub headers: HeaderMap,
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open")
            .field("attempt", &self.attempt)
            .field("url", &without_query(&self.url))
            .field("last_event_id", &self.last_event_id)
            .field("version", &self.version)
            .field("headers", &self.headers)
            .finish()
    }
}
