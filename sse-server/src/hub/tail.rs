//! The recent part of a hub's log, in memory.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::options::HubOptions;
use super::position::Position;
use super::publication::{NewEvent, PublishError};
use super::state::State;
use super::waiters::WakeList;
use crate::drain::StreamGroup;

/// The recent part of a hub's log, from which its subscribers are served. For a [`Log`](super::Log) to put events into.
///
/// Clones are the same.
#[derive(Clone)]
pub struct RecentEvents(pub(super) Arc<Core>);

pub(super) struct Core {
    state: Mutex<State>,
    pub(super) streams: StreamGroup,
}

impl RecentEvents {
    pub(super) fn new(state: State) -> Self {
        let streams = state.options.streams.clone();
        Self(Arc::new(Core { state: Mutex::new(state), streams }))
    }

    /// One with no events yet, of a log with this epoch.
    pub fn with_epoch(epoch: u64, options: HubOptions) -> Self {
        Self::new(State::new(epoch, options))
    }

    /// One with no events yet, of a log that has been there: its clients know of what was before, and what they have missed
    /// of it is in the [history](super::History), or is a gap.
    ///
    /// It goes on behind `last`. Before that it had the epochs that `before` has the last places of, in their order and
    /// with nothing missing between them; those that are not later than the one before are passed over.
    pub fn behind(before: &[Position], last: Position, options: HubOptions) -> Self {
        let mut ends = before.iter().chain([&last]).filter(|end| end.epoch <= last.epoch).peekable();
        let mut state = State::new(ends.peek().map_or(last.epoch, |end| end.epoch), options);
        for end in ends {
            // Nobody is there yet who could be told or woken.
            let is_later = state.begin_epoch(end.epoch, false, &mut WakeList::default()).is_ok();
            if is_later || end.epoch == state.epochs.epoch() {
                state.begin_after(end.offset);
            }
        }
        Self::new(state)
    }

    /// Adds an event, with the next offset, and wakes the subscribers that wait for it. It waits for none of them.
    ///
    /// # Errors
    ///
    /// See [`PublishError`].
    pub fn append(&self, event: &NewEvent<'_>) -> Result<Position, PublishError> {
        self.add(None, event)
    }

    /// Adds an event that has its place from elsewhere: the next, or a later one of the same epoch. What would be between
    /// them is missing here, and looked for in the history.
    ///
    /// # Errors
    ///
    /// See [`PublishError`]. [`Passed`](PublishError::Passed) if there is one at this place or a later one, or if it is of
    /// another epoch.
    pub fn append_at(&self, position: Position, event: &NewEvent<'_>) -> Result<Position, PublishError> {
        self.add(Some(position), event)
    }

    fn add(&self, position: Option<Position>, event: &NewEvent<'_>) -> Result<Position, PublishError> {
        let block = event.block()?;
        self.change(|state, wakes| state.append(position, event.topic, event.key, block, wakes))
    }

    /// There is no event at this place, and nobody misses one.
    ///
    /// # Errors
    ///
    /// [`Passed`](PublishError::Passed), as for [`append_at`](Self::append_at), and [`Sealed`](PublishError::Sealed).
    pub fn leave_out(&self, position: Position) -> Result<(), PublishError> {
        self.change(|state, wakes| state.leave_out(position, wakes))
    }

    /// The log goes on in a later epoch, and nothing is missing between them: no client is told. A client that says to know
    /// later events of the epoch before than there were is told that its history was replaced.
    ///
    /// ```
    /// use ssekit_core::Event;
    /// use ssekit_server::hub::{HubOptions, Position, NewEvent, RecentEvents};
    ///
    /// let tail = RecentEvents::with_epoch(7, HubOptions::new());
    /// let event = NewEvent::new("news", Event::data("one"));
    /// assert_eq!(tail.append(&event)?, Position { epoch: 7, offset: 1 });
    /// tail.go_on(8)?;
    /// assert_eq!(tail.append(&event)?, Position { epoch: 8, offset: 1 });
    /// # Ok::<(), ssekit_server::hub::PublishError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Passed`](PublishError::Passed) unless it is later, and [`Sealed`](PublishError::Sealed).
    pub fn go_on(&self, epoch: u64) -> Result<(), PublishError> {
        self.change(|state, wakes| state.begin_epoch(epoch, false, wakes))
    }

    /// The log goes on in a later epoch, and events may be missing between them, or were never kept: each client gets what is
    /// here of those before, and is then told of a gap, for [`EpochChanged`](super::GapReason::EpochChanged).
    ///
    /// # Errors
    ///
    /// [`Passed`](PublishError::Passed) unless it is later, and [`Sealed`](PublishError::Sealed).
    pub fn start_over(&self, epoch: u64) -> Result<(), PublishError> {
        self.change(|state, wakes| state.begin_epoch(epoch, true, wakes))
    }

    /// The last place: behind it is the next event.
    pub fn last(&self) -> Position {
        let state = self.state();
        state.epochs.latest_at(state.store.next() - 1)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State, &mut WakeList) -> T) -> T {
        let mut state = self.state();
        let mut wakes = WakeList::default();
        wakes.spare = state.spare.take();
        let changed = change(&mut state, &mut wakes);
        state.spare = wakes.spare.take();
        drop(state);
        if let Some(spare) = wakes.wake() {
            self.state().spare = Some(spare);
        }
        changed
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for RecentEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("RecentEvents")
            .field("first", &state.epochs.at(state.store.first()))
            .field("next", &state.epochs.at(state.store.next()))
            .finish_non_exhaustive()
    }
}
