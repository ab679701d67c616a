//! A log that several processes share, with pages of three events.

use std::io;
use std::sync::{Arc, Mutex};

use ssekit_core::Event;
use ssekit_server::hub::{Hub, HubOptions, Log, LoggedEvent, NewEvent, Position, Publishing, RecentEvents};

/// The events of all processes. This process may not have received some of them.
#[derive(Clone, Default)]
pub(crate) struct Shared(pub(crate) Arc<Mutex<Vec<LoggedEvent>>>);

/// A process that shares the log with others: the shared events, and the recent events of this process.
struct Node {
    shared: Shared,
    recent: RecentEvents,
}

pub(crate) fn node(shared: &Shared, recent: &RecentEvents) -> Hub {
    Hub::with_log(Node { shared: shared.clone(), recent: recent.clone() }, HubOptions::new())
}

impl Log for Node {
    fn recent(&self) -> &RecentEvents {
        &self.recent
    }

    fn publish(&self, event: NewEvent<'_>) -> Publishing {
        let outcome = self.recent.append(&event);
        outcome.iter().for_each(|position| self.shared.keep(&[*position]));
        Publishing::done(outcome)
    }

    fn first(&self) -> Option<Position> {
        Some(self.shared.0.lock().unwrap().first().map_or(at(1, 1), |event| event.position))
    }

    async fn read(&self, from: Position) -> io::Result<Vec<LoggedEvent>> {
        let all = self.shared.0.lock().unwrap();
        Ok(all.iter().filter(|event| event.position >= from).take(3).cloned().collect())
    }
}

impl Shared {
    pub(crate) fn keep(&self, positions: &[Position]) {
        self.0.lock().unwrap().extend(positions.iter().map(|position| LoggedEvent {
            position: *position,
            topic: "a".into(),
            key: None,
            event: Some(Event::data(position.to_string()).into()),
        }));
    }
}

pub(crate) fn at(epoch: u64, offset: u64) -> Position {
    Position { epoch, offset }
}
