//! The wake-ups of one stream: three flags, and the waker of the task that polls the stream.
//!
//! | flag | set by | cleared by |
//! |---|---|---|
//! | `end_requested` | [`request_end`](Wakeups::request_end): an end was requested, or the stream is closed | never |
//! | `has_new_events` | [`notify_new_events`](Wakeups::notify_new_events): the hub published for this stream | the subscription, before it reads |
//! | `timer_fired` | [`set_timer_fired`](Wakeups::set_timer_fired): the body's timer ran out | the body, before it polls the timer |
//!
//! No wake-up is lost. A notifier sets its flag first and then takes the waker under the lock. The polling task stores its
//! waker under the same lock and checks the flags there. The second of the two to take the lock sees the changes of the first.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

#[derive(Default)]
pub(crate) struct Wakeups {
    end_requested: AtomicBool,
    has_new_events: AtomicBool,
    timer_fired: AtomicBool,
    /// The waker of the task that polls the stream, while that task waits.
    waker: Mutex<Option<Waker>>,
}

impl Wakeups {
    /// Stores the waker of a task that is about to wait. Returns `false`, and stores nothing, if the task has to look at
    /// the stream again: an end was requested, or there are new events.
    pub(crate) fn register(&self, waker: &Waker) -> bool {
        let mut stored = self.waker();
        if self.end_requested.load(Ordering::Relaxed) || self.has_new_events.load(Ordering::Relaxed) {
            return false;
        }
        match &mut *stored {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        true
    }

    /// Takes the waker, for the caller to wake or to drop outside of all locks.
    pub(crate) fn take_waker(&self) -> Option<Waker> {
        self.waker().take()
    }

    pub(crate) fn wake(&self) {
        self.take_waker().into_iter().for_each(Waker::wake);
    }

    /// Sets the flag that makes the body look for an end request. The caller wakes the task afterwards.
    pub(crate) fn request_end(&self) {
        self.end_requested.store(true, Ordering::Release);
    }

    #[inline]
    pub(crate) fn is_end_requested(&self) -> bool {
        self.end_requested.load(Ordering::Acquire)
    }

    /// Tells the stream of a hub that there may be new events, and wakes it.
    #[cfg(feature = "hub")]
    pub(crate) fn notify_new_events(&self) {
        let waker = {
            let mut stored = self.waker();
            self.has_new_events.store(true, Ordering::Release);
            stored.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    /// Clears the flag for new events, and returns whether it was set.
    #[cfg(feature = "hub")]
    #[inline]
    pub(crate) fn take_new_events(&self) -> bool {
        self.has_new_events.load(Ordering::Relaxed) && self.has_new_events.swap(false, Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn set_timer_fired(&self) {
        self.timer_fired.store(true, Ordering::Release);
    }

    /// Clears the flag of the timer, and returns whether it was set.
    #[inline]
    pub(crate) fn take_timer_fired(&self) -> bool {
        self.timer_fired.load(Ordering::Relaxed) && self.timer_fired.swap(false, Ordering::Acquire)
    }

    fn waker(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, feature = "hub"))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    /// Takes the flag for new events when it is woken, and counts how often the flag was set.
    struct TakesWhenWoken(Arc<Wakeups>, AtomicUsize);

    impl Wake for TakesWhenWoken {
        fn wake(self: Arc<Self>) {
            self.1.fetch_add(usize::from(self.0.take_new_events()), Ordering::Relaxed);
        }
    }

    #[test]
    fn flag_is_set_before_the_task_is_woken_and_keeps_it_from_waiting() {
        let wakeups = Arc::<Wakeups>::default();
        let task = Arc::new(TakesWhenWoken(wakeups.clone(), AtomicUsize::new(0)));
        let waker = Waker::from(task.clone());
        assert!(wakeups.register(&waker));
        wakeups.notify_new_events();
        assert_eq!(task.1.load(Ordering::Relaxed), 1);
        wakeups.notify_new_events();
        assert!(!wakeups.register(&waker), "new events came before the task waits");
        assert!(wakeups.take_new_events() && wakeups.register(&waker));
    }

    /// A thread that parks until it is woken.
    struct ParkedThread(thread::Thread, AtomicBool);

    impl Wake for ParkedThread {
        fn wake(self: Arc<Self>) {
            self.1.store(true, Ordering::Release);
            self.0.unpark();
        }
    }

    #[test]
    fn notification_concurrent_with_register_always_wakes_the_task() {
        /// Only a failure takes this long.
        const SOON: Duration = Duration::from_secs(20);

        let wakeups = Arc::<Wakeups>::default();
        let parked = Arc::new(ParkedThread(thread::current(), AtomicBool::new(false)));
        let waker = Waker::from(parked.clone());
        let (notifier, seen) = (wakeups.clone(), Arc::new(AtomicUsize::new(0)));
        let seen_by_main = seen.clone();
        let other = thread::spawn(move || {
            for round in 0..100_000 {
                notifier.notify_new_events();
                while seen_by_main.load(Ordering::Acquire) <= round {
                    thread::yield_now();
                }
            }
        });
        for round in 0..100_000 {
            while !wakeups.take_new_events() {
                if wakeups.register(&waker) {
                    let deadline = Instant::now() + SOON;
                    while !parked.1.swap(false, Ordering::Acquire) {
                        thread::park_timeout(SOON);
                        assert!(Instant::now() < deadline, "nobody woke the task in round {round}");
                    }
                }
            }
            seen.store(round + 1, Ordering::Release);
        }
        other.join().unwrap();
    }
}
