//! The clients that wait for the next event of a feed.

use std::mem;
use std::sync::Arc;

use slab::Slab;

use crate::stream_control::StreamControl;

/// The least capacity of an emptied list that is kept for reuse.
const WORTH_KEEPING: usize = 32;

/// The clients that wait for one feed's next event. That event wakes all of them and begins a new generation.
pub(super) struct Waiters {
    generation: u64,
    list: Slab<Arc<StreamControl>>,
}

/// One client's entry in a list of waiters, valid for one generation. The default, generation 0, is never valid.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Registration {
    generation: u64,
    key: usize,
}

impl Waiters {
    /// Adds a client, unless `registration` is still valid.
    #[inline]
    pub(super) fn register(&mut self, registration: &mut Registration, control: &Arc<StreamControl>) {
        if registration.generation != self.generation {
            *registration = Registration { generation: self.generation, key: self.list.insert(control.clone()) };
        }
    }

    /// Removes a client, if `registration` is still valid.
    pub(super) fn deregister(&mut self, registration: Registration) {
        if registration.generation == self.generation {
            self.list.try_remove(registration.key);
        }
    }

    /// Moves all waiters to `wakes` and begins the next generation.
    pub(super) fn move_to(&mut self, wakes: &mut WakeList) {
        if !self.list.is_empty() {
            self.generation += 1;
            wakes.lists.push(mem::replace(&mut self.list, wakes.spare.take().unwrap_or_default()));
        }
    }
}

impl Default for Waiters {
    fn default() -> Self {
        Self { generation: 1, list: Slab::new() }
    }
}

/// The clients to wake after the hub's lock is released.
#[derive(Default)]
#[must_use]
pub(super) struct WakeList {
    lists: Vec<Slab<Arc<StreamControl>>>,
    /// An empty list with capacity, which replaces the first list that is taken.
    pub(super) spare: Option<Slab<Arc<StreamControl>>>,
}

impl WakeList {
    /// Wakes all of them. Returns an emptied list whose capacity is worth keeping, if there is one.
    pub(super) fn wake(self) -> Option<Slab<Arc<StreamControl>>> {
        let mut spare = None;
        for mut list in self.lists {
            for control in list.drain() {
                control.wakeups.notify_new_events();
            }
            if list.capacity() >= WORTH_KEEPING {
                spare = Some(list);
            }
        }
        spare
    }
}
