//! Stream decoders, each behind [`Decoder`], and the floors under them.

use std::convert::Infallible;
use std::pin::pin;

use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt, stream};

use crate::workloads::Workload;
use crate::{Kind, Totals};

mod async_sse;
mod eventsource_client;
mod eventsource_stream;
mod eventsrc;
mod floors;
mod russe;
mod sse_codec;
mod sse_core;
mod sse_parse;
mod sse_stream;
mod sseer;
mod ssekit;

pub use floors::{FLOORS, Floor};

/// Everyone that decodes, ours first.
pub const DECODERS: [Contestant; 15] = [
    Contestant::new::<ssekit::NextEvent>(),
    Contestant::new::<ssekit::EventStream>(),
    Contestant::new::<ssekit::Lexer>(),
    Contestant::new::<sse_stream::Rival>(),
    Contestant::new::<sse_core::Decode>(),
    Contestant::new::<sse_core::AsStream>(),
    Contestant::new::<sse_parse::Parse>(),
    Contestant::new::<sse_parse::AsStream>(),
    Contestant::new::<sseer::Rival>(),
    Contestant::new::<eventsrc::Rival>(),
    Contestant::new::<eventsource_stream::Rival>(),
    Contestant::new::<eventsource_client::Rival>(),
    Contestant::new::<russe::Rival>(),
    Contestant::new::<sse_codec::Rival>(),
    Contestant::new::<async_sse::Rival>(),
];

/// What an event's ID is to a decoder.
#[derive(Clone, Copy, Debug)]
pub enum Ids {
    /// The last one seen, as the standard has it.
    Last,
    /// That of the event's own `id` line. The last one seen is then left to the decoder's user.
    OwnOnly,
}

/// What a decoder's events are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gives {
    /// Pieces of lines, of no event as a whole.
    Tokens,
    /// Strings that borrow from the chunk or the decoder, and are gone at the next event.
    Borrowed,
    /// Reference-counted bytes.
    Shared,
    /// Strings of their own.
    Owned,
}

impl Gives {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::Borrowed => "borrowed",
            Self::Shared => "shared",
            Self::Owned => "owned",
        }
    }
}

/// Something that a contestant gets wrong, so that its time there is not that of the work.
#[derive(Clone, Copy, Debug)]
pub struct Wrong {
    pub workload: &'static str,
    /// In chunks of so many bytes, which need not be among those timed.
    pub chunk_sizes: &'static [usize],
    pub reason: &'static str,
}

/// A decoder, new for every stream.
trait Decoder {
    const NAME: &'static str;
    const KIND: Kind = Kind::Rival;
    const GIVES: Gives;
    /// Whether it is a `Stream`, for which something has to be there when its chunk is gone.
    const IS_STREAM: bool;
    const IDS: Ids = Ids::Last;
    const WRONG: &'static [Wrong] = &[];

    /// Decodes the stream, and looks at every event.
    fn count(chunks: &[Bytes]) -> Totals;

    /// Whether a MiB of this takes too long to be timed. It is still checked, by the tests, on less.
    fn is_hopeless(_workload: &str, _chunk_size: usize) -> bool {
        false
    }
}

/// A [`Decoder`] as a value.
pub struct Contestant {
    pub name: &'static str,
    pub kind: Kind,
    pub gives: Gives,
    pub is_stream: bool,
    pub wrong: &'static [Wrong],
    pub count: fn(&[Bytes]) -> Totals,
    pub is_hopeless: fn(&str, usize) -> bool,
    pub ids: Ids,
}

impl Contestant {
    const fn new<D: Decoder>() -> Self {
        Self {
            name: D::NAME,
            kind: D::KIND,
            gives: D::GIVES,
            is_stream: D::IS_STREAM,
            wrong: D::WRONG,
            count: D::count,
            is_hopeless: D::is_hopeless,
            ids: D::IDS,
        }
    }

    /// What it gets wrong there, if anything.
    pub fn wrong_on(&self, workload: &str, chunk_size: usize) -> Option<&'static Wrong> {
        self.wrong.iter().find(|wrong| wrong.workload == workload && wrong.chunk_sizes.contains(&chunk_size))
    }

    /// Panics unless the decoder finds in chunks of this size what the workload has: all of it, in all four totals, with
    /// IDs taken for what they are to this decoder. Panics also if it does but is marked as getting this wrong.
    pub fn check(&self, workload: &Workload, chunk_size: usize) {
        let found = (self.count)(&workload.chunks(chunk_size));
        let expected = workload.totals(self.ids);
        let place = format!("{} on {} in chunks of {chunk_size}", self.name, workload.name);
        match self.wrong_on(workload.name, chunk_size) {
            None => assert_eq!(found, expected, "{place}"),
            Some(wrong) => assert_ne!(found, expected, "{place} gets right now: {}", wrong.reason),
        }
    }
}

/// What the stream decoders decode.
fn stream_of(chunks: &[Bytes]) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::iter(chunks.iter().cloned().map(Ok))
}

/// Counts a stream's events. It takes one poll, so there is no executor to be measured with it.
fn drain<T>(events: impl Stream<Item = T>, add: impl Fn(&mut Totals, T)) -> Totals {
    let mut events = pin!(events);
    let count = async {
        let mut totals = Totals::default();
        while let Some(event) = events.next().await {
            add(&mut totals, event);
        }
        totals
    };
    count.now_or_never().expect("all chunks are there")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workloads;

    /// Marked for what it gets wrong, and for what it does not.
    struct LastChunkOnly;

    impl Decoder for LastChunkOnly {
        const NAME: &'static str = "last-chunk-only";
        const GIVES: Gives = Gives::Borrowed;
        const IS_STREAM: bool = false;
        const WRONG: &'static [Wrong] = &[
            Wrong { workload: "openai", chunk_sizes: &[64], reason: "it looks at the last chunk only" },
            Wrong { workload: "openai", chunk_sizes: &[workloads::WHOLE], reason: "it used to" },
        ];

        fn count(chunks: &[Bytes]) -> Totals {
            chunks.last().map(|chunk| ssekit::NextEvent::count(std::slice::from_ref(chunk))).unwrap_or_default()
        }
    }

    fn check(chunk_size: usize) {
        let workload = workloads::decoding(1000).next().expect("there are workloads");
        Contestant::new::<LastChunkOnly>().check(&workload, chunk_size);
    }

    #[test]
    fn what_is_marked_may_be_wrong() {
        check(64);
    }

    #[test]
    #[should_panic(expected = "last-chunk-only on openai in chunks of 65")]
    fn what_is_not_marked_may_not() {
        check(65);
    }

    #[test]
    #[should_panic(expected = "gets right now: it used to")]
    fn marks_do_not_rot() {
        check(workloads::WHOLE);
    }
}
