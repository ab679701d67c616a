//! Joins the events that are ready into one chunk within a limit.
//!
//! | content | `lone` | `joined[..filled]` | `next` |
//! |---|---|---|---|
//! | empty | `None` | empty | `None` |
//! | one event | its bytes, shared | empty | `None` |
//! | several events | `None` | their bytes, copied | `None` |
//! | full: an event did not fit | as above | as above | the first event of the next chunk |
//!
//! `filled <= max` holds unless the chunk is one event.

use std::mem;

use bytes::Bytes;
use ssekit_core::{BufferTooSmall, EncodedEvent, Event, EventBuffer};

use crate::pool;

/// The largest `max`: 16 MiB. A stream that always has an event ready fills every chunk.
const LARGEST: usize = 16 << 20;

/// Joins events into chunks of at most `max` bytes. A larger event is a chunk of its own.
///
/// A lone encoded event is shared and not copied. Several events are copied into one chunk, which costs one write.
#[derive(Debug)]
pub(crate) struct Batch {
    max: usize,
    /// The only event.
    lone: Option<Bytes>,
    /// Several events, in the first `filled` bytes.
    joined: Vec<u8>,
    filled: usize,
    /// The first event of the next chunk. Boxed, because an idle stream has none.
    next: Option<Box<Bytes>>,
}

impl Batch {
    pub(crate) fn new(max: usize) -> Self {
        let mut batch = Self { max: 0, lone: None, joined: Vec::new(), filled: 0, next: None };
        batch.set_max(max);
        batch
    }

    /// Sets the limit, to at least one byte, so that an empty batch is not full.
    pub(crate) fn set_max(&mut self, max: usize) {
        self.max = max.clamp(1, LARGEST);
    }

    /// Adds an encoded event. Call this only while the batch is not [full](Self::is_full).
    pub(crate) fn push(&mut self, event: EncodedEvent) {
        let event = event.into_bytes();
        match self.len() {
            0 => self.lone = Some(event),
            len if event.len() > self.max.saturating_sub(len) => self.next = Some(Box::new(event)),
            _ => {
                self.join(event.len());
                self.append(&event);
            }
        }
    }

    /// Adds an event, encoded straight into the chunk unless it is the first one. Call this only while the batch is not
    /// [full](Self::is_full).
    pub(crate) fn encode(&mut self, event: &Event<'_>) {
        if self.len() == 0 {
            self.lone = Some(EncodedEvent::from(event).into_bytes());
            return;
        }
        self.start_joining();
        loop {
            match event.encode_to_slice(self.joined.get_mut(self.filled..).unwrap_or_default()) {
                Ok(len) => {
                    self.filled += len;
                    return;
                }
                Err(BufferTooSmall { needed, .. }) if needed <= self.max.saturating_sub(self.filled) => {
                    self.reserve(needed);
                }
                Err(_) => {
                    self.next = Some(Box::new(EncodedEvent::from(event).into_bytes()));
                    return;
                }
            }
        }
    }

    /// Returns whether the chunk must go out before another event is added.
    pub(crate) fn is_full(&self) -> bool {
        self.next.is_some() || self.len() >= self.max
    }

    /// Takes the chunk, or `None` if it is empty.
    pub(crate) fn take(&mut self) -> Option<Bytes> {
        let chunk = match self.lone.take() {
            Some(lone) => Some(lone),
            None if self.filled == 0 => None,
            None => {
                // The buffer goes out with the chunk, so an idle connection holds no buffer.
                let (mut joined, filled) = (mem::take(&mut self.joined), mem::take(&mut self.filled));
                Some(if joined.len() == pool::LEN {
                    pool::freeze(joined, filled)
                } else {
                    joined.truncate(filled);
                    Bytes::from(joined)
                })
            }
        };
        self.lone = self.next.take().map(|next| *next);
        chunk
    }

    /// Copies a lone event, if there is one, and makes room for the events after it.
    fn start_joining(&mut self) {
        if let Some(first) = &self.lone {
            // Room for another event of this size, within the limit.
            self.join(first.len().min(self.max.saturating_sub(first.len())));
        }
    }

    /// Copies a lone event into the joined ones, with room for `len` bytes after it.
    fn join(&mut self, len: usize) {
        let first = self.lone.take();
        let first_len = first.as_ref().map_or(0, Bytes::len);
        if self.joined.len().saturating_sub(self.filled) < first_len + len {
            self.reserve(first_len + len);
        }
        if let Some(first) = first {
            self.append(&first);
        }
    }

    /// Makes room for `len` bytes more.
    fn reserve(&mut self, len: usize) {
        let needed = self.filled + len;
        if self.joined.is_empty() && needed <= pool::LEN && pool::LEN <= self.max {
            self.joined = pool::take();
            return;
        }
        // Room for several events, so that the buffer does not grow with each one, within the limit unless one event exceeds it.
        let room = needed.max(2 * self.joined.len()).max(4 * len).min(self.max).max(needed);
        self.joined.resize(room, 0);
    }

    /// Appends bytes for which there is room.
    fn append(&mut self, bytes: &[u8]) {
        let end = self.filled + bytes.len();
        if let Some(room) = self.joined.get_mut(self.filled..end) {
            room.copy_from_slice(bytes);
            self.filled = end;
        }
    }

    fn len(&self) -> usize {
        self.lone.as_ref().map_or(self.filled, Bytes::len)
    }
}

impl EventBuffer for Batch {
    fn push(&mut self, event: EncodedEvent) {
        self.push(event);
    }

    fn encode(&mut self, event: &Event<'_>) {
        self.encode(event);
    }

    /// Returns no room for the first event, which is not copied, and no room beyond the limit.
    fn room(&mut self) -> &mut [u8] {
        if self.len() == 0 {
            return &mut [];
        }
        self.start_joining();
        let end = self.joined.len().min(self.max);
        self.joined.get_mut(self.filled..end).unwrap_or_default()
    }

    fn advance(&mut self, len: usize) {
        self.filled += len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the chunks of events with these data, added by `add`.
    fn chunks(max: usize, data: &[&str], add: fn(&mut Batch, &Event<'_>)) -> Vec<String> {
        let mut batch = Batch::new(max);
        let mut chunks = Vec::new();
        let mut data = data.iter();
        loop {
            while !batch.is_full() {
                let Some(data) = data.next() else { break };
                add(&mut batch, &Event::data(*data));
            }
            match batch.take() {
                Some(chunk) => chunks.push(String::from_utf8(chunk.to_vec()).unwrap()),
                None => return chunks,
            }
        }
    }

    #[test]
    fn chunks_hold_all_events_in_order_within_the_limit() {
        let a = "data: a\n\n";
        let long = format!("data: {}\n\n", "x".repeat(40));
        let text = "x".repeat(40);
        let cases: [(usize, &[&str], &[String]); 8] = [
            (30, &[], &[]),
            (30, &["a"], &[a.to_owned()]),
            (30, &["a", "a", "a"], &[a.repeat(3)]),
            (30, &["a", "a", "a", "a"], &[a.repeat(3), a.to_owned()]),
            (27, &["a"; 7], &[a.repeat(3), a.repeat(3), a.to_owned()]),
            (26, &["a"; 5], &[a.repeat(2), a.repeat(2), a.to_owned()]),
            (30, &["a", &text, "a", "a"], &[a.to_owned(), long.clone(), a.repeat(2)]),
            (0, &["a", "a"], &[a.to_owned(), a.to_owned()]),
        ];
        for (max, data, expected) in cases {
            let pushed = chunks(max, data, |batch, event| batch.push(EncodedEvent::from(event)));
            let encoded = chunks(max, data, |batch, event| batch.encode(event));
            assert_eq!((pushed.as_slice(), encoded.as_slice()), (expected, expected), "{max} {data:?}");
        }
    }

    #[test]
    fn encoded_and_new_events_join_in_order() {
        let mut batch = Batch::new(1000);
        let mut expected = String::new();
        for n in 0..30 {
            let data = "x\n".repeat(n);
            let event = Event::data(&data);
            match n % 3 {
                0 => batch.push(EncodedEvent::from(&event)),
                _ => batch.encode(&event),
            }
            expected += &event.to_string();
            while batch.is_full() {
                let chunk = batch.take().unwrap();
                assert!(chunk.len() <= 1000 && expected.as_bytes().starts_with(&chunk));
                expected.drain(..chunk.len());
            }
        }
        assert_eq!(batch.take().unwrap(), expected);
        assert!(batch.take().is_none());
    }

    /// The events have all sizes, so that each size meets each limit. The first may exceed half of the limit.
    #[test]
    fn chunk_of_several_events_never_exceeds_the_limit() {
        let texts: Vec<_> = [80, 60, 50, 40, 20, 90, 1, 1, 70, 30].map(|len| "x".repeat(len)).into();
        let data: Vec<_> = texts.iter().map(String::as_str).collect();
        let expected: String = data.iter().map(|data| Event::data(*data).to_string()).collect();
        for max in 1..300 {
            let pushed = chunks(max, &data, |batch, event| batch.push(EncodedEvent::from(event)));
            let encoded = chunks(max, &data, |batch, event| batch.encode(event));
            assert_eq!((pushed.concat(), &pushed), (expected.clone(), &encoded), "{max}");
            assert!(encoded.iter().all(|chunk| chunk.len() <= max || chunk.matches("data").count() == 1), "{max}");
        }
    }

    #[test]
    fn lone_encoded_event_is_shared() {
        let frame = EncodedEvent::from(Event::data("x".repeat(100)));
        let mut batch = Batch::new(1000);
        batch.push(frame.clone());
        assert_eq!(batch.take().unwrap().as_ptr(), frame.as_bytes().as_ptr());
    }
}
