//! The settings of a body, made before it is sent.

use std::time::Duration;

use super::EventBody;
use crate::close::{AfterEnd, CloseReason};
use crate::drain::{DrainPolicy, StreamGroup, jitter as random};
use crate::keep_alive::KeepAlive;

impl<S> EventBody<S> {
    /// Sets the keep-alive (an empty comment every 15 seconds by default).
    ///
    /// If its event could not be encoded, the body fails when it is first polled.
    #[doc(alias = "keep_alive")]
    pub fn with_keep_alive(mut self, keep_alive: KeepAlive) -> Self {
        self.schedule.set_keep_alive(Some(keep_alive.interval()));
        let extras = self.extras();
        (extras.keep_alive, extras.keep_alive_error) = match keep_alive.into_event() {
            Ok(event) => (event, None),
            Err(error) => (None, Some(error)),
        };
        self
    }

    /// Sends no keep-alive. The server may then never notice that the client of an idle stream has gone.
    pub fn without_keep_alive(mut self) -> Self {
        self.schedule.set_keep_alive(None);
        self
    }

    /// Sends a `retry` line in the preamble: the time after which the client reconnects.
    #[doc(alias = "retry")]
    pub fn with_reconnection_time(mut self, time: Duration) -> Self {
        self.extras().reconnection_time = Some(time);
        self
    }

    /// Sets the most bytes of a chunk ([`DEFAULT_MAX_CHUNK`](crate::DEFAULT_MAX_CHUNK) by default, at most 16 MiB).
    ///
    /// A larger event is a chunk of its own. With 0, every event is a chunk of its own.
    pub fn with_max_chunk(mut self, bytes: usize) -> Self {
        self.batch.set_max(bytes);
        self
    }

    /// Ends the stream after `max`, or up to `jitter` earlier, at random (no limit by default).
    ///
    /// An EventSource then reconnects at once: to a server that was added, or with new credentials. The jitter spreads
    /// the ends of streams that opened together.
    pub fn with_max_lifetime(mut self, max: Duration, jitter: Duration) -> Self {
        self.schedule.set_lifetime(random(max.saturating_sub(jitter), jitter.min(max)));
        self
    }

    /// Ends the stream when the application had no event for this time (no limit by default).
    pub fn with_idle_timeout(mut self, timeout: Duration) -> Self {
        self.schedule.set_idle(timeout);
        self
    }

    /// Closes the stream as [`CloseReason::SlowConsumer`] when the client reads nothing for this time
    /// ([`DEFAULT_STALL_TIMEOUT`](crate::DEFAULT_STALL_TIMEOUT) by default).
    ///
    /// The time starts when the server has taken a chunk with an event and does not ask for another one, because its
    /// buffers and those of the kernel are full. A server that is stuck with a preamble or a keep-alive is noticed at the
    /// next keep-alive.
    ///
    /// The callbacks run and the senders of a channel see the end at once. The server decides when the connection closes;
    /// the socket option `TCP_USER_TIMEOUT` limits this time.
    pub fn with_stall_timeout(mut self, timeout: Duration) -> Self {
        self.schedule.set_stall(Some(timeout));
        self.guard.control.set_stall_timeout(Some(timeout));
        self
    }

    /// Never closes the stream because the client reads nothing.
    pub fn without_stall_timeout(mut self) -> Self {
        self.schedule.set_stall(None);
        self.guard.control.set_stall_timeout(None);
        self
    }

    /// Sets what the client does after the stream has ended by itself (it reconnects by default).
    pub fn with_after_end(self, after_end: AfterEnd) -> Self {
        self.guard.control.set_after_end(after_end);
        self
    }

    /// Puts the stream into a group, to be counted and drained with it.
    ///
    /// The stream joins the group when the body is first polled. During a drain of the group, the stream ends at once and
    /// tells its client when to reconnect.
    pub fn with_group(mut self, group: &StreamGroup) -> Self {
        self.extras().group = Some(group.clone());
        self
    }

    /// Sets how a drain treats the stream ([`DrainPolicy::Close`] by default).
    pub fn with_drain_policy(mut self, policy: DrainPolicy) -> Self {
        self.extras().drain_policy = policy;
        self
    }

    /// Calls `callback` once when the stream is over, with the reason. A stream may have several callbacks.
    ///
    /// The callback runs in whichever task ends the stream, most often that of the connection, so it must not block. A
    /// panic of the callback is caught.
    pub fn on_close(self, callback: impl FnOnce(CloseReason) + Send + 'static) -> Self {
        self.guard.control.on_close(Box::new(callback));
        self
    }
}
