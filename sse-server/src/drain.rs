//! All open streams of a server, and their end when it shuts down.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slab::Slab;
use ssekit_core::{EncodedEvent, Event};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::close::CloseReason;
use crate::control::{Control, Ending, StreamHandle};
use crate::schedule::LONGEST;

/// The open streams of a server: counted, and ended when it shuts down.
///
/// A server with an open stream never finishes what it has to do, so that a graceful shutdown waits for it for ever.
/// [`drain`](Self::drain) ends them all, and tells their clients when to come back.
///
/// Clones are the same set. A body is put into it by [`EventBody::with_group`](crate::EventBody::with_group), and goes
/// by itself when it is over.
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
/// let options = DrainOptions::new().with_farewell(bye).with_retry(std::time::Duration::from_secs(2));
/// let report = streams.drain(options).await;
/// assert_eq!((report.open, report.drained, report.forced), (1, 1, 0));
/// let text = String::from_utf8(client.await?)?;
/// assert!(text.starts_with(": \n\ndata: bye\n\nretry: "));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct StreamGroup(Arc<Set>);

#[derive(Default)]
struct Set {
    state: Mutex<State>,
    /// Told when the last stream or the last connection goes.
    empty: Notify,
    connections: AtomicUsize,
    counts_connections: AtomicBool,
}

#[derive(Default)]
struct State {
    open: Slab<Member>,
    counts: [u64; CloseReason::ALL.len()],
    rejected: u64,
    /// Since the first drain.
    draining: Option<DrainOptions>,
}

/// A connection that counts as open as long as this is there; made by [`StreamGroup::connection`].
#[derive(Debug)]
#[must_use = "the connection is no longer counted when this is dropped"]
pub struct ConnectionGuard {
    set: StreamGroup,
    is_released: AtomicBool,
    carried: Mutex<Vec<StreamHandle>>,
}

struct Member {
    control: Arc<Control>,
    policy: DrainPolicy,
}

/// What becomes of a stream when the server shuts down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DrainPolicy {
    /// It ends, at a moment within the spread, behind what it has ready. For streams that a client resumes.
    #[default]
    Close,
    /// It may run to its own end for so long: an answer that is under way, and could not be had again.
    FinishThenClose {
        /// How long, counted from the start of the drain. Its deadline comes first.
        max: Duration,
    },
}

/// How a server's streams are to end.
#[derive(Clone, Debug)]
#[must_use]
pub struct DrainOptions {
    deadline: Duration,
    spread: Duration,
    retry: Duration,
    farewell: Option<EncodedEvent>,
}

impl DrainOptions {
    /// All at once; clients come back within 1 to 2 seconds; by force after 10.
    pub fn new() -> Self {
        Self {
            deadline: Duration::from_secs(10),
            spread: Duration::ZERO,
            retry: Duration::from_secs(1),
            farewell: None,
        }
    }

    /// The same, by force after so long.
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline.min(LONGEST);
        self
    }

    /// The same, with the ends spread at random over so long, so that not all clients come back at once.
    pub fn with_spread(mut self, spread: Duration) -> Self {
        self.spread = spread.min(LONGEST);
        self
    }

    /// The same, with clients told to wait for this reconnection time, or up to twice as long, at random.
    #[doc(alias = "reconnection_time")]
    pub fn with_retry(mut self, retry: Duration) -> Self {
        self.retry = retry.min(LONGEST);
        self
    }

    /// The same, with this as each stream's last event.
    pub fn with_farewell(mut self, farewell: impl Into<EncodedEvent>) -> Self {
        self.farewell = Some(farewell.into());
        self
    }

    /// After how long the rest ends by force.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// What a stream ends with.
    fn tail(&self) -> Vec<EncodedEvent> {
        let retry = Event::new().with_reconnection_time(jitter(self.retry, self.retry));
        self.farewell.clone().into_iter().chain([EncodedEvent::from(retry)]).collect()
    }
}

impl Default for DrainOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// How a drain went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// The streams that were open when it began.
    pub open: usize,
    /// Those of them that have ended by themselves: their clients went, or all was said.
    pub ended: usize,
    /// Those that were ended behind what they had ready, their clients told when to come back.
    pub drained: usize,
    /// Those that the deadline has ended. The connections of clients that do not read are open still.
    pub forced: usize,
    /// The streams that were asked for since the first drain began, whose clients were told to come back later.
    pub rejected: usize,
    /// How long it took.
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
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends all streams, and returns when they are over.
    ///
    /// From now on the set is no longer [ready](Self::is_ready), and a new stream is told to come back later: it is
    /// answered with 200, a `retry` and its end, with no farewell, since a 503 would make an EventSource give up for good.
    /// Keep on answering requests until the drain is over, unless another server takes them.
    ///
    /// Each stream ends at a random moment within the spread, behind what it has ready, with the farewell and a `retry`;
    /// what it waits for does not hold it up. One with [`DrainPolicy::FinishThenClose`] may end by itself before. At the
    /// deadline the rest end by force.
    ///
    /// The set stays as it is afterwards. Dropping the future leaves the streams that it has not ended yet.
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
            control.end(Ending { reason: CloseReason::Draining, tail: options.tail(), is_graceful: true });
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

    /// Whether new streams are taken: what a readiness probe wants to know.
    pub fn is_ready(&self) -> bool {
        self.state().draining.is_none()
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.state().open.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many have been closed for this reason yet.
    pub fn closed(&self, reason: CloseReason) -> u64 {
        self.state().counts[reason as usize]
    }

    /// Those that are open now.
    pub fn handles(&self) -> Vec<StreamHandle> {
        self.state().open.iter().map(|(_, member)| StreamHandle(member.control.clone())).collect()
    }

    /// Counts a connection of the server, with or without a stream on it, for as long as the guard is there. A server that
    /// shuts down has to wait for these too, so that what was written last is sent.
    pub fn connection(&self) -> ConnectionGuard {
        self.0.connections.fetch_add(1, Ordering::Relaxed);
        self.0.counts_connections.store(true, Ordering::Relaxed);
        ConnectionGuard { set: self.clone(), is_released: AtomicBool::new(false), carried: Mutex::default() }
    }

    /// How many connections are open, if the server counts them.
    pub fn connections(&self) -> usize {
        self.0.connections.load(Ordering::Acquire)
    }

    /// Whether the server counts its connections: whether there ever was one.
    pub fn counts_connections(&self) -> bool {
        self.0.counts_connections.load(Ordering::Relaxed)
    }

    /// Waits until no connection is open.
    pub async fn disconnected(&self) {
        loop {
            let emptied = self.0.empty.notified();
            if self.connections() == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// Takes a new stream in, or says what to answer it with instead.
    pub(crate) fn enter(&self, control: &Arc<Control>, policy: DrainPolicy) -> Result<(), Vec<EncodedEvent>> {
        let mut state = self.state();
        if let Some(draining) = &state.draining {
            let answer = DrainOptions { farewell: None, ..draining.clone() }.tail();
            state.rejected += 1;
            return Err(answer);
        }
        let key = state.open.insert(Member { control: control.clone(), policy });
        drop(state);
        let streams = self.clone();
        control.on_leave(Box::new(move |reason| streams.leave(key, reason)));
        Ok(())
    }

    fn leave(&self, key: usize, reason: CloseReason) {
        let mut state = self.state();
        // Its memory goes outside the lock.
        let member = state.open.try_remove(key);
        state.counts[reason as usize] += 1;
        let is_empty = state.open.is_empty();
        drop(state);
        drop(member);
        if is_empty {
            self.0.empty.notify_waiters();
        }
    }

    async fn emptied(&self) {
        loop {
            let emptied = self.0.empty.notified();
            if self.is_empty() {
                return;
            }
            emptied.await;
        }
    }

    /// The deadline has come. A body that is polled once more ends by it; the others' clients do not read.
    fn force(&self, options: &DrainOptions) {
        for StreamHandle(control) in self.handles() {
            control.end(Ending { reason: CloseReason::Forced, tail: options.tail(), is_graceful: false });
            control.close_from_outside(CloseReason::Forced);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionGuard {
    /// Takes a stream for one of this connection: when the guard goes, its client has gone. For a server that does not
    /// drop the bodies of a connection by itself.
    pub fn carry(&self, stream: StreamHandle) {
        let mut carried = self.carried.lock().unwrap_or_else(PoisonError::into_inner);
        // A connection may have one after the other, and is to hold no more than twice what is open.
        if carried.len() == carried.capacity() {
            carried.retain(|stream| stream.closed().is_none());
        }
        carried.push(stream);
    }

    /// No longer counts the connection: it stays open when the server shuts down, so that there is nothing to wait for.
    pub fn release(&self) {
        let was_counted = !self.is_released.swap(true, Ordering::Relaxed);
        if was_counted && self.set.0.connections.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.set.0.empty.notify_waiters();
        }
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        let carried = self.carried.get_mut().unwrap_or_else(PoisonError::into_inner);
        for StreamHandle(control) in carried.drain(..) {
            control.end(Ending { reason: CloseReason::ClientGone, tail: Vec::new(), is_graceful: false });
        }
        self.release();
    }
}

impl fmt::Debug for StreamGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("StreamGroup")
            .field("open", &state.open.len())
            .field("is_ready", &state.draining.is_none())
            .finish_non_exhaustive()
    }
}

/// At least `base`, and less than `by` more, at random.
pub(crate) fn jitter(base: Duration, by: Duration) -> Duration {
    base.saturating_add(by.mul_f64(fastrand::f64()))
}
