//! The events that are kept, their bytes in contiguous segments.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

/// How many bytes a segment has, unless one event has more.
pub(super) const SEGMENT: usize = 64 * 1024;
/// From how many bytes on a part of what is asked for is shared, instead of all of it copied.
const WORTH_SHARING: usize = 4 * 1024;

/// All topics' events, in the order of their offsets.
pub(super) struct Store {
    segments: VecDeque<Segment>,
    /// How many events of the first segment are gone.
    gone: usize,
    /// The offset of the next event.
    next: u64,
    len: usize,
    bytes: usize,
}

struct Segment {
    /// The offset of its first event. The others follow with none left out.
    first: u64,
    entries: Vec<Entry>,
    bytes: Blob,
}

/// What is known of an event beside its bytes.
#[derive(Clone)]
pub(super) struct Entry {
    /// Where its bytes end in the segment.
    end: u32,
    /// Its topic's.
    pub(super) topic: u32,
    /// When it was published, by the hub's clock.
    pub(super) at: u64,
    pub(super) key: Option<Arc<str>>,
}

/// Only the last segment grows. The others are shared with whom they are sent to.
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
    /// An empty one, whose first event will have this offset.
    pub(super) fn new(next: u64) -> Self {
        Self { segments: VecDeque::new(), gone: 0, next, len: 0, bytes: 0 }
    }

    /// The offset of the next event.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The offset of the oldest event that is kept, or of the next.
    pub(super) fn first(&self) -> u64 {
        self.segments.front().map_or(self.next, |segment| segment.first + self.gone as u64)
    }

    /// How many events are kept.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How many bytes those have.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds the next event, whose bytes are `parts`.
    pub(super) fn push(&mut self, topic: u32, key: Option<Arc<str>>, at: u64, parts: [&[u8]; 2]) {
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

    /// Leaves offsets out, with no event of theirs: the next event has this one.
    pub(super) fn skip_to(&mut self, next: u64) {
        self.next = self.next.max(next);
    }

    /// The oldest event.
    pub(super) fn front(&self) -> Option<(u64, &Entry, &[u8])> {
        let segment = self.segments.front()?;
        let entry = segment.entries.get(self.gone)?;
        Some((segment.first + self.gone as u64, entry, segment.slice(self.gone..self.gone + 1)))
    }

    /// Drops the oldest event.
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

    /// An event that is kept, and its bytes.
    pub(super) fn event(&self, offset: u64) -> Option<(&Entry, &[u8])> {
        let (segment, index) = self.locate(offset)?;
        Some((segment.entries.get(index)?, segment.slice(index..index + 1)))
    }

    /// All of them.
    pub(super) fn events(&self) -> impl Iterator<Item = (u64, &Entry, &[u8])> {
        let all = self.segments.iter().flat_map(|segment| {
            let events = segment.entries.iter().enumerate();
            events.map(|(n, entry)| (segment.first + n as u64, entry, segment.slice(n..n + 1)))
        });
        all.skip(self.gone)
    }

    /// The bytes of these events, which have so many in all, and how many events those are: fewer than were asked for
    /// if that saves a copy, or if more than `max` would have to be copied.
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

    /// How many of the first of these events lie one behind the other, and where. At least one, if there are any.
    fn run(&self, offsets: &[u64]) -> (usize, Option<&Segment>, Range<usize>) {
        let first = offsets.first().copied().unwrap_or(self.next);
        let Some((segment, start)) = self.locate(first) else { return (1, None, 0..0) };
        let left = segment.entries.len() - start;
        let is_next = |(n, offset): &(usize, &u64)| **offset == first + *n as u64;
        let run = offsets.iter().enumerate().take(left).take_while(is_next).count();
        (run, Some(segment), segment.range(start..start + run))
    }

    fn locate(&self, offset: u64) -> Option<(&Segment, usize)> {
        // Mostly it is asked for in the last.
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
    fn what_is_asked_for_comes_in_order_whole_and_at_least_one() {
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
    fn a_page_of_a_full_segment_is_shared() {
        let (store, _) = store(&[1000; 200]);
        let offsets: Vec<u64> = (1..=16).collect();
        let (one, _) = store.join(&offsets, 16_000, 1);
        let (other, _) = store.join(&offsets, 16_000, 1);
        assert_eq!(one.as_ptr(), other.as_ptr());
    }

    #[test]
    fn offsets_can_be_left_out() {
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
