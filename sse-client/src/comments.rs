//! Comments, which a decoder does not show.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use ssekit_core::{FieldName, Lexer, MessageEvent, ReceivedEvent, SharedStr, Token};

use crate::machine::Failure;

/// What a chunk has next.
pub(crate) enum Next {
    /// A comment.
    Comment(SharedStr),
    /// One that is over the limit.
    Failed(Failure),
    /// The end of an event, or of the chunk: what is before it can be decoded.
    Ready,
}

/// Reads ahead of the decoder, up to the next comment or the end of an event, so that they come in their order.
#[derive(Debug)]
pub(crate) struct Comments {
    lexer: Lexer,
    /// What earlier chunks had of a comment.
    held: Vec<u8>,
    /// The comment is over the limit.
    is_dropped: bool,
    limit: usize,
}

impl Comments {
    pub(crate) fn new(limit: usize) -> Self {
        Self { lexer: Lexer::new(), held: Vec::new(), is_dropped: false, limit }
    }

    /// What is next in `chunk` behind its first `*seen` bytes, of which those up to it are then seen too.
    pub(crate) fn next(&mut self, chunk: &Bytes, seen: &mut usize) -> Next {
        let mut rest = chunk.get(*seen..).unwrap_or_default();
        let next = loop {
            let Some(token) = self.lexer.next_token(&mut rest) else { break Next::Ready };
            match token {
                Token::Dispatch => break Next::Ready,
                Token::Fragment(fragment) if fragment.line == FieldName::Comment => {
                    if fragment.is_first {
                        self.is_dropped = false;
                        self.held.clear();
                    }
                    if self.is_dropped {
                        continue;
                    }
                    if fragment.bytes.len() > self.limit - self.held.len() {
                        (self.is_dropped, self.held) = (true, Vec::new());
                        break Next::Failed(Failure::CommentTooLong { limit: self.limit });
                    }
                    if fragment.is_first && fragment.is_last {
                        break Next::Comment(text(fragment.bytes, chunk));
                    }
                    self.held.extend_from_slice(fragment.bytes);
                    if fragment.is_last {
                        break Next::Comment(text(&self.held, &Bytes::new()));
                    }
                }
                _ => {}
            }
        };
        *seen = chunk.len() - rest.len();
        next
    }
}

/// The text, shared with the chunk if it can be.
fn text(bytes: &[u8], chunk: &Bytes) -> SharedStr {
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

    /// The comments, or that one was dropped.
    fn comments(chunks: &[&[u8]], limit: usize) -> Vec<String> {
        let (mut comments, mut given) = (Comments::new(limit), Vec::new());
        for chunk in chunks {
            let (chunk, mut seen) = (Bytes::copy_from_slice(chunk), 0);
            while seen < chunk.len() {
                match comments.next(&chunk, &mut seen) {
                    Next::Comment(comment) => given.push(comment.to_string()),
                    Next::Failed(failure) => given.push(failure.to_string()),
                    Next::Ready => {}
                }
            }
        }
        given
    }

    #[test]
    fn a_comment_may_be_as_long_as_the_limit_wherever_it_is_cut() {
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
