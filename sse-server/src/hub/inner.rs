//! The parts that a hub and its subscriptions share.

use std::sync::{Arc, MutexGuard};

use super::log::AnyLog;
use super::options::HubOptions;
use super::recent_events::RecentEvents;
use super::state::State;
use crate::drain::StreamGroup;

/// The parts of a [`Hub`](super::Hub), which all its clones and subscriptions share.
pub(super) struct Inner {
    /// A clone of the recent events of the log, so that subscribers do not ask the log for them.
    pub(super) recent: RecentEvents,
    pub(super) log: Arc<dyn AnyLog>,
    pub(super) streams: StreamGroup,
    pub(super) options: HubOptions,
}

impl Inner {
    /// Locks the state of the hub.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.recent.state()
    }
}
