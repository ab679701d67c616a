//! Buffers for chunks, used again and again.
//!
//! A burst fills many chunks that go out together. Were each a new allocation, all of them would be given back to the
//! system at once and faulted in anew for the next burst, which costs as much as encoding the events.

use std::cell::RefCell;
use std::mem;

use bytes::Bytes;

/// How long a buffer is.
pub(crate) const LEN: usize = 16 * 1024;
/// How many a thread keeps: as many as a server takes before it writes.
const KEPT: usize = 16;
/// A chunk that would leave more than this much of its buffer unused is copied out of it, so that a client which reads
/// slowly does not hold a great deal of memory for little.
const MOST_UNUSED: usize = LEN / 4 * 3;

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer of [`LEN`] bytes, of any content.
pub(crate) fn take() -> Vec<u8> {
    let kept = POOL.try_with(|pool| pool.borrow_mut().pop());
    kept.ok().flatten().unwrap_or_else(|| vec![0; LEN])
}

/// Its first `len` bytes, as a chunk. The buffer comes back when that is dropped, to the thread that does it.
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
        // A thread that ends has no pool any more.
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
    fn buffers_come_back_within_the_bound() {
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
    fn a_small_chunk_does_not_keep_its_buffer() {
        let mut buffer = take();
        buffer[..3].copy_from_slice(b"abc");
        let chunk = freeze(buffer, 3);
        assert_eq!((chunk, POOL.with_borrow(Vec::len)), (Bytes::from_static(b"abc"), 1));
    }
}
