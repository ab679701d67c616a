//! The open streams of a server, and how a drain ends them before a shutdown.

use std::collections::VecDeque;
use std::fmt;
#[cfg(feature = "metrics")]
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slab::Slab;
use ssekit_core::{EncodedEvent, Event};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::close::CloseReason;
#[cfg(feature = "metrics")]
use crate::metrics::StreamMetrics;
use crate::schedule::LONGEST;
use crate::stream_control::{EndRequest, StreamControl};
use crate::stream_handle::StreamHandle;

/// A group of streams that are counted together and drained together.
///
/// An open stream keeps a request open, so a graceful shutdown would wait for it forever. [`drain`](Self::drain) ends all
/// streams of the group, and tells their clients when to reconnect.
///
/// A clone is the same group. [`EventBody::with_group`](crate::EventBody::with_group) puts a body into a group. The stream
/// leaves the group when it is over.
///
/// ```
/// use futures_util::{StreamExt, stream};
/// use ssekit_core::{Event, EncodedEvent};
/// use ssekit_server::{DrainOptions, EventBody, StreamGroup};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
/// # runtime.block_on(async {
/// let streams = StreamGroup::new();
/// let mut body = EventBody::new(stream::pending::<EncodedEvent>()).with_group(&streams);
/// let client = tokio::spawn(async move {
///     let mut text = Vec::new();
///     while let Some(Ok(chunk)) = body.next().await {
///         text.extend_from_slice(&chunk);
///     }
///     text
/// });
/// tokio::task::yield_now().await;
///
/// let bye = Event::data("bye");
/// let options = DrainOptions::new().with_farewell(bye).with_reconnection_time(std::time::Duration::from_secs(2));
/// let report = streams.drain(options).await;
/// assert_eq!((report.open, report.drained, report.forced), (1, 1, 0));
/// let text = String::from_utf8(client.await?)?;
/// assert!(text.starts_with(": \n\ndata: bye\n\nretry: "));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct StreamGroup(Arc<Group>);

struct Group {
    name: Arc<str>,
    /// Registered when the first stream enters.
    #[cfg(feature = "metrics")]
    metrics: OnceLock<Arc<StreamMetrics>>,
    state: Mutex<State>,
    /// Notified when the last stream or the last connection goes.
    emptied: Notify,
    connections: AtomicUsize,
    counts_connections: AtomicBool,
}

#[derive(Default)]
struct State {
    open: Slab<Member>,
    counts: [u64; CloseReason::COUNT],
    rejected: u64,
    /// The options of the latest drain. `None` before the first drain.
    draining: Option<DrainOptions>,
}

/// Counts a connection as open until it is dropped; made by [`StreamGroup::connection`].
#[derive(Debug)]
#[must_use = "the connection is no longer counted when this is dropped"]
pub struct ConnectionGuard {
    group: StreamGroup,
    is_released: AtomicBool,
    carried: Mutex<Vec<StreamHandle>>,
}

struct Member {
    control: Arc<StreamControl>,
    policy: DrainPolicy,
}

/// How a drain treats a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DrainPolicy {
    /// Ends the stream at a random moment within the spread, after the events that it has ready.
    ///
    /// For streams that a client resumes.
    #[default]
    Close,
    /// Lets the stream run to its own end, for at most `max`.
    ///
    /// For an answer that is under way and that the client cannot get again.
    FinishThenClose {
        /// The time from the start of the drain. The [deadline](DrainOptions::with_deadline) of the drain applies too: raise
        /// it if `max` is longer.
        max: Duration,
    },
}

/// The settings of a drain.
#[derive(Clone, Debug)]
#[must_use]
pub struct DrainOptions {
    deadline: Duration,
    spread: Duration,
    reconnection_time: Duration,
    farewell: Option<EncodedEvent>,
}

impl DrainOptions {
    /// Ends all streams at once, with a deadline of 10 seconds and a reconnection time of 1 second.
    pub fn new() -> Self {
        Self {
            deadline: Duration::from_secs(10),
            spread: Duration::ZERO,
            reconnection_time: Duration::from_secs(1),
            farewell: None,
        }
    }

    /// Sets the time after which streams end by force (10 seconds by default, at most a year).
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline.min(LONGEST);
        self
    }

    /// Spreads the ends of the streams at random over this time (none by default, at most a year).
    ///
    /// The clients then do not reconnect all at once.
    pub fn with_spread(mut self, spread: Duration) -> Self {
        self.spread = spread.min(LONGEST);
        self
    }

    /// Sets the least reconnection time that clients are sent (1 second by default, at most a year).
    ///
    /// Each client is sent a random time between this one and twice this one.
    #[doc(alias = "retry")]
    pub fn with_reconnection_time(mut self, time: Duration) -> Self {
        self.reconnection_time = time.min(LONGEST);
        self
    }

    /// Sends this event as the last one of each stream.
    pub fn with_farewell(mut self, farewell: impl Into<EncodedEvent>) -> Self {
        self.farewell = Some(farewell.into());
        self
    }

    /// Returns the time after which streams end by force.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Returns the events that a drained stream ends with.
    fn last_events(&self) -> Vec<EncodedEvent> {
        let retry = Event::new().with_reconnection_time(jitter(self.reconnection_time, self.reconnection_time));
        self.farewell.clone().into_iter().chain([EncodedEvent::from(retry)]).collect()
    }
}

impl Default for DrainOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// The result of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct DrainReport {
    /// The number of streams that were open when the drain began.
    pub open: usize,
    /// The number of those streams that ended by themselves or were left by their clients.
    pub ended: usize,
    /// The number of streams that the drain ended after the events that they had ready.
    pub drained: usize,
    /// The number of streams that ended by force at the deadline.
    ///
    /// The connections of clients that do not read are still open.
    pub forced: usize,
    /// The number of streams that were opened since the first drain began, and whose clients were told to reconnect later.
    pub rejected: usize,
    /// The duration of the drain. Serialised in seconds.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::seconds::serialize"))]
    pub took: Duration,
}

impl fmt::Display for DrainReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { open, ended, drained, forced, rejected, took } = self;
        let s = if *open == 1 { "" } else { "s" };
        write!(f, "{open} stream{s} in {took:.1?}: ")?;
        write!(f, "{drained} drained, {ended} ended, {forced} forced; {rejected} rejected")
    }
}

impl StreamGroup {
    /// The name of a group that was given no name.
    pub(crate) const DEFAULT_NAME: &str = "default";

    /// Creates an empty group with the name `default`.
    pub fn new() -> Self {
        Self::with_name(Self::DEFAULT_NAME)
    }

    /// Creates an empty group with this name, which is the label `group` of its metrics (feature `metrics`).
    ///
    /// Streams without a group count as the group `default`.
    pub fn with_name(name: &str) -> Self {
        Self(Arc::new(Group {
            name: name.into(),
            #[cfg(feature = "metrics")]
            metrics: OnceLock::new(),
            state: Mutex::default(),
            emptied: Notify::new(),
            connections: AtomicUsize::new(0),
            counts_connections: AtomicBool::new(false),
        }))
    }

    /// Returns the name of the group.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn metrics(&self) -> Arc<StreamMetrics> {
        self.0.metrics.get_or_init(|| Arc::new(StreamMetrics::new(self.0.name.clone()))).clone()
    }

    /// Ends all streams of the group, and returns when they are over.
    ///
    /// - Each stream ends at a random moment within the spread, after the events that it has ready, with the farewell and a
    ///   `retry` line. A stream that waits for an event does not delay the drain.
    /// - A stream with [`DrainPolicy::FinishThenClose`] may run to its own end.
    /// - At the deadline all streams that are left end by force.
    /// - From now on the group is not [ready](Self::is_ready). A new stream is answered with status 200, a `retry` line
    ///   and its end, because an EventSource gives up for good at status 503. The server must answer requests until the
    ///   drain is over, unless another server takes them. A handler for other clients, such as a `fetch` with POST, asks
    ///   [`is_ready`](Self::is_ready) before it starts any work, and answers 503.
    ///
    /// The group does not become ready again. Dropping the future leaves the remaining streams open.
    #[expect(clippy::too_many_lines, reason = "the steps of a drain, in their order")]
    pub async fn drain(&self, options: DrainOptions) -> DrainReport {
        let start = Instant::now();
        let deadline = start + options.deadline;
        let (mut plan, before) = {
            let mut state = self.state();
            state.draining = Some(options.clone());
            let members = state.open.iter().map(|(_, member)| {
                let after = match member.policy {
                    DrainPolicy::Close => jitter(Duration::ZERO, options.spread),
                    DrainPolicy::FinishThenClose { max } => max.min(LONGEST),
                };
                (start + after, member.control.clone())
            });
            (members.collect::<Vec<_>>(), state.counts)
        };
        let open = plan.len();
        plan.sort_unstable_by_key(|(at, _)| *at);
        let mut plan = VecDeque::from(plan);
        while let Some((at, control)) = plan.pop_front().filter(|(at, _)| *at < deadline) {
            if at > start && timeout_at(at, self.emptied()).await.is_ok() {
                break;
            }
            control.request_end(EndRequest {
                reason: CloseReason::Draining,
                last_events: options.last_events(),
                is_graceful: true,
            });
        }
        if timeout_at(deadline, self.emptied()).await.is_err() {
            self.force(&options);
        }
        let state = self.state();
        let count = |reason| (state.counts[reason as usize] - before[reason as usize]) as usize;
        let (drained, forced) = (count(CloseReason::Draining), count(CloseReason::Forced));
        DrainReport {
            open,
            ended: open.saturating_sub(drained + forced),
            drained,
            forced,
            rejected: state.rejected as usize,
            took: start.elapsed(),
        }
    }

    /// Returns whether the group takes new streams, for a readiness probe. `false` since the first drain.
    pub fn is_ready(&self) -> bool {
        self.state().draining.is_none()
    }

    /// Returns the number of open streams.
    pub fn len(&self) -> usize {
        self.state().open.len()
    }

    /// Returns whether no stream is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of streams that were closed for this reason.
    pub fn closed_count(&self, reason: CloseReason) -> u64 {
        self.state().counts[reason as usize]
    }

    /// Returns a handle of each open stream.
    pub fn handles(&self) -> Vec<StreamHandle> {
        self.state().open.iter().map(|(_, member)| StreamHandle(member.control.clone())).collect()
    }

    /// Counts a connection of the server as open until the guard is dropped.
    ///
    /// A server that shuts down also waits for its connections, so that they send what was written last.
    pub fn connection(&self) -> ConnectionGuard {
        self.0.connections.fetch_add(1, Ordering::Relaxed);
        self.0.counts_connections.store(true, Ordering::Relaxed);
        ConnectionGuard { group: self.clone(), is_released: AtomicBool::new(false), carried: Mutex::default() }
    }

    /// Returns the number of open connections. 0 if the server does not count them.
    pub fn connections(&self) -> usize {
        self.0.connections.load(Ordering::Acquire)
    }

    /// Returns whether the server counts its connections, which is whether there was ever one.
    pub fn counts_connections(&self) -> bool {
        self.0.counts_connections.load(Ordering::Relaxed)
    }

    /// Waits until no connection is open.
    pub async fn connections_closed(&self) {
        loop {
            let emptied = self.0.emptied.notified();
            if self.connections() == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// Adds a new stream. During a drain, returns the events to answer it with instead.
    pub(crate) fn enter(&self, control: &Arc<StreamControl>, policy: DrainPolicy) -> Result<(), Vec<EncodedEvent>> {
        let mut state = self.state();
        if let Some(draining) = &state.draining {
            let answer = DrainOptions { farewell: None, ..draining.clone() }.last_events();
            state.rejected += 1;
            drop(state);
            #[cfg(feature = "metrics")]
            self.metrics().rejected();
            return Err(answer);
        }
        let key = state.open.insert(Member { control: control.clone(), policy });
        drop(state);
        let streams = self.clone();
        control.on_group_leave(Box::new(move |reason| streams.leave(key, reason)));
        Ok(())
    }

    fn leave(&self, key: usize, reason: CloseReason) {
        let mut state = self.state();
        // The memory of the stream is freed outside of the lock.
        let member = state.open.try_remove(key);
        state.counts[reason as usize] += 1;
        let is_empty = state.open.is_empty();
        drop(state);
        drop(member);
        if is_empty {
            self.0.emptied.notify_waiters();
        }
    }

    async fn emptied(&self) {
        loop {
            let emptied = self.0.emptied.notified();
            if self.is_empty() {
                return;
            }
            emptied.await;
        }
    }

    /// Ends all streams by force. A body that is polled once more sends its last events; other clients do not read.
    fn force(&self, options: &DrainOptions) {
        for StreamHandle(control) in self.handles() {
            control.request_end(EndRequest {
                reason: CloseReason::Forced,
                last_events: options.last_events(),
                is_graceful: false,
            });
            control.close_and_wake(CloseReason::Forced);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for StreamGroup {
    fn default() -> Self {
        Self::new()
    }
}

impl ConnectionGuard {
    /// Ends `stream` as [`CloseReason::ClientGone`] when the guard is dropped.
    ///
    /// For a server that does not drop the bodies of a closed connection by itself.
    pub fn carry(&self, stream: StreamHandle) {
        let mut carried = self.carried.lock().unwrap_or_else(PoisonError::into_inner);
        // A connection may carry many streams in turn. It holds at most twice as many handles as streams are open.
        if carried.len() == carried.capacity() {
            carried.retain(|stream| stream.close_reason().is_none());
        }
        carried.push(stream);
    }

    /// Stops counting the connection. For a connection that stays open when the server shuts down.
    pub fn release(&self) {
        let was_counted = !self.is_released.swap(true, Ordering::Relaxed);
        if was_counted && self.group.0.connections.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.group.0.emptied.notify_waiters();
        }
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        let carried = self.carried.get_mut().unwrap_or_else(PoisonError::into_inner);
        for StreamHandle(control) in carried.drain(..) {
            control.request_end(EndRequest {
                reason: CloseReason::ClientGone,
                last_events: Vec::new(),
                is_graceful: false,
            });
        }
        self.release();
    }
}

impl fmt::Debug for StreamGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("StreamGroup")
            .field("name", &self.0.name)
            .field("open", &state.open.len())
            .field("is_ready", &state.draining.is_none())
            .finish_non_exhaustive()
    }
}

/// Returns a random time `t` with `base <= t < base + by`.
pub(crate) fn jitter(base: Duration, by: Duration) -> Duration {
    base.saturating_add(by.mul_f64(fastrand::f64()))
}
