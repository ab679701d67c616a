//! A log as bytes, for the process that comes next.

use std::collections::HashMap;
use std::{fmt, str};

use super::epochs::MAX_OFFSET;
use super::feeds::Feed;
use super::new_event::is_block;
use super::options::{MAX_NAME_LEN, RetentionOptions};
use super::state::{Counts, State};
use super::waiters::WakeList;

/// What such bytes begin with. Another version has another number.
const MAGIC: &[u8] = b"ssekit hub log 1\n";
/// Instead of a key's length.
const NO_KEY: u16 = u16::MAX;

/// Bytes are no log that was exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ImportError {
    /// They do not begin like one of this version.
    NotALog,
    /// They end amid it.
    Truncated {
        /// Where something is missing.
        position: usize,
    },
    /// Something in it cannot be.
    Malformed {
        /// Where it is.
        position: usize,
        /// What ought to be there.
        expected: &'static str,
    },
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotALog => f.write_str("bytes are no log of a hub, or one of another version"),
            Self::Truncated { position } => write!(f, "log ends at byte {position}, amid an entry"),
            Self::Malformed { position, expected } => write!(f, "log has no {expected} at byte {position}"),
        }
    }
}

impl std::error::Error for ImportError {}

/// All numbers are little-endian. The topics come first, then older events that are the newest of their key, then all
/// others; of the present epoch, if it had several.
impl State {
    /// The log as bytes.
    pub(super) fn export(&self) -> Vec<u8> {
        let now = self.now();
        let mut out = Vec::with_capacity(MAGIC.len() + self.store.bytes() + 64 * self.store.len());
        out.extend_from_slice(MAGIC);
        let base = self.epochs.base();
        for number in [self.epochs.epoch(), self.store.next() - base, self.feeds.forgotten_to().saturating_sub(base)] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let topics = self.feeds.topics().filter_map(|(name, id)| Some((name, id, self.feeds.get(id)?)));
        // One that has only clients is a new one's to make.
        let had_events = |feed: &Feed| feed.evicted_to > self.feeds.forgotten_to() || feed.has_events();
        let topics: Vec<_> = topics.filter(|(.., feed)| had_events(feed)).collect();
        out.extend_from_slice(&(topics.len() as u64).to_le_bytes());
        for (name, id, feed) in topics {
            out.extend_from_slice(&id.to_le_bytes());
            text(&mut out, Some(name));
            out.extend_from_slice(&feed.evicted_to.saturating_sub(base).to_le_bytes());
            out.extend_from_slice(&feed.lost_to.saturating_sub(base).to_le_bytes());
        }
        let retained = || self.compaction.range(base + 1..);
        let events = || self.store.events().filter(|(offset, ..)| *offset > base);
        out.extend_from_slice(&((retained().count() + events().count()) as u64).to_le_bytes());
        let mut event = |offset: u64, feed: u32, key: Option<&str>, at: u64, bytes: &[u8]| {
            out.extend_from_slice(&(offset - base).to_le_bytes());
            out.extend_from_slice(&feed.to_le_bytes());
            text(&mut out, key);
            out.extend_from_slice(&now.saturating_sub(at).to_le_bytes());
            // Without the line of its ID.
            let end = bytes.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            let block = bytes.get(end..).unwrap_or_default();
            out.extend_from_slice(&(block.len() as u32).to_le_bytes());
            out.extend_from_slice(block);
        };
        for (offset, old) in retained() {
            event(offset, old.topic, Some(&old.key), old.at, &old.bytes);
        }
        for (offset, entry, bytes) in events() {
            event(offset, entry.topic, entry.key.as_deref(), entry.at, bytes);
        }
        out
    }

    /// The log that was these bytes.
    pub(super) fn import(bytes: &[u8], retention: RetentionOptions) -> Result<Self, ImportError> {
        let mut reader = Reader { bytes, position: 0 };
        if !bytes.starts_with(MAGIC) {
            return Err(ImportError::NotALog);
        }
        reader.position = MAGIC.len();
        let [epoch, next, forgotten_to] = [reader.u64()?, reader.u64()?, reader.u64()?];
        // So far that no hub ever gets there.
        reader.check((1..=MAX_OFFSET).contains(&next) && forgotten_to < next, "offset of the next event")?;
        let mut state = Self::new(epoch, retention);
        state.feeds.set_forgotten_to(forgotten_to);

        let mut topics = HashMap::new();
        // No event before this is kept, but as the newest of its key.
        let mut kept_from = forgotten_to + 1;
        for _ in 0..reader.u64()? {
            let id = reader.u32()?;
            let name = reader.text()?;
            let name = reader.some(name, "name of a topic")?;
            let (evicted_to, lost_to) = (reader.u64()?, reader.u64()?);
            reader.check(lost_to <= evicted_to && evicted_to < next, "offset of a lost event")?;
            reader.check(topics.insert(id, name).is_none(), "topic of its own")?;
            kept_from = kept_from.max(evicted_to + 1);
            let feed = state.feeds.topic(name);
            if let Some(feed) = state.feeds.get_mut(feed) {
                (feed.evicted_to, feed.lost_to) = (evicted_to, lost_to);
            }
        }
        let now = state.now();
        let mut last = 0;
        for _ in 0..reader.u64()? {
            let offset = reader.u64()?;
            reader.check(last < offset && offset < next, "later offset")?;
            last = offset;
            let id = reader.u32()?;
            let topic = reader.some(topics.get(&id).copied(), "topic that is known")?;
            let key = reader.text()?;
            let at = now.saturating_sub(reader.u64()?);
            let len = reader.u32()? as usize;
            let event = reader.take(len)?;
            reader.check(is_block(event), "event")?;
            let feed = state.feeds.topic(topic);
            let evicted_to = state.feeds.get(feed).map_or(0, |feed| feed.evicted_to);
            match key.filter(|_| offset <= evicted_to) {
                Some(key) => state.push_retained(topic, key, event, at, offset),
                None => {
                    reader.check(kept_from <= offset, "event that is kept")?;
                    state.store.skip_to(offset);
                    state.push(topic, key, event, at, &mut WakeList::default());
                }
            }
        }
        reader.check(reader.position == bytes.len(), "end")?;
        state.store.skip_to(next);
        for name in topics.into_values() {
            let feed = state.feeds.topic(name);
            state.feeds.make_idle(feed);
        }
        state.counts = Counts::default();
        state.evict(now);
        Ok(state)
    }
}

fn text(out: &mut Vec<u8>, text: Option<&str>) {
    // No name is longer.
    let len = text.map_or(NO_KEY, |text| text.len() as u16);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(text.unwrap_or_default().as_bytes());
}

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

    fn u32(&mut self) -> Result<u32, ImportError> {
        self.array().map(u32::from_le_bytes)
    }

    fn text(&mut self) -> Result<Option<&'a str>, ImportError> {
        let len = u16::from_le_bytes(self.array()?);
        if len == NO_KEY {
            return Ok(None);
        }
        self.check(usize::from(len) <= MAX_NAME_LEN, "name of a possible length")?;
        let text = self.take(len.into())?;
        self.some(str::from_utf8(text).ok(), "name in utf-8").map(Some)
    }

    fn some<T>(&self, value: Option<T>, expected: &'static str) -> Result<T, ImportError> {
        value.ok_or(ImportError::Malformed { position: self.position, expected })
    }

    fn check(&self, is_right: bool, expected: &'static str) -> Result<(), ImportError> {
        self.some(is_right.then_some(()), expected)
    }
}
