//! The rules for further attempts: which failures have one, how many, and when.

use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use super::failure::Failure;

/// The rules by which a client tries again: after which failures, how often and after which delay.
///
/// The delay before an attempt is the reconnection time plus a random backoff ("full jitter"). The backoff lies between
/// zero and a bound that doubles with each failure in a row, up to a cap. So clients that lost their server together do
/// not return together, and no client returns before the time that the server asked for by `retry` or `Retry-After`.
///
/// A row of failures ends in two ways:
///
/// - The connection stayed open for long enough ([`with_healthy_after`](Self::with_healthy_after)). Silence that the idle
///   timeout ended does not count.
/// - The stream delivered events and ended between two events, as the server intended. The next attempt then has no
///   backoff if the server sent a `retry` field, and else the first backoff.
///
/// Source: WHATWG HTML, section 9.2.3: "Wait a delay equal to the reconnection time of the event source. Optionally, wait
/// some more. In particular, if the previous attempt failed, then user agents might introduce an exponential backoff delay
/// to avoid overloading a potentially already overloaded server."
///
/// ```
/// use std::time::Duration;
/// use ssekit_client::{Failure, RetryPolicy};
///
/// // Also retries statuses such as 503, and gives up after 5 retries in a row.
/// let policy = RetryPolicy::new()
///     .with_retry_if(Failure::is_transient)
///     .with_max_retries(5)
///     .with_backoff(Duration::from_millis(250), Duration::from_secs(10));
/// assert!(format!("{policy:?}").contains("max_retries: Some(5)"));
/// ```
#[derive(Clone)]
#[must_use]
pub struct RetryPolicy {
    retry_if: Arc<dyn Fn(&Failure) -> bool + Send + Sync>,
    max_retries: Option<u32>,
    reconnection_time: Duration,
    first_backoff: Duration,
    max_backoff: Duration,
    min_delay: Duration,
    max_server_delay: Option<Duration>,
    healthy_after: Duration,
}

impl RetryPolicy {
    /// Creates the policy of the standard: retries network errors and the end of the stream, without a limit.
    ///
    /// The reconnection time is 1 second. The backoff is up to 1 second at first, and up to 30 seconds later. A connection
    /// is healthy after 10 seconds. No delay is shorter than 100 milliseconds, whatever the server asks for.
    pub fn new() -> Self {
        Self {
            retry_if: Arc::new(Failure::is_network_error),
            max_retries: None,
            reconnection_time: Duration::from_secs(1),
            first_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(30),
            min_delay: Duration::from_millis(100),
            max_server_delay: None,
            healthy_after: Duration::from_secs(10),
        }
    }

    /// Creates a policy without retries: the first failure is final.
    pub fn never() -> Self {
        Self::new().with_max_retries(0)
    }

    /// Retries the failures for which `retry_if` returns true.
    ///
    /// Failures that another attempt cannot change are final without asking it, such as a redirect that is not followed.
    pub fn with_retry_if(mut self, retry_if: impl Fn(&Failure) -> bool + Send + Sync + 'static) -> Self {
        self.retry_if = Arc::new(retry_if);
        self
    }

    /// Limits the number of retries in a row. With 4, the fifth failure in a row is final.
    ///
    /// No limit by default.
    pub fn with_max_retries(mut self, retries: u32) -> Self {
        self.max_retries = Some(retries);
        self
    }

    /// Sets the reconnection time that holds until the server sends a `retry` field. 1 second by default.
    pub fn with_reconnection_time(mut self, time: Duration) -> Self {
        self.reconnection_time = time;
        self
    }

    /// Sets the bounds of the random backoff: up to `first` after one failure, doubled for each further one, up to `max`.
    ///
    /// 1 second and 30 seconds by default.
    pub fn with_backoff(mut self, first: Duration, max: Duration) -> Self {
        (self.first_backoff, self.max_backoff) = (first.min(max), max);
        self
    }

    /// Sets the shortest delay, so that `retry: 0` cannot make a client reconnect in a tight loop.
    ///
    /// 100 milliseconds by default.
    pub fn with_min_delay(mut self, time: Duration) -> Self {
        self.min_delay = time;
        self
    }

    /// Gives up when the server asks for a longer delay than this, by `retry` or `Retry-After`.
    ///
    /// By default the client waits as long as the server asks for.
    pub fn with_max_server_delay(mut self, time: Duration) -> Self {
        self.max_server_delay = Some(time);
        self
    }

    /// Sets the time after which an open connection is healthy, and ends a row of failures. 10 seconds by default.
    pub fn with_healthy_after(mut self, time: Duration) -> Self {
        self.healthy_after = time;
        self
    }

    pub(super) fn reconnection_time(&self) -> Duration {
        self.reconnection_time
    }

    pub(super) fn min_delay(&self) -> Duration {
        self.min_delay
    }

    /// Whether a connection that was open for this time is healthy.
    pub(super) fn is_healthy_after(&self, time: Duration) -> bool {
        time >= self.healthy_after
    }

    /// Whether another attempt follows this failure, the `n`th in a row.
    ///
    /// `server_delay` is the delay that the server asked for; zero when it asked for none.
    pub(super) fn is_retried(&self, failure: &Failure, n: u32, server_delay: Duration) -> bool {
        !failure.is_permanent()
            && self.max_retries.is_none_or(|max| n <= max)
            && self.max_server_delay.is_none_or(|max| server_delay <= max)
            && (self.retry_if)(failure)
    }

    /// Returns a random backoff after the `n`th failure in a row, counted from 1.
    pub(super) fn backoff(&self, n: u32, rng: &mut fastrand::Rng) -> Duration {
        let factor = 2_u32.checked_pow(n.saturating_sub(1)).unwrap_or(u32::MAX);
        let bound = self.first_backoff.saturating_mul(factor).min(self.max_backoff);
        Duration::from_nanos(rng.u64(..=u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RetryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryPolicy")
            .field("max_retries", &self.max_retries)
            .field("reconnection_time", &self.reconnection_time)
            .field("first_backoff", &self.first_backoff)
            .field("max_backoff", &self.max_backoff)
            .field("min_delay", &self.min_delay)
            .field("max_server_delay", &self.max_server_delay)
            .field("healthy_after", &self.healthy_after)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_is_uniform_below_a_bound_that_doubles_up_to_its_cap() {
        let policy = RetryPolicy::new();
        for (n, bound) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 30), (7, 30), (33, 30), (u32::MAX, 30)] {
            let mut rng = fastrand::Rng::with_seed(7);
            let bound = Duration::from_secs(bound);
            let (mut low, mut high) = (0, 0);
            for _ in 0..1000 {
                let backoff = policy.backoff(n, &mut rng);
                assert!(backoff <= bound, "{backoff:?} after {n} failures");
                low += usize::from(backoff < bound / 10);
                high += usize::from(backoff > bound / 10 * 9);
            }
            assert!(
                (60..140).contains(&low) && (60..140).contains(&high),
                "{low} and {high} of 1000 after {n} failures"
            );
        }
    }

    #[test]
    fn largest_and_smallest_bounds_do_not_overflow() {
        let policy = RetryPolicy::new().with_backoff(Duration::MAX, Duration::MAX);
        policy.backoff(u32::MAX, &mut fastrand::Rng::with_seed(7));
        let none = RetryPolicy::new().with_backoff(Duration::from_secs(1), Duration::ZERO);
        assert_eq!(none.backoff(3, &mut fastrand::Rng::with_seed(7)), Duration::ZERO);
    }
}
