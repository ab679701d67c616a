use alloc::boxed::Box;
use alloc::string::String;

use http::{HeaderMap, Version};
use ssekit_core::{OwnedEvent, SharedStr};

/// What an [`EventSource`](crate::EventSource) gives.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Item {
    /// A connection has been established: the first one, or another.
    Open(Box<Open>),
    /// An event.
    Event(OwnedEvent),
    /// A comment, without the colon, if it was [asked for](crate::EventSourceBuilder::with_comments).
    Comment(SharedStr),
}

/// An open connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Open {
    /// Which attempt it is, counted from 1.
    pub attempt: u64,
    /// Where it is to, behind all redirects.
    pub url: String,
    /// The last event ID that the request has had, or empty.
    pub last_event_id: String,
    /// The version of HTTP.
    pub version: Version,
    /// The response's header fields.
    pub headers: HeaderMap,
}
