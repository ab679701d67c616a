//! What is published.

use std::{fmt, str};

use bytes::Bytes;
use memchr::memchr2;
use ssekit_core::EncodedEvent;

use super::options::MAX_NAME_LEN;
use super::position::Position;

/// An event that is to be published: checked, encoded, and without its ID.
#[derive(Clone, Debug)]
#[must_use]
#[non_exhaustive]
pub struct NewEvent<'a> {
    /// The topic, of at most [`MAX_NAME_LEN`] bytes.
    pub topic: &'a str,
    /// What it is the newest state of; likewise.
    pub key: Option<&'a str>,
    /// The event, with no ID of its own.
    pub frame: EncodedEvent,
}

impl<'a> NewEvent<'a> {
    /// An event for a topic: for a [`Log`](super::Log) that hears of it from elsewhere, and puts it into its
    /// [`RecentEvents`](super::RecentEvents).
    ///
    /// ```
    /// use ssekit_core::Event;
    /// use ssekit_server::hub::{HubOptions, Position, NewEvent, RecentEvents};
    ///
    /// let tail = RecentEvents::behind(&[], Position { epoch: 7, offset: 41 }, HubOptions::new());
    /// let publication = NewEvent::new("prices", Event::data("17")).with_key("oil");
    /// let position = Position { epoch: 7, offset: 42 };
    /// assert_eq!(tail.append_at(position, &publication)?, position);
    /// # Ok::<(), ssekit_server::hub::PublishError>(())
    /// ```
    pub fn new(topic: &'a str, event: impl Into<EncodedEvent>) -> Self {
        Self { topic, key: None, frame: event.into() }
    }

    /// An event from bytes that were a [`block`](Self::block) once, and are kept by something that others can write to.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use ssekit_server::hub::{NewEvent, PublishError};
    ///
    /// let publication = NewEvent::from_block("news", Bytes::from("data: one\n\n"))?;
    /// assert_eq!(publication.block()?, b"data: one\n\n");
    /// let cut = NewEvent::from_block("news", Bytes::from("data: one\n"));
    /// assert_eq!(cut.unwrap_err(), PublishError::NoEvent);
    /// # Ok::<(), PublishError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`NoEvent`](PublishError::NoEvent) if they are no such block; and those of what cannot be published.
    pub fn from_block(topic: &'a str, block: Bytes) -> Result<Self, PublishError> {
        match is_block(&block) {
            true => Ok(Self { topic, key: None, frame: EncodedEvent::__from_whole_events(block) }),
            false => Err(PublishError::NoEvent),
        }
    }

    /// The same, as the newest state of what this names.
    pub fn with_key(mut self, key: &'a str) -> Self {
        self.key = Some(key);
        self
    }

    /// The event's block, as it stands on the wire behind its ID.
    ///
    /// # Errors
    ///
    /// Those of what cannot be published.
    pub fn block(&self) -> Result<&[u8], PublishError> {
        let names = self.key.into_iter().chain([self.topic]);
        match names.map(str::len).find(|len| *len > MAX_NAME_LEN) {
            Some(len) => Err(PublishError::NameTooLong { len }),
            None => block(self.frame.as_bytes()),
        }
    }
}

/// Why an event is not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PublishError {
    /// The topic's name or the key has more than [`MAX_NAME_LEN`] bytes.
    NameTooLong {
        /// How many it has.
        len: usize,
    },
    /// The event has an ID of its own. The hub gives it one.
    HasId,
    /// The event is larger than all that the hub may keep.
    TooLarge {
        /// How many bytes it has.
        len: usize,
        /// How many are kept.
        max: usize,
    },
    /// A log gives it a place that is gone, or that none will ever have.
    Passed {
        /// That.
        position: Position,
        /// The next one's.
        next: Position,
    },
    /// Bytes are no event.
    NoEvent,
    /// The log was [sealed](super::Hub::seal), to be handed over to another process: publish it there.
    Sealed,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameTooLong { len } => {
                write!(f, "name of topic or key has {len} bytes, of {MAX_NAME_LEN} at the most")
            }
            Self::HasId => f.write_str("event has an id of its own"),
            Self::TooLarge { len, max } => write!(f, "event has {len} bytes, of {max} that are kept"),
            Self::Passed { position, next } => write!(f, "event is at {position}, and the next one at {next}"),
            Self::NoEvent => f.write_str("bytes are no event"),
            Self::Sealed => f.write_str("log is sealed, to be handed over"),
        }
    }
}

impl std::error::Error for PublishError {}

/// The block of an event that has no ID of its own, without blocks of comments before it, behind which a client would
/// have the event's ID, and not the event.
pub(super) fn block(frame: &[u8]) -> Result<&[u8], PublishError> {
    let mut block = frame;
    let mut rest = frame;
    while let Some(end) = memchr2(b'\r', b'\n', rest) {
        let (line, behind) = rest.split_at(end);
        rest = behind.strip_prefix(b"\r\n").or_else(|| behind.get(1..)).unwrap_or_default();
        if line == b"id" || line.starts_with(b"id:") {
            return Err(PublishError::HasId);
        }
        if line.is_empty() && !rest.is_empty() {
            block = rest;
        }
    }
    Ok(block)
}

/// Whether bytes are the block of an event, with no ID, in valid UTF-8, and to its end.
pub(super) fn is_block(bytes: &[u8]) -> bool {
    str::from_utf8(bytes).is_ok() && block(bytes) == Ok(bytes) && is_terminated(bytes)
}

/// Whether a block ends with a blank line.
fn is_terminated(block: &[u8]) -> bool {
    let ends = [b"\r\n".as_slice(), b"\n", b"\r"];
    let rest = ends.iter().find_map(|end| block.strip_suffix(*end));
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with(b"\n") || rest.ends_with(b"\r"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_ends_with_a_blank_line_of_any_kind() {
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
    fn an_event_has_no_id_of_its_own() {
        for (frame, expected) in [
            ("data: a\n\n", Ok("data: a\n\n")),
            (": c\n\n: d\r\n\r\ndata: a\r\r", Ok("data: a\r\r")),
            (": c\ndata: a\r\ndata\r\n\r\n", Ok(": c\ndata: a\r\ndata\r\n\r\n")),
            ("\n", Ok("\n")),
            ("data: id: 1\ndata:id\nidea: x\n\n", Ok("data: id: 1\ndata:id\nidea: x\n\n")),
            ("id: 1\n\n", Err(PublishError::HasId)),
            ("data: a\rid\r\r", Err(PublishError::HasId)),
            (": c\n\nid:\n\ndata: a\n\n", Err(PublishError::HasId)),
        ] {
            assert_eq!(block(frame.as_bytes()), expected.map(str::as_bytes), "{frame:?}");
        }
    }
}
