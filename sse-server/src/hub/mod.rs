//! One log of events for many clients: topics, resuming by the last event ID, and a registry of who is connected.
//!
//! A [`Hub`] keeps the recent events of all its topics in one log. A subscriber is a cursor in it, somebody to wake and
//! perhaps a filter; not a queue, and not a task. What a client has missed and what is new come from the same place by the
//! same way, so that nothing is lost or doubled where one turns into the other.
//!
//! ```
//! use futures_util::{FutureExt, StreamExt};
//! use ssekit_core::Event;
//! use ssekit_server::LastEventId;
//! use ssekit_server::hub::{Hub, HubOptions, ResumeOutcome, Subscribe};
//!
//! # async {
//! let hub = Hub::new(HubOptions::new());
//! let first = hub.publish("news", Event::data("one"))?;
//! hub.publish("news", Event::data("two"))?;
//! hub.publish("sports", Event::data("2:1"))?;
//!
//! let last = LastEventId::try_from(&*first.to_string())?;
//! let subscription = hub.subscribe(Subscribe::topic("news").with_last_event_id(Some(last)))?;
//! assert_eq!(subscription.resume(), ResumeOutcome::Resumed { missed: 1 });
//!
//! let mut body = subscription.into_body();
//! let chunk = body.next().await.unwrap()?;
//! let epoch = first.epoch;
//! assert_eq!(chunk, format!(": \n\nid: {epoch}-1\n\nid: {epoch}-2\ndata: two\n\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }.now_or_never().unwrap().unwrap();
//! ```
//!
//! # What a client sees
//!
//! - Each event has its place in the log as its ID: see [`Position`]. Offsets are counted over all topics, so a client of
//!   some of them sees numbers left out.
//! - First comes where it stands: a block with an ID and nothing else, which is no event, unless it is told of a gap or how
//!   it was resumed. So a client that is cut off before its first event comes back to where it was.
//! - Where events are missing, it is told so by an event of type [`GAP_EVENT_TYPE`], and never otherwise left without
//!   them: see [`SlowConsumerPolicy`] and [`ResumeOutcome`].
//!
//! # Limits
//!
//! The log is bounded by [`HubOptions`], in events, bytes and age. A client is sent pages, as fast as it reads: of up to 16
//! KiB if they are copied for it alone, of 64 KiB if they are part of the log or the same for others. One that reads
//! nothing holds a page, and the part of the log that it is of, up to 64 KiB. Publishing waits for nobody. A name has at
//! most [`MAX_NAME_LEN`] bytes, a subscriber at most [`MAX_NAMES`] of them.

mod compaction;
mod epochs;
mod feeds;
mod hand_over;
mod history_page;
mod log;
mod options;
mod page;
mod position;
mod publication;
mod reading;
mod registry;
mod rejection;
mod response;
mod resume;
mod start_point;
mod state;
mod stats;
mod store;
mod subscribe;
mod subscribing;
mod subscription;
mod tail;
mod view;
mod waiters;

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use ssekit_core::{EncodedEvent, Event, EventType};

use crate::body::DEFAULT_STALL_TIMEOUT;
use crate::close::{AfterEnd, CloseReason};
use crate::drain::{DrainOptions, DrainReport, StreamGroup, jitter};
use crate::stream_control::{EndRequest, StreamControl};

use registry::Registry;

pub use hand_over::ImportError;
pub use log::{History, Log, LoggedEvent, MemoryLog, ReadHistory};
pub use options::{HubOptions, MAX_NAME_LEN, MAX_NAMES};
pub use position::{Position, PositionError};
pub use publication::{NewEvent, PublishError};
pub use registry::ClientInfo;
pub use rejection::{Rejection, RejectionReason, RetryStream};
pub use response::{HubBody, HubRequest, HubResponse};
pub use resume::{GAP_EVENT_TYPE, Gap, GapReason, RESUME_EVENT_TYPE, ResumeOutcome};
pub use stats::{HubStats, ResumeCounts, TopicInfo};
pub use subscribe::{EventMeta, SessionPolicy, SlowConsumerPolicy, StartFrom, Subscribe};
pub use subscription::Subscription;
pub use tail::RecentEvents;

/// A log of events by topic, and all who subscribe to it.
///
/// Clones are the same hub. See the [module](self).
pub struct Hub<L = MemoryLog> {
    tail: RecentEvents,
    log: Arc<L>,
}

impl Hub {
    /// An empty one, in memory.
    pub fn new(options: HubOptions) -> Self {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let epoch = u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX);
        Self::with_log(MemoryLog, RecentEvents::with_epoch(epoch, options))
    }

    /// Ends publishing, and returns the log as bytes, for another process to go on with: see [`import`](Self::import).
    ///
    /// From now on an event is [refused](PublishError::Sealed), so that none is lost: who publishes has to do it
    /// there. Clients still get what there is. When the other serves, drain this one; its clients come back to the other,
    /// and go on behind their last event. One that comes from there already is [rejected](RejectionReason::Sealed).
    ///
    /// ```
    /// use ssekit_core::Event;
    /// use ssekit_server::hub::{Hub, HubOptions, PublishError};
    ///
    /// let old = Hub::default();
    /// let last = old.publish("news", Event::data("one"))?;
    /// let bytes = old.seal();
    /// assert_eq!(old.publish("news", Event::data("two")), Err(PublishError::Sealed));
    ///
    /// let new = Hub::import(&bytes, HubOptions::new())?;
    /// let next = new.publish("news", Event::data("two"))?;
    /// assert_eq!((next.epoch, next.offset), (last.epoch, last.offset + 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn seal(&self) -> Vec<u8> {
        let mut state = self.tail.state();
        state.set_sealed(true);
        state.export()
    }

    /// Publishes again: the other process has failed before it published anything. If it has, clients that know its events
    /// would lose those that this one gives the same IDs; begin a new hub then, whose clients are told.
    pub fn unseal(&self) {
        self.tail.state().set_sealed(false);
    }

    /// Whether it is [sealed](Self::seal).
    pub fn is_sealed(&self) -> bool {
        self.tail.state().is_sealed()
    }

    /// The log as bytes, as it is now. Events that are published later are not in it: if this one goes on, the other must
    /// not, since their IDs would be the same. So it is no backup of a hub that publishes.
    #[must_use]
    pub fn export(&self) -> Vec<u8> {
        self.tail.state().export()
    }

    /// A hub with the log of another, which gives the same IDs. It keeps of it what `options` say.
    ///
    /// The bytes are taken from one's own kind, and yet all that stands in them is checked.
    ///
    /// # Errors
    ///
    /// [`ImportError`] when they are no such log.
    pub fn import(bytes: &[u8], options: HubOptions) -> Result<Self, ImportError> {
        state::State::import(bytes, options).map(|state| Self::with_log(MemoryLog, RecentEvents::new(state)))
    }
}

impl Default for Hub {
    fn default() -> Self {
        Self::new(HubOptions::new())
    }
}

impl<L: Log> Hub<L> {
    /// One whose events are put into `tail` by `log`.
    pub fn with_log(log: L, tail: RecentEvents) -> Self {
        Self { tail, log: Arc::new(log) }
    }

    /// Publishes an event to a topic, and returns its place in the log, which is its ID.
    ///
    /// It is encoded once, whoever gets it, and waits for no client. The subscribers that wait for it are woken.
    ///
    /// # Errors
    ///
    /// See [`PublishError`].
    pub fn publish(&self, topic: &str, event: impl Into<EncodedEvent>) -> L::Published {
        self.log.publish(&self.tail, NewEvent::new(topic, event))
    }

    /// The same, of an event that is the newest state of what `key` names in this topic: see
    /// [`SlowConsumerPolicy::Coalesce`].
    ///
    /// # Errors
    ///
    /// See [`PublishError`].
    pub fn publish_keyed(&self, topic: &str, key: &str, event: impl Into<EncodedEvent>) -> L::Published {
        self.log.publish(&self.tail, NewEvent::new(topic, event).with_key(key))
    }

    /// The log behind it.
    pub fn log(&self) -> &L {
        &self.log
    }
}

impl<L: History> Hub<L> {
    /// Responds to a request: with the stream of a new subscriber, or with a refusal.
    ///
    /// The client resumes after its last event ID, unless `subscribe` has a last event ID of its own. With the extractor of
    /// an adapter as the request, the return type is that adapter's response. [`HubResponse`] says which requests get which
    /// answer.
    pub fn respond<R: HubRequest>(&self, request: &R, mut subscribe: Subscribe) -> R::Response {
        let sse_request = request.as_ref();
        if subscribe.last_event_id.is_none() {
            subscribe.last_event_id = sse_request.last_event_id().cloned();
        }
        HubResponse::new(sse_request, self.subscribe(subscribe)).into()
    }

    /// Takes a subscriber, who then is one of the hub's clients until its stream is over.
    ///
    /// # Errors
    ///
    /// [`Rejection`] when there is no room for it, or it names too much.
    pub fn subscribe(&self, mut subscribe: Subscribe) -> Result<Subscription, Rejection> {
        let control = StreamControl::new(DEFAULT_STALL_TIMEOUT);
        let history = self.log.first();
        // What is asked for goes outside the lock, being the application's, whether it is taken or not.
        let mut state = self.tail.state();
        let (admitted, retry) = (state.subscribe(&mut subscribe, &control, history), state.options.retry);
        drop(state);
        let admitted = admitted.map_err(|reason| Rejection::new(reason, jitter(retry, retry)))?;
        for old in &admitted.taken_over {
            kick(old, &Disconnect::new().with_after_end(AfterEnd::Stop));
        }
        Ok(Subscription::new(&self.tail, self.log.clone(), admitted, control))
    }
}

impl<L> Hub<L> {
    /// All clients, as they are now, in the order in which they came.
    pub fn clients(&self) -> Vec<ClientInfo> {
        self.clients_after(0, usize::MAX)
    }

    /// The next clients behind the one of this number, so many of them at the most: for a list of a great many, page by page.
    pub fn clients_after(&self, id: u64, max: usize) -> Vec<ClientInfo> {
        let state = self.tail.state();
        state.registry.after(id).take(max).map(|client| state.info(client)).collect()
    }

    /// The clients with this key, as they are now.
    pub fn clients_of(&self, key: &str) -> Vec<ClientInfo> {
        let state = self.tail.state();
        state.registry.of_key(key).map(|client| state.info(client)).collect()
    }

    /// The place of the last event that was published; with offset 0 if there was none.
    pub fn position(&self) -> Position {
        self.tail.last()
    }

    /// How many clients there are.
    pub fn len(&self) -> usize {
        self.tail.state().registry.clients.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many clients there are with this key.
    pub fn count_of(&self, key: &str) -> usize {
        self.tail.state().registry.count_of_key(key)
    }

    /// The topics that have events or clients.
    pub fn topics(&self) -> Vec<TopicInfo> {
        self.tail.state().topics()
    }

    /// Ends the stream of a client, by its number. Whether there is one.
    pub fn disconnect(&self, client: u64, how: &Disconnect) -> bool {
        self.disconnect_those(how, |registry| {
            registry.find(client).map(|client| client.control.clone()).into_iter().collect()
        }) > 0
    }

    /// Ends the streams of all clients with this key. How many there are.
    pub fn disconnect_key(&self, key: &str, how: &Disconnect) -> usize {
        self.disconnect_those(how, |registry| registry.of_key(key).map(|client| client.control.clone()).collect())
    }

    fn disconnect_those(&self, how: &Disconnect, find: impl FnOnce(&Registry) -> Vec<Arc<StreamControl>>) -> usize {
        let found = find(&self.tail.state().registry);
        found.iter().for_each(|control| kick(control, how));
        found.len()
    }

    /// The streams of all clients.
    pub fn streams(&self) -> &StreamGroup {
        &self.tail.0.streams
    }

    /// Ends all streams: see [`StreamGroup::drain`]. Each gets the events that wait for it before.
    pub async fn drain(&self, options: DrainOptions) -> DrainReport {
        self.streams().drain(options).await
    }

    /// What it has, and what it has done.
    pub fn stats(&self) -> HubStats {
        let mut state = self.tail.state();
        let now = state.now();
        state.evict(now);
        state.stats(self.streams())
    }
}

impl<L> Clone for Hub<L> {
    fn clone(&self) -> Self {
        Self { tail: self.tail.clone(), log: self.log.clone() }
    }
}

impl<L> fmt::Debug for Hub<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("tail", &self.tail).field("clients", &self.len()).finish_non_exhaustive()
    }
}

/// How the hub ends a client's stream.
///
/// ```
/// use futures_util::{FutureExt, StreamExt};
/// use ssekit_server::hub::{Disconnect, Hub, Subscribe};
/// use ssekit_server::{CloseReason, AfterEnd};
///
/// # async {
/// let hub = Hub::default();
/// let subscription = hub.subscribe(Subscribe::topic("news").with_key("user:42"))?;
/// let handle = subscription.handle();
/// let mut body = subscription.into_body();
/// body.next().await;
///
/// let how = Disconnect::new().with_reason("signed out").with_after_end(AfterEnd::Stop);
/// assert_eq!(hub.disconnect_key("user:42", &how), 1);
/// let chunk = body.next().await.unwrap()?;
/// assert_eq!(chunk, "event: ssekit:disconnect\ndata: signed out\n\nid: ssekit:done\n\n");
/// assert!(body.next().await.is_none());
/// assert_eq!((handle.close_reason(), hub.len()), (Some(CloseReason::Disconnected), 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }.now_or_never().unwrap().unwrap();
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Disconnect {
    reason: Option<EncodedEvent>,
    after_end: AfterEnd,
}

impl Disconnect {
    /// With nothing more sent. The client reconnects.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, but the client is told why, by an event of type [`DISCONNECT_EVENT_TYPE`] with this text as its data.
    pub fn with_reason(mut self, reason: &str) -> Self {
        let event_type = EventType::new(DISCONNECT_EVENT_TYPE).ok();
        self.reason = Some(EncodedEvent::from(Event { event_type, ..Event::data(reason) }));
        self
    }

    /// The same, and what the client is to do then.
    pub fn with_after_end(mut self, after_end: AfterEnd) -> Self {
        self.after_end = after_end;
        self
    }
}

/// The type of the event that tells a client why its stream is [ended](Disconnect).
pub const DISCONNECT_EVENT_TYPE: &str = "ssekit:disconnect";

fn kick(control: &StreamControl, how: &Disconnect) {
    let tail = how.reason.clone().into_iter().chain(how.after_end.last_event()).collect();
    control.request_end(EndRequest { reason: CloseReason::Disconnected, last_events: tail, is_graceful: false });
    // At once: a body that its server does not poll, since the client reads nothing, would keep its place.
    control.close_and_wake(CloseReason::Disconnected);
}
