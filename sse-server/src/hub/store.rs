//! The recent events of all topics, with their bytes in contiguous segments.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

/// The most bytes of a segment with more than one event.
pub(super) const SEGMENT: usize = 64 * 1024;
/// The least bytes at the begin of a page that are shared, instead of copied with the rest of the page.
const WORTH_SHARING: usize = 4 * 1024;

/// The number of a topic's feed. See [`Feeds`](super::feeds::Feeds).
///
/// A feed that is removed leaves its number to a later one.
pub(super) type FeedId = u32;

/// The events of all topics, in the order of their offsets.
///
/// ```text
/// [ evicted | first segment, shared ][ shared ][ growing ]
///           ^                                            ^
///         first()                                      next()
/// ```
///
/// `first() <= next()`. Offsets between two segments can be missing: see [`skip_to`](Self::skip_to).
pub(super) struct Store {
    segments: VecDeque<Segment>,
    /// The number of evicted events in the first segment.
    gone: usize,
    /// The offset of the next event.
    next: u64,
    len: usize,
    bytes: usize,
}

struct Segment {
    /// The offset of its first event. No offset is missing between its events.
    first: u64,
    entries: Vec<Entry>,
    bytes: Blob,
}

/// An event without its bytes.
#[derive(Clone)]
pub(super) struct Entry {
    /// The end of its bytes in the segment.
    end: u32,
    /// Its topic.
    pub(super) topic: FeedId,
    /// The time of its publication by the hub's clock.
    pub(super) at: u64,
    pub(super) key: Option<Arc<str>>,
}

/// The bytes of a segment. Only the last segment grows; the others are shared with response bodies.
enum Blob {
    Growing(Vec<u8>),
    Shared(Bytes),
}

impl Blob {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Growing(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

impl Segment {
    fn range(&self, entries: Range<usize>) -> Range<usize> {
        let end_of = |index: usize| self.entries.get(index).map_or(0, |entry| entry.end as usize);
        let start = entries.start.checked_sub(1).map_or(0, end_of);
        start..entries.end.checked_sub(1).map_or(0, end_of)
    }

    fn slice(&self, entries: Range<usize>) -> &[u8] {
        self.bytes.as_slice().get(self.range(entries)).unwrap_or_default()
    }
}

impl Store {
    /// Creates an empty store whose first event will have this offset.
    pub(super) fn new(next: u64) -> Self {
        Self { segments: VecDeque::new(), gone: 0, next, len: 0, bytes: 0 }
    }

    /// The offset of the next event.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The offset of the oldest event, or of the next event if the store is empty.
    pub(super) fn first(&self) -> u64 {
        self.segments.front().map_or(self.next, |segment| segment.first + self.gone as u64)
    }

    /// The number of events.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The number of bytes of all events.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds the next event. Its bytes are the two parts, joined.
    pub(super) fn push(&mut self, topic: FeedId, key: Option<Arc<str>>, at: u64, parts: [&[u8]; 2]) {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let offset = self.next;
        let segment = match self.segments.back_mut() {
            Some(Segment { first, entries, bytes: Blob::Growing(bytes) })
                if bytes.len() + len <= SEGMENT && *first + entries.len() as u64 == offset =>
            {
                Some((entries, bytes))
            }
            Some(Segment { bytes, .. }) => {
                if let Blob::Growing(full) = bytes {
                    *bytes = Blob::Shared(Bytes::from(std::mem::take(full)));
                }
                None
            }
            None => None,
        };
        let new_entry = |end: usize| Entry { end: end as u32, topic, at, key };
        match segment {
            Some((entries, bytes)) => {
                parts.iter().for_each(|part| bytes.extend_from_slice(part));
                entries.push(new_entry(bytes.len()));
            }
            None => {
                let bytes = parts.concat();
                let entries = vec![new_entry(bytes.len())];
                self.segments.push_back(Segment { first: offset, entries, bytes: Blob::Growing(bytes) });
            }
        }
        self.next += 1;
        self.len += 1;
        self.bytes += len;
    }

    /// Skips offsets up to `next`, which the next event receives.
    pub(super) fn skip_to(&mut self, next: u64) {
        self.next = self.next.max(next);
    }

    /// The oldest event.
    pub(super) fn front(&self) -> Option<(u64, &Entry, &[u8])> {
        let segment = self.segments.front()?;
        let entry = segment.entries.get(self.gone)?;
        Some((segment.first + self.gone as u64, entry, segment.slice(self.gone..self.gone + 1)))
    }

    /// Evicts the oldest event.
    pub(super) fn pop_front(&mut self) {
        let Some(segment) = self.segments.front() else { return };
        let range = segment.range(self.gone..self.gone + 1);
        self.bytes -= range.len();
        self.len -= 1;
        self.gone += 1;
        if self.gone == segment.entries.len() {
            self.segments.pop_front();
            self.gone = 0;
        }
    }

    /// Returns an event and its bytes.
    pub(super) fn event(&self, offset: u64) -> Option<(&Entry, &[u8])> {
        let (segment, index) = self.locate(offset)?;
        Some((segment.entries.get(index)?, segment.slice(index..index + 1)))
    }

    /// Iterates over all events with their offsets and bytes.
    pub(super) fn events(&self) -> impl Iterator<Item = (u64, &Entry, &[u8])> {
        let all = self.segments.iter().flat_map(|segment| {
            let events = segment.entries.iter().enumerate();
            events.map(|(n, entry)| (segment.first + n as u64, entry, segment.slice(n..n + 1)))
        });
        all.skip(self.gone)
    }

    /// Joins the bytes of these events, `total` in all. Returns them with the number of events joined.
    ///
    /// It joins fewer events than asked for if that saves a copy, or if more than `max` bytes would be copied.
    pub(super) fn join(&self, offsets: &[u64], total: usize, max: usize) -> (Bytes, usize) {
        let (run, segment, range) = self.run(offsets);
        if let Some(Segment { bytes: Blob::Shared(shared), .. }) = segment {
            if (run == offsets.len() || range.len() >= WORTH_SHARING) && range.end <= shared.len() {
                return (shared.slice(range), run);
            }
        }
        let mut joined = Vec::with_capacity(total.min(max));
        let mut rest = offsets;
        if total > max {
            let events = offsets.iter().filter_map(|offset| self.event(*offset));
            let mut count = 0;
            for (_, bytes) in events {
                if !joined.is_empty() && joined.len() + bytes.len() > max {
                    break;
                }
                joined.extend_from_slice(bytes);
                count += 1;
            }
            return (Bytes::from(joined), count);
        }
        while !rest.is_empty() {
            let (run, segment, range) = self.run(rest);
            let bytes = segment.and_then(|segment| segment.bytes.as_slice().get(range));
            joined.extend_from_slice(bytes.unwrap_or_default());
            rest = rest.get(run..).unwrap_or_default();
        }
        (Bytes::from(joined), offsets.len())
    }

    /// Returns the number of leading events that are adjacent in one segment, and their bytes. At least 1.
    fn run(&self, offsets: &[u64]) -> (usize, Option<&Segment>, Range<usize>) {
        let first = offsets.first().copied().unwrap_or(self.next);
        let Some((segment, start)) = self.locate(first) else { return (1, None, 0..0) };
        let left = segment.entries.len() - start;
        let is_next = |(n, offset): &(usize, &u64)| **offset == first + *n as u64;
        let run = offsets.iter().enumerate().take(left).take_while(is_next).count();
        (run, Some(segment), segment.range(start..start + run))
    }

    fn locate(&self, offset: u64) -> Option<(&Segment, usize)> {
        // Most reads are in the last segment.
        let at = match self.segments.back() {
            Some(last) if last.first <= offset => self.segments.len(),
            _ => self.segments.partition_point(|segment| segment.first <= offset),
        };
        let segment = self.segments.get(at.checked_sub(1)?)?;
        let index = usize::try_from(offset - segment.first).ok()?;
        (index < segment.entries.len()).then_some((segment, index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(lens: &[usize]) -> (Store, Vec<Vec<u8>>) {
        let mut store = Store::new(1);
        let events: Vec<Vec<u8>> = lens.iter().enumerate().map(|(n, len)| vec![b'a' + (n % 26) as u8; *len]).collect();
        for event in &events {
            let (a, b) = event.split_at(event.len() / 2);
            store.push(0, None, 0, [a, b]);
        }
        (store, events)
    }

    #[test]
    fn joined_events_are_whole_in_order_and_at_least_one() {
        let lens: Vec<usize> = (0..400).map(|n| [10, 700, 3000, SEGMENT + 1, 1][n % 5]).collect();
        let (mut store, events) = store(&lens);
        for gone in [0, 3, 200] {
            while store.first() < 1 + gone {
                store.pop_front();
            }
            for step in [1, 2, 7] {
                let mut offsets: Vec<u64> = (store.first()..store.next()).step_by(step).collect();
                while !offsets.is_empty() {
                    let page: Vec<u64> = offsets.iter().copied().take(40).collect();
                    let total = page.iter().map(|offset| lens[*offset as usize - 1]).sum();
                    let (bytes, n) = store.join(&page, total, 10_000);
                    let expected: Vec<u8> =
                        page[..n].iter().flat_map(|offset| events[*offset as usize - 1].clone()).collect();
                    let is_bounded = bytes.len() <= 10_000 || n == 1 || step == 1;
                    assert!(n > 0 && is_bounded && bytes == expected, "{gone} {step} {page:?}");
                    offsets.drain(..n);
                }
            }
        }
        assert_eq!((store.first(), store.next(), store.len()), (201, 401, 200));
        assert_eq!(store.bytes(), lens[200..].iter().sum::<usize>());
        assert_eq!(store.events().map(|(offset, ..)| offset).collect::<Vec<_>>(), (201..401).collect::<Vec<_>>());
    }

    #[test]
    fn page_within_a_full_segment_is_shared() {
        let (store, _) = store(&[1000; 200]);
        let offsets: Vec<u64> = (1..=16).collect();
        let (one, _) = store.join(&offsets, 16_000, 1);
        let (other, _) = store.join(&offsets, 16_000, 1);
        assert_eq!(one.as_ptr(), other.as_ptr());
    }

    #[test]
    fn skipped_offsets_have_no_event() {
        let (mut store, _) = store(&[5; 3]);
        store.skip_to(10);
        store.push(0, None, 0, [b"x", b"yz"]);
        assert_eq!(store.events().map(|(offset, ..)| offset).collect::<Vec<_>>(), [1, 2, 3, 10]);
        assert_eq!(store.event(10).map(|(_, bytes)| bytes), Some(b"xyz".as_slice()));
        assert!(store.event(5).is_none());
        let (bytes, n) = store.join(&[3, 10], 8, 8);
        assert_eq!((&bytes[..], n), (b"cccccxyz".as_slice(), 2));
        for _ in 0..3 {
            store.pop_front();
        }
        assert_eq!(store.first(), 10);
    }
}
