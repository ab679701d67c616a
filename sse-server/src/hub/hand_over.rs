//! The export and import of a log, to hand it over to the next process.
//!
//! All numbers are little-endian. A text is its length (`u16`, or [`NO_KEY`]) and its bytes. Offsets are those of the
//! current epoch; events of earlier epochs are left out.
//!
//! | part | fields |
//! |---|---|
//! | head | [`MAGIC`]; epoch, next offset, last offset of a forgotten topic (`u64` each) |
//! | topics | their number (`u64`); for each: number (`u32`), name, last evicted offset, last lost offset (`u64` each), 1 if it is finished and 0 if not (`u8`) |
//! | events | their number (`u64`); for each: offset (`u64`), topic (`u32`), key, age in ms (`u64`), block with its length (`u32`) |
//!
//! The retained events come first, then the stored ones, so the offsets are ascending.

use std::collections::HashMap;
use std::{fmt, str};

use super::epochs::MAX_OFFSET;
use super::feeds::Feed;
use super::new_event::is_block;
use super::options::{MAX_NAME_LEN, RetentionOptions};
use super::state::{Counts, State};
use super::store::FeedId;
use super::waiters::WakeList;

/// The first bytes of an exported log. Another version of the format has another number.
const MAGIC: &[u8] = b"ssekit hub log 2\n";
/// The length of the key of an event without a key.
const NO_KEY: u16 = u16::MAX;

/// The reason why bytes cannot be imported as a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ImportError {
    /// The bytes are not a log that this version exported.
    NotALog,
    /// The bytes end within the log.
    Truncated {
        /// The number of bytes there are.
        position: usize,
    },
    /// The log contains an invalid value.
    Malformed {
        /// The number of bytes before the end of the invalid value.
        position: usize,
        /// The value that is missing there.
        expected: &'static str,
    },
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotALog => f.write_str("bytes are not a hub's log of this version: export it with the same version"),
            Self::Truncated { position } => write!(f, "log ends at byte {position}, within an entry"),
            Self::Malformed { position, expected } => {
                write!(f, "invalid log: expected {expected} before byte {position}")
            }
        }
    }
}

impl std::error::Error for ImportError {}

impl State {
    /// Encodes the log as bytes.
    pub(super) fn export(&self) -> Vec<u8> {
        let base = self.epochs.base();
        let bytes = Vec::with_capacity(MAGIC.len() + self.store.bytes() + 64 * self.store.len());
        let mut writer = Writer { bytes, base, now: self.now() };
        writer.bytes.extend_from_slice(MAGIC);
        writer.u64(self.epochs.epoch());
        writer.offset(self.store.next());
        writer.offset(self.feeds.forgotten_to());

        let topics = self.feeds.topics().filter_map(|(name, id)| Some((name, id, self.feeds.get(id)?)));
        // The next process creates a topic without events when a client subscribes to it.
        let had_events =
            |feed: &Feed| feed.evicted_to > self.feeds.forgotten_to() || feed.has_events() || feed.is_finished;
        let topics: Vec<_> = topics.filter(|(.., feed)| had_events(feed)).collect();
        writer.u64(topics.len() as u64);
        for (name, id, feed) in topics {
            writer.u32(id);
            writer.text(Some(name));
            writer.offset(feed.evicted_to);
            writer.offset(feed.lost_to);
            writer.bytes.push(feed.is_finished.into());
        }
        let retained = || self.compaction.range(base + 1..);
        let stored = || self.store.events().filter(|(offset, ..)| *offset > base);
        writer.u64((retained().count() + stored().count()) as u64);
        for (offset, event) in retained() {
            writer.event(offset, event.topic, Some(&event.key), event.at, &event.bytes);
        }
        for (offset, entry, bytes) in stored() {
            writer.event(offset, entry.topic, entry.key.as_deref(), entry.at, bytes);
        }
        writer.bytes
    }

    /// Decodes a log. Every value is checked, because the bytes may come from anywhere.
    pub(super) fn import(bytes: &[u8], retention: RetentionOptions) -> Result<Self, ImportError> {
        let Some(rest) = bytes.strip_prefix(MAGIC) else { return Err(ImportError::NotALog) };
        let mut reader = Reader { bytes, position: bytes.len() - rest.len() };
        let [epoch, next, forgotten_to] = [reader.u64()?, reader.u64()?, reader.u64()?];
        // No hub reaches a higher offset.
        reader.check((1..=MAX_OFFSET).contains(&next) && forgotten_to < next, "offset of the next event")?;
        let mut state = Self::new(epoch, retention);
        state.feeds.set_forgotten_to(forgotten_to);
        let now = state.now();
        let mut import = Import { state, now, next, topics: HashMap::new(), stored_from: forgotten_to + 1, last: 0 };
        for _ in 0..reader.u64()? {
            import.topic(&mut reader)?;
        }
        for _ in 0..reader.u64()? {
            import.event(&mut reader)?;
        }
        reader.check(reader.position == bytes.len(), "end")?;
        Ok(import.finish())
    }
}

/// A log that is being imported.
struct Import<'a> {
    state: State,
    now: u64,
    /// The offset of the next event.
    next: u64,
    /// The names of the topics by their exported numbers.
    topics: HashMap<FeedId, &'a str>,
    /// No event before this offset can be in the store.
    stored_from: u64,
    /// The offset of the last event that was read.
    last: u64,
}

impl<'a> Import<'a> {
    fn topic(&mut self, reader: &mut Reader<'a>) -> Result<(), ImportError> {
        let id = reader.u32()?;
        let name = reader.text()?;
        let name = reader.some(name, "name of a topic")?;
        let (evicted_to, lost_to) = (reader.u64()?, reader.u64()?);
        reader.check(lost_to <= evicted_to && evicted_to < self.next, "offset of a lost event")?;
        let is_finished = reader.u8()?;
        reader.check(is_finished <= 1, "0 or 1 for a finished topic")?;
        reader.check(self.topics.insert(id, name).is_none(), "number of another topic")?;
        self.stored_from = self.stored_from.max(evicted_to + 1);
        let id = self.state.feeds.topic(name);
        if let Some(feed) = self.state.feeds.get_mut(id) {
            (feed.evicted_to, feed.lost_to, feed.is_finished) = (evicted_to, lost_to, is_finished == 1);
        }
        Ok(())
    }

    fn event(&mut self, reader: &mut Reader<'a>) -> Result<(), ImportError> {
        let offset = reader.u64()?;
        reader.check(self.last < offset && offset < self.next, "higher offset")?;
        self.last = offset;
        let id = reader.u32()?;
        let topic = reader.some(self.topics.get(&id).copied(), "number of a known topic")?;
        let key = reader.text()?;
        let at = self.now.saturating_sub(reader.u64()?);
        let len = reader.u32()? as usize;
        let block = reader.take(len)?;
        reader.check(is_block(block), "block of an event")?;
        let state = &mut self.state;
        let id = state.feeds.topic(topic);
        let evicted_to = state.feeds.get(id).map_or(0, |feed| feed.evicted_to);
        if let Some(key) = key.filter(|_| offset <= evicted_to) {
            state.push_retained(topic, key, block, at, offset);
            return Ok(());
        }
        reader.check(self.stored_from <= offset, "event that was not evicted")?;
        state.store.skip_to(offset);
        // No client exists yet that it could wake.
        state.push(id, key, block, at, &mut WakeList::default());
        Ok(())
    }

    fn finish(self) -> State {
        let Self { mut state, now, next, topics, .. } = self;
        state.store.skip_to(next);
        for name in topics.into_values() {
            let id = state.feeds.topic(name);
            state.feeds.make_idle(id);
        }
        state.counts = Counts::default();
        state.evict(now);
        state
    }
}

/// The bytes of a log that is being exported.
struct Writer {
    bytes: Vec<u8>,
    /// The offset before the current epoch.
    base: u64,
    now: u64,
}

impl Writer {
    fn u64(&mut self, number: u64) {
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }

    fn u32(&mut self, number: u32) {
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }

    fn offset(&mut self, offset: u64) {
        self.u64(offset.saturating_sub(self.base));
    }

    fn text(&mut self, text: Option<&str>) {
        // Names have at most MAX_NAME_LEN bytes.
        let len = text.map_or(NO_KEY, |text| text.len() as u16);
        self.bytes.extend_from_slice(&len.to_le_bytes());
        self.bytes.extend_from_slice(text.unwrap_or_default().as_bytes());
    }

    fn event(&mut self, offset: u64, topic: FeedId, key: Option<&str>, at: u64, bytes: &[u8]) {
        self.offset(offset);
        self.u32(topic);
        self.text(key);
        self.u64(self.now.saturating_sub(at));
        // The line of the ID follows from the epoch and the offset.
        let end = bytes.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let block = bytes.get(end..).unwrap_or_default();
        self.u32(block.len() as u32);
        self.bytes.extend_from_slice(block);
    }
}

/// The bytes of a log that is being imported.
struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], ImportError> {
        let end = self.position.saturating_add(len);
        let taken = self.bytes.get(self.position..end).ok_or(ImportError::Truncated { position: self.bytes.len() })?;
        self.position = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ImportError> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| ImportError::Truncated { position: self.position })
    }

    fn u64(&mut self) -> Result<u64, ImportError> {
        self.array().map(u64::from_le_bytes)
    }

    fn u8(&mut self) -> Result<u8, ImportError> {
        self.array().map(u8::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, ImportError> {
        self.array().map(u32::from_le_bytes)
    }

    fn text(&mut self) -> Result<Option<&'a str>, ImportError> {
        let len = u16::from_le_bytes(self.array()?);
        if len == NO_KEY {
            return Ok(None);
        }
        self.check(usize::from(len) <= MAX_NAME_LEN, "name of at most 256 bytes")?;
        let text = self.take(len.into())?;
        self.some(str::from_utf8(text).ok(), "name in UTF-8").map(Some)
    }

    fn some<T>(&self, value: Option<T>, expected: &'static str) -> Result<T, ImportError> {
        value.ok_or(ImportError::Malformed { position: self.position, expected })
    }

    fn check(&self, is_right: bool, expected: &'static str) -> Result<(), ImportError> {
        self.some(is_right.then_some(()), expected)
    }
}
