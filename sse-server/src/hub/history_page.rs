//! A page of the log's history, cut to what one client needs.
//!
//! The history holds the events of all topics. Its pages can begin before the client's cursor, reach into memory and
//! even beyond it. Offsets that are neither in the page nor in memory are lost, and reported as a gap.
//!
//! ```text
//!           from                 memory_from
//!            |                        |
//!   page: 3  5     8  9               |
//!         ^  ^     ^                  v
//!         |  |  gap: 6 to 7    10  11 ... the events in memory
//!    skipped  delivered
//! ```

use std::mem;

use bytes::{Bytes, BytesMut};

use super::epochs::Epochs;
use super::log::LoggedEvent;
use super::new_event::NewEvent;
use super::registry::Slot;
use super::resume::{Gap, GapReason};
use super::state::State;
use super::subscribe::{EventMeta, Filter};

/// The part of a page that a client needs.
pub(super) struct HistorySelection {
    /// The number of events at the begin of the page that the client does not need.
    skipped: usize,
    /// The events after those.
    events: Vec<SelectedEvent>,
    /// A gap after the events.
    gap: Option<Gap>,
    filter: Option<Filter>,
}

/// One event of a page.
struct SelectedEvent {
    /// A gap before the event.
    gap: Option<Gap>,
    /// Whether the client subscribes to its topic.
    is_wanted: bool,
}

/// The events of a page for one client, encoded.
#[derive(Default)]
pub(super) struct EncodedPage {
    pub(super) bytes: BytesMut,
    /// The number of events, without gaps.
    pub(super) count: usize,
    /// The number of bytes of these events.
    pub(super) event_bytes: usize,
}

impl State {
    /// Selects the events of a page that a client at `from` needs, and moves its cursor past them.
    ///
    /// The cursor moves before the filter is asked, so that an epoch that begins meanwhile is reported to the client.
    pub(super) fn select_history(&mut self, slot: Slot, from: u64, page: &[LoggedEvent]) -> Option<HistorySelection> {
        let Self { registry, feeds, store, compaction, counts, epochs, .. } = self;
        let client = registry.get_mut(slot)?;
        let view = client.view(feeds, compaction);
        // Events before skipped offsets can still be in memory, so memory counts from the last evicted event on.
        let memory_from = store.first().max(view.evicted_to() + 1).min(client.read_to().saturating_add(1));
        let mut selector = Selector { epochs, next: from, known_to: store.next(), gaps: 0 };
        let is_before = |event: &&LoggedEvent| selector.offset(event).is_some_and(|offset| offset < from);
        let skipped = page.iter().take_while(is_before).count();
        let (mut events, mut gap) = (Vec::new(), None);
        for event in page.iter().skip(skipped) {
            // An event out of order is read again, in its order or not at all.
            let offset = selector.offset(event).filter(|offset| (selector.next..=client.read_to()).contains(offset));
            let Some(offset) = offset else { break };
            gap = selector.skip_to(offset.min(memory_from.max(selector.next)));
            if selector.next < offset {
                // The offsets before this event are in memory, or have yet to arrive there.
                break;
            }
            let is_wanted = event.event.is_some() && view.feeds().any(|feed| feed.has(&event.topic));
            selector.pass(offset, is_wanted);
            events.push(SelectedEvent { gap: gap.take(), is_wanted });
        }
        if events.is_empty() && gap.is_none() {
            gap = selector.skip_to(memory_from);
        }
        let (cursor, gaps) = (selector.cursor(), selector.gaps);
        let count = view.count(cursor);
        (client.cursor, client.accounted) = (cursor, count.published.saturating_sub(count.unread));
        (client.gaps, counts.gaps) = (client.gaps + gaps, counts.gaps + gaps);
        Some(HistorySelection { skipped, events, gap, filter: client.filter.clone() })
    }

    /// Checks the last event of a client that is ahead of memory against a page of the history that begins there.
    pub(super) fn verify_last_event(&mut self, slot: Slot, offset: u64, page: &[LoggedEvent]) {
        let Self { registry, feeds, store, compaction, epochs, .. } = self;
        let exists = page.iter().any(|event| epochs.find(event.position).is_some_and(|(found, _)| found == offset));
        let Some(client) = registry.get_mut(slot).filter(|client| client.is_ahead) else { return };
        client.is_ahead = false;
        if !exists && client.cursor > store.next() {
            client.rewind_to(store.next() - 1, feeds, compaction);
        }
    }
}

/// Goes through a page in the order of its offsets.
struct Selector<'a> {
    epochs: &'a Epochs,
    /// The first offset that was neither selected nor reported.
    next: u64,
    /// The offset after the last event that the client is known to need, or that memory has.
    known_to: u64,
    /// The number of gaps reported.
    gaps: u64,
}

impl Selector<'_> {
    fn offset(&self, event: &LoggedEvent) -> Option<u64> {
        self.epochs.find(event.position).map(|(offset, _)| offset)
    }

    /// Moves to `offset`, and reports the offsets in between as a gap.
    fn skip_to(&mut self, offset: u64) -> Option<Gap> {
        let (from, to) = (Some(self.epochs.at(self.next)), self.epochs.at(offset.saturating_sub(1)));
        let end = offset.max(self.next);
        let next = mem::replace(&mut self.next, end);
        let missed = offset.checked_sub(next).filter(|missed| *missed > 0)?;
        self.gaps += 1;
        Some(Gap { reason: GapReason::Retention, from, to, missed: Some(missed) })
    }

    /// Moves past the event at `offset`.
    fn pass(&mut self, offset: u64, is_wanted: bool) {
        self.next = offset + 1;
        if is_wanted {
            self.known_to = self.known_to.max(self.next);
        }
    }

    /// The client's cursor after the page. It is at most `known_to`: later offsets can have events of the client.
    fn cursor(&self) -> u64 {
        self.next.min(self.known_to)
    }
}

impl HistorySelection {
    /// Encodes the selected events that pass the filter, with the gaps before and after them.
    ///
    /// Call this without the hub's lock, because the filter is code of the application.
    pub(super) fn encode(self, page: &[LoggedEvent]) -> EncodedPage {
        let mut encoded = EncodedPage::default();
        for (event, SelectedEvent { gap, is_wanted }) in page.iter().skip(self.skipped).zip(self.events) {
            encoded.add_gap(gap);
            if is_wanted {
                encoded.add_event(event, self.filter.as_ref());
            }
        }
        encoded.add_gap(self.gap);
        encoded
    }
}

impl EncodedPage {
    fn add_gap(&mut self, gap: Option<Gap>) {
        if let Some(gap) = gap {
            self.bytes.extend_from_slice(gap.into_event(gap.to).as_bytes());
        }
    }

    fn add_event(&mut self, event: &LoggedEvent, filter: Option<&Filter>) {
        let LoggedEvent { topic, key, position, event } = event;
        let (key, Some(event)) = (key.as_deref(), event.clone()) else { return };
        let event = NewEvent { topic, key, event };
        // The history is not trusted: a malformed event could replace the client's last event ID.
        let Ok(block) = event.block() else { return };
        if filter.is_none_or(|filter| filter(&EventMeta { topic, key, position: *position })) {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(format!("id: {position}\n").as_bytes());
            self.bytes.extend_from_slice(block);
            self.count += 1;
            self.event_bytes += self.bytes.len() - start;
        }
    }

    /// The bytes of the page, if there are any.
    pub(super) fn into_bytes(self) -> Option<Bytes> {
        (!self.bytes.is_empty()).then(|| self.bytes.freeze())
    }
}
