//! One log of events for many clients: topics, resuming by the last event ID, and a registry of the clients.
//!
//! A [`Hub`] keeps the recent events of all its topics in one log. A subscriber is a cursor into the log, a waker and
//! perhaps a filter. It has no queue and no task of its own. Missed events and new events come from the same log by the
//! same code, so nothing is lost or duplicated where the one becomes the other.
//!
//! ```
//! use futures_util::{FutureExt, StreamExt};
//! use ssekit_core::Event;
//! use ssekit_server::LastEventId;
//! use ssekit_server::hub::{Hub, HubOptions, ResumeOutcome, Subscribe};
//!
//! # async {
//! let hub = Hub::new(HubOptions::new());
//! let first = hub.publish("news", Event::data("one")).await?;
//! hub.publish("news", Event::data("two")).await?;
//! hub.publish("sports", Event::data("2:1")).await?;
//!
//! let last = LastEventId::try_from(&*first.to_string())?;
//! let subscription = hub.subscribe(Subscribe::topic("news").with_last_event_id(Some(last)))?;
//! assert_eq!(subscription.resume_outcome(), ResumeOutcome::Resumed { missed: 1 });
//!
//! let mut body = subscription.into_body();
//! let chunk = body.next().await.unwrap()?;
//! let epoch = first.epoch;
//! assert_eq!(chunk, format!(": \n\nid: {epoch}-1\n\nid: {epoch}-2\ndata: two\n\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }.now_or_never().unwrap().unwrap();
//! ```
//!
//! # The parts
//!
//! | part | what it does |
//! |---|---|
//! | [`Hub`], [`HubOptions`] | publishes, and serves the clients |
//! | [`MemoryLog`], [`Log`], [`RetentionOptions`] | keep the events: in memory, or in a store of yours |
//! | [`Publishing`], [`PublishError`] | the outcome of a publish |
//! | [`Subscribe`], [`Subscription`], [`Rejection`] | what a client asks for, and what it gets |
//! | [`Disconnect`] | how the hub ends clients |
//! | [`HubStats`], [`ClientInfo`], [`TopicInfo`] | what there is, and what has happened |
//!
//! # What a client sees
//!
//! - The ID of an event is its [`Position`] in the log. Offsets count the events of all topics, so a client of some topics
//!   sees numbers missing.
//! - The stream starts with the client's position: a block with an ID alone, which is no event. A client that is cut off
//!   before its first event resumes from there. A gap event or a resume event has the ID instead.
//! - Where events are missing, the client receives an event of type [`GAP_EVENT_TYPE`]: see [`SlowConsumerPolicy`] and
//!   [`ResumeOutcome`].
//!
//! # Limits
//!
//! [`RetentionOptions`] bound the log in events, bytes and age. A client receives pages, as fast as it reads. A page has at
//! most 16 KiB if it is copied for one client, and at most 64 KiB if it is a part of the log or shared with others. A client
//! that does not read holds one page, and keeps up to 64 KiB of the log alive. Publishing waits for no client. A name has at
//! most [`MAX_NAME_LEN`] bytes, and a subscriber has at most [`MAX_NAMES`] names.

mod compaction;
mod disconnect;
mod epochs;
mod feeds;
mod hand_over;
mod history_page;
mod inner;
mod log;
mod memory_log;
mod new_event;
mod options;
mod page;
mod position;
mod publishing;
mod reading;
mod recent_events;
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
mod view;
mod waiters;

use std::fmt;
use std::sync::{Arc, MutexGuard};

use ssekit_core::IntoEvent;

use crate::body::DEFAULT_STALL_TIMEOUT;
use crate::close::AfterEnd;
use crate::drain::{DrainOptions, DrainReport, StreamGroup, jitter};
use crate::stream_control::StreamControl;

use inner::Inner;
use registry::Registry;
use state::State;

pub use disconnect::{DISCONNECT_EVENT_TYPE, Disconnect};
pub use hand_over::ImportError;
pub use log::{Log, LoggedEvent};
pub use memory_log::MemoryLog;
pub use new_event::NewEvent;
pub use options::{HubOptions, MAX_NAME_LEN, MAX_NAMES, RetentionOptions};
pub use position::{Position, PositionError};
pub use publishing::{PublishError, Publishing};
pub use recent_events::RecentEvents;
pub use registry::ClientInfo;
pub use rejection::{Rejection, RejectionReason, RetryStream};
pub use response::{HubBody, HubRequest, HubResponse};
pub use resume::{GAP_EVENT_TYPE, Gap, GapReason, RESUME_EVENT_TYPE, ResumeOutcome};
pub use stats::{HubStats, ResumeCounts, TopicInfo};
pub use subscribe::{EventMeta, SessionPolicy, SlowConsumerPolicy, StartFrom, Subscribe};
pub use subscription::Subscription;

/// A log of events by topic, and the clients that subscribe to it.
///
/// Clones are the same hub. The type does not depend on the log: see [`with_log`](Self::with_log) and the
/// [module](self).
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

impl Hub {
    /// Creates a hub with a new log in memory, which keeps what [`RetentionOptions::new`] says.
    ///
    /// Use [`with_log`](Self::with_log) and [`MemoryLog::new`] for other retention, or to hand the log over.
    pub fn new(options: HubOptions) -> Self {
        Self::with_log(MemoryLog::default(), options)
    }

    /// Creates a hub on a log: [`MemoryLog`], `RedisLog` of ssekit-redis, or a [`Log`] of yours.
    ///
    /// To call the log's own methods later, keep a clone of it, or an [`Arc`]. The log has one registry of clients: two hubs
    /// on the same log list and disconnect each other's clients.
    ///
    /// ```
    /// use ssekit_core::Event;
    /// use ssekit_server::hub::{Hub, HubOptions, MemoryLog, RetentionOptions};
    ///
    /// let log = MemoryLog::new(RetentionOptions::new().with_max_events(100));
    /// let hub = Hub::with_log(log.clone(), HubOptions::new());
    /// hub.publish("news", Event::data("one")).now()?;
    /// assert!(!log.is_sealed());
    /// # Ok::<(), ssekit_server::hub::PublishError>(())
    /// ```
    pub fn with_log(log: impl Log, options: HubOptions) -> Self {
        let recent = log.recent().clone();
        let streams = options.group.clone().unwrap_or_else(|| StreamGroup::with_name(&options.name));
        Self(Arc::new(Inner { recent, log: Arc::new(log), streams, options }))
    }

    /// Publishes an event to a topic. The outcome is its [`Position`], which is the event's ID.
    ///
    /// The event is encoded once, for all clients, and waits for none of them. Subscribers that wait for it are woken. Use
    /// `.await?`, or [`.now()?`](Publishing::now) with a log in memory.
    ///
    /// # Errors
    ///
    /// See [`PublishError`].
    pub fn publish(&self, topic: &str, event: impl IntoEvent) -> Publishing {
        self.publish_new(topic, None, event)
    }

    /// Publishes an event that is the newest state of `key` in this topic.
    ///
    /// [`SlowConsumerPolicy::Coalesce`] delivers the newest event of each key alone. See [`publish`](Self::publish).
    ///
    /// # Errors
    ///
    /// See [`PublishError`].
    pub fn publish_keyed(&self, topic: &str, key: &str, event: impl IntoEvent) -> Publishing {
        self.publish_new(topic, Some(key), event)
    }

    #[inline]
    fn publish_new(&self, topic: &str, key: Option<&str>, event: impl IntoEvent) -> Publishing {
        match event.into_event() {
            Ok(event) => self.0.log.publish(NewEvent { topic, key, event }),
            Err(error) => Publishing::done(Err(PublishError::Event(error.into()))),
        }
    }

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

    /// Accepts a subscriber. It is a client of the hub until its stream is over.
    ///
    /// # Errors
    ///
    /// [`Rejection`] if the hub is full, or the request is invalid.
    pub fn subscribe(&self, mut subscribe: Subscribe) -> Result<Subscription, Rejection> {
        let control = StreamControl::new(DEFAULT_STALL_TIMEOUT);
        let first_event_error = subscribe.first_event_error.clone();
        let (history, options) = (self.0.log.first(), &self.0.options);
        // The application's values in the request are dropped outside the lock, whether it is accepted or not.
        let mut state = self.state();
        let admitted = state.subscribe(&mut subscribe, &control, history, options);
        drop(state);
        let retry_after = options.retry_after;
        let reject = |reason| Rejection::new(reason, jitter(retry_after, retry_after), first_event_error);
        let admitted = admitted.map_err(reject)?;
        for old in &admitted.taken_over {
            disconnect::kick(old, &Disconnect::new().with_after_end(AfterEnd::Stop));
        }
        Ok(Subscription::new(&self.0, admitted, control))
    }

    /// Returns all clients, in the order in which they came.
    pub fn clients(&self) -> Vec<ClientInfo> {
        self.clients_after(0, usize::MAX)
    }

    /// Returns at most `max` clients with a number after `id`: one page of a long list.
    pub fn clients_after(&self, id: u64, max: usize) -> Vec<ClientInfo> {
        let state = self.state();
        state.registry.after(id).take(max).map(|client| state.info(client)).collect()
    }

    /// Returns the clients with this key.
    pub fn clients_of(&self, key: &str) -> Vec<ClientInfo> {
        let state = self.state();
        state.registry.of_key(key).map(|client| state.info(client)).collect()
    }

    /// Returns the position of the last event. Its offset is 0 if there was none.
    pub fn position(&self) -> Position {
        self.0.recent.last_position()
    }

    /// Returns the number of clients.
    pub fn len(&self) -> usize {
        self.state().registry.clients.len()
    }

    /// Returns whether there are no clients.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of clients with this key.
    pub fn count_of(&self, key: &str) -> usize {
        self.state().registry.count_of_key(key)
    }

    /// Returns the topics that have events or clients.
    pub fn topics(&self) -> Vec<TopicInfo> {
        self.state().topics()
    }

    /// Disconnects the client with this number. Returns whether there is one.
    pub fn disconnect(&self, client: u64, how: &Disconnect) -> bool {
        self.disconnect_all(how, |registry| {
            registry.find(client).map(|client| client.control.clone()).into_iter().collect()
        }) > 0
    }

    /// Disconnects all clients with this key. Returns how many there are.
    pub fn disconnect_key(&self, key: &str, how: &Disconnect) -> usize {
        self.disconnect_all(how, |registry| registry.of_key(key).map(|client| client.control.clone()).collect())
    }

    fn disconnect_all(&self, how: &Disconnect, find: impl FnOnce(&Registry) -> Vec<Arc<StreamControl>>) -> usize {
        let found = find(&self.state().registry);
        found.iter().for_each(|control| disconnect::kick(control, how));
        found.len()
    }

    /// Returns whether clients should be sent here: the log is [ready](Log::is_ready), and no drain has begun.
    pub fn is_ready(&self) -> bool {
        self.streams().is_ready() && self.0.log.is_ready()
    }

    /// Returns the group of all clients' streams.
    pub fn streams(&self) -> &StreamGroup {
        &self.0.streams
    }

    /// Drains all streams: see [`StreamGroup::drain`]. Each client first receives the events that wait for it.
    pub async fn drain(&self, options: DrainOptions) -> DrainReport {
        self.streams().drain(options).await
    }

    /// Returns what the hub has, and what it has done.
    pub fn stats(&self) -> HubStats {
        let mut state = self.state();
        let now = state.now();
        state.evict(now);
        state.stats(self.streams())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state()
    }
}

impl Default for Hub {
    fn default() -> Self {
        Self::new(HubOptions::new())
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("name", &self.0.options.name)
            .field("recent", &self.0.recent)
            .field("clients", &self.len())
            .finish_non_exhaustive()
    }
}
