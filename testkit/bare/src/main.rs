//! A program with no std and no allocator that encodes events, decodes them again in chunks of every size, and says
//! whether they are the same.
//!
//! It defines its own panic handler and no allocator: if anything in ssekit-core needed one, it would not link. With the
//! feature `client` it has an allocator and no std, and drives the client's machine. That
//! takes `unsafe`, which is why this is the one package where it is not forbidden.

#![no_std]
#![no_main]

#[cfg(feature = "client")]
mod client;

use core::ffi::{c_int, c_void};
use core::fmt::Write;
use core::panic::PanicInfo;
use core::time::Duration;

use ssekit_core::{Event, EventWriter, FixedDecoder, SliceDecoder, SliceWriter, event_id, event_type};

unsafe extern "C" {
    fn write(file: c_int, bytes: *const c_void, len: usize) -> isize;
    fn abort() -> !;
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: it takes nothing and does not return.
    unsafe { abort() }
}

fn say(text: &str) {
    // SAFETY: the bytes are valid for reads of that length.
    unsafe { write(1, text.as_ptr().cast(), text.len()) };
}

#[unsafe(no_mangle)]
extern "C" fn main() -> c_int {
    match check() {
        Some(()) => {
            say("encoded and decoded with no std and no allocator\n");
            #[cfg(feature = "client")]
            if client::check().is_none() {
                say("the client's machine does not do what it should\n");
                return 1;
            }
            #[cfg(feature = "client")]
            say("and was a client with no std\n");
            0
        }
        None => {
            say("decoded is not what was encoded\n");
            1
        }
    }
}

fn check() -> Option<()> {
    let mut wire = [0; 512];
    let event = Event::data("two\r\nlines")
        .with_event_type(event_type!("note"))
        .with_id(event_id!("7"))
        .with_comment("hello")
        .with_reconnection_time(Duration::from_secs(3));
    let first = event.encode_to_slice(&mut wire).ok()?;
    let mut writer = EventWriter::new(SliceWriter::new(&mut wire[first..]), &Event::new()).ok()?;
    write!(writer, "{} pieces", 2).ok()?;
    let len = first + writer.finish().ok()?.written().len();

    for size in 1..=len {
        let mut fixed = FixedDecoder::<64, 16>::new();
        let (mut data, mut meta) = ([0; 64], [0; 64]);
        let mut slice = SliceDecoder::from_slices(&mut data, &mut meta);
        let (mut seen_fixed, mut seen_slice) = (0, 0);
        for chunk in wire[..len].chunks(size) {
            let mut rest = chunk;
            while let Some(event) = fixed.next_event(&mut rest).ok()? {
                is_expected(seen_fixed, event.event_type, event.data, event.last_event_id)?;
                seen_fixed += 1;
            }
            let mut rest = chunk;
            while let Some(event) = slice.next_event(&mut rest).ok()? {
                is_expected(seen_slice, event.event_type, event.data, event.last_event_id)?;
                seen_slice += 1;
            }
        }
        if (seen_fixed, seen_slice) != (2, 2) || fixed.reconnection_time() != Some(Duration::from_secs(3)) {
            return None;
        }
    }
    Some(())
}

fn is_expected(n: usize, event_type: &str, data: &str, last_event_id: &str) -> Option<()> {
    let expected = [("note", "two\nlines", "7"), ("message", "2 pieces", "7")];
    (expected.get(n) == Some(&(event_type, data, last_event_id))).then_some(())
}
