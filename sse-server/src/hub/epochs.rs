//! The epochs of a log, one after another.
//!
//! Inside the hub, offsets count through all epochs. In a [`Position`], each epoch counts from 1.
//!
//! ```text
//! epoch         |  7                  |  8              | 12
//! offset      0 |  1  2  ...  10      | 11  ...  15     | 16  17  ...
//! position  7-0 | 7-1 7-2 ... 7-10    | 8-1 ... 8-5     | 12-1 12-2
//!               |                 8-0 |            12-0 |
//!              base 0             base 10           base 15
//! ```
//!
//! At a base, one offset has two positions: the end of one epoch and the start of the next. A **break** is a base where
//! events may be missing. Clients that pass it receive a gap event.

use std::collections::VecDeque;

use super::position::Position;

/// The number of epochs a hub knows. A client with an event ID of an older one receives a gap event.
const MAX_EPOCHS: usize = 64;
/// The highest offset. The sum of two offsets does not overflow.
pub(super) const MAX_OFFSET: u64 = u64::MAX / 4;

/// The epochs that a hub knows. See the [module](self).
pub(super) struct Epochs {
    /// At least one, in ascending order of both `epoch` and `base`.
    all: VecDeque<Span>,
}

/// The offsets of one epoch.
struct Span {
    epoch: u64,
    /// The offset before its first event.
    base: u64,
    /// Whether its base is a break.
    is_broken: bool,
}

impl Epochs {
    /// Creates the epochs of an empty log.
    pub(super) fn new(epoch: u64) -> Self {
        Self { all: VecDeque::from([Span { epoch, base: 0, is_broken: false }]) }
    }

    fn last(&self) -> (u64, u64) {
        self.all.back().map_or((0, 0), |span| (span.epoch, span.base))
    }

    /// The current epoch.
    pub(super) fn epoch(&self) -> u64 {
        self.last().0
    }

    /// The offset before the first event of the current epoch.
    pub(super) fn base(&self) -> u64 {
        self.last().1
    }

    /// Returns the position of the event at an offset.
    pub(super) fn at(&self, offset: u64) -> Position {
        self.newest(|span| span.base < offset, offset)
    }

    /// Returns the last position of an offset: at a base, the start of the epoch that begins there.
    pub(super) fn latest_at(&self, offset: u64) -> Position {
        self.newest(|span| span.base <= offset, offset)
    }

    /// Returns the ID by which a client resumes that has all events up to `offset`, and whose next break is `break_at`.
    ///
    /// If the base at `offset` is a break that the client knows of, this is the start of the new epoch. If the client has
    /// yet to be told, it is the end of the old one, and resuming there reports the break.
    pub(super) fn resume_position(&self, offset: u64, break_at: u64) -> Position {
        let is_known_break = |span: &Span| span.is_broken && span.base == offset && offset < break_at;
        if self.all.iter().any(is_known_break) { self.latest_at(offset) } else { self.at(offset) }
    }

    fn newest(&self, is_right: impl Fn(&Span) -> bool, offset: u64) -> Position {
        let span = self.all.iter().rev().find(|span| is_right(span)).or(self.all.front());
        let (epoch, base) = span.map_or((0, 0), |span| (span.epoch, span.base));
        Position { epoch, offset: offset.saturating_sub(base) }
    }

    /// Returns the offset of a position, and the next break from there on (`u64::MAX` if there is no break).
    ///
    /// The epoch must be known. A position of an earlier epoch must exist; one of the current epoch may be yet to come.
    pub(super) fn find(&self, position: Position) -> Option<(u64, u64)> {
        let index = self.all.iter().rposition(|span| span.epoch == position.epoch)?;
        let mut spans = self.all.range(index..);
        let offset = spans.next()?.base + Some(position.offset).filter(|offset| *offset <= MAX_OFFSET)?;
        let exists = self.all.get(index + 1).is_none_or(|next| offset <= next.base);
        let break_at = spans.find(|span| span.is_broken).map_or(u64::MAX, |span| span.base);
        exists.then_some((offset, break_at))
    }

    /// Returns the last offset of a position's epoch, if that epoch is known and over.
    pub(super) fn end_of(&self, position: Position) -> Option<u64> {
        let index = self.all.iter().rposition(|span| span.epoch == position.epoch)?;
        self.all.get(index + 1).map(|next| next.base)
    }

    /// Returns the first offset that a history has whose oldest event is at this position.
    pub(super) fn first_offset(&self, history: Position) -> u64 {
        let span = self.all.iter().find(|span| span.epoch >= history.epoch);
        span.map_or(MAX_OFFSET, |span| match span.epoch == history.epoch {
            true => span.base + history.offset.clamp(1, MAX_OFFSET),
            false => span.base + 1,
        })
    }

    /// Returns the first break after an offset, or `u64::MAX`.
    pub(super) fn break_after(&self, offset: u64) -> u64 {
        let found = self.all.iter().find(|span| span.is_broken && span.base > offset);
        found.map_or(u64::MAX, |span| span.base)
    }

    /// Returns the last break, or 0.
    pub(super) fn last_break(&self) -> u64 {
        self.all.iter().rev().find(|span| span.is_broken).map_or(0, |span| span.base)
    }

    /// Begins an epoch after the event at `base`. If an old epoch is forgotten for it, this returns the last offset of
    /// that epoch.
    pub(super) fn begin(&mut self, epoch: u64, base: u64, is_broken: bool) -> Option<u64> {
        self.all.push_back(Span { epoch, base, is_broken });
        let old = (self.all.len() > MAX_EPOCHS).then(|| self.all.pop_front())??;
        let first = self.all.front_mut()?;
        first.is_broken |= old.is_broken && old.base == first.base;
        Some(first.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(epoch: u64, offset: u64) -> Position {
        Position { epoch, offset }
    }

    /// Epochs with 10, 5 and 0 events, and the current one.
    fn epochs() -> Epochs {
        let mut epochs = Epochs::new(7);
        for (epoch, base, is_broken) in [(8, 10, false), (9, 15, true), (12, 15, false)] {
            assert_eq!(epochs.begin(epoch, base, is_broken), None);
        }
        epochs
    }

    #[test]
    fn offset_at_base_has_position_in_each_epoch() {
        let epochs = epochs();
        for (offset, at, behind) in [
            (0, position(7, 0), position(7, 0)),
            (10, position(7, 10), position(8, 0)),
            (11, position(8, 1), position(8, 1)),
            (15, position(8, 5), position(12, 0)),
            (16, position(12, 1), position(12, 1)),
        ] {
            assert_eq!((epochs.at(offset), epochs.latest_at(offset)), (at, behind), "{offset}");
        }
        assert_eq!((epochs.epoch(), epochs.base()), (12, 15));
        assert_eq!(
            (epochs.resume_position(10, u64::MAX), epochs.resume_position(15, 15)),
            (position(7, 10), position(8, 5))
        );
        assert_eq!(
            [12, u64::MAX].map(|break_at| epochs.resume_position(15, break_at)),
            [position(8, 5), position(12, 0)]
        );
    }

    #[test]
    fn position_found_only_if_its_epoch_had_it() {
        let epochs = epochs();
        for (at, expected) in [
            (position(7, 0), Some((0, 15))),
            (position(7, 10), Some((10, 15))),
            (position(7, 11), None),
            (position(8, 5), Some((15, 15))),
            (position(8, 6), None),
            (position(9, 0), Some((15, u64::MAX))),
            (position(9, 1), None),
            (position(12, 0), Some((15, u64::MAX))),
            (position(12, 1000), Some((1015, u64::MAX))),
            (position(12, u64::MAX), None),
            (position(6, 1), None),
            (position(10, 0), None),
        ] {
            assert_eq!(epochs.find(at), expected, "{at}");
        }
        let end_of = [position(7, 11), position(8, 6), position(12, 2), position(6, 1)];
        assert_eq!(end_of.map(|at| epochs.end_of(at)), [Some(10), Some(15), None, None]);
        let first_offset = [position(1, 5), position(7, 0), position(8, 3), position(10, 4), position(13, 1)];
        assert_eq!(first_offset.map(|at| epochs.first_offset(at)), [1, 1, 13, 16, MAX_OFFSET]);
        assert_eq!([0, 14, 15].map(|offset| epochs.break_after(offset)), [15, 15, u64::MAX]);
        assert_eq!((epochs.last_break(), Epochs::new(1).last_break()), (15, 0));
    }

    #[test]
    fn oldest_epochs_forgotten_over_limit() {
        let mut epochs = Epochs::new(1);
        for n in 1..MAX_EPOCHS as u64 {
            assert_eq!(epochs.begin(n + 1, n, n == 1), None);
        }
        assert_eq!(epochs.begin(1000, 100, false), Some(1));
        assert_eq!((epochs.find(position(1, 0)), epochs.find(position(2, 0))), (None, Some((1, u64::MAX))));
        assert_eq!(epochs.begin(1001, 100, false), Some(2));
        assert_eq!(epochs.at(0), position(3, 0));
        // The forgotten epoch and the next one have the same base, and the break stays.
        let mut epochs = Epochs::new(1);
        for n in 1..MAX_EPOCHS as u64 {
            epochs.begin(n + 1, n.max(2), n == 1);
        }
        assert_eq!((epochs.begin(1000, 100, false), epochs.last_break()), (Some(2), 2));
        assert_eq!((epochs.begin(1001, 100, false), epochs.last_break()), (Some(2), 2));
    }
}
