//! Who waits for a lane's next event.

use std::mem;
use std::sync::Arc;

use slab::Slab;

use crate::control::Control;

/// How many may wait before their list's memory is worth keeping.
const WORTH_KEEPING: usize = 32;

/// The subscribers that wait for the next event, which calls all of them at once: a round.
pub(super) struct Waiters {
    round: u64,
    list: Slab<Arc<Control>>,
}

/// A subscriber's place among them, good for one round; that of nobody is of round 0, before the first.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    round: u64,
    key: usize,
}

impl Waiters {
    /// Puts a subscriber among them, unless it is there by `place`.
    pub(super) fn wait(&mut self, place: &mut Place, control: &Arc<Control>) {
        if place.round != self.round {
            *place = Place { round: self.round, key: self.list.insert(control.clone()) };
        }
    }

    /// Takes a subscriber away that waits no more.
    pub(super) fn leave(&mut self, place: Place) {
        if place.round == self.round {
            self.list.try_remove(place.key);
        }
    }

    /// Adds all of them to those that are to be woken.
    pub(super) fn call(&mut self, called: &mut Called) {
        if !self.list.is_empty() {
            self.round += 1;
            called.lists.push(mem::replace(&mut self.list, called.spare.take().unwrap_or_default()));
        }
    }
}

impl Default for Waiters {
    fn default() -> Self {
        Self { round: 1, list: Slab::new() }
    }
}

/// Those that are to be woken, once no lock is held.
#[derive(Default)]
#[must_use]
pub(super) struct Called {
    lists: Vec<Slab<Arc<Control>>>,
    /// An empty list with room, for who waits next.
    pub(super) spare: Option<Slab<Arc<Control>>>,
}

impl Called {
    /// Wakes them. A list whose memory is worth keeping comes back, empty.
    pub(super) fn wake(self) -> Option<Slab<Arc<Control>>> {
        let mut spare = None;
        for mut list in self.lists {
            for control in list.drain() {
                control.bring_news();
            }
            if list.capacity() >= WORTH_KEEPING {
                spare = Some(list);
            }
        }
        spare
    }
}
