//! The part of a log that is in memory.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::new_event::NewEvent;
use super::options::RetentionOptions;
use super::position::Position;
use super::publishing::PublishError;
use super::state::State;
use super::waiters::WakeList;

/// The part of a log that is in memory. The hub serves all its subscribers from here.
///
/// A [`Log`](super::Log) owns it and puts events in: at once, or when another process has published them. Clones share
/// the same events.
///
/// ```
/// use ssekit_core::Event;
/// use ssekit_server::hub::{NewEvent, Position, RecentEvents, RetentionOptions};
///
/// let recent = RecentEvents::with_epoch(7, RetentionOptions::new());
/// let event = NewEvent::new("news", Event::data("one"));
/// assert_eq!(recent.append(&event)?, Position { epoch: 7, offset: 1 });
/// recent.skip(Position { epoch: 7, offset: 2 })?;
/// recent.append_at(Position { epoch: 7, offset: 3 }, &event)?;
/// assert_eq!(recent.last_position(), Position { epoch: 7, offset: 3 });
/// # Ok::<(), ssekit_server::hub::PublishError>(())
/// ```
#[derive(Clone)]
pub struct RecentEvents(Arc<Mutex<State>>);

impl RecentEvents {
    pub(super) fn new(state: State) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    /// Returns empty recent events of a new log with this epoch.
    ///
    /// Two logs must not have the same epoch: a client of one could resume at a wrong position of the other.
    pub fn with_epoch(epoch: u64, retention: RetentionOptions) -> Self {
        Self::new(State::new(epoch, retention))
    }

    /// Returns empty recent events of a log that had events before, up to `last`.
    ///
    /// Clients may know those events. What they missed of them is read from the log, or is a gap if the log has none. The
    /// next event comes after `last`.
    ///
    /// `ends` are the last positions of earlier epochs, in order, with nothing missing between them. An entry that is not
    /// later than the entry before it is ignored.
    pub fn starting_after(ends: &[Position], last: Position, retention: RetentionOptions) -> Self {
        let mut ends = ends.iter().chain([&last]).filter(|end| end.epoch <= last.epoch).peekable();
        let mut state = State::new(ends.peek().map_or(last.epoch, |end| end.epoch), retention);
        for end in ends {
            // There are no clients yet who could wait.
            let is_later = state.begin_epoch(end.epoch, false, &mut WakeList::default()).is_ok();
            if is_later || end.epoch == state.epochs.epoch() {
                state.begin_after(end.offset);
            }
        }
        Self::new(state)
    }

    /// Appends an event at the next offset and wakes the subscribers that wait for it.
    ///
    /// This encodes nothing and waits for no client.
    ///
    /// # Errors
    ///
    /// See [`PublishError`].
    pub fn append(&self, event: &NewEvent<'_>) -> Result<Position, PublishError> {
        self.add(None, event)
    }

    /// Appends an event at this position: the next one, or a later one of the same epoch.
    ///
    /// Positions that are passed over count as missing here: subscribers read them from the log, or receive a gap event.
    ///
    /// # Errors
    ///
    /// [`Passed`](PublishError::Passed) if the position is not after the last one, or has another epoch. See also
    /// [`PublishError`].
    pub fn append_at(&self, position: Position, event: &NewEvent<'_>) -> Result<Position, PublishError> {
        self.add(Some(position), event)
    }

    fn add(&self, position: Option<Position>, event: &NewEvent<'_>) -> Result<Position, PublishError> {
        let block = event.block()?;
        self.change(|state, wakes| state.append(position, event.topic, event.key, block, wakes))
    }

    /// Skips a position that has no event. No client counts it as missing.
    ///
    /// # Errors
    ///
    /// [`Passed`](PublishError::Passed) as for [`append_at`](Self::append_at), and [`Sealed`](PublishError::Sealed).
    pub fn skip(&self, position: Position) -> Result<(), PublishError> {
        self.change(|state, wakes| state.leave_out(position, wakes))
    }

    /// Continues in a later epoch with no event missing in between. Clients are not told.
    ///
    /// A client whose last event ID is beyond the end of the earlier epoch is told that the history was replaced.
    ///
    /// ```
    /// use ssekit_core::Event;
    /// use ssekit_server::hub::{NewEvent, Position, RecentEvents, RetentionOptions};
    ///
    /// let recent = RecentEvents::with_epoch(7, RetentionOptions::new());
    /// let event = NewEvent::new("news", Event::data("one"));
    /// assert_eq!(recent.append(&event)?, Position { epoch: 7, offset: 1 });
    /// recent.continue_epoch(8)?;
    /// assert_eq!(recent.append(&event)?, Position { epoch: 8, offset: 1 });
    /// # Ok::<(), ssekit_server::hub::PublishError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Passed`](PublishError::Passed) if the epoch is not later, and [`Sealed`](PublishError::Sealed).
    pub fn continue_epoch(&self, epoch: u64) -> Result<(), PublishError> {
        self.change(|state, wakes| state.begin_epoch(epoch, false, wakes))
    }

    /// Restarts in a later epoch, when events before it may be missing or lost.
    ///
    /// Each client receives the events that are here from before, and then a gap event with the reason
    /// [`EpochChanged`](super::GapReason::EpochChanged).
    ///
    /// # Errors
    ///
    /// [`Passed`](PublishError::Passed) if the epoch is not later, and [`Sealed`](PublishError::Sealed).
    pub fn restart_epoch(&self, epoch: u64) -> Result<(), PublishError> {
        self.change(|state, wakes| state.begin_epoch(epoch, true, wakes))
    }

    /// Returns whether a topic is [finished](super::Hub::finish_topic) on this process: publishing to it must fail with
    /// [`Finished`](PublishError::Finished).
    ///
    /// [`append`](Self::append) checks this itself. [`append_at`](Self::append_at) does not, because its event is stored
    /// already.
    pub fn is_finished(&self, topic: &str) -> bool {
        self.state().is_finished(topic)
    }

    /// Returns the last position. Its offset is 0 if the epoch has no event yet.
    pub fn last_position(&self) -> Position {
        let state = self.state();
        state.epochs.latest_at(state.store.next() - 1)
    }

    /// Changes the state under its lock, and wakes the subscribers after the lock is released.
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
