//! Comments, which a decoder skips.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use ssekit_core::{FieldName, Lexer, MessageEvent, ReceivedEvent, SharedStr, Token};

use crate::machine::Failure;

/// The next thing that a [`CommentReader`] finds in a chunk.
pub(super) enum Found {
    /// A whole comment, without its colon.
    Comment(SharedStr),
    /// A comment over the limit, which is dropped.
    Dropped(Failure),
    /// The end of an event or of the chunk. The decoder can read up to here.
    EventEnd,
}

/// Reads ahead of the decoder, up to the next comment or the end of an event, so that both are returned in order.
pub(super) struct CommentReader {
    lexer: Lexer,
    /// The start of a comment whose end has not been received.
    partial: Vec<u8>,
    /// Whether the current comment is over the limit.
    is_over_limit: bool,
    /// The longest comment in bytes.
    limit: usize,
}

impl CommentReader {
    pub(super) fn new(limit: usize) -> Self {
        Self { lexer: Lexer::new(), partial: Vec::new(), is_over_limit: false, limit }
    }

    /// Prepares for the body of another response.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.limit);
    }

    /// Returns what is next in `chunk` after its first `*read` bytes, and moves `*read` past it.
    pub(super) fn next(&mut self, chunk: &Bytes, read: &mut usize) -> Found {
        let mut rest = chunk.get(*read..).unwrap_or_default();
        let found = loop {
            match self.lexer.next_token(&mut rest) {
                None | Some(Token::BlankLine) => break Found::EventEnd,
                Some(Token::Value(fragment)) if fragment.field == FieldName::Comment => {
                    if let Some(found) = self.push(fragment.bytes, fragment.is_first, fragment.is_last, chunk) {
                        break found;
                    }
                }
                Some(_) => {}
            }
        };
        *read = chunk.len() - rest.len();
        found
    }

    /// Adds a part of a comment. Returns the comment when this is its last part, or the failure when it is too long.
    fn push(&mut self, bytes: &[u8], is_first: bool, is_last: bool, chunk: &Bytes) -> Option<Found> {
        if is_first {
            self.is_over_limit = false;
            self.partial.clear();
        }
        if self.is_over_limit {
            return None;
        }
        if bytes.len() > self.limit - self.partial.len() {
            (self.is_over_limit, self.partial) = (true, Vec::new());
            return Some(Found::Dropped(Failure::CommentTooLong { limit: self.limit }));
        }
        if is_first && is_last {
            return Some(Found::Comment(to_text(bytes, chunk)));
        }
        self.partial.extend_from_slice(bytes);
        is_last.then(|| Found::Comment(to_text(&self.partial, &Bytes::new())))
    }
}

/// Converts bytes to text, which shares `chunk` if it lies in there.
fn to_text(bytes: &[u8], chunk: &Bytes) -> SharedStr {
    match core::str::from_utf8(bytes) {
        Ok(data) => ReceivedEvent::share(MessageEvent { event_type: "", data, last_event_id: "" }, chunk).data,
        Err(_) => SharedStr::from(String::from_utf8_lossy(bytes).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;

    /// Returns the comments in the chunks, and the text of the failure for each dropped one.
    fn comments(chunks: &[&[u8]], limit: usize) -> Vec<String> {
        let (mut reader, mut found) = (CommentReader::new(limit), Vec::new());
        for chunk in chunks {
            let (chunk, mut read) = (Bytes::copy_from_slice(chunk), 0);
            while read < chunk.len() {
                match reader.next(&chunk, &mut read) {
                    Found::Comment(comment) => found.push(comment.to_string()),
                    Found::Dropped(failure) => found.push(failure.to_string()),
                    Found::EventEnd => {}
                }
            }
        }
        found
    }

    #[test]
    fn comment_up_to_the_limit_is_returned_wherever_chunks_are_cut() {
        let dropped = "comment was dropped: it is longer than 8 bytes";
        for (comment, expected) in [("1234567", "1234567"), ("12345678", "12345678"), ("123456789", dropped)] {
            let stream = format!(":{comment}\n:8 bytes.\ndata: x\n\n:\n");
            let expected = vec![expected.to_string(), "8 bytes.".to_string(), String::new()];
            for first in 0..=stream.len() {
                for second in first..=stream.len() {
                    let bytes = stream.as_bytes();
                    let chunks = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                    assert_eq!(comments(&chunks, 8), expected, "{stream:?} cut at {first} and {second}");
                }
            }
        }
    }
}
