//! The open connections of a server, and how a shutdown reaches them.
//!
//! A drain ends *streams* first. Then the server ends its *connections* in two stages:
//!
//! | stage | a connection |
//! |---|---|
//! | [`Running`](ShutdownStage::Running) | serves requests |
//! | [`Finishing`](ShutdownStage::Finishing) | finishes the requests that it has read, then closes |
//! | [`Stopping`](ShutdownStage::Stopping) | closes at once |
//!
//! Stages only advance. A connection can also be [aborted](Abort) by itself, whatever the stage of the server.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;
use tokio::sync::Notify;

use crate::drain::ConnectionGuard;

/// How far the shutdown of a server has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ShutdownStage {
    Running,
    Finishing,
    Stopping,
}

/// All open connections of a server.
#[derive(Default)]
pub(crate) struct Connections {
    stage: AtomicU8,
    /// The milliseconds in which a connection must send its first byte once the server is finishing.
    first_byte_timeout: AtomicU64,
    open: Mutex<Slab<Arc<Abort>>>,
    /// Notified when the last connection closes.
    all_closed: Notify,
}

/// Ends one connection from outside of its task.
#[derive(Default)]
pub(crate) struct Abort {
    is_aborted: AtomicBool,
    /// The waker of the connection's task.
    waker: Mutex<Option<Waker>>,
}

/// One open connection. It counts as open until this is dropped.
pub(crate) struct OpenConnection {
    connections: Arc<Connections>,
    pub(crate) abort: Arc<Abort>,
    key: usize,
    _guard: ConnectionGuard,
}

impl Connections {
    pub(crate) fn add(self: &Arc<Self>, guard: ConnectionGuard) -> OpenConnection {
        let abort = Arc::<Abort>::default();
        let key = self.open().insert(abort.clone());
        OpenConnection { connections: self.clone(), abort, key, _guard: guard }
    }

    /// Advances to this stage, and wakes every connection.
    pub(crate) fn advance(&self, stage: ShutdownStage) {
        self.stage.store(stage as u8, Ordering::Release);
        let open: Vec<_> = self.open().iter().map(|(_, abort)| abort.clone()).collect();
        open.iter().for_each(|abort| abort.wake());
    }

    /// Sets how long a connection may take to send its first byte once the server is finishing.
    pub(crate) fn set_first_byte_timeout(&self, time: Duration) {
        self.first_byte_timeout.store(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Waits until no connection is open.
    pub(crate) async fn all_closed(&self) {
        loop {
            let all_closed = self.all_closed.notified();
            if self.open().is_empty() {
                return;
            }
            all_closed.await;
        }
    }

    fn stage(&self) -> ShutdownStage {
        match self.stage.load(Ordering::Acquire) {
            0 => ShutdownStage::Running,
            1 => ShutdownStage::Finishing,
            _ => ShutdownStage::Stopping,
        }
    }

    fn open(&self) -> MutexGuard<'_, Slab<Arc<Abort>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Abort {
    /// Closes the connection at once.
    pub(crate) fn abort(&self) {
        self.is_aborted.store(true, Ordering::Release);
        self.wake();
    }

    fn wake(&self) {
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        waker.into_iter().for_each(Waker::wake);
    }
}

impl OpenConnection {
    /// Returns the stage that applies to this connection, and wakes the task when the stage changes.
    pub(crate) fn poll_stage(&self, cx: &mut Context<'_>) -> ShutdownStage {
        match &mut *self.abort.waker.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        if self.abort.is_aborted.load(Ordering::Acquire) { ShutdownStage::Stopping } else { self.connections.stage() }
    }

    pub(crate) fn first_byte_timeout(&self) -> Duration {
        Duration::from_millis(self.connections.first_byte_timeout.load(Ordering::Relaxed))
    }

    /// Waits until this stage or a later one is reached.
    pub(crate) async fn reached(&self, stage: ShutdownStage) {
        poll_fn(|cx| if self.poll_stage(cx) < stage { Poll::Pending } else { Poll::Ready(()) }).await;
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let (abort, is_empty) = {
            let mut open = self.connections.open();
            (open.try_remove(self.key), open.is_empty())
        };
        // Outside of the lock.
        drop(abort);
        if is_empty {
            self.connections.all_closed.notify_waiters();
        }
    }
}
