//! What a subscriber gets when it is asked for more.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use ssekit_core::EncodedEvent;

use super::epochs::Epochs;
use super::feeds::{Feeds, Joined};
use super::log::LoggedEvent;
use super::position::Position;
use super::registry::{Client, Slot, SubscribedFeed};
use super::resume::{Gap, GapReason};
use super::state::{Compacted, Counts, State};
use super::store::{SEGMENT, Store};
use super::subscribe::{Filter, SlowConsumerPolicy};

/// How many bytes a page has at the most, unless one event has more: those of a segment, which is shared.
const PAGE: usize = SEGMENT;
/// The same, if they have to be copied for one client alone.
const COPY: usize = 16 * 1024;

/// What there is for a subscriber.
pub(super) enum Read {
    /// Events, joined. `is_last` if it then has all there is, and waits.
    Events { bytes: Bytes, is_last: bool },
    /// Events that its filter has yet to be asked about.
    Candidates { filter: Filter, events: Vec<Candidate>, bytes: Vec<u8>, is_last: bool },
    /// It is told that it has missed some.
    Gap(EncodedEvent),
    /// Nothing: it waits.
    Waiting,
    /// Those from here on are to be had from the history; or only whether there is one.
    Old { from: u64, position: Position, is_proof: bool },
    /// It has missed some, and is not to go on.
    Behind,
    /// It is no subscriber any more.
    Gone,
}

/// An event that a filter is asked about.
pub(super) struct Candidate {
    pub(super) topic: Arc<str>,
    pub(super) key: Option<Arc<str>>,
    pub(super) position: Position,
    /// Where its bytes end.
    pub(super) end: usize,
}

/// A choice of events for one page.
#[derive(Default)]
struct Page {
    bytes: usize,
    max: usize,
    /// No event behind this belongs to it.
    last: u64,
    /// All events before this have been looked at.
    cursor: u64,
    /// There are more.
    is_full: bool,
}

impl State {
    /// The next page of a subscriber. The history has what is from that place on.
    pub(super) fn read(&mut self, slot: Slot, history: Option<Position>) -> Read {
        let Self { registry, feeds, store, compacted, counts, scratch, epochs, .. } = self;
        let client = registry.clients.get_mut(slot.index).filter(|client| client.id == slot.id);
        let Some(client) = client else { return Read::Gone };
        let coalesces = client.policy == SlowConsumerPolicy::Coalesce;

        if client.is_ahead && client.cursor > store.next() {
            let from = client.cursor - 1;
            return Read::Old { from, position: epochs.at(from), is_proof: true };
        }
        client.is_ahead = false;
        if client.break_at < client.cursor {
            return Read::Gap(client.report_break(epochs, counts));
        }
        let not_here = Client::lost_to(&client.subscribed, feeds, client.policy);
        let lost_to = not_here.min(history.map_or(u64::MAX, |first| epochs.first_offset(first) - 1));
        if lost_to >= client.cursor && lost_to > client.reported_to {
            if client.policy == SlowConsumerPolicy::Disconnect {
                return Read::Behind;
            }
            let (from, to, missed) = client.fall_behind(feeds, store.next(), lost_to);
            // What it has yet to read of a history is not counted.
            let missed = if history.is_some() { to - from + 1 } else { missed };
            counts.gaps += 1;
            // One that is amid them is not told of by itself.
            if (from..to).contains(&client.break_at) {
                client.break_at = epochs.break_after(to);
            }
            let at = |offset| epochs.resume_position(offset, client.break_at);
            let (from, missed) = (Some(epochs.at(from)), Some(missed));
            let gap = Gap { reason: GapReason::SlowConsumer, from, to: at(to), missed };
            return Read::Gap(gap.into_event(at(client.cursor - 1)));
        }

        let mut last = client.break_at;
        if not_here >= client.cursor && not_here > client.reported_to {
            // What it was told to be missing, or has no claim to, is not looked for. Of that it may get the newest of a key.
            let from = client.cursor.max(client.reported_to.saturating_add(1));
            let is_its = |event: &Compacted| Client::has_lane(&client.subscribed, feeds, event.topic);
            if !coalesces || !compacted.range(client.cursor..from).any(|(_, event)| is_its(event)) {
                return Read::Old { from, position: epochs.at(from), is_proof: false };
            }
            last = last.min(from - 1);
        }

        // Whoever stands where another one stood gets the same bytes.
        let is_plain = client.filter.is_none() && !coalesces;
        let joined = match &*client.subscribed {
            [feed] if is_plain => feeds.get(feed.id).and_then(|feed| feed.joined_from(client.cursor)),
            _ => None,
        };
        let joined = joined.filter(|joined| joined.last <= client.break_at);
        if let Some(Joined { last, count, bytes, .. }) = joined {
            let (cursor, count, bytes) = (*last + 1, *count, bytes.clone());
            let is_full = client.break_at < u64::MAX;
            let is_last = client.pass(&Page { cursor, is_full, ..Page::default() }, feeds, compacted);
            client.delivered(count, bytes.len());
            counts.delivered(count, bytes.len());
            return Read::Events { bytes, is_last };
        }

        scratch.clear();
        let max = if is_plain { PAGE } else { COPY };
        let mut page = Page { cursor: client.cursor, max, last, ..Page::default() };
        if coalesces && client.cursor < store.first() {
            let is_its = |event: &&Compacted| Client::has_lane(&client.subscribed, feeds, event.topic);
            for (offset, event) in compacted.range(client.cursor..=page.last).filter(|(_, event)| is_its(event)) {
                page.add(*offset, event.bytes.len(), scratch);
                if page.is_full {
                    break;
                }
            }
        }
        let old = scratch.len();
        if !page.is_full {
            page.cursor = page.cursor.max(store.first());
            let skip = |offset| coalesces && State::is_superseded(store, feeds, offset);
            page.fill(&client.subscribed, feeds, store, skip, scratch);
        }
        if !page.is_full {
            // What a history had may be ahead of what has come here.
            page.cursor = page.cursor.max(store.next());
            if page.last < u64::MAX {
                (page.cursor, page.is_full) = (page.last + 1, true);
            }
        }
        let chosen = &scratch[..];
        let event = |offset| match compacted.get(&offset) {
            Some(event) => Some((event.topic, Some(&event.key), &event.bytes[..])),
            None => store.event(offset).map(|(entry, bytes)| (entry.topic, entry.key.as_ref(), bytes)),
        };

        if chosen.is_empty() && !client.pass(&page, feeds, compacted) {
            return Read::Gap(client.report_break(epochs, counts));
        }
        if chosen.is_empty() {
            return Read::Waiting;
        }
        if let Some(filter) = client.filter.clone() {
            let mut bytes = Vec::with_capacity(page.bytes);
            let events = chosen.iter().filter_map(|&offset| {
                let (feed, key, part) = event(offset)?;
                bytes.extend_from_slice(part);
                let topic = feeds.get(feed)?.name.clone();
                Some(Candidate { topic, key: key.cloned(), position: epochs.at(offset), end: bytes.len() })
            });
            let events = events.collect();
            let is_last = client.pass(&page, feeds, compacted);
            return Read::Candidates { filter, events, bytes, is_last };
        }
        let (bytes, count) = if old > 0 {
            let mut bytes = Vec::with_capacity(page.bytes);
            chosen.iter().filter_map(|offset| event(*offset)).for_each(|(.., part)| bytes.extend_from_slice(part));
            (Bytes::from(bytes), chosen.len())
        } else {
            // Copied for one, it is for all who then stand there.
            let is_for_all = !page.is_full && Self::is_shared(&client.subscribed, feeds);
            store.join(chosen, page.bytes, if is_for_all { PAGE } else { COPY })
        };
        if let Some(last) = chosen.get(count..).filter(|rest| !rest.is_empty()).and_then(|_| chosen.get(count - 1)) {
            (page.cursor, page.is_full) = (last + 1, true);
        }
        if let (&[SubscribedFeed { id, .. }], &[first, ..], &[.., last]) = (&*client.subscribed, chosen, chosen) {
            let is_for_all = is_plain && !page.is_full && Self::is_shared(&client.subscribed, feeds);
            if let Some(feed) = feeds.get_mut(id).filter(|_| is_for_all) {
                feed.joined = Some(Joined { first, last, count, bytes: bytes.clone() });
            }
        }
        let is_last = client.pass(&page, feeds, compacted);
        client.delivered(count, bytes.len());
        counts.delivered(count, bytes.len());
        Read::Events { bytes, is_last }
    }

    /// Whether what is joined for a subscriber may be for others too.
    fn is_shared(subscribed: &[SubscribedFeed], feeds: &Feeds) -> bool {
        matches!(subscribed, [feed] if feeds.get(feed.id).is_some_and(|feed| feed.subscribers > 1))
    }

    /// What a page of the history is for a subscriber who needs what is from this offset on. It then stands behind that.
    pub(super) fn sort_old(&mut self, slot: Slot, from: u64, events: &[LoggedEvent]) -> Option<Sorted> {
        let Self { registry, feeds, store, counts, epochs, .. } = self;
        let client = registry.clients.get_mut(slot.index).filter(|client| client.id == slot.id)?;
        let of_client: Vec<_> = client.subscribed.iter().filter_map(|feed| feeds.get(feed.id)).collect();
        let offset = |event: &LoggedEvent| epochs.find(event.position).map(|(offset, _)| offset);
        let skipped = events.iter().take_while(|event| offset(event).is_some_and(|offset| offset < from)).count();
        let mut next = from;
        let mut skip_to = |next: &mut u64, offset: u64| {
            let (from, to) = (Some(epochs.at(*next)), epochs.at(offset.saturating_sub(1)));
            let missed = offset.checked_sub(mem::replace(next, offset.max(*next))).filter(|missed| *missed > 0)?;
            (client.gaps, counts.gaps) = (client.gaps + 1, counts.gaps + 1);
            Some(Gap { reason: GapReason::Retention, from, to, missed: Some(missed) })
        };
        // Also where offsets were left out behind events that are kept.
        let not_here = Client::lost_to(&client.subscribed, feeds, client.policy);
        let here_from = store.first().max(not_here + 1).min(client.break_at.saturating_add(1));
        let (mut sorted, mut gap, mut known) = (Vec::new(), None, store.next());
        for event in events.iter().skip(skipped) {
            // One that is out of its order is read again, in its order or not at all.
            let Some(offset) = offset(event).filter(|offset| (next..=client.break_at).contains(offset)) else { break };
            // What is here, or has yet to come here, is not missing.
            let end = offset.min(here_from.max(next));
            gap = skip_to(&mut next, end);
            if next < offset {
                break;
            }
            next = offset + 1;
            let is_wanted = event.frame.is_some() && of_client.iter().any(|feed| feed.has(&event.topic));
            known = if is_wanted { next.max(known) } else { known };
            sorted.push((gap.take(), is_wanted));
        }
        if sorted.is_empty() && gap.is_none() {
            gap = skip_to(&mut next, here_from);
        }
        // Where others are ahead of what has come here, it knows nothing of them.
        let cursor = next.min(known);
        let (all, left) = Client::counts(&client.subscribed, feeds, cursor);
        (client.cursor, client.passed) = (cursor, all.saturating_sub(left));
        Some(Sorted { skipped, events: sorted, gap, filter: client.filter.clone() })
    }

    /// The history was asked for the event at this offset, which a subscriber says to know.
    pub(super) fn prove(&mut self, slot: Slot, offset: u64, page: &[LoggedEvent]) {
        let Self { registry, feeds, store, epochs, .. } = self;
        let is_there = page.iter().any(|event| epochs.find(event.position).is_some_and(|(found, _)| found == offset));
        let client = registry.clients.get_mut(slot.index).filter(|client| client.id == slot.id);
        let Some(client) = client.filter(|client| client.is_ahead) else { return };
        client.is_ahead = false;
        if !is_there && client.cursor > store.next() {
            client.rewind_to(store.next() - 1, feeds);
        }
    }

    /// What a filter has let through.
    pub(super) fn delivered(&mut self, slot: Slot, count: usize, bytes: usize) {
        self.counts.delivered(count, bytes);
        if let Some(client) = self.registry.clients.get_mut(slot.index).filter(|client| client.id == slot.id) {
            client.delivered(count, bytes);
        }
    }
}

/// A page of the history for one subscriber.
pub(super) struct Sorted {
    /// How many events it does not need before those that it does.
    pub(super) skipped: usize,
    /// Of each of those, what is missing before it, and whether it is of its topics.
    pub(super) events: Vec<(Option<Gap>, bool)>,
    /// What is missing behind them.
    pub(super) gap: Option<Gap>,
    pub(super) filter: Option<Filter>,
}

impl Page {
    /// Takes an event in if there is room.
    fn add(&mut self, offset: u64, len: usize, chosen: &mut Vec<u64>) {
        if self.bytes > 0 && self.bytes + len > self.max {
            self.is_full = true;
        } else {
            self.bytes += len;
            self.cursor = offset + 1;
            chosen.push(offset);
        }
    }

    /// Takes in what the feeds have from the cursor on, in the order of the offsets.
    fn fill(
        &mut self,
        subscribed: &[SubscribedFeed],
        feeds: &Feeds,
        store: &Store,
        skip: impl Fn(u64) -> bool,
        chosen: &mut Vec<u64>,
    ) {
        let len = |offset| store.event(offset).map_or(0, |(_, bytes)| bytes.len());
        let last = self.last;
        let indexes = subscribed.iter().filter_map(|feed| {
            let feed = feeds.get(feed.id)?;
            let behind = feed.offsets.range(feed.position(self.cursor)..).copied();
            Some(behind.take_while(|offset| *offset <= last))
        });
        let mut indexes: Vec<_> = indexes.collect();
        if let [index] = &mut indexes[..] {
            for offset in index.filter(|offset| !skip(*offset)) {
                self.add(offset, len(offset), chosen);
                if self.is_full {
                    return;
                }
            }
            return;
        }
        let heads = indexes.iter_mut().enumerate().filter_map(|(n, index)| Some(Reverse((index.next()?, n))));
        let mut heads: BinaryHeap<_> = heads.collect();
        while let Some(Reverse((offset, n))) = heads.pop() {
            if !skip(offset) {
                self.add(offset, len(offset), chosen);
                if self.is_full {
                    return;
                }
            }
            heads.extend(indexes.get_mut(n).and_then(Iterator::next).map(|offset| Reverse((offset, n))));
        }
    }
}

impl Client {
    /// How many events its feeds have had that are behind the cursor: those that it has, and those that are not to be had
    /// any more.
    pub(super) fn passed(
        subscribed: &[SubscribedFeed],
        feeds: &Feeds,
        cursor: u64,
        policy: SlowConsumerPolicy,
        compacted: &BTreeMap<u64, Compacted>,
    ) -> u64 {
        let (all, left) = Self::counts(subscribed, feeds, cursor);
        let coalesces = policy == SlowConsumerPolicy::Coalesce;
        let kept = left + if coalesces { Self::count_compacted(subscribed, feeds, cursor, compacted) } else { 0 };
        all.saturating_sub(kept)
    }

    /// How many events of its feeds from the cursor on are kept as the newest of their key alone.
    pub(super) fn count_compacted(
        subscribed: &[SubscribedFeed],
        feeds: &Feeds,
        cursor: u64,
        compacted: &BTreeMap<u64, Compacted>,
    ) -> u64 {
        compacted.range(cursor..).filter(|(_, event)| Self::has_lane(subscribed, feeds, event.topic)).count() as u64
    }

    fn delivered(&mut self, count: usize, bytes: usize) {
        self.events += count as u64;
        self.bytes += bytes as u64;
    }

    /// Goes on behind a page. Whether it then waits.
    fn pass(&mut self, page: &Page, feeds: &mut Feeds, compacted: &BTreeMap<u64, Compacted>) -> bool {
        if page.is_full {
            self.cursor = page.cursor;
            self.passed = Self::passed(&self.subscribed, feeds, self.cursor, self.policy, compacted);
        } else {
            self.wait(page.cursor, feeds);
        }
        !page.is_full
    }

    /// It has all there is.
    fn wait(&mut self, cursor: u64, feeds: &mut Feeds) {
        (self.cursor, self.passed) = (cursor, 0);
        for SubscribedFeed { id, registration } in &mut self.subscribed {
            if let Some(feed) = feeds.get_mut(*id) {
                self.passed += feed.published;
                feed.waiters.register(registration, &self.control);
            }
        }
    }

    /// It is told that the history was replaced, and has all that was before.
    fn report_break(&mut self, epochs: &Epochs, counts: &mut Counts) -> EncodedEvent {
        let to = epochs.latest_at(self.break_at);
        self.break_at = epochs.break_after(self.break_at);
        self.gaps += 1;
        counts.gaps += 1;
        Gap { reason: GapReason::EpochChanged, from: None, to, missed: None }.into_event(to)
    }

    /// The log has gone on without it: from where, to where and how many events it is told to have missed. It goes on
    /// behind them.
    fn fall_behind(&mut self, feeds: &Feeds, next: u64, lost_to: u64) -> (u64, u64, u64) {
        let from = self.cursor.max(self.reported_to + 1);
        let to = if self.policy == SlowConsumerPolicy::SkipToLatest { next - 1 } else { lost_to };
        let cursor = if self.policy == SlowConsumerPolicy::Coalesce { self.cursor } else { to + 1 };
        // Where offsets were left out, some events before them are kept, and missed all the same.
        let (all, left) = Self::counts(&self.subscribed, feeds, cursor);
        let missed = all.saturating_sub(self.passed + left);
        self.reported_to = to;
        self.gaps += 1;
        if self.policy != SlowConsumerPolicy::Coalesce {
            self.cursor = cursor;
            self.passed += missed;
        }
        (from, to, missed.min(to - from + 1))
    }
}
