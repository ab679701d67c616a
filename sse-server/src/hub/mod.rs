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
mod deadlines;
mod disconnect;
mod ending;
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

use ssekit_core::{BoxError, IntoEvent};

use crate::body::DEFAULT_STALL_TIMEOUT;
use crate::drain::{DrainOptions, DrainReport, StreamGroup, jitter};
use crate::stream_control::StreamControl;

use inner::Inner;
use registry::{Presence, Registry};
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
            Err(error) => unsendable(error),
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
        ending::wake_ending(&self.0.recent, &admitted.taken_over);
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
        let clients = state.registry.of_key(Presence::Present, key);
        clients.filter_map(|index| state.registry.clients.get(index)).map(|client| state.info(client)).collect()
    }

    /// Returns the position of the last event. Its offset is 0 if there was none.
    pub fn position(&self) -> Position {
        self.0.recent.last_position()
    }

    /// Returns the number of clients.
    pub fn len(&self) -> usize {
        self.state().registry.len()
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
        self.end_clients(how, |registry, presence| registry.find(presence, client).into_iter().collect()) > 0
    }

    /// Disconnects all clients with this key. Returns how many there are.
    pub fn disconnect_key(&self, key: &str, how: &Disconnect) -> usize {
        self.end_clients(how, |registry, presence| registry.of_key(presence, key).collect())
    }

    /// Disconnects all clients that subscribe to this topic by its name. Returns how many there are.
    ///
    /// A client that subscribes to a prefix of the topic is not disconnected.
    ///
    /// Cost: examines all clients under the hub's lock.
    pub fn disconnect_topic(&self, topic: &str, how: &Disconnect) -> usize {
        let Some(feed) = self.state().feeds.find_topic(topic) else { return 0 };
        self.end_clients(how, |registry, presence| registry.of_feed(presence, feed).collect())
    }

    /// Finishes a topic: no more events are published to it. Returns how many clients end.
    ///
    /// - A client whose topics are all finished receives the events that are already published, and then the mark that ends
    ///   an EventSource for good ([`AfterEnd::Stop`](crate::AfterEnd::Stop)). Its close reason is [`CloseReason::StreamEnd`](crate::CloseReason::StreamEnd). A client with another
    ///   topic or a prefix stays.
    /// - A later subscriber receives what it missed, and then the same mark.
    /// - Publishing to the topic fails with [`PublishError::Finished`].
    ///
    /// The log remembers finished topics as long as they have events or subscribers, and beyond that as many as
    /// [`RetentionOptions::with_max_idle_topics`](RetentionOptions::with_max_idle_topics) says. A topic that is
    /// forgotten is like a new one. [`MemoryLog::export`](MemoryLog::export) includes finished topics.
    ///
    /// With a log that several processes share, such as `RedisLog`, a topic is finished on this process only: call this on
    /// each of them. Events that another process publishes to it are still stored, and replayed to later subscribers.
    ///
    /// ```
    /// use futures_util::{FutureExt, StreamExt};
    /// use ssekit_core::Event;
    /// use ssekit_server::hub::{Hub, PublishError, StartFrom, Subscribe};
    ///
    /// # async {
    /// let hub = Hub::default();
    /// let last = hub.publish("build/7", Event::data("done")).await?;
    /// hub.finish_topic("build/7")?;
    /// assert!(matches!(hub.publish("build/7", Event::data("more")).await, Err(PublishError::Finished)));
    ///
    /// // A client that comes later.
    /// let subscribe = Subscribe::topic("build/7").with_start(StartFrom::Oldest);
    /// let events: Vec<_> = hub.subscribe(subscribe)?.map(|event| event.into_bytes()).collect().await;
    /// let expected = format!("id: {0}-0\n\nid: {last}\ndata: done\n\nid: ssekit:done\n\n", last.epoch);
    /// assert_eq!(events.concat(), expected.as_bytes());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }.now_or_never().unwrap().unwrap();
    /// ```
    ///
    /// Cost: examines all clients under the hub's lock.
    ///
    /// # Errors
    ///
    /// [`NameTooLong`](PublishError::NameTooLong), and [`Sealed`](PublishError::Sealed) if another process has the log.
    pub fn finish_topic(&self, topic: &str) -> Result<usize, PublishError> {
        let ended = self.state().finish_topic(topic)?;
        ending::wake_ending(&self.0.recent, &ended);
        Ok(ended.len())
    }

    /// Returns whether a topic is [finished](Self::finish_topic).
    pub fn is_finished(&self, topic: &str) -> bool {
        self.state().is_finished(topic)
    }

    /// Ends the clients that `select` finds among those that are present, or, for an immediate end, among all.
    fn end_clients(&self, how: &Disconnect, select: impl Fn(&Registry, Presence) -> Vec<usize>) -> usize {
        let mut state = self.state();
        let present = select(&state.registry, Presence::Present);
        let count = present.len();
        if !how.is_immediate {
            let ended = present.into_iter().filter_map(|index| state.end_client(index, how.request()));
            let ended: Vec<_> = ended.collect();
            drop(state);
            ending::wake_ending(&self.0.recent, &ended);
            return count;
        }
        let all = present.into_iter().chain(select(&state.registry, Presence::Ending));
        let control = |index| state.registry.clients.get(index).map(|client| client.control.clone());
        let controls: Vec<_> = all.filter_map(control).collect();
        drop(state);
        controls.iter().for_each(|control| disconnect::close_now(control, how.request()));
        controls.len()
    }

    /// Returns whether clients should be sent here: the log is [ready](Log::is_ready), and no drain has begun.
    pub fn is_ready(&self) -> bool {
        self.streams().is_ready() && self.0.log.is_ready()
    }

    /// Returns the group of all clients' streams.
    ///
    /// Pass it to `with_shutdown` of the server, or to `configure` and `serve` of actix-web: they drain it. From then on the hub
    /// is not [ready](Self::is_ready), and each client first receives the events that wait for it.
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
        state.stats(&self.0.options.name, self.streams())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state()
    }
}

/// Returns the outcome for a value that cannot be sent. It is not inlined, so that other publishes are cheaper.
#[cold]
fn unsendable(error: BoxError) -> Publishing {
    Publishing::done(Err(PublishError::Event(error.into())))
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
