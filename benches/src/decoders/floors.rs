//! What any decoder has to do at least, by the fastest there is for it.

use std::hint::black_box;
use std::str;

use bytes::Bytes;

use crate::workloads::Workload;

/// Less than decoding.
pub struct Floor {
    pub name: &'static str,
    /// Gives the number that `expected` gives, from the bytes. The buffer is the same every time.
    pub run: fn(&Workload, &[Bytes], &mut Vec<u8>) -> usize,
    expected: fn(&Workload) -> usize,
}

pub const FLOORS: [Floor; 3] = [
    Floor { name: "memcpy", run: copy, expected: len },
    Floor { name: "memchr-lf", run: find_lines, expected: lines },
    Floor { name: "from-utf8", run: validate, expected: len },
];

impl Floor {
    /// Panics unless all of the work was done.
    pub fn check(&self, workload: &Workload, chunk_size: usize) {
        let done = (self.run)(workload, &workload.chunks(chunk_size), &mut Vec::new());
        assert_eq!(done, (self.expected)(workload), "{} on {} in chunks of {chunk_size}", self.name, workload.name);
    }
}

fn len(workload: &Workload) -> usize {
    workload.stream.len()
}

fn lines(workload: &Workload) -> usize {
    workload.stream.iter().filter(|&&byte| byte == b'\n').count()
}

/// Every chunk into the same buffer.
fn copy(_: &Workload, chunks: &[Bytes], buffer: &mut Vec<u8>) -> usize {
    let mut copied = 0;
    for chunk in chunks {
        buffer.clear();
        buffer.extend_from_slice(chunk);
        copied += black_box(&*buffer).len();
    }
    copied
}

/// One search for each line, as a decoder needs it.
fn find_lines(_: &Workload, chunks: &[Bytes], _: &mut Vec<u8>) -> usize {
    let mut found = 0;
    for chunk in chunks {
        let mut rest = &chunk[..];
        while let Some(end) = memchr::memchr(b'\n', rest) {
            rest = black_box(&rest[end + 1..]);
            found += 1;
        }
    }
    found
}

/// The stream as one, whatever the chunks are.
fn validate(workload: &Workload, _: &[Bytes], _: &mut Vec<u8>) -> usize {
    str::from_utf8(&workload.stream).map_or(0, str::len)
}
