//! An event on its way into a log.

use std::str;

use bytes::Bytes;
use memchr::memchr2;
use ssekit_core::EncodedEvent;

use super::options::MAX_NAME_LEN;
use super::publishing::PublishError;

/// An event to be published: encoded, and without an ID. The hub gives it to its [`Log`](super::Log).
#[derive(Clone, Debug)]
#[must_use]
#[non_exhaustive]
pub struct NewEvent<'a> {
    /// The topic, at most [`MAX_NAME_LEN`] bytes.
    pub topic: &'a str,
    /// The key, at most [`MAX_NAME_LEN`] bytes: the event is the newest state of this key in its topic.
    pub key: Option<&'a str>,
    /// The event, without an ID.
    pub event: EncodedEvent,
}

impl<'a> NewEvent<'a> {
    /// Creates an event for a topic, which a [`Log`](super::Log) puts into its
    /// [`RecentEvents`](super::RecentEvents).
    ///
    /// ```
    /// use ssekit_core::Event;
    /// use ssekit_server::hub::{NewEvent, Position, RecentEvents, RetentionOptions};
    ///
    /// let last = Position { epoch: 7, offset: 41 };
    /// let recent = RecentEvents::starting_after(&[], last, RetentionOptions::new());
    /// let event = NewEvent::new("prices", Event::data("17")).with_key("oil");
    /// let position = Position { epoch: 7, offset: 42 };
    /// assert_eq!(recent.append_at(position, &event)?, position);
    /// # Ok::<(), ssekit_server::hub::PublishError>(())
    /// ```
    pub fn new(topic: &'a str, event: impl Into<EncodedEvent>) -> Self {
        Self { topic, key: None, event: event.into() }
    }

    /// Creates an event from the bytes of [`block`](Self::block), which a store returned and others may have changed.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use ssekit_server::hub::{NewEvent, PublishError};
    ///
    /// let event = NewEvent::from_block("news", Bytes::from("data: one\n\n"))?;
    /// assert_eq!(event.block()?, b"data: one\n\n");
    /// let cut = NewEvent::from_block("news", Bytes::from("data: one\n"));
    /// assert!(matches!(cut, Err(PublishError::NotAnEvent)));
    /// # Ok::<(), PublishError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`NotAnEvent`](PublishError::NotAnEvent) if the bytes are not exactly one block without an ID.
    pub fn from_block(topic: &'a str, block: Bytes) -> Result<Self, PublishError> {
        match is_block(&block) {
            true => Ok(Self { topic, key: None, event: EncodedEvent::__from_whole_events(block) }),
            false => Err(PublishError::NotAnEvent),
        }
    }

    /// Sets the key.
    pub fn with_key(mut self, key: &'a str) -> Self {
        self.key = Some(key);
        self
    }

    /// Returns the bytes of the event as they follow its ID on the wire: what a store keeps.
    ///
    /// # Errors
    ///
    /// [`HasId`](PublishError::HasId) if the event has an ID, and [`NameTooLong`](PublishError::NameTooLong).
    pub fn block(&self) -> Result<&[u8], PublishError> {
        let names = self.key.into_iter().chain([self.topic]);
        match names.map(str::len).find(|len| *len > MAX_NAME_LEN) {
            Some(len) => Err(PublishError::NameTooLong { len }),
            None => block(self.event.as_bytes()),
        }
    }
}

/// Returns the last block of an encoded event, which must not have an ID.
///
/// Blocks of comments before it are cut off: the log puts the ID before the returned bytes, and after a comment block a
/// client would have the ID without the event.
pub(super) fn block(encoded: &[u8]) -> Result<&[u8], PublishError> {
    let mut block = encoded;
    let mut rest = encoded;
    while let Some(end) = memchr2(b'\r', b'\n', rest) {
        let (line, after) = rest.split_at(end);
        rest = after.strip_prefix(b"\r\n").or_else(|| after.get(1..)).unwrap_or_default();
        if line == b"id" || line.starts_with(b"id:") {
            return Err(PublishError::HasId);
        }
        if line.is_empty() && !rest.is_empty() {
            block = rest;
        }
    }
    Ok(block)
}

/// Returns whether bytes are exactly one block, without an ID, in valid UTF-8, with its blank line.
pub(super) fn is_block(bytes: &[u8]) -> bool {
    str::from_utf8(bytes).is_ok() && block(bytes).is_ok_and(|block| block.len() == bytes.len()) && is_terminated(bytes)
}

/// Returns whether a block ends with a blank line.
fn is_terminated(block: &[u8]) -> bool {
    let ends = [b"\r\n".as_slice(), b"\n", b"\r"];
    let rest = ends.iter().find_map(|end| block.strip_suffix(*end));
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with(b"\n") || rest.ends_with(b"\r"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_ends_with_a_blank_line_of_any_kind() {
        for end in ["\n\n", "\r\r", "\r\n\r\n", "\n\r", "\n\r\n", "\r\r\n", "\r\n\r", "\r\n\n"] {
            assert!(is_terminated(format!("data: a{end}").as_bytes()), "{end:?}");
        }
        for end in ["", "\n", "\r", "\r\n", "\n\nx"] {
            assert!(!is_terminated(format!("data: a{end}").as_bytes()), "{end:?}");
        }
        assert!(["\n", "\r", "\r\n"].iter().all(|block| is_terminated(block.as_bytes())) && !is_terminated(b""));
        assert!(is_block(b"data: a\n\n") && !is_block(b"data: \xff\n\n") && !is_block(b"id: 1\n\n"));
    }

    #[test]
    fn event_with_an_id_is_not_a_block() {
        for (encoded, expected) in [
            ("data: a\n\n", Some("data: a\n\n")),
            (": c\n\n: d\r\n\r\ndata: a\r\r", Some("data: a\r\r")),
            (": c\ndata: a\r\ndata\r\n\r\n", Some(": c\ndata: a\r\ndata\r\n\r\n")),
            ("\n", Some("\n")),
            ("data: id: 1\ndata:id\nidea: x\n\n", Some("data: id: 1\ndata:id\nidea: x\n\n")),
            ("id: 1\n\n", None),
            ("data: a\rid\r\r", None),
            (": c\n\nid:\n\ndata: a\n\n", None),
        ] {
            let found = block(encoded.as_bytes());
            assert!(found.as_ref().err().is_none_or(|error| matches!(error, PublishError::HasId)), "{encoded:?}");
            assert_eq!(found.ok(), expected.map(str::as_bytes), "{encoded:?}");
        }
    }
}
