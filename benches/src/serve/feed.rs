//! What a response is made of: the texts of its events, or for the floors the bytes.

use std::any::Any;
use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::Write;
use std::ops::Range;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

/// How many bytes of data an event has.
pub const DATA_LEN: usize = 250;
/// How many bytes it has on the wire, by whomever it is written.
pub const EVENT_LEN: usize = "data: ".len() + DATA_LEN + "\n\n".len();
/// How often there is a lone event.
pub const TICK: Duration = Duration::from_millis(20);
/// How many whole events make a chunk of 16 KiB.
const EVENTS_OF_CHUNK: usize = 16 * 1024 / EVENT_LEN;

/// An event's data.
pub type Text = Cow<'static, str>;

static TEXTS: LazyLock<Vec<String>> = LazyLock::new(|| (0..EVENTS_OF_CHUNK).map(new_text).collect());
static CHUNK: LazyLock<Bytes> = LazyLock::new(|| {
    let mut events = String::new();
    for text in TEXTS.iter() {
        // Writing to a `String` has no way to fail.
        let _ = write!(events, "data: {text}\n\n");
    }
    events.into()
});

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feed {
    /// So many events as fast as they go, and then the end.
    Events(u64),
    /// None, for ever.
    Idle,
    /// One every [`TICK`], the same for all who ask, whose data is when it was published.
    Ticks,
}

impl Feed {
    /// By a request's path.
    pub fn from_path(path: &str) -> Option<Self> {
        match path {
            "/idle" => Some(Self::Idle),
            "/ticks" => Some(Self::Ticks),
            _ => path.strip_prefix("/events/")?.parse().ok().map(Self::Events),
        }
    }

    /// The path of a request for it.
    pub fn path(self) -> String {
        match self {
            Self::Events(count) => format!("/events/{count}"),
            Self::Idle => "/idle".into(),
            Self::Ticks => "/ticks".into(),
        }
    }

    /// The events' data, for who makes a response of a stream.
    pub fn into_stream(self) -> Texts {
        match self {
            Self::Events(count) => Texts::Events(0..count),
            Self::Idle => Texts::Idle,
            Self::Ticks => {
                let (sender, receiver) = mpsc::unbounded_channel();
                subscribe(move |text| sender.send(text.to_owned()).is_ok());
                Texts::Ticks(receiver)
            }
        }
    }

    /// The same into a channel, for who makes a response of that.
    pub fn send_to(self, mut sender: impl Sender) {
        match self {
            Self::Events(count) => {
                tokio::spawn(async move {
                    for n in 0..count {
                        if !sender.send(text(n).into()).await {
                            break;
                        }
                    }
                });
            }
            // Where an application keeps those that it has to write to.
            Self::Idle => KEPT.with_borrow_mut(|kept| kept.push(Box::new(sender))),
            Self::Ticks => subscribe(move |text| sender.try_send(text.to_owned().into())),
        }
    }

    /// The same as bytes, those of [`Events`](Self::Events) in chunks made beforehand.
    pub fn into_chunks(self) -> impl Stream<Item = Bytes> + Send + 'static {
        let per_chunk = EVENTS_OF_CHUNK as u64;
        let (chunks, rest) = match self {
            Self::Events(count) => (count.div_ceil(per_chunk), None),
            Self::Idle | Self::Ticks => (0, Some(self.into_stream())),
        };
        let count = if let Self::Events(count) = self { count } else { 0 };
        let chunk = move |n: u64| {
            let events = (count - n * per_chunk).min(per_chunk) as usize;
            CHUNK.slice(..events * EVENT_LEN)
        };
        let rest = futures_util::stream::iter(rest).flatten().map(|text| format!("data: {text}\n\n").into());
        futures_util::stream::iter((0..chunks).map(chunk)).chain(rest)
    }
}

/// A channel's end at which a contestant's events are made of their data.
pub trait Sender: Send + 'static {
    /// Waits for room. False if nobody receives any more.
    fn send(&mut self, text: Text) -> impl Future<Output = bool> + Send;

    /// Waits for nothing. False if nobody receives any more, or not fast enough.
    fn try_send(&mut self, text: Text) -> bool;
}

/// tokio's, and what makes an event of its data.
impl<T: Send + 'static> Sender for (mpsc::Sender<T>, fn(Text) -> T) {
    async fn send(&mut self, text: Text) -> bool {
        self.0.send((self.1)(text)).await.is_ok()
    }

    fn try_send(&mut self, text: Text) -> bool {
        self.0.try_send((self.1)(text)).is_ok()
    }
}

/// The data of a feed's events.
pub enum Texts {
    Events(Range<u64>),
    Idle,
    Ticks(mpsc::UnboundedReceiver<String>),
}

impl Stream for Texts {
    type Item = Text;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Text>> {
        match &mut *self {
            Self::Events(range) => Poll::Ready(range.next().map(|n| text(n).into())),
            Self::Idle => Poll::Pending,
            Self::Ticks(receiver) => receiver.poll_recv(context).map(|text| text.map(Cow::Owned)),
        }
    }
}

/// The data of an event of [`Feed::Events`], counted from 0.
pub fn text(n: u64) -> &'static str {
    &TEXTS[(n % EVENTS_OF_CHUNK as u64) as usize]
}

/// The time in nanoseconds, by a clock that all processes share.
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn new_text(n: usize) -> String {
    let words = "the quick brown fox jumps over the lazy dog and ".repeat(DATA_LEN / 16);
    let mut text = format!("{{\"n\":{n},\"text\":\"{words}");
    text.truncate(DATA_LEN - 2);
    text + "\"}"
}

type Subscriber = Box<dyn FnMut(&str) -> bool>;

// A server's work is all on one thread.
thread_local! {
    static SUBSCRIBERS: RefCell<Vec<Subscriber>> = const { RefCell::new(Vec::new()) };
    static KEPT: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
}

/// Publishes to this one as well, until it says false.
fn subscribe(subscriber: impl FnMut(&str) -> bool + 'static) {
    let is_first = SUBSCRIBERS.with_borrow_mut(|subscribers| {
        subscribers.push(Box::new(subscriber));
        subscribers.len() == 1
    });
    if is_first {
        tokio::spawn(publish());
    }
}

async fn publish() {
    let mut interval = interval(TICK);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut are_there = true;
    while are_there {
        interval.tick().await;
        are_there = SUBSCRIBERS.with_borrow_mut(|subscribers| {
            let text = now().to_string();
            subscribers.retain_mut(|subscriber| subscriber(&text));
            !subscribers.is_empty()
        });
    }
}
