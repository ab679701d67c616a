//! The entries of the stream.

use bytes::Bytes;
use redis::{Cmd, Value};
use ssekit_server::hub::{LoggedEvent, NewEvent, Position};

use crate::error::RedisConnectError;

/// The offset at which an epoch ends, after 12 days at a million events a second. Entries from this offset on are not events.
/// So the sum of the offsets of all epochs never exceeds the hub's counter, even if another program has chosen them.
pub(crate) const MAX_OFFSET: u64 = 1 << 40;
const TOPIC: &[u8] = b"topic";
const KEY: &[u8] = b"key";
const AT: &[u8] = b"at";
const EVENT: &[u8] = b"event";
/// The replication ID of the server where an epoch began. The first entry of an epoch has this field and `at`.
const EPOCH: &[u8] = b"epoch";
/// Marks the first entry of an epoch if events may be missing before it, whatever was read.
const LOST: &[u8] = b"lost";

/// An entry of the stream.
pub(crate) struct Entry {
    pub(crate) position: Position,
    fields: Vec<Value>,
}

/// The content of an entry.
pub(crate) enum Content<'a> {
    /// The beginning of an epoch.
    Epoch,
    Event(NewEvent<'a>),
    /// An entry that no hub has written.
    Foreign,
}

impl Entry {
    fn field(&self, name: &[u8]) -> Option<&[u8]> {
        self.fields.chunks_exact(2).find_map(|pair| match pair {
            [Value::BulkString(field), Value::BulkString(value)] if field == name => Some(value.as_slice()),
            _ => None,
        })
    }

    fn text(&self, name: &[u8]) -> Option<&str> {
        std::str::from_utf8(self.field(name)?).ok()
    }

    /// Returns the time when the entry was added, in milliseconds since 1970.
    pub(crate) fn at(&self) -> Option<u64> {
        self.text(AT)?.parse().ok()
    }

    /// Returns the replication ID of the server where an epoch began, if this is the first entry of an epoch.
    pub(crate) fn server(&self) -> Option<&[u8]> {
        self.field(EPOCH).filter(|_| self.position.offset == 0)
    }

    /// Returns whether an epoch begins with this entry, and events may be missing before it.
    pub(crate) fn is_break(&self) -> bool {
        self.server().is_some() && self.field(LOST).is_some()
    }

    /// Returns the approximate size of the entry in bytes.
    pub(crate) fn size(&self) -> usize {
        let sizes = self.fields.iter().map(|value| match value {
            Value::BulkString(value) => value.len(),
            _ => 0,
        });
        64 + sizes.sum::<usize>()
    }

    pub(crate) fn content(&self) -> Content<'_> {
        if self.server().is_some() {
            return Content::Epoch;
        }
        self.new_event()
            .filter(|_| (1..MAX_OFFSET).contains(&self.position.offset))
            .map_or(Content::Foreign, Content::Event)
    }

    /// Returns the event of the entry. The lengths of its names are checked when it is appended or sent.
    fn new_event(&self) -> Option<NewEvent<'_>> {
        let event = NewEvent::from_block(self.text(TOPIC)?, Bytes::copy_from_slice(self.field(EVENT)?)).ok()?;
        match self.field(KEY) {
            // A hub writes only keys that are text.
            Some(key) => Some(event.with_key(std::str::from_utf8(key).ok()?)),
            None => Some(event),
        }
    }

    /// Turns the entry into an event of a page. A foreign entry is a position without an event.
    pub(crate) fn into_logged_event(self) -> LoggedEvent {
        let (topic, key, event) = match self.content() {
            Content::Event(NewEvent { topic, key, event, .. }) => (topic, key, Some(event)),
            Content::Epoch | Content::Foreign => ("", None, None),
        };
        LoggedEvent { position: self.position, topic: topic.to_owned(), key: key.map(str::to_owned), event }
    }
}

/// Adds the fields of an event to its command.
pub(crate) fn write_event(command: &mut Cmd, topic: &str, key: Option<&str>, at: u64, block: &[u8]) {
    command.arg(TOPIC).arg(topic).arg(AT).arg(at);
    if let Some(key) = key {
        command.arg(KEY).arg(key);
    }
    command.arg(EVENT).arg(block);
}

/// Adds the fields of the first entry of an epoch to its command.
pub(crate) fn write_epoch(command: &mut Cmd, server: &[u8], at: u64, is_lost: bool) {
    command.arg(EPOCH).arg(server).arg(AT).arg(at);
    if is_lost {
        command.arg(LOST).arg(1);
    }
}

/// Parses an ID of the stream.
pub(crate) fn position(value: &Value) -> Option<Position> {
    match value {
        Value::BulkString(id) => std::str::from_utf8(id).ok()?.parse().ok(),
        Value::SimpleString(id) => id.parse().ok(),
        _ => None,
    }
}

/// Parses the entries of a range.
pub(crate) fn entries(value: Value) -> Result<Vec<Entry>, RedisConnectError> {
    let Value::Array(values) = value else { return Err(RedisConnectError::Unexpected("entries")) };
    values.into_iter().map(|value| entry(value).ok_or(RedisConnectError::Unexpected("entry"))).collect()
}

/// Parses one entry.
pub(crate) fn entry(value: Value) -> Option<Entry> {
    let Value::Array(parts) = value else { return None };
    let mut parts = parts.into_iter();
    let position = position(&parts.next()?)?;
    match parts.next()? {
        Value::Array(fields) => Some(Entry { position, fields }),
        // The entry was deleted while it was read.
        Value::Nil => Some(Entry { position, fields: Vec::new() }),
        _ => None,
    }
}

/// Parses the answer to `XREAD` for one stream. Without new entries, the answer is nil and the result is empty. In version 3
/// of the protocol, the answer is a map.
pub(crate) fn entries_of_streams(value: Value) -> Result<Vec<Entry>, RedisConnectError> {
    let stream = match value {
        Value::Nil => return Ok(Vec::new()),
        Value::Map(streams) => streams.into_iter().next().map(|(_, entries)| entries),
        Value::Array(streams) => match streams.into_iter().next() {
            Some(Value::Array(stream)) => stream.into_iter().nth(1),
            _ => None,
        },
        _ => None,
    };
    entries(stream.ok_or(RedisConnectError::Unexpected("stream"))?)
}

/// Returns a field of the answer to `XINFO STREAM`.
pub(crate) fn look_up(value: &Value, name: &str) -> Option<Value> {
    let is_it = |value: &Value| match value {
        Value::BulkString(found) => found == name.as_bytes(),
        Value::SimpleString(found) => found == name,
        _ => false,
    };
    match value {
        Value::Array(pairs) => pairs.chunks_exact(2).find(|pair| pair.first().is_some_and(is_it))?.get(1).cloned(),
        Value::Map(pairs) => pairs.iter().find(|(found, _)| is_it(found)).map(|(_, value)| value.clone()),
        _ => None,
    }
}
