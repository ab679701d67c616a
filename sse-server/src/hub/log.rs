//! The log behind a hub: where events get their order, and where old events are read from.

use std::future::{Future, ready};
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use ssekit_core::EncodedEvent;

use super::new_event::NewEvent;
use super::position::Position;
use super::publishing::Publishing;
use super::recent_events::RecentEvents;

/// The log behind a hub: it gives events their order, and keeps them.
///
/// ssekit has two: [`MemoryLog`](super::MemoryLog), and `RedisLog` in ssekit-redis. Implement this trait for another store. The hub calls
/// [`publish`](Self::publish); the log stores the event and puts it into its [`RecentEvents`], from which the hub serves
/// all subscribers. A log that several processes share puts every event in that any of them published.
///
/// A log that keeps more than its recent events implements [`first`](Self::first) and [`read`](Self::read) too. A
/// subscriber that needs older events reads them page by page, at the speed of its client.
///
/// ```
/// use std::io;
/// use std::sync::Mutex;
/// use futures_util::{FutureExt, StreamExt};
/// use ssekit_core::{EncodedEvent, Event};
/// use ssekit_server::LastEventId;
/// use ssekit_server::hub::{
///     Hub, HubOptions, Log, LoggedEvent, NewEvent, Position, Publishing, RecentEvents, RetentionOptions, Subscribe,
/// };
///
/// /// Keeps every event in a table, and the last two in memory.
/// struct TableLog {
///     recent: RecentEvents,
///     table: Mutex<Vec<LoggedEvent>>,
/// }
///
/// impl Log for TableLog {
///     fn recent(&self) -> &RecentEvents {
///         &self.recent
///     }
///
///     fn publish(&self, event: NewEvent<'_>) -> Publishing {
///         // The lock keeps the table and the recent events in the same order.
///         let mut table = self.table.lock().unwrap();
///         let outcome = self.recent.append(&event);
///         if let Ok(position) = outcome {
///             let (topic, key) = (event.topic.to_owned(), event.key.map(str::to_owned));
///             table.push(LoggedEvent { position, topic, key, event: Some(event.event) });
///         }
///         Publishing::done(outcome)
///     }
///
///     fn first(&self) -> Option<Position> {
///         let table = self.table.lock().unwrap();
///         Some(table.first().map_or(Position { epoch: 7, offset: 1 }, |event| event.position))
///     }
///
///     async fn read(&self, from: Position) -> io::Result<Vec<LoggedEvent>> {
///         let table = self.table.lock().unwrap();
///         Ok(table.iter().filter(|event| event.position >= from).take(100).cloned().collect())
///     }
/// }
///
/// # async {
/// let recent = RecentEvents::with_epoch(7, RetentionOptions::new().with_max_events(2));
/// let hub = Hub::with_log(TableLog { recent, table: Mutex::default() }, HubOptions::new());
/// for text in ["one", "two", "three", "four"] {
///     hub.publish("news", Event::data(text)).await?;
/// }
/// // Only two events are in memory. The others come from the table.
/// let request = Subscribe::topic("news").with_last_event_id(Some(LastEventId::try_from("7-1")?));
/// let mut stream = hub.subscribe(request)?;
/// let mut bytes = Vec::new();
/// while let Some(Some(events)) = stream.next().now_or_never() {
///     bytes.extend_from_slice(events.as_bytes());
/// }
/// assert_eq!(bytes, b"id: 7-1\n\nid: 7-2\ndata: two\n\nid: 7-3\ndata: three\n\nid: 7-4\ndata: four\n\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }.now_or_never().unwrap().unwrap();
/// ```
pub trait Log: Send + Sync + 'static {
    /// Returns the part of the log that is in memory: always the same one.
    fn recent(&self) -> &RecentEvents;

    /// Publishes an event after all others.
    ///
    /// Returns [`Publishing::done`] if the outcome is known, or [`Publishing::waiting`]. The log calls
    /// [`RecentEvents::append`] now, or [`RecentEvents::append_at`] when it learns the event's position from its store. An
    /// event must be in the store before it is evicted from memory, or clients receive a gap event.
    ///
    /// This must not block: the caller may be a task.
    fn publish(&self, event: NewEvent<'_>) -> Publishing;

    /// Returns whether the log can publish and read now (default `true`): for a readiness probe.
    fn is_ready(&self) -> bool {
        true
    }

    /// Returns the position of the oldest event that [`read`](Self::read) has, or will have.
    ///
    /// The default is `None`: the log has only its recent events. The hub calls this for every page of every subscriber,
    /// so it must be fast and must not wait.
    fn first(&self) -> Option<Position> {
        None
    }

    /// Reads the events from a position on, of all topics, in order (default: none).
    ///
    /// Returns about 100 events or 64 KiB: each slow client holds one page. A page may contain events that are in memory
    /// too, or that [`RecentEvents`] does not have yet. The hub also uses this to check a client's last event ID that
    /// is newer than the recent events. Implement it as an `async fn`.
    ///
    /// # Errors
    ///
    /// An error ends the client's stream, which then resumes. While a store is away for a short time, wait for it instead.
    fn read(&self, from: Position) -> impl Future<Output = io::Result<Vec<LoggedEvent>>> + Send {
        let _ = from;
        ready(Ok(Vec::new()))
    }
}

/// A log that the program keeps too, to call its own methods.
impl<L: Log> Log for Arc<L> {
    fn recent(&self) -> &RecentEvents {
        L::recent(self)
    }

    fn publish(&self, event: NewEvent<'_>) -> Publishing {
        L::publish(self, event)
    }

    fn is_ready(&self) -> bool {
        L::is_ready(self)
    }

    fn first(&self) -> Option<Position> {
        L::first(self)
    }

    fn read(&self, from: Position) -> impl Future<Output = io::Result<Vec<LoggedEvent>>> + Send {
        L::read(self, from)
    }
}

/// A page of old events that is being read.
pub(super) type Page = Pin<Box<dyn Future<Output = io::Result<Vec<LoggedEvent>>> + Send>>;

/// [`Log`] as an object: an `async fn` in a trait cannot be called through `dyn`.
pub(super) trait AnyLog: Send + Sync {
    fn publish(&self, event: NewEvent<'_>) -> Publishing;
    fn is_ready(&self) -> bool;
    fn first(&self) -> Option<Position>;
    fn read(self: Arc<Self>, from: Position) -> Page;
}

impl<L: Log> AnyLog for L {
    fn publish(&self, event: NewEvent<'_>) -> Publishing {
        Log::publish(self, event)
    }

    fn is_ready(&self) -> bool {
        Log::is_ready(self)
    }

    fn first(&self) -> Option<Position> {
        Log::first(self)
    }

    fn read(self: Arc<Self>, from: Position) -> Page {
        Box::pin(async move { Log::read(&*self, from).await })
    }
}

/// An event that a log has stored: what [`Log::read`] returns.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "logs create it")]
pub struct LoggedEvent {
    /// The position. Positions of a page rise.
    pub position: Position,
    /// The topic that the event was published to.
    pub topic: String,
    /// The key that the event was published with.
    pub key: Option<String>,
    /// The event without an ID, or `None` if the position has no event.
    pub event: Option<EncodedEvent>,
}
