//! A subscriber's stream by itself, with no runtime.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_util::Stream;
use ssekit_server::hub::Subscription;

/// All that comes, however often it has to be asked for.
pub(crate) fn all(stream: &mut Subscription) -> String {
    let mut text = String::new();
    let mut pending = 0;
    while pending < 10 {
        match Pin::new(&mut *stream).poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(frame)) => {
                pending = 0;
                text.push_str(std::str::from_utf8(frame.as_bytes()).unwrap());
            }
            Poll::Ready(None) => return text + "END",
            Poll::Pending => pending += 1,
        }
    }
    text
}
