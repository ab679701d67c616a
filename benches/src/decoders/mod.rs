//! Stream decoders, each behind [`Decoder`].

use std::convert::Infallible;
use std::pin::pin;

use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt, stream};

use crate::Totals;
use crate::workloads::Workload;

mod eventsource_stream;
mod sse_stream;
mod ssekit;

/// Everyone that decodes.
pub const DECODERS: [Contestant; 4] = [
    Contestant::new::<ssekit::NextEvent>(),
    Contestant::new::<ssekit::EventStream>(),
    Contestant::new::<eventsource_stream::Rival>(),
    Contestant::new::<sse_stream::Rival>(),
];

/// What an event's ID is to a decoder.
#[derive(Clone, Copy, Debug)]
pub enum Ids {
    /// The last one seen, as the standard has it.
    Last,
    /// That of the event's own `id` line. The last one seen is then left to the decoder's user.
    OwnOnly,
}

/// A decoder, new for every stream.
trait Decoder {
    const NAME: &'static str;
    const IDS: Ids = Ids::Last;

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
    pub count: fn(&[Bytes]) -> Totals,
    pub is_hopeless: fn(&str, usize) -> bool,
    ids: Ids,
}

impl Contestant {
    const fn new<D: Decoder>() -> Self {
        Self { name: D::NAME, count: D::count, is_hopeless: D::is_hopeless, ids: D::IDS }
    }

    /// Panics unless the decoder finds in the chunks what the workload has: all of it, in all four totals, with IDs
    /// taken for what they are to this decoder.
    pub fn check(&self, workload: &Workload, chunks: &[Bytes]) {
        let found = (self.count)(chunks);
        let (name, first) = (workload.name, chunks.first().map_or(0, Bytes::len));
        assert_eq!(found, workload.totals(self.ids), "{} on {name} in chunks of {first}", self.name);
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
