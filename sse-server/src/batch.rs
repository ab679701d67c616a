//! All frames that are ready, as one chunk within a bound.

use std::mem;

use bytes::{Bytes, BytesMut};

/// Gathers frames into chunks of at most `max` bytes; a frame larger than that is a chunk of its own.
///
/// A lone frame passes as it is, shared; only where several are ready at once are they copied, into one chunk that costs
/// one write.
#[derive(Debug)]
pub(crate) struct Batch {
    max: usize,
    /// The only frame so far.
    lone: Option<Bytes>,
    /// All frames so far, when there are several.
    joined: BytesMut,
    /// A frame that did not fit: the next chunk's first.
    next: Option<Bytes>,
}

impl Batch {
    pub(crate) fn new(max: usize) -> Self {
        let mut batch = Self { max: 0, lone: None, joined: BytesMut::new(), next: None };
        batch.set_max(max);
        batch
    }

    /// At least one byte, so that an empty batch is not full.
    pub(crate) fn set_max(&mut self, max: usize) {
        self.max = max.max(1);
    }

    /// Adds a frame. To be called only while not [`is_full`](Self::is_full).
    pub(crate) fn push(&mut self, frame: Bytes) {
        let len = self.len();
        if len == 0 {
            self.lone = Some(frame);
        } else if len.saturating_add(frame.len()) > self.max {
            self.next = Some(frame);
        } else {
            if let Some(first) = self.lone.take() {
                // For as much as is usual, that it need not grow frame by frame.
                self.joined.reserve((4 * (first.len() + frame.len())).min(self.max));
                self.joined.extend_from_slice(&first);
            }
            self.joined.extend_from_slice(&frame);
        }
    }

    /// Whether the chunk is to go out before another frame is asked for.
    pub(crate) fn is_full(&self) -> bool {
        self.next.is_some() || self.len() >= self.max
    }

    /// The chunk, if there is anything in it.
    pub(crate) fn take(&mut self) -> Option<Bytes> {
        let chunk = match self.lone.take() {
            Some(lone) => Some(lone),
            None if self.joined.is_empty() => None,
            // Its memory goes with it: an idle connection holds none.
            None => Some(mem::take(&mut self.joined).freeze()),
        };
        self.lone = self.next.take();
        chunk
    }

    fn len(&self) -> usize {
        self.lone.as_ref().map_or(self.joined.len(), Bytes::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(max: usize, frames: &[&'static str]) -> Vec<String> {
        let mut batch = Batch::new(max);
        let mut chunks = Vec::new();
        let mut frames = frames.iter();
        loop {
            while !batch.is_full() {
                let Some(frame) = frames.next() else { break };
                batch.push(Bytes::from_static(frame.as_bytes()));
            }
            match batch.take() {
                Some(chunk) => chunks.push(String::from_utf8(chunk.to_vec()).unwrap()),
                None => return chunks,
            }
        }
    }

    #[test]
    fn chunks_hold_all_frames_in_order_within_the_bound() {
        assert_eq!(chunks(8, &[]), [""; 0]);
        assert_eq!(chunks(8, &["aaa"]), ["aaa"]);
        assert_eq!(chunks(8, &["aaa", "bbb"]), ["aaabbb"]);
        assert_eq!(chunks(8, &["aaaa", "bbbb", "c"]), ["aaaabbbb", "c"]);
        assert_eq!(chunks(8, &["aaa", "bbb", "ccc", "d"]), ["aaabbb", "cccd"]);
        assert_eq!(chunks(8, &["a", "0123456789", "b", "c"]), ["a", "0123456789", "bc"]);
        assert_eq!(chunks(0, &["a", "b"]), ["a", "b"]);
    }

    #[test]
    fn a_lone_frame_is_shared() {
        let frame = Bytes::from(vec![b'x'; 100]);
        let mut batch = Batch::new(1000);
        batch.push(frame.clone());
        assert_eq!(batch.take().unwrap().as_ptr(), frame.as_ptr());
    }
}
