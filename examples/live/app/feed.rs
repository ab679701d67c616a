//! One stream of events for all clients, with as much of its past as a client that comes back may have missed.

use std::collections::VecDeque;
use std::fmt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use futures_util::{Stream, StreamExt};
use serde::Serialize;
use ssekit::{Event, EventId, EventType, Frame, event_type};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

/// How much of the past is kept, in events and in bytes, whichever comes first.
const KEPT_EVENTS: usize = 1_000;
const KEPT_BYTES: usize = 4 << 20;

pub(crate) struct Feed {
    /// When this process started, in milliseconds. With it the IDs of another process's events are known to be so.
    epoch: u64,
    tail: Option<String>,
    past: Mutex<Past>,
    live: broadcast::Sender<Frame>,
}

struct Past {
    /// The number of the next event.
    next: u64,
    frames: VecDeque<Frame>,
    bytes: usize,
}

/// What a client is sent: what it has missed, then all that comes.
pub(crate) struct Subscription<S> {
    pub(crate) past: Vec<Frame>,
    pub(crate) live: S,
}

/// The first event of each connection.
#[derive(Serialize)]
struct Hello<'a> {
    server: String,
    host: Option<String>,
    cpus: usize,
    last_event_id: Option<&'a str>,
    outcome: &'a str,
    missed: usize,
    tail: Option<&'a str>,
}

impl Feed {
    pub(crate) fn new(tail: Option<&Path>) -> Self {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            epoch: u64::try_from(since_1970.as_millis()).unwrap_or_default(),
            tail: tail.map(|path| path.display().to_string()),
            past: Mutex::new(Past { next: 1, frames: VecDeque::new(), bytes: 0 }),
            live: broadcast::Sender::new(256),
        }
    }

    /// Publishes an event that `make` completes, given all but its data.
    pub(crate) fn publish<E>(
        &self,
        event_type: EventType<'_>,
        make: impl FnOnce(Event<'_>) -> Result<Frame, E>,
    ) -> Result<(), E> {
        let mut past = self.past();
        let id = format!("{}-{}", self.epoch, past.next);
        let mut head = Event::new().with_event_type(event_type);
        head.id = EventId::new(&id).ok();
        let frame = make(head)?;
        past.next += 1;
        past.bytes += frame.as_bytes().len();
        past.frames.push_back(frame.clone());
        while past.frames.len() > KEPT_EVENTS || past.bytes > KEPT_BYTES {
            let Some(oldest) = past.frames.pop_front() else { break };
            past.bytes -= oldest.as_bytes().len();
        }
        // Under the lock, so that a subscriber gets it either with the past or live. Without one it is an error, and
        // none.
        let _ = self.live.send(frame);
        Ok(())
    }

    /// Goes on behind the event that the client has seen last.
    pub(crate) fn subscribe(
        &self,
        last_event_id: Option<&str>,
    ) -> Subscription<impl Stream<Item = Result<Frame, FellBehind>> + use<>> {
        let past = self.past();
        let oldest = past.next - past.frames.len() as u64;
        let seen = last_event_id
            .and_then(|id| id.split_once('-'))
            .and_then(|(epoch, number)| Some((epoch.parse::<u64>().ok()?, number.parse::<u64>().ok()?)));
        let (outcome, from) = match seen {
            None => ("fresh", past.next),
            Some((epoch, number)) if epoch != self.epoch || number >= past.next => ("restarted", oldest),
            Some((_, number)) if number + 1 < oldest => ("gap", oldest),
            Some((_, number)) => ("resumed", number + 1),
        };
        let mut frames: Vec<Frame> = past.frames.iter().skip((from - oldest) as usize).cloned().collect();
        let hello = Hello {
            server: self.epoch.to_string(),
            host: sysinfo::System::host_name(),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            last_event_id,
            outcome,
            missed: frames.len(),
            tail: self.tail.as_deref(),
        };
        if let Ok(hello) = Frame::json(Event::new().with_event_type(event_type!("hello")), &hello) {
            frames.insert(0, hello);
        }
        let live = BroadcastStream::new(self.live.subscribe()).map(|frame| frame.map_err(|_| FellBehind));
        Subscription { past: frames, live }
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client read so slowly that live events are gone for it. Its stream ends, and it comes back for them by its last
/// event ID.
#[derive(Debug)]
pub(crate) struct FellBehind;

impl fmt::Display for FellBehind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("client fell behind")
    }
}

impl std::error::Error for FellBehind {}
