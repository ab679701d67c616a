//! Decodes one event with a data line of so many MiB, in chunks of 64 bytes, for `tests/linear.rs` to count what it
//! takes.

use std::process::ExitCode;

use ssekit_core::{Decoder, Limits};

/// How many instructions a search takes depends on where its chunk lies, and that on the length of the arguments.
#[repr(align(64))]
struct Chunk([u8; 64]);

fn main() -> ExitCode {
    let mebibytes = std::env::args().nth(1).and_then(|n| n.parse::<usize>().ok()).unwrap_or(1);
    let chunks = (mebibytes << 20) / 64;
    let mut decoder = Decoder::with_limits(Limits::NONE);
    let chunk = Chunk([b'x'; 64]);
    let (head, tail) = (&b"data: "[..], &b"\n\n"[..]);
    let stream = [head].into_iter().chain(std::iter::repeat_n(&chunk.0[..], chunks)).chain([tail]);
    let mut len = 0;
    for mut chunk in stream {
        while let Ok(Some(event)) = decoder.next_event(&mut chunk) {
            len += event.data.len();
        }
    }
    if len == mebibytes << 20 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
