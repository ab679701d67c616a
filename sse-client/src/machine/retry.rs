//! When to try again.

use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use super::failure::Failure;

/// Which failures are followed by another attempt, how many, and when.
///
/// The wait is the reconnection time, and upon it a backoff: a random time ("full jitter") of up to a bound that doubles
/// with each attempt in a row that has failed, up to a cap. So clients that have lost their server together do not come back
/// together, and none comes back sooner than the server has asked for by `retry` or `Retry-After`.
///
/// A connection that was open for a healthy while, less the silence that an idle timeout has ended, ends the row. So does a
/// stream that has had events and was closed in order, behind one of them: the server has meant it. Behind that there is no
/// backoff at all if the server has said by `retry` when to come back, and else the first one.
///
/// Source: WHATWG HTML, section 9.2.3: "Wait a delay equal to the reconnection time of the event source. Optionally, wait
/// some more. In particular, if the previous attempt failed, then user agents might introduce an exponential backoff delay
/// to avoid overloading a potentially already overloaded server."
///
/// ```
/// use std::time::Duration;
/// use ssekit_client::RetryPolicy;
/// use ssekit_client::machine::Failure;
///
/// // Also when the server says that it is overloaded, and no more than 5 times in a row.
/// let policy = RetryPolicy::new()
///     .with_retry_if(Failure::is_transient)
///     .with_max_retries(5)
///     .with_backoff(Duration::from_millis(250), Duration::from_secs(10));
/// # let _ = policy;
/// ```
#[derive(Clone)]
#[must_use]
pub struct RetryPolicy {
    retry_if: Arc<dyn Fn(&Failure) -> bool + Send + Sync>,
    max_retries: Option<u32>,
    reconnection_time: Duration,
    backoff: Duration,
    max_backoff: Duration,
    min_wait: Duration,
    max_wait: Option<Duration>,
    healthy_after: Duration,
}

impl RetryPolicy {
    /// As the standard has it: again after network errors and the end of the stream, without end, and after nothing else.
    /// A reconnection time of 1 second, a backoff of up to 1 second that doubles up to 30 seconds, and 10 seconds are a
    /// healthy while. No wait is below 100 milliseconds, whatever the server says.
    pub fn new() -> Self {
        Self {
            retry_if: Arc::new(Failure::is_network_error),
            max_retries: None,
            reconnection_time: Duration::from_secs(1),
            backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(30),
            min_wait: Duration::from_millis(100),
            max_wait: None,
            healthy_after: Duration::from_secs(10),
        }
    }

    /// No second attempt, ever.
    pub fn never() -> Self {
        Self::new().with_max_retries(0)
    }

    /// The same, for those failures that `retry_if` is true for. It is not asked about what another attempt cannot change:
    /// a redirect that is not followed, a request that cannot be made.
    pub fn with_retry_if(mut self, retry_if: impl Fn(&Failure) -> bool + Send + Sync + 'static) -> Self {
        self.retry_if = Arc::new(retry_if);
        self
    }

    /// The same, with at most so many attempts in a row behind one that has failed: with 4, the fifth failure in a row is the
    /// end.
    pub fn with_max_retries(mut self, retries: u32) -> Self {
        self.max_retries = Some(retries);
        self
    }

    /// The same, with this reconnection time until the server says otherwise by `retry`.
    pub fn with_reconnection_time(mut self, time: Duration) -> Self {
        self.reconnection_time = time;
        self
    }

    /// The same, with a backoff of up to `first` behind the first failure, doubled with each further one up to `max`.
    pub fn with_backoff(mut self, first: Duration, max: Duration) -> Self {
        (self.backoff, self.max_backoff) = (first.min(max), max);
        self
    }

    /// The same, with no wait below this, so that no server can have its client run in a circle by `retry: 0`.
    pub fn with_min_wait(mut self, time: Duration) -> Self {
        self.min_wait = time;
        self
    }

    /// The same, where there is no other attempt if the server asks for one no sooner than after more than this, by `retry` or
    /// `Retry-After`. Without it the server is waited for as long as it says.
    pub fn with_max_wait(mut self, time: Duration) -> Self {
        self.max_wait = Some(time);
        self
    }

    /// The same, where a connection that was open for so long has been healthy.
    pub fn with_healthy_after(mut self, time: Duration) -> Self {
        self.healthy_after = time;
        self
    }

    pub(super) fn reconnection_time(&self) -> Duration {
        self.reconnection_time
    }

    pub(super) fn min_wait(&self) -> Duration {
        self.min_wait
    }

    pub(super) fn is_healthy_after(&self, time: Duration) -> bool {
        time >= self.healthy_after
    }

    /// Whether there is another attempt behind this failure, the `n`th in a row, no sooner than the server has asked for.
    pub(super) fn retries(&self, failure: &Failure, n: u32, asked: Duration) -> bool {
        !failure.is_futile()
            && self.max_retries.is_none_or(|max| n <= max)
            && self.max_wait.is_none_or(|max| asked <= max)
            && (self.retry_if)(failure)
    }

    /// The backoff behind the `n`th failure in a row, counted from 1.
    pub(super) fn backoff(&self, n: u32, rng: &mut fastrand::Rng) -> Duration {
        let factor = 2_u32.checked_pow(n.saturating_sub(1)).unwrap_or(u32::MAX);
        let most = self.backoff.saturating_mul(factor).min(self.max_backoff);
        Duration::from_nanos(rng.u64(..=u64::try_from(most.as_nanos()).unwrap_or(u64::MAX)))
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
            .field("backoff", &self.backoff)
            .field("max_backoff", &self.max_backoff)
            .field("min_wait", &self.min_wait)
            .field("max_wait", &self.max_wait)
            .field("healthy_after", &self.healthy_after)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_is_anywhere_below_a_bound_that_doubles_up_to_its_cap() {
        let policy = RetryPolicy::new();
        for (n, most) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 30), (7, 30), (33, 30), (u32::MAX, 30)] {
            let mut rng = fastrand::Rng::with_seed(7);
            let most = Duration::from_secs(most);
            let (mut low, mut high) = (0, 0);
            for _ in 0..1000 {
                let backoff = policy.backoff(n, &mut rng);
                assert!(backoff <= most, "{backoff:?} behind {n} failures");
                low += usize::from(backoff < most / 10);
                high += usize::from(backoff > most / 10 * 9);
            }
            assert!((60..140).contains(&low) && (60..140).contains(&high), "{low} and {high} of 1000 behind {n}");
        }
    }

    #[test]
    fn no_bound_is_too_large() {
        let policy = RetryPolicy::new().with_backoff(Duration::MAX, Duration::MAX);
        policy.backoff(u32::MAX, &mut fastrand::Rng::with_seed(7));
        let none = RetryPolicy::new().with_backoff(Duration::from_secs(1), Duration::ZERO);
        assert_eq!(none.backoff(3, &mut fastrand::Rng::with_seed(7)), Duration::ZERO);
    }
}
