//! What can be done to a stream from outside of its body.

use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::time::Duration;

use ssekit_core::EncodedEvent;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};

use crate::close::{CloseReason, Finish};

type OnClose = Box<dyn FnOnce(CloseReason) + Send>;

/// How a stream is to end.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    pub(crate) reason: CloseReason,
    /// What is sent last.
    pub(crate) tail: Vec<EncodedEvent>,
    /// Whether what the stream has ready goes out before.
    pub(crate) is_graceful: bool,
}

/// The part of a body that others hold too. It is also the waker of the body's timer, which so can see whether the body
/// is still asked for chunks.
pub(crate) struct Control {
    /// Whether there is something in `state` that the body has to look at.
    is_asked: AtomicBool,
    /// Whether the body's timer has run out since it was last looked at.
    has_fired: AtomicBool,
    /// Whether there may be something new for the stream of a hub.
    has_news: AtomicBool,
    /// When the server was handed a chunk and has not asked for another, in milliseconds since `made`, plus one. 0 when it
    /// has asked.
    starved_since: AtomicU64,
    /// When it was last handed one, likewise.
    #[cfg(feature = "hub")]
    last_write: AtomicU64,
    made: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The connection's.
    waker: Option<Waker>,
    over: Option<CloseReason>,
    rest: Box<Rest>,
}

/// What no event has to look at. In a box, so that what each does look at is on few cache lines.
#[derive(Default)]
struct Rest {
    ending: Option<Ending>,
    stall_timeout: Option<Duration>,
    finish: Finish,
    on_close: Vec<OnClose>,
    /// Called after all others.
    leave: Option<OnClose>,
}

impl Control {
    pub(crate) fn new(stall_timeout: Duration) -> Arc<Self> {
        Arc::new(Self {
            is_asked: AtomicBool::new(false),
            has_fired: AtomicBool::new(false),
            has_news: AtomicBool::new(false),
            starved_since: AtomicU64::new(0),
            #[cfg(feature = "hub")]
            last_write: AtomicU64::new(0),
            made: Instant::now(),
            state: Mutex::new(State {
                rest: Box::new(Rest { stall_timeout: Some(stall_timeout), ..Rest::default() }),
                ..State::default()
            }),
        })
    }

    pub(crate) fn set_stall_timeout(&self, timeout: Option<Duration>) {
        self.state().rest.stall_timeout = timeout;
    }

    pub(crate) fn stall_timeout(&self) -> Option<Duration> {
        self.state().rest.stall_timeout
    }

    pub(crate) fn set_finish(&self, finish: Finish) {
        self.state().rest.finish = finish;
    }

    pub(crate) fn finish(&self) -> Finish {
        self.state().rest.finish
    }

    /// Calls `callback` when the stream is over, or now if it is.
    pub(crate) fn on_close(&self, callback: OnClose) {
        let mut state = self.state();
        match state.over {
            None => {
                // Mostly there is one.
                if state.rest.on_close.capacity() == 0 {
                    state.rest.on_close.reserve_exact(1);
                }
                state.rest.on_close.push(callback);
            }
            Some(reason) => {
                drop(state);
                callback(reason);
            }
        }
    }

    /// The same, after all others; there is only one such.
    pub(crate) fn on_leave(&self, callback: OnClose) {
        let mut state = self.state();
        match state.over {
            None => state.rest.leave = Some(callback),
            // By a drain with no time to spare, just when it came in.
            Some(reason) => {
                drop(state);
                callback(reason);
            }
        }
    }

    /// Asks the body to end the stream. Of several such, the first is heard, unless one asks to be quick.
    pub(crate) fn end(&self, ending: Ending) {
        let mut state = self.state();
        if state.over.is_none() && (state.rest.ending.is_none() || !ending.is_graceful) {
            state.rest.ending = Some(ending);
            self.is_asked.store(true, Ordering::Release);
            let waker = state.waker.take();
            drop(state);
            waker.into_iter().for_each(Waker::wake);
        }
    }

    /// How the body has to end the stream, if it was asked to. A stream that is over already ends with nothing more.
    pub(crate) fn ending(&self) -> Option<Ending> {
        if !self.is_asked.load(Ordering::Acquire) {
            return None;
        }
        let state = self.state();
        let Some(reason) = state.over else { return state.rest.ending.clone() };
        let forced = state.rest.ending.as_ref().filter(|ending| !ending.is_graceful);
        Some(Ending { reason, tail: forced.map(|ending| ending.tail.clone()).unwrap_or_default(), is_graceful: false })
    }

    /// The body has nothing for now: whom to wake when it has to end, or has news. `false` if it has to already, or has
    /// some.
    pub(crate) fn wait(&self, waker: &Waker) -> bool {
        let mut state = self.state();
        if self.is_asked.load(Ordering::Relaxed) || self.has_news.load(Ordering::Relaxed) {
            return false;
        }
        match &mut state.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        true
    }

    /// There is something new for the stream, which is woken if it waits.
    ///
    /// No wake-up is lost: the flag is set and the waker taken under the lock under which [`wait`](Self::wait) looks at
    /// the one and leaves the other. Whichever comes second sees what the first has done.
    #[cfg(feature = "hub")]
    pub(crate) fn bring_news(&self) {
        let mut state = self.state();
        self.has_news.store(true, Ordering::Release);
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Whether there was something new since this was last asked.
    #[cfg(feature = "hub")]
    pub(crate) fn take_news(&self) -> bool {
        self.has_news.load(Ordering::Relaxed) && self.has_news.swap(false, Ordering::Acquire)
    }

    /// The body's timer has run out.
    pub(crate) fn fired(&self) {
        self.has_fired.store(true, Ordering::Release);
    }

    /// Whether it had, since this was last asked.
    pub(crate) fn take_fired(&self) -> bool {
        self.has_fired.load(Ordering::Relaxed) && self.has_fired.swap(false, Ordering::Acquire)
    }

    /// The server was handed a chunk.
    pub(crate) fn handed_over(&self, now: Instant) {
        let stamp = self.stamp(now);
        self.starved_since.store(stamp, Ordering::Relaxed);
        #[cfg(feature = "hub")]
        self.last_write.store(stamp, Ordering::Relaxed);
    }

    /// When the server was last handed a chunk.
    #[cfg(feature = "hub")]
    pub(crate) fn last_write(&self) -> Option<Instant> {
        let since = self.last_write.load(Ordering::Relaxed).checked_sub(1)?;
        self.made.checked_add(Duration::from_millis(since))
    }

    /// The server asks for more.
    pub(crate) fn fed(&self) {
        self.starved_since.store(0, Ordering::Relaxed);
    }

    /// The stream is over, as its body says. Only the first reason counts.
    pub(crate) fn close(&self, reason: CloseReason) {
        // The waker goes: it would keep the memory of the connection's task, for as long as there is a handle.
        drop(self.close_and_take_waker(reason));
    }

    /// The stream is over, as another says. A body that waits is woken to see it.
    pub(crate) fn close_from_outside(&self, reason: CloseReason) {
        self.close_and_take_waker(reason).into_iter().for_each(Waker::wake);
    }

    fn close_and_take_waker(&self, reason: CloseReason) -> Option<Waker> {
        let (on_close, leave, waker) = {
            let mut state = self.state();
            if state.over.is_some() {
                return None;
            }
            state.over = Some(reason);
            self.is_asked.store(true, Ordering::Release);
            (mem::take(&mut state.rest.on_close), state.rest.leave.take(), state.waker.take())
        };
        for callback in on_close.into_iter().chain(leave) {
            // One that panics is the application's, and has been reported by its hook. It must neither keep the others
            // from being called, nor end a drain, nor, in a drop amid another panic, the process.
            let _ = catch_unwind(AssertUnwindSafe(|| callback(reason)));
        }
        waker
    }

    pub(crate) fn over(&self) -> Option<CloseReason> {
        self.state().over
    }

    /// Why a body that was dropped amid its stream was: after the stall timeout it is the client's slowness, whatever the
    /// connection was then ended by.
    pub(crate) fn reason_of_drop(&self) -> CloseReason {
        match self.stalls_at() {
            Some(at) if at <= Instant::now() => CloseReason::SlowConsumer,
            _ => CloseReason::ClientGone,
        }
    }

    /// When it will have been handed no more chunks for the stall timeout.
    fn stalls_at(&self) -> Option<Instant> {
        let since = self.starved_since.load(Ordering::Relaxed).checked_sub(1)?;
        self.made.checked_add(Duration::from_millis(since))?.checked_add(self.stall_timeout()?)
    }

    fn stamp(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.made).as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Ends the stream when the stall timeout has run out, if the server has not asked for more by then.
    fn watch(self: &Arc<Self>) {
        let since = self.starved_since.load(Ordering::Relaxed);
        // The application's callbacks are not called from within the timer that has fired.
        if let (Some(at), Ok(runtime)) = (self.stalls_at(), Handle::try_current()) {
            let control = self.clone();
            runtime.spawn(async move {
                sleep_until(at).await;
                if control.starved_since.load(Ordering::Relaxed) == since {
                    control.close_from_outside(CloseReason::SlowConsumer);
                }
            });
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Control {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    /// The body's timer has fired. A server that is stuck with a chunk is woken too, but asks the body for nothing.
    fn wake_by_ref(self: &Arc<Self>) {
        self.fired();
        self.watch();
        let waker = self.state().waker.take();
        waker.into_iter().for_each(Waker::wake);
    }
}

/// A body's share: when it goes, the stream is over, if it is not already.
pub(crate) struct Guard {
    pub(crate) control: Arc<Control>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.control.close(self.control.reason_of_drop());
    }
}

/// An open stream, to be ended from elsewhere in the server: by an administrator, by a newer stream of the same user.
///
/// It keeps nothing alive. Two are equal if they are of the same stream.
///
/// ```
/// use futures_util::{FutureExt, StreamExt, stream};
/// use ssekit_core::{Event, EncodedEvent};
/// use ssekit_server::{CloseReason, EventBody, Finish};
///
/// # async {
/// let mut body = EventBody::new(stream::pending::<EncodedEvent>());
/// let handle = body.handle();
/// assert_eq!(body.next().await.unwrap().unwrap(), ": \n\n");
///
/// handle.kick(Finish::Reconnect);
/// assert!(body.next().await.is_none());
/// assert_eq!(handle.closed(), Some(CloseReason::Disconnected));
/// # }.now_or_never().unwrap();
/// ```
#[derive(Clone)]
pub struct StreamHandle(pub(crate) Arc<Control>);

impl StreamHandle {
    /// Ends the stream now, with nothing more of its events. With [`Finish::Done`], an EventSource does not come back.
    pub fn kick(&self, finish: Finish) {
        let tail = finish.frame().into_iter().collect();
        self.0.end(Ending { reason: CloseReason::Disconnected, tail, is_graceful: false });
    }

    /// Why it is over, if it is. Its callbacks may be being called.
    pub fn closed(&self) -> Option<CloseReason> {
        self.0.over()
    }

    /// Calls `callback` when the stream is over, or at once if it is. See [`EventBody::on_close`](crate::EventBody::on_close).
    pub fn on_close(&self, callback: impl FnOnce(CloseReason) + Send + 'static) {
        self.0.on_close(Box::new(callback));
    }
}

impl PartialEq for StreamHandle {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for StreamHandle {}

impl fmt::Debug for StreamHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamHandle").field("closed", &self.closed()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    #[cfg(feature = "hub")]
    use std::thread;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A drain at its deadline comes between the two steps by which a stream is taken in.
    #[test]
    fn a_stream_that_is_over_before_it_is_taken_in_leaves_at_once() {
        let (control, count) = (Control::new(Duration::from_secs(1)), Arc::<Count>::default());
        control.close_from_outside(CloseReason::Forced);
        let of_callback = count.clone();
        control.on_leave(Box::new(move |_| of_callback.wake()));
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    }

    /// Looks, when it is woken, whether there is what it was woken for.
    #[cfg(feature = "hub")]
    struct Looks(Arc<Control>, AtomicUsize);

    #[cfg(feature = "hub")]
    impl Wake for Looks {
        fn wake(self: Arc<Self>) {
            self.1.fetch_add(usize::from(self.0.take_news()), Ordering::Relaxed);
        }
    }

    #[cfg(feature = "hub")]
    #[test]
    fn news_are_there_before_who_waits_is_woken_and_nobody_waits_who_has_some() {
        let control = Control::new(Duration::from_secs(1));
        let looks = Arc::new(Looks(control.clone(), AtomicUsize::new(0)));
        let waker = Waker::from(looks.clone());
        assert!(control.wait(&waker));
        control.bring_news();
        assert_eq!(looks.1.load(Ordering::Relaxed), 1);
        control.bring_news();
        assert!(!control.wait(&waker), "they came just before");
        assert!(control.take_news() && control.wait(&waker));
    }

    /// A thread that sleeps until it is woken.
    #[cfg(feature = "hub")]
    struct Sleeper(thread::Thread, AtomicBool);

    #[cfg(feature = "hub")]
    impl Wake for Sleeper {
        fn wake(self: Arc<Self>) {
            self.1.store(true, Ordering::Release);
            self.0.unpark();
        }
    }

    /// The two are at it at the same time, again and again.
    #[cfg(feature = "hub")]
    #[test]
    fn no_news_are_missed_by_who_is_about_to_wait() {
        /// Only a failure takes this long.
        const SOON: Duration = Duration::from_secs(20);

        let control = Control::new(Duration::from_secs(1));
        let sleeper = Arc::new(Sleeper(thread::current(), AtomicBool::new(false)));
        let waker = Waker::from(sleeper.clone());
        let (brings, seen) = (control.clone(), Arc::new(AtomicUsize::new(0)));
        let is_seen = seen.clone();
        let other = thread::spawn(move || {
            for round in 0..100_000 {
                brings.bring_news();
                while is_seen.load(Ordering::Acquire) <= round {
                    thread::yield_now();
                }
            }
        });
        for round in 0..100_000 {
            while !control.take_news() {
                if control.wait(&waker) {
                    let deadline = Instant::now() + SOON;
                    while !sleeper.1.swap(false, Ordering::Acquire) {
                        thread::park_timeout(SOON);
                        assert!(Instant::now() < deadline, "nobody wakes it in round {round}");
                    }
                }
            }
            seen.store(round + 1, Ordering::Release);
        }
        other.join().unwrap();
    }

    /// It was asked for more just when it was found to have stalled.
    #[test]
    fn a_body_that_waits_is_woken_when_it_is_over() {
        let (control, count) = (Control::new(Duration::from_secs(1)), Arc::<Count>::default());
        assert!(control.wait(&Waker::from(count.clone())));
        control.close_from_outside(CloseReason::SlowConsumer);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(!control.wait(&Waker::from(count.clone())));
        assert_eq!(Arc::strong_count(&count), 1);
    }
}
