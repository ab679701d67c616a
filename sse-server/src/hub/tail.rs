//! The recent part of a hub's log, in memory.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::options::HubOptions;
use super::position::Position;
use super::publication::{Publication, PublishError};
use super::state::State;
use super::waiters::Called;
use crate::drain::Streams;

/// The recent part of a hub's log, from which its subscribers are served. For a [`Log`](super::Log) to put events into.
///
/// Clones are the same.
#[derive(Clone)]
pub struct Tail(pub(super) Arc<Core>);

pub(super) struct Core {
    state: Mutex<State>,
    pub(super) streams: Streams,
}

impl Tail {
    pub(super) fn new(state: State) -> Self {
        let streams = state.options.streams.clone();
        Self(Arc::new(Core { state: Mutex::new(state), streams }))
    }

    /// One with no events yet, of a log with this epoch.
    pub fn with_epoch(epoch: u64, options: HubOptions) -> Self {
        Self::new(State::new(epoch, 1, options))
    }

    /// One with no events yet, of a log whose last event is at this place: its clients know of what was before, and what they
    /// have missed of it is in the [history](super::History), or is a gap.
    pub fn behind(last: Position, options: HubOptions) -> Self {
        let offset = last.offset.min(u64::MAX / 2 - 1);
        let mut state = State::new(last.epoch, offset + 1, options);
        state.lanes.set_forgotten_to(offset);
        Self::new(state)
    }

    /// Adds an event, with the next offset, and wakes the subscribers that wait for it. It waits for none of them.
    ///
    /// # Errors
    ///
    /// See [`PublishError`].
    pub fn append(&self, event: &Publication<'_>) -> Result<Position, PublishError> {
        self.add(None, event)
    }

    /// Adds an event that has its offset from elsewhere: the next, or a later one, if others are left out.
    ///
    /// # Errors
    ///
    /// See [`PublishError`]. [`Passed`](PublishError::Passed) if there is one of this offset or of a later one.
    pub fn append_at(&self, offset: u64, event: &Publication<'_>) -> Result<Position, PublishError> {
        self.add(Some(offset), event)
    }

    fn add(&self, offset: Option<u64>, event: &Publication<'_>) -> Result<Position, PublishError> {
        let block = event.block()?;
        let mut state = self.state();
        let mut called = Called::default();
        called.spare = state.spare.take();
        let position = state.append(offset, event.topic, event.key, block, &mut called);
        state.spare = called.spare.take();
        drop(state);
        self.wake(called);
        position
    }

    fn wake(&self, called: Called) {
        if let Some(spare) = called.wake() {
            self.state().spare = Some(spare);
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Tail")
            .field("first", &state.at(state.store.first()))
            .field("next", &state.at(state.store.next()))
            .finish_non_exhaustive()
    }
}
