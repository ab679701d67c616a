//! The chunk of the body that is being decoded.

use bytes::Bytes;
use ssekit_core::{ReceivedEvent, SharedStr};

use super::comments::{CommentReader, Found};
use crate::client_error::{ClientError, FailureContext};
use crate::machine::{ClientMachine, Failure, NextStep, ReadyState};
use crate::source_item::SourceItem;

/// The last chunk of the body, and how far it is decoded.
///
/// ```text
///  0            decoded        decodable        bytes.len()
///  |   decoded     |   to decode   |   not yet      |
///  |               |               |   searched for |
///  |               |               |   comments     |
/// ```
///
/// `0 <= decoded <= decodable <= bytes.len()`. Without comments, all of the chunk is decodable at once. With comments, the
/// [`CommentReader`] moves `decodable` to the next comment or the end of an event, so that all items are in order.
pub(super) struct ReceivedChunk {
    bytes: Bytes,
    decoded: usize,
    decodable: usize,
    comments: Option<CommentReader>,
    /// The last long event ID, which the next events share if they have the same.
    last_event_id: SharedStr,
}

impl ReceivedChunk {
    /// Creates an empty chunk. Comments are returned if there is a limit for their bytes.
    pub(super) fn new(max_comment: Option<usize>) -> Self {
        Self {
            bytes: Bytes::new(),
            decoded: 0,
            decodable: 0,
            comments: max_comment.map(CommentReader::new),
            last_event_id: SharedStr::default(),
        }
    }

    /// Prepares for the body of another response.
    pub(super) fn reset_comments(&mut self) {
        if let Some(comments) = &mut self.comments {
            comments.reset();
        }
    }

    /// Replaces the chunk, all of which was decoded.
    #[inline]
    pub(super) fn set(&mut self, bytes: Bytes) {
        self.bytes = bytes;
        (self.decoded, self.decodable) = (0, 0);
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Drops the chunk, and frees its memory unless an event shares it.
    pub(super) fn clear(&mut self) {
        self.set(Bytes::new());
    }

    /// Returns the next event, comment or dropped event of the chunk; `None` when it is used up.
    #[inline(always)]
    pub(super) fn next_item(&mut self, machine: &mut ClientMachine) -> Option<Result<SourceItem, ClientError>> {
        loop {
            if self.decoded < self.decodable {
                let mut rest = self.bytes.get(self.decoded..self.decodable).unwrap_or_default();
                let result = machine.next_event(&mut rest);
                self.decoded = self.decodable - rest.len();
                match result {
                    // The event is built in place: a move of it would be expensive.
                    Ok(Some(event)) => {
                        let event = ReceivedEvent::share_with_cached_id(event, &self.bytes, &mut self.last_event_id);
                        return Some(Ok(SourceItem::Event(event)));
                    }
                    Ok(None) => {}
                    Err(error) => return Some(Err(dropped(machine, Failure::Decode(error)))),
                }
            } else if self.decodable < self.bytes.len() && machine.ready_state() == ReadyState::Open {
                match &mut self.comments {
                    None => self.decodable = self.bytes.len(),
                    Some(comments) => match comments.next(&self.bytes, &mut self.decodable) {
                        Found::EventEnd => {}
                        Found::Comment(comment) => return Some(Ok(SourceItem::Comment(comment))),
                        Found::Dropped(failure) => return Some(Err(dropped(machine, failure))),
                    },
                }
            } else {
                // The chunk is used up, or the machine has no use for it. Its memory must not be held during the next wait.
                self.clear();
                return None;
            }
        }
    }
}

/// Returns the error for an event or a comment that was dropped.
#[cold]
fn dropped(machine: &ClientMachine, failure: Failure) -> ClientError {
    ClientError::new(failure, NextStep::Continue, machine.request().attempt, FailureContext::default())
}
