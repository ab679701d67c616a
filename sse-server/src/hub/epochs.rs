//! The epochs of a log, one behind the other.

use std::collections::VecDeque;

use super::position::Position;

/// How many are known. Who comes back with an ID of an older one is told that the history was replaced.
const MAX_EPOCHS: usize = 64;
/// No offset is higher: none that is added to one overflows.
pub(super) const MAX_OFFSET: u64 = u64::MAX / 4;

/// Inside the hub offsets are counted on through all epochs; in a [`Position`] each epoch begins anew.
pub(super) struct Epochs {
    /// At least one; each has a later epoch than the one before.
    all: VecDeque<Era>,
}

struct Era {
    epoch: u64,
    /// The offset before that of its first event.
    base: u64,
    /// Events may be missing before it: all clients are told.
    is_broken: bool,
}

impl Epochs {
    pub(super) fn new(epoch: u64) -> Self {
        Self { all: VecDeque::from([Era { epoch, base: 0, is_broken: false }]) }
    }

    fn last(&self) -> (u64, u64) {
        self.all.back().map_or((0, 0), |era| (era.epoch, era.base))
    }

    /// The present one.
    pub(super) fn epoch(&self) -> u64 {
        self.last().0
    }

    /// The offset before that of the present one's first event.
    pub(super) fn base(&self) -> u64 {
        self.last().1
    }

    /// The place of the event with this offset.
    pub(super) fn at(&self, offset: u64) -> Position {
        self.newest(|era| era.base < offset, offset)
    }

    /// The same; or behind which the next one is, in the epoch that begins with that.
    pub(super) fn latest_at(&self, offset: u64) -> Position {
        self.newest(|era| era.base <= offset, offset)
    }

    /// Where somebody stands who has all up to this offset, and is yet to be told of the break at that one.
    pub(super) fn resume_position(&self, offset: u64, break_at: u64) -> Position {
        let is_told = |era: &Era| era.is_broken && era.base == offset && offset < break_at;
        if self.all.iter().any(is_told) { self.latest_at(offset) } else { self.at(offset) }
    }

    fn newest(&self, is_it: impl Fn(&Era) -> bool, offset: u64) -> Position {
        let era = self.all.iter().rev().find(|era| is_it(era)).or(self.all.front());
        let (epoch, base) = era.map_or((0, 0), |era| (era.epoch, era.base));
        Position { epoch, offset: offset.saturating_sub(base) }
    }

    /// The offset of a place, and that of the first break behind it: if the epoch is known, and the place is none that it
    /// never had. In the present epoch it may have yet to come.
    pub(super) fn find(&self, position: Position) -> Option<(u64, u64)> {
        let index = self.all.iter().rposition(|era| era.epoch == position.epoch)?;
        let mut behind = self.all.range(index..);
        let offset = behind.next()?.base + Some(position.offset).filter(|offset| *offset <= MAX_OFFSET)?;
        let is_here = self.all.get(index + 1).is_none_or(|next| offset <= next.base);
        let break_at = behind.find(|era| era.is_broken).map_or(u64::MAX, |era| era.base);
        is_here.then_some((offset, break_at))
    }

    /// The offset of the last place that an epoch had, if it is a known one and over, and never had this place.
    pub(super) fn end_of(&self, position: Position) -> Option<u64> {
        let index = self.all.iter().rposition(|era| era.epoch == position.epoch)?;
        self.all.get(index + 1).map(|next| next.base)
    }

    /// From where on a history is of use that begins at this place.
    pub(super) fn first_offset(&self, history: Position) -> u64 {
        let era = self.all.iter().find(|era| era.epoch >= history.epoch);
        era.map_or(MAX_OFFSET, |era| match era.epoch == history.epoch {
            true => era.base + history.offset.clamp(1, MAX_OFFSET),
            false => era.base + 1,
        })
    }

    /// The first break behind this offset.
    pub(super) fn break_after(&self, offset: u64) -> u64 {
        let found = self.all.iter().find(|era| era.is_broken && era.base > offset);
        found.map_or(u64::MAX, |era| era.base)
    }

    /// The last break.
    pub(super) fn last_break(&self) -> u64 {
        self.all.iter().rev().find(|era| era.is_broken).map_or(0, |era| era.base)
    }

    /// Another one begins behind this offset. Returns the offset up to which none is known any more, if one had to be
    /// forgotten.
    pub(super) fn begin(&mut self, epoch: u64, base: u64, is_broken: bool) -> Option<u64> {
        self.all.push_back(Era { epoch, base, is_broken });
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

    /// 10 events, 5, none, and the present one.
    fn epochs() -> Epochs {
        let mut epochs = Epochs::new(7);
        for (epoch, base, is_broken) in [(8, 10, false), (9, 15, true), (12, 15, false)] {
            assert_eq!(epochs.begin(epoch, base, is_broken), None);
        }
        epochs
    }

    #[test]
    fn an_offset_has_one_place_and_may_have_more_before_it() {
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
    fn a_place_is_found_if_its_epoch_had_it() {
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
    fn the_oldest_are_forgotten() {
        let mut epochs = Epochs::new(1);
        for n in 1..MAX_EPOCHS as u64 {
            assert_eq!(epochs.begin(n + 1, n, n == 1), None);
        }
        assert_eq!(epochs.begin(1000, 100, false), Some(1));
        assert_eq!((epochs.find(position(1, 0)), epochs.find(position(2, 0))), (None, Some((1, u64::MAX))));
        assert_eq!(epochs.begin(1001, 100, false), Some(2));
        assert_eq!(epochs.at(0), position(3, 0));
        // One that is forgotten has begun where the next one does.
        let mut epochs = Epochs::new(1);
        for n in 1..MAX_EPOCHS as u64 {
            epochs.begin(n + 1, n.max(2), n == 1);
        }
        assert_eq!((epochs.begin(1000, 100, false), epochs.last_break()), (Some(2), 2));
        assert_eq!((epochs.begin(1001, 100, false), epochs.last_break()), (Some(2), 2));
    }
}
