//! What a server's connections are told: to finish, to stop.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;
use tokio::sync::Notify;

use crate::drain::ConnectionGuard;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Order {
    Go,
    /// What is under way is finished.
    Finish,
    Stop,
}

/// The connections of a server.
#[derive(Default)]
pub(crate) struct Links {
    order: AtomicU8,
    /// In milliseconds.
    first_word: AtomicU64,
    open: Mutex<Slab<Arc<Link>>>,
    /// Told when the last connection goes.
    emptied: Notify,
}

/// A connection's end of it.
#[derive(Default)]
pub(crate) struct Link {
    is_cut: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

/// A connection's share: it counts as open as long as this is there.
pub(crate) struct Linked {
    links: Arc<Links>,
    pub(crate) link: Arc<Link>,
    key: usize,
    _guard: ConnectionGuard,
}

impl Links {
    pub(crate) fn add(self: &Arc<Self>, guard: ConnectionGuard) -> Linked {
        let link = Arc::<Link>::default();
        let key = self.open().insert(link.clone());
        Linked { links: self.clone(), link, key, _guard: guard }
    }

    pub(crate) fn tell(&self, order: Order) {
        self.order.store(order as u8, Ordering::Release);
        let links: Vec<_> = self.open().iter().map(|(_, link)| link.clone()).collect();
        links.iter().for_each(|link| link.wake());
    }

    /// When they are to finish, one that has said nothing yet has so long to begin.
    pub(crate) fn wait_for_first_word(&self, time: Duration) {
        self.first_word.store(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Waits until no connection is open.
    pub(crate) async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.open().is_empty() {
                return;
            }
            emptied.await;
        }
    }

    fn order(&self) -> Order {
        match self.order.load(Ordering::Acquire) {
            0 => Order::Go,
            1 => Order::Finish,
            _ => Order::Stop,
        }
    }

    fn open(&self) -> MutexGuard<'_, Slab<Arc<Link>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    /// Ends the connection, whatever it does.
    pub(crate) fn cut(&self) {
        self.is_cut.store(true, Ordering::Release);
        self.wake();
    }

    fn wake(&self) {
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        waker.into_iter().for_each(Waker::wake);
    }
}

impl Linked {
    /// What the connection has to do; it is woken when that changes.
    pub(crate) fn order(&self, cx: &mut Context<'_>) -> Order {
        match &mut *self.link.waker.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        if self.link.is_cut.load(Ordering::Acquire) { Order::Stop } else { self.links.order() }
    }

    pub(crate) fn first_word(&self) -> Duration {
        Duration::from_millis(self.links.first_word.load(Ordering::Relaxed))
    }

    /// Waits for this order, or a stricter one.
    pub(crate) async fn told(&self, order: Order) {
        poll_fn(|cx| if self.order(cx) < order { Poll::Pending } else { Poll::Ready(()) }).await;
    }
}

impl Drop for Linked {
    fn drop(&mut self) {
        let (link, is_empty) = {
            let mut open = self.links.open();
            (open.try_remove(self.key), open.is_empty())
        };
        drop(link);
        if is_empty {
            self.links.emptied.notify_waiters();
        }
    }
}
