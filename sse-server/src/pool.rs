//! A pool of buffers for chunks, one for each thread.
//!
//! A burst fills many chunks that go out together. Without the pool, each chunk would be a new allocation. The allocator
//! would return all of them to the system at once, and page faults in the next burst would cost as much as encoding.

use std::cell::RefCell;
use std::mem;

use bytes::Bytes;

/// The length of a buffer in bytes.
pub(crate) const LEN: usize = 16 * 1024;
/// The number of buffers that a thread keeps: as many as a server takes before it writes.
const KEPT: usize = 16;
/// A chunk that leaves more bytes of its buffer unused is copied. A slow client then does not hold a large buffer for a
/// small chunk.
const MOST_UNUSED: usize = LEN / 4 * 3;

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Returns a buffer of [`LEN`] bytes with arbitrary content.
pub(crate) fn take() -> Vec<u8> {
    let kept = POOL.try_with(|pool| pool.borrow_mut().pop());
    kept.ok().flatten().unwrap_or_else(|| vec![0; LEN])
}

/// Turns the first `len` bytes of a buffer into a chunk. The thread that drops the chunk keeps the buffer.
pub(crate) fn freeze(buffer: Vec<u8>, len: usize) -> Bytes {
    let filled = Filled { buffer, len };
    if LEN - len > MOST_UNUSED { Bytes::copy_from_slice(filled.as_ref()) } else { Bytes::from_owner(filled) }
}

struct Filled {
    buffer: Vec<u8>,
    len: usize,
}

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or_default()
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        let buffer = mem::take(&mut self.buffer);
        // A thread that is ending has no pool.
        let _ = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            if pool.len() < KEPT {
                pool.push(buffer);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_chunks_return_their_buffers_up_to_the_limit() {
        let count = || POOL.with_borrow(Vec::len);
        let chunks: Vec<_> = (0..2 * KEPT).map(|_| freeze(take(), LEN)).collect();
        assert_eq!(count(), 0);
        let clone = chunks[0].clone();
        drop(chunks);
        assert_eq!(count(), KEPT);
        drop(clone);
        assert_eq!(count(), KEPT);
        let buffers: Vec<_> = (0..KEPT + 1).map(|_| take()).collect();
        assert!(buffers.iter().all(|buffer| buffer.len() == LEN));
    }

    #[test]
    fn small_chunk_returns_its_buffer_at_once() {
        let mut buffer = take();
        buffer[..3].copy_from_slice(b"abc");
        let chunk = freeze(buffer, 3);
        assert_eq!((chunk, POOL.with_borrow(Vec::len)), (Bytes::from_static(b"abc"), 1));
    }
}
