//! The naive log of several processes: a list of its entries, and the number of entries that one process has read.

use std::io;
use std::sync::{Arc, Mutex};

use ssekit_core::{EncodedEvent, Event};
use ssekit_server::hub::{LoggedEvent, NewEvent, Position, PublishError, Publishing, RecentEvents};

/// The topics of the events.
pub(super) const TOPICS: [&str; 3] = ["a", "a/x", "b"];

/// One entry of the log.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) position: Position,
    pub(super) what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Event {
        topic: &'static str,
        key: Option<&'static str>,
        /// Whether the history still has the event.
        is_old: bool,
        /// Whether this process has read the event, and has not dropped it.
        is_here: bool,
    },
    /// A position without an event.
    Nothing {
        /// Whether this process has read this entry.
        is_here: bool,
    },
    /// The beginning of an epoch.
    Epoch { is_broken: bool },
}

pub(super) struct Log {
    pub(super) entries: Vec<Entry>,
    /// The number of entries that this process has read.
    pub(super) heard: usize,
    /// The index of the entry that this process reads next. It misses the entries from `heard` to there.
    pub(super) skipped: usize,
    /// The last position of each epoch that this process knows.
    pub(super) ends: Vec<Position>,
    /// The last epoch of all, including the epochs that are lost.
    pub(super) last_epoch: u64,
    max_here: usize,
    pub(super) old: Option<Old>,
}

/// The hub's log: a copy of the entries that are old, and the recent events of this process.
#[derive(Clone)]
pub(super) struct Old {
    recent: RecentEvents,
    pages: Arc<Mutex<Pages>>,
}

#[derive(Default)]
struct Pages {
    all: Vec<LoggedEvent>,
    /// The position of the next event.
    next: Option<Position>,
    per_page: usize,
}

impl ssekit_server::hub::Log for Old {
    fn recent(&self) -> &RecentEvents {
        &self.recent
    }

    fn publish(&self, event: NewEvent<'_>) -> Publishing {
        Publishing::done(self.recent.append(&event))
    }

    fn first(&self) -> Option<Position> {
        let pages = self.pages.lock().expect("nobody panics with it");
        pages.all.first().map(|event| event.position).or(pages.next)
    }

    async fn read(&self, from: Position) -> io::Result<Vec<LoggedEvent>> {
        let pages = self.pages.lock().expect("nobody panics with it");
        Ok(pages.all.iter().filter(|event| event.position >= from).take(pages.per_page).cloned().collect())
    }
}

/// Returns an event as it is on the wire, without its ID.
fn frame(position: Position) -> EncodedEvent {
    Event::data(format!("{}/{}", position.epoch, position.offset)).into()
}

/// Returns an event as it is on the wire, with its ID.
pub(super) fn wire(position: Position) -> String {
    format!("id: {position}\n{}", Event::data(format!("{}/{}", position.epoch, position.offset)))
}

impl Log {
    pub(super) fn new(epoch: u64, max_here: usize, per_page: Option<usize>, recent: &RecentEvents) -> Self {
        let pages = |per_page| Arc::new(Mutex::new(Pages { per_page, ..Pages::default() }));
        let old = per_page.map(|per_page| Old { recent: recent.clone(), pages: pages(per_page) });
        let (entries, start) = (Vec::new(), Position { epoch, offset: 0 });
        let log = Self { entries, heard: 0, skipped: 0, ends: vec![start], last_epoch: epoch, max_here, old };
        log.copy();
        log
    }

    /// Returns the last position.
    fn last(&self) -> Position {
        self.entries.last().map_or(self.ends[0], |entry| entry.position)
    }

    fn next(&self) -> Position {
        let Position { epoch, offset } = self.last();
        Position { epoch, offset: offset + 1 }
    }

    pub(super) fn publish(&mut self, topic: &'static str, key: Option<&'static str>, is_old: bool) {
        let what = What::Event { topic, key, is_old: is_old && self.old.is_some(), is_here: false };
        self.entries.push(Entry { position: self.next(), what });
        self.copy();
    }

    pub(super) fn leave_out(&mut self) {
        self.entries.push(Entry { position: self.next(), what: What::Nothing { is_here: false } });
        self.copy();
    }

    /// Begins another epoch. If `is_lost`, entries that this process has not read are lost.
    pub(super) fn begin(&mut self, by: u64, is_broken: bool, is_lost: bool) {
        if is_lost {
            self.entries.truncate(self.heard);
            self.skipped = self.heard;
        }
        self.last_epoch += by;
        let position = Position { epoch: self.last_epoch, offset: 0 };
        self.entries.push(Entry { position, what: What::Epoch { is_broken } });
        self.copy();
    }

    /// Drops `count` events from the history.
    pub(super) fn trim(&mut self, mut count: usize) {
        for entry in &mut self.entries {
            if let What::Event { is_old, .. } = &mut entry.what {
                count -= usize::from(*is_old && count > 0);
                *is_old = *is_old && count > 0;
            }
        }
        self.copy();
    }

    fn copy(&self) {
        let Some(old) = &self.old else { return };
        // The history begins after the events that it has dropped.
        let is_old = |entry: &&Entry| !matches!(entry.what, What::Event { is_old: false, .. });
        let is_event = |entry: &Entry| matches!(entry.what, What::Event { is_old: true, .. });
        let first = self.entries.iter().position(is_event).unwrap_or(self.entries.len());
        let first = first - self.entries[..first].iter().rev().take_while(is_old).count();
        let events = self.entries[first..].iter().filter_map(|Entry { position, what }| {
            let (topic, key, event) = match what {
                What::Event { topic, key, is_old: true, .. } => (*topic, *key, Some(frame(*position))),
                What::Nothing { .. } => ("", None, None),
                _ => return None,
            };
            Some(LoggedEvent { position: *position, topic: topic.into(), key: key.map(str::to_owned), event })
        });
        let mut pages = old.pages.lock().expect("nobody panics with it");
        pages.all = events.collect();
        pages.next = Some(self.next());
    }

    /// This process reads the next entry.
    pub(super) fn hear(&mut self, recent: &RecentEvents) {
        let Some(mut at) = self.entries.get(self.skipped).map(|_| self.skipped) else { return };
        // Before a new epoch, the process reads the last missed entry, so that it knows the end of the previous epoch.
        if matches!(self.entries[at].what, What::Epoch { .. }) && at > self.heard {
            at -= 1;
        }
        let Entry { position, what } = &mut self.entries[at];
        let epoch = position.epoch;
        match what {
            What::Event { topic, key, is_here, .. } => {
                *is_here = true;
                let mut event = NewEvent::new(topic, frame(*position));
                event.key = *key;
                assert_eq!(recent.append_at(*position, &event).expect("it is the next"), *position);
            }
            What::Nothing { is_here } => {
                *is_here = true;
                recent.skip(*position).expect("it is the next");
            }
            What::Epoch { is_broken: true } => recent.restart_epoch(epoch).expect("it is later"),
            What::Epoch { is_broken: false } => recent.continue_epoch(epoch).expect("it is later"),
        }
        match self.ends.last_mut() {
            Some(end) if end.epoch == epoch => *end = *position,
            _ => self.ends.push(*position),
        }
        (self.heard, self.skipped) = (at + 1, at + 1);
        self.drop_old();
        assert_eq!(recent.last_position(), *self.ends.last().expect("there is one"));
        match recent.skip(recent.last_position()) {
            Err(PublishError::Passed { position, next }) => {
                assert_eq!((position, next), (*self.ends.last().expect("there is one"), self.next_here()));
            }
            other => panic!("{other:?}"),
        }
    }

    fn next_here(&self) -> Position {
        let Position { epoch, offset } = *self.ends.last().expect("there is one");
        Position { epoch, offset: offset + 1 }
    }

    /// This process misses the next entry, unless an epoch begins there.
    pub(super) fn skip(&mut self) {
        let is_in_epoch = |entry: &Entry| !matches!(entry.what, What::Epoch { .. });
        self.skipped += usize::from(self.entries.get(self.skipped).is_some_and(is_in_epoch));
    }

    fn drop_old(&mut self) {
        let mut kept = 0;
        for entry in self.entries[..self.heard].iter_mut().rev() {
            if let What::Event { is_here, .. } = &mut entry.what {
                *is_here = *is_here && kept < self.max_here;
                kept += usize::from(*is_here);
            }
        }
    }

    /// Returns the number of entries up to and including this position.
    pub(super) fn behind(&self, position: Position) -> usize {
        self.entries.partition_point(|entry| entry.position <= position)
    }

    /// Returns `Some(true)` if this process knows the position, and `Some(false)` if it is ahead of the entries that were read
    /// and may exist.
    pub(super) fn is_known(&self, position: Position) -> Option<bool> {
        let end = self.ends.iter().find(|end| end.epoch == position.epoch)?;
        match end.offset >= position.offset {
            true => Some(true),
            false => (self.ends.last() == Some(end) && self.old.is_some()).then_some(false),
        }
    }

    /// Returns whether this process knows this epoch, and the epoch is over.
    pub(super) fn had_epoch(&self, epoch: u64) -> bool {
        self.ends.iter().rev().skip(1).any(|end| end.epoch == epoch)
    }

    /// Returns whether the history has this position.
    pub(super) fn has_old(&self, position: Position) -> bool {
        let old = self.old.as_ref().map(|old| old.pages.lock().expect("nobody panics with it"));
        old.is_some_and(|old| old.all.iter().any(|event| event.position == position))
    }

    /// Returns the first break from here on that this process has read.
    pub(super) fn break_from(&self, at: usize) -> Option<usize> {
        (at..self.heard).find(|n| matches!(self.entries[*n].what, What::Epoch { is_broken: true }))
    }

    /// Returns the last break that this process has read.
    pub(super) fn last_break(&self) -> Option<usize> {
        (0..self.heard).rfind(|n| matches!(self.entries[*n].what, What::Epoch { is_broken: true }))
    }

    /// Returns the index after the last entry that this process does not have. It has no entry before that index.
    pub(super) fn hole(&self) -> usize {
        let is_missing =
            |entry: &Entry| matches!(entry.what, What::Event { is_here: false, .. } | What::Nothing { is_here: false });
        self.entries[..self.heard].iter().rposition(is_missing).map_or(0, |last| last + 1)
    }

    /// Returns whether this process knows a newer event of the same key.
    pub(super) fn is_superseded(&self, at: usize) -> bool {
        let of_key = |n: usize| match self.entries[n].what {
            What::Event { topic, key: Some(key), .. } => Some((topic, key)),
            _ => None,
        };
        of_key(at).is_some_and(|key| (at + 1..self.heard).any(|n| of_key(n) == Some(key)))
    }

    /// Returns whether a gap event may cover this entry, because neither this process nor the history has it.
    pub(super) fn is_gone(&self, at: usize) -> bool {
        match self.entries[at].what {
            What::Event { is_old, is_here, .. } => !is_old && (!is_here || at < self.hole()),
            What::Nothing { is_here } => !is_here && !self.has_old(self.entries[at].position),
            What::Epoch { .. } => false,
        }
    }
}
