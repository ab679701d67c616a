//! Drives the client's machine from one connection to the next, with an allocator and without std.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;

use ssekit_client::machine::{Action, ClientMachine, Failure, NextStep, ResponseHead};

const SIZE: usize = 1 << 20;

/// Memory that is never freed.
struct Arena {
    memory: UnsafeCell<[u8; SIZE]>,
    used: AtomicUsize,
}

// SAFETY: each part of the memory belongs to one caller only.
unsafe impl Sync for Arena {}

// SAFETY: parts do not overlap, since `used` only grows, and are aligned as asked.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let base = self.memory.get() as usize;
        let mut at = 0;
        let result = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            at = (base + used).next_multiple_of(layout.align()) - base;
            at.checked_add(layout.size()).filter(|end| *end <= SIZE)
        });
        match result {
            // SAFETY: it is within the memory.
            Ok(_) => unsafe { self.memory.get().cast::<u8>().add(at) },
            Err(_) => null_mut(),
        }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static ARENA: Arena = Arena { memory: UnsafeCell::new([0; SIZE]), used: AtomicUsize::new(0) };

pub(crate) fn check() -> Option<()> {
    let mut machine = ClientMachine::new("https://localhost/a/b", 7).ok()?;
    let mut now = Duration::ZERO;
    let stream = ResponseHead::new(200).with_content_type(b"text/event-stream");

    expect(machine.next_action(now) == Action::SendRequest)?;
    machine.receive_head(now, ResponseHead::new(308).with_location(b"../c"));
    expect(machine.next_action(now) == Action::SendRequest && machine.request().url == "https://localhost/c")?;
    expect(machine.receive_head(now, stream))?;
    let mut chunk = &b"id: 7\ndata: hel"[..];
    machine.receive_chunk(chunk);
    expect(machine.next_event(&mut chunk) == Ok(None))?;
    let mut chunk = &b"lo\n\n"[..];
    machine.receive_chunk(chunk);
    expect(machine.next_event(&mut chunk).ok()??.data == "hello")?;

    machine.receive_end(now);
    let Action::ReportFailure(Failure::StreamEnd, NextStep::Retry { delay }) = machine.next_action(now) else {
        return None;
    };
    expect(machine.next_action(now) == Action::Wait { until: delay })?;
    now = delay;
    expect(machine.next_action(now) == Action::SendRequest)?;
    expect(machine.request().headers().any(|header| header == ("last-event-id", b"7")))
}

fn expect(what: bool) -> Option<()> {
    what.then_some(())
}
