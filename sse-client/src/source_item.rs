//! The items of an event source.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use http::{HeaderMap, Version};
use ssekit_core::{ReceivedEvent, SharedStr};

use crate::machine::head::without_query;

/// An item that an [`EventSource`](crate::EventSource) returns.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SourceItem {
    /// The stream was opened: for the first time, or again after a failure.
    Opened(Box<Opened>),
    /// An event of the stream.
    Event(ReceivedEvent),
    /// A comment without its colon, if [comments are enabled](crate::EventSourceBuilder::with_comments).
    Comment(SharedStr),
}

/// The head of a response that opened the stream.
#[derive(Clone)]
#[non_exhaustive]
pub struct Opened {
    /// The number of the attempt, counted from 1.
    pub attempt: u64,
    /// The URL after all redirects, without credentials.
    pub url: String,
    /// The last event ID that the request contained; empty when there was none.
    pub last_event_id: String,
    /// The version of HTTP.
    pub version: Version,
    /// The header fields of the response.
    pub headers: HeaderMap,
}

/// Does not show the query of the URL, nor header fields that may be secret.
impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("attempt", &self.attempt)
            .field("url", &without_query(&self.url))
            .field("last_event_id", &self.last_event_id)
            .field("version", &self.version)
            .field("headers", &self.headers)
            .finish()
    }
}
