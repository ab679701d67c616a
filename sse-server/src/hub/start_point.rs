//! The start point of a client: the offset that it begins at, from its last event ID.
//!
//! | last event ID | outcome | begins |
//! |---|---|---|
//! | none | `Fresh` | as [`StartFrom`] says |
//! | not a [`Position`] | `Malformed` | as [`StartFrom`] says, after a gap event |
//! | of an unknown epoch, or an offset that its epoch never had | `EpochChanged` | at the oldest event, after a gap event |
//! | ahead of memory, without a history | `EpochChanged` | at the oldest event, after a gap event |
//! | ahead of memory, with a history | `UpToDate` | after it, once the history confirms it |
//! | known, and later events are lost | `Gap` | after the lost events, after a gap event |
//! | known, later events are lost, and a break is at the event | `EpochChanged` | after the lost events, after a gap event |
//! | known, and a break is ahead | `EpochChanged` | after it; the break is reported when it is reached |
//! | known, later events are in the history only | `Resumed` | after it |
//! | known, otherwise | `Resumed` or `UpToDate` | after it |
//!
//! With [`SlowConsumerPolicy::SkipToLatest`], a client that has missed events begins at the next event instead. A client
//! that coalesces begins after its last event in any case. The offset axis is in [`reading`](super::reading).

use super::feeds::SubscribedFeed;
use super::position::Position;
use super::resume::{Gap, GapReason, ResumeOutcome};
use super::state::State;
use super::subscribe::{SlowConsumerPolicy, StartFrom, Subscribe};
use super::view::View;

/// The start point of a client.
pub(super) struct StartPoint {
    pub(super) resume: ResumeOutcome,
    /// The first offset that the client needs.
    pub(super) cursor: u64,
    /// The last event ID that the client is sent first.
    pub(super) id: Position,
    /// The gap event that the client is sent first.
    pub(super) gap: Option<Gap>,
    /// See [`Client::break_at`](super::registry::Client::break_at).
    pub(super) break_at: u64,
    /// See [`Client::is_ahead`](super::registry::Client::is_ahead).
    pub(super) is_ahead: bool,
    /// See [`Client::reported_to`](super::registry::Client::reported_to).
    pub(super) reported_to: u64,
}

impl State {
    /// Finds the start point of a client. `history` is the oldest offset in the log's history, if there is one.
    pub(super) fn start_point(
        &self,
        request: &Subscribe,
        subscribed: &[SubscribedFeed],
        history: Option<u64>,
    ) -> StartPoint {
        let view = View::new(request.policy, subscribed, &self.feeds, &self.compaction);
        let evicted_to = view.evicted_to();
        let lost_to = evicted_to.min(history.map_or(u64::MAX, |first| first.saturating_sub(1)));
        let skips = request.policy == SlowConsumerPolicy::SkipToLatest;
        Finder { state: self, view, skips, history, evicted_to, lost_to }.find(request)
    }
}

struct Finder<'a> {
    state: &'a State,
    view: View<'a>,
    /// Whether the client's policy is `SkipToLatest`.
    skips: bool,
    /// The oldest offset in the log's history.
    history: Option<u64>,
    /// The last offset of the client's feeds that memory has evicted.
    evicted_to: u64,
    /// The last offset of its feeds that is neither in memory nor in the history.
    lost_to: u64,
}

impl Finder<'_> {
    fn find(&self, request: &Subscribe) -> StartPoint {
        let next = self.next();
        let Some(id) = &request.last_event_id else {
            let cursor = self.start(request.start);
            return self.without_position(ResumeOutcome::Fresh, cursor, None);
        };
        let Ok(position) = id.as_str().parse::<Position>() else {
            let cursor = self.start(request.start);
            let to = self.state.epochs.resume_position(cursor - 1, u64::MAX);
            return self.without_position(ResumeOutcome::Malformed, cursor, gap(GapReason::Malformed, to));
        };
        match self.state.epochs.find(position) {
            Some((offset, break_at)) if offset < next => self.after(offset, break_at),
            Some((offset, _)) if self.history.is_some() => self.ahead(offset),
            _ => self.of_other_log(position),
        }
    }

    /// The offset of the next event.
    fn next(&self) -> u64 {
        self.state.store.next()
    }

    /// The oldest offset that a client can begin at.
    fn oldest(&self) -> u64 {
        if self.view.coalesces() {
            return 1;
        }
        let first = self.state.store.first();
        // Events before skipped offsets can still be in memory. No client begins with those.
        self.history.unwrap_or(first).clamp(1, first).max(self.view.begin(self.lost_to))
    }

    fn start(&self, start: StartFrom) -> u64 {
        match start {
            StartFrom::Next => self.next(),
            StartFrom::Oldest => self.oldest(),
            StartFrom::Last(count) => self.last(count).max(self.view.begin(self.lost_to)),
        }
    }

    /// The offset where the client's last `count` events in memory begin.
    fn last(&self, count: usize) -> u64 {
        let last = self.view.feeds().flat_map(|feed| feed.offsets.iter().rev().take(count));
        let mut last: Vec<u64> = last.copied().collect();
        last.sort_unstable();
        let first = last.len().saturating_sub(count);
        last.get(first).copied().unwrap_or(self.next())
    }

    /// A client without a position in this log. It has no claim to the events that were lost before.
    fn without_position(&self, resume: ResumeOutcome, cursor: u64, gap: Option<Gap>) -> StartPoint {
        let break_at = self.state.epochs.break_after(cursor - 1);
        StartPoint { reported_to: self.lost_to, ..self.at(resume, cursor, break_at, gap) }
    }

    /// A client whose last event is of another log, or was lost when the log broke off.
    fn of_other_log(&self, position: Position) -> StartPoint {
        let epochs = &self.state.epochs;
        let kept = if self.skips { self.next() } else { self.oldest() };
        // The client has all events of its epoch. If the epoch is unknown, it may know other events than there were
        // before the last break, so it begins after that.
        let kept = kept.max(1 + epochs.end_of(position).unwrap_or(epochs.last_break()));
        let to = if self.view.coalesces() {
            let first = self.state.store.first();
            let memory_or_history = self.history.unwrap_or(first).clamp(kept, first.max(kept));
            self.lost_to.max(memory_or_history - 1)
        } else {
            kept - 1
        };
        let gap = gap(GapReason::EpochChanged, epochs.latest_at(to));
        let start = self.at(ResumeOutcome::EpochChanged, kept, epochs.break_after(kept - 1), gap);
        StartPoint { id: epochs.latest_at(kept - 1), ..start }
    }

    /// A client whose last event is not in memory yet. The history has to confirm it.
    fn ahead(&self, offset: u64) -> StartPoint {
        let break_at = self.state.epochs.break_after(offset);
        StartPoint { is_ahead: true, ..self.at(ResumeOutcome::UpToDate, offset + 1, break_at, None) }
    }

    /// A client whose last event was at this offset.
    fn after(&self, offset: u64, break_at: u64) -> StartPoint {
        let cursor = offset + 1;
        if self.lost_to >= cursor {
            return self.after_gap(cursor, break_at);
        }
        // Retained events count for a client that coalesces. For others they are lost, so they are before `cursor`.
        let missed = self.view.count(cursor).unread + self.view.count_retained(cursor);
        let resume = match missed {
            _ if break_at != u64::MAX => ResumeOutcome::EpochChanged,
            _ if self.evicted_to >= cursor => ResumeOutcome::Resumed { missed: self.next() - cursor },
            0 => ResumeOutcome::UpToDate,
            _ => ResumeOutcome::Resumed { missed },
        };
        self.at(resume, cursor, break_at, None)
    }

    /// A client that has lost events from `cursor` on.
    fn after_gap(&self, cursor: u64, break_at: u64) -> StartPoint {
        let epochs = &self.state.epochs;
        let to = if self.skips { self.next() - 1 } else { self.lost_to };
        let has_break_at_cursor = break_at < cursor;
        let break_at = if break_at < to { epochs.break_after(to) } else { break_at };
        let to_position = epochs.resume_position(to, break_at);
        let (resume, gap) = if has_break_at_cursor {
            // The lost events are of the epoch after the break, so one gap event covers both.
            (ResumeOutcome::EpochChanged, gap(GapReason::EpochChanged, to_position))
        } else {
            let (from, missed) = (Some(epochs.at(cursor)), Some(to - cursor + 1));
            let gap = Gap { reason: GapReason::Retention, from, to: to_position, missed };
            (ResumeOutcome::Gap { oldest: self.oldest_kept() }, Some(gap))
        };
        self.at(resume, self.view.cursor_after_gap(cursor, to), break_at, gap)
    }

    /// The position of the client's oldest event after `lost_to`, or of the next event.
    fn oldest_kept(&self) -> Position {
        let firsts = self.view.feeds().filter_map(|feed| feed.offsets.get(feed.position(self.lost_to + 1)).copied());
        self.state.epochs.at(firsts.chain(self.history).min().unwrap_or(self.next()).min(self.next()))
    }

    fn at(&self, resume: ResumeOutcome, cursor: u64, break_at: u64, gap: Option<Gap>) -> StartPoint {
        let epochs = &self.state.epochs;
        let reported = gap.and_then(|gap| epochs.find(gap.to)).map_or(0, |(offset, _)| offset);
        let id = epochs.resume_position(cursor - 1, break_at);
        StartPoint { resume, cursor, id, gap, break_at, is_ahead: false, reported_to: reported }
    }
}

/// A gap whose begin and size are unknown.
fn gap(reason: GapReason, to: Position) -> Option<Gap> {
    Some(Gap { reason, from: None, to, missed: None })
}
