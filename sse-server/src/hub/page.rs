//! A page: the events that a client gets in one piece of bytes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::store::{SEGMENT, Store};
use super::view::View;

/// The most bytes of a page that is shared with others, as many as a segment has. One larger event is a page too.
pub(super) const SHARED: usize = SEGMENT;
/// The most bytes of a page that is copied for one client. One larger event is a page too.
pub(super) const COPIED: usize = 16 * 1024;

/// A selection of events for one page.
///
/// ```text
/// start                         cursor          last         store.next()
///   |  selected, or not the client's |             |             |
///   v                                v             v             v
/// --o---o-----o------o---------------.--o-----o----o--------o----.
/// ```
///
/// `start <= cursor`. Events after `last` are not selected. If `is_full`, the client has more to read from `cursor` on.
/// Otherwise `cursor >= store.next()`, and the client can wait.
#[derive(Default)]
pub(super) struct Page {
    /// The number of bytes of the selected events.
    pub(super) bytes: usize,
    /// The limit on `bytes`, unless one event has more.
    max: usize,
    /// The last offset that can be selected.
    last: u64,
    /// The last offset that the client receives at all: a newer event of a key does not supersede an older one for it.
    end_after: u64,
    /// The first offset that was not examined.
    pub(super) cursor: u64,
    /// Whether the selection stopped at `max` or at `last`.
    pub(super) is_full: bool,
    /// Whether retained events are among the selected ones.
    pub(super) has_retained: bool,
}

/// What a page can contain.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    /// The client's cursor.
    pub(super) cursor: u64,
    /// The last offset that can be selected for this page.
    pub(super) last: u64,
    /// The last offset that the client receives before it ends.
    pub(super) end_after: u64,
    /// The limit on bytes.
    pub(super) max: usize,
}

impl Page {
    /// Selects the client's events within the bounds, and puts their offsets into `selected`.
    pub(super) fn select(
        view: View<'_>,
        store: &Store,
        Bounds { cursor, last, end_after, max }: Bounds,
        selected: &mut Vec<u64>,
    ) -> Self {
        selected.clear();
        let mut page = Self { cursor, max, last, end_after, ..Self::default() };
        if view.coalesces() && cursor < store.first() {
            page.select_retained(view, selected);
        }
        if !page.is_full {
            page.cursor = page.cursor.max(store.first());
            page.select_stored(view, store, selected);
        }
        if !page.is_full {
            // After a page of the history the cursor can be ahead of the store.
            page.cursor = page.cursor.max(store.next());
            if last < u64::MAX {
                page.stop_after(last);
            }
        }
        page
    }

    /// A page of events that were joined for another client.
    #[inline]
    pub(super) fn joined(cursor: u64, is_full: bool) -> Self {
        Self { cursor, is_full, ..Self::default() }
    }

    /// Ends the page after this offset: the client has more to read.
    pub(super) fn stop_after(&mut self, offset: u64) {
        (self.cursor, self.is_full) = (offset + 1, true);
    }

    /// Selects events that are older than the store and the newest of their key.
    fn select_retained(&mut self, view: View<'_>, selected: &mut Vec<u64>) {
        for (offset, event) in view.retained(self.cursor..=self.last) {
            self.add(offset, event.bytes.len(), selected);
            if self.is_full {
                break;
            }
        }
        self.has_retained = !selected.is_empty();
    }

    /// Selects events of the store, in the order of their offsets.
    fn select_stored(&mut self, view: View<'_>, store: &Store, selected: &mut Vec<u64>) {
        let (cursor, last) = (self.cursor, self.last);
        let offsets = view.feeds().map(|feed| {
            let unread = feed.offsets.range(feed.position(cursor)..).copied();
            unread.take_while(move |offset| *offset <= last)
        });
        let mut feeds: Vec<_> = offsets.collect();
        if let [offsets] = &mut feeds[..] {
            for offset in offsets {
                if self.add_stored(view, store, offset, selected) {
                    return;
                }
            }
            return;
        }
        let heads = feeds.iter_mut().enumerate().filter_map(|(n, offsets)| Some(Reverse((offsets.next()?, n))));
        let mut heads: BinaryHeap<_> = heads.collect();
        while let Some(Reverse((offset, n))) = heads.pop() {
            if self.add_stored(view, store, offset, selected) {
                return;
            }
            heads.extend(feeds.get_mut(n).and_then(Iterator::next).map(|offset| Reverse((offset, n))));
        }
    }

    /// Adds an event of the store, unless it is superseded. Returns whether the page is full.
    #[inline]
    fn add_stored(&mut self, view: View<'_>, store: &Store, offset: u64, selected: &mut Vec<u64>) -> bool {
        if !view.is_superseded(store, offset, self.end_after) {
            let len = store.event(offset).map_or(0, |(_, bytes)| bytes.len());
            self.add(offset, len, selected);
        }
        self.is_full
    }

    /// Adds an event, or marks the page as full if the event does not fit. The first event always fits.
    #[inline]
    fn add(&mut self, offset: u64, len: usize, selected: &mut Vec<u64>) {
        if self.bytes > 0 && self.bytes + len > self.max {
            self.is_full = true;
        } else {
            self.bytes += len;
            self.cursor = offset + 1;
            selected.push(offset);
        }
    }
}
