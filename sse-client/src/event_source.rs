use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;
use core::future::{self, Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker, ready};
use core::time::Duration;

use bytes::Bytes;
use futures_core::{FusedStream, Stream};
use http::header::{CONTENT_ENCODING, CONTENT_LOCATION, CONTENT_TYPE, LINK, LOCATION, REFRESH, SET_COOKIE};
use http::{HeaderMap, HeaderName, Version};
use http_body::Body as _;
use reqwest::{Body, Client};
use ssekit_core::{ReceivedEvent, SharedStr};
use sync_wrapper::SyncWrapper;
use tokio::runtime::{self, Handle};
use tokio::task::yield_now;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::comments::{Comments, Next};
use crate::error::{BoxError, Error};
use crate::item::{Item, Open};
use crate::machine::{End, Failure, Machine, ReadyState, Response, Step, Then};
use crate::request::{Parts, Sending};
use crate::retry_after::retry_after;

/// More cannot be told by every clock.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// By how much a time may be over before it is said that nobody has looked, and how long to look then.
const GRACE: Duration = Duration::from_millis(50);

/// A client for an event stream that reconnects: a browser's `EventSource`, for programs.
///
/// It is a `Stream` of [`Item`]s and [`Error`]s, and ends when there is nothing more to come: the server has said so by 204,
/// a one-shot stream is over, or an error was [final](Error::is_final). All others are told, and the stream goes on behind
/// them. It works only when it is polled, by a task of tokio's, so that a reader who is slow slows the server down; nothing is
/// read ahead. To cancel it, drop it. Where there is no runtime of tokio it is an error; in one whose I/O or time is not enabled
/// tokio panics.
///
/// ```no_run
/// use ssekit_client::{EventSource, Item};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let mut events = EventSource::get("https://example.com/events").with_header("authorization", "Bearer x").build()?;
/// while let Some(item) = events.next().await {
///     match item {
///         Ok(Item::Open(_)) => println!("connected"),
///         Ok(Item::Event(event)) => println!("{}: {}", event.event_type, event.data),
///         Ok(_) => {}
///         Err(error) if error.is_final() => return Err(error.into()),
///         // Such as `stream has ended; next attempt in 1.0 s`.
///         Err(error) => eprintln!("{error}"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "a stream does nothing unless it is polled"]
pub struct EventSource {
    machine: Machine,
    client: Client,
    parts: Parts,
    /// For the first attempt, if the program has had it already.
    response: Option<reqwest::Response>,
    transport: Transport,
    /// What there is of the body, and how much of it is decoded.
    chunk: Bytes,
    used: usize,
    /// How much of it may be decoded: all, unless a comment is to come first.
    ahead: usize,
    comments: Option<Comments>,
    /// The last one that is long, for the events that follow with the same.
    last_event_id: SharedStr,
    /// Of a response that is none that is wanted.
    headers: Option<HeaderMap>,
    source: Option<BoxError>,
    /// By which the server has refused the last attempt that it has answered.
    last_status: Option<u16>,
    start: Option<Instant>,
    /// When it is up to the server, until when it has time.
    due: Option<Duration>,
    /// How often it has been given more, and until when.
    grace: (u8, Duration),
    /// Which belongs to a runtime.
    timer: Option<(runtime::Id, Pin<Box<Sleep>>)>,
    /// Of who waits, for what is done to this from elsewhere.
    waker: Option<Waker>,
    end: Option<End>,
}

enum Transport {
    None,
    Sending(SyncWrapper<Sending>),
    Body(Body),
}

/// In how many steps it has to come to an item, before it lets others have their turn.
const MAX_STEPS: usize = 32;

impl EventSource {
    pub(crate) fn new(
        machine: Machine,
        client: Client,
        parts: Parts,
        response: Option<reqwest::Response>,
        has_comments: bool,
    ) -> Self {
        let comments = has_comments.then(|| Comments::new(machine.limits().data));
        Self {
            machine,
            client,
            parts,
            response,
            transport: Transport::None,
            chunk: Bytes::new(),
            used: 0,
            ahead: 0,
            comments,
            last_event_id: SharedStr::default(),
            headers: None,
            source: None,
            last_status: None,
            start: None,
            due: None,
            grace: (0, Duration::ZERO),
            timer: None,
            waker: None,
            end: None,
        }
    }

    /// The next item; `None` when there is nothing more to come. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Result<Item, Error>> {
        poll_fn(|cx| self.poll_item(cx)).await
    }

    /// The next event, for who does not want to know of anything else; `None` when there is nothing more to come. Nothing is
    /// lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// Those that are [final](Error::is_final), and those that an event was dropped for, behind which the stream goes on. Of
    /// those that another attempt follows it says nothing.
    pub async fn next_event(&mut self) -> Result<Option<ReceivedEvent>, Error> {
        loop {
            for _ in 0..MAX_STEPS {
                match self.next().await {
                    Some(Ok(Item::Event(event))) => return Ok(Some(event)),
                    Some(Err(error)) if error.retry_after().is_none() => return Err(error),
                    Some(Err(_)) => break,
                    Some(Ok(_)) => {}
                    None => return Ok(None),
                }
            }
            // If all that comes is failures, again and again, or comments, others must have their turn.
            yield_now().await;
        }
    }

    /// What [`next_event`](Self::next_event) gives, as a stream: events, and the errors that it has.
    ///
    /// ```no_run
    /// use futures_util::StreamExt;
    /// use futures_util::stream::SelectAll;
    /// use ssekit_client::EventSource;
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut all = SelectAll::new();
    /// for url in ["https://example.com/a", "https://example.com/b"] {
    ///     all.push(EventSource::get(url).build()?.into_events().map(move |event| (url, event)));
    /// }
    /// while let Some((url, event)) = all.next().await {
    ///     println!("{url}: {}", event?.data);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_events(self) -> Events {
        Events(self)
    }

    /// Drops the connection, if there is one, and connects anew at once, behind the last event that was given. Those that have
    /// come and were not given are dropped too, and had again by their IDs, if the server has them. A one-shot stream is asked
    /// for a second time. Where a wait is under way it is over, so that who has mended what has failed need not wait. Nothing
    /// brings a source back that is [closed](ReadyState::Closed).
    pub fn restart(&mut self) {
        if !matches!(self.transport, Transport::None) {
            // What is under way was not refused, as far as anybody knows.
            self.last_status = None;
        }
        self.machine.restart();
        self.disconnect();
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// The standard's `readyState`.
    pub fn ready_state(&self) -> ReadyState {
        self.machine.ready_state()
    }

    /// The last event ID, or empty: behind which event another event source can go on. It is this that is worth storing, and not
    /// the ID of the last event alone: a server can set another one by a block that is no event.
    pub fn last_event_id(&self) -> &str {
        self.machine.last_event_id()
    }

    /// The reconnection time: what the server has asked for by `retry`, or the policy's.
    pub fn reconnection_time(&self) -> Duration {
        self.machine.reconnection_time()
    }

    /// Why there is nothing more to come, once the stream has ended or an error was final.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Item, Error>>> {
        for _ in 0..MAX_STEPS {
            if let Some(result) = self.take_from_chunk() {
                return Poll::Ready(Some(result));
            }
            if let Some(result) = ready!(self.poll_step(cx)) {
                return Poll::Ready(result);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// One step on, when there is nothing in the chunk at hand: an item, or the end, if it has led there.
    // Apart, so that an event that is there needs no more than it has to.
    #[inline(never)]
    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Option<Option<Result<Item, Error>>>> {
        if let Poll::Ready(item) = self.poll_transport(cx) {
            self.nothing_is_due();
            return Poll::Ready(item.map(|item| Some(Ok(item))));
        }
        let now = self.now();
        if let Some(until) = self.grace(now) {
            return self.poll_until(cx, now, Some(until));
        }
        let until = match self.machine.step(now) {
            Step::Connect => {
                self.disconnect();
                self.connect(now);
                return Poll::Ready(None);
            }
            Step::Respond { until } | Step::Read { until } => {
                self.due = until;
                until
            }
            Step::Wait { until } => {
                self.disconnect();
                Some(until)
            }
            Step::Failed(failure, then) => return Poll::Ready(Some(Some(Err(self.failed(failure, then))))),
            Step::Closed(end) => {
                self.disconnect();
                self.timer = None;
                self.end = Some(end);
                return Poll::Ready(Some(None));
            }
        };
        self.poll_until(cx, now, until)
    }

    /// The next item of the chunk at hand.
    #[inline(always)]
    fn take_from_chunk(&mut self) -> Option<Result<Item, Error>> {
        loop {
            if self.used < self.ahead {
                let mut rest = self.chunk.get(self.used..self.ahead).unwrap_or_default();
                let result = self.machine.next_event(&mut rest);
                self.used = self.ahead - rest.len();
                match result {
                    // Made in place: it is large.
                    Ok(Some(event)) => {
                        let event = ReceivedEvent::share_after(event, &self.chunk, &mut self.last_event_id);
                        return Some(Ok(Item::Event(event)));
                    }
                    Ok(None) => {}
                    Err(error) => return Some(Err(self.passing(Failure::Decode(error)))),
                }
            } else if self.ahead < self.chunk.len() && self.machine.ready_state() == ReadyState::Open {
                match &mut self.comments {
                    None => self.ahead = self.chunk.len(),
                    Some(comments) => match comments.next(&self.chunk, &mut self.ahead) {
                        Next::Ready => {}
                        Next::Comment(comment) => return Some(Ok(Item::Comment(comment))),
                        Next::Failed(failure) => return Some(Err(self.passing(failure))),
                    },
                }
            } else {
                // It is used up, or of no stream, and must not be kept alive while the next one is waited for.
                self.forget_chunk();
                return None;
            }
        }
    }

    fn forget_chunk(&mut self) {
        self.chunk = Bytes::new();
        (self.used, self.ahead) = (0, 0);
    }

    /// Lets the transport go on, and tells the machine what has come of it.
    fn poll_transport(&mut self, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        match &mut self.transport {
            Transport::None => return Poll::Pending,
            // The next step is to be rid of it.
            Transport::Body(_) if !self.machine.is_reading() => return Poll::Pending,
            Transport::Sending(sending) => match ready!(sending.get_mut().as_mut().poll(cx)) {
                Ok(response) => {
                    let (mut parts, body) = http::Response::from(response).into_parts();
                    self.transport = Transport::Body(body);
                    keep_secrets(&mut parts.headers);
                    let now = self.now();
                    let content_type = all_of(&parts.headers, CONTENT_TYPE);
                    // There only if reqwest does not undo it.
                    let content_encoding = all_of(&parts.headers, CONTENT_ENCODING);
                    let response = Response {
                        status: parts.status.as_u16(),
                        content_type: content_type.as_deref(),
                        location: parts.headers.get(LOCATION).map(|value| value.as_bytes()),
                        content_encoding: content_encoding.as_deref(),
                        retry_after: retry_after(&parts.headers),
                    };
                    if self.machine.respond(now, response) {
                        return Poll::Ready(Some(self.opened(parts.version, parts.headers)));
                    }
                    self.headers = Some(parts.headers);
                }
                Err((failure, source)) => self.break_off(failure, source),
            },
            Transport::Body(body) => match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    // Trailers say nothing here.
                    if let Ok(chunk) = frame.into_data() {
                        self.machine.receive(&chunk);
                        self.chunk = chunk;
                    }
                }
                Some(Err(error)) => self.break_off(Failure::Broken, error.without_url().into()),
                None => {
                    let now = self.now();
                    self.machine.end(now);
                    self.transport = Transport::None;
                }
            },
        }
        Poll::Ready(None)
    }

    fn break_off(&mut self, failure: Failure, source: BoxError) {
        let now = self.now();
        self.source = Some(source);
        self.machine.fail(now, failure);
        self.transport = Transport::None;
    }

    fn connect(&mut self, now: Duration) {
        if self.runtime(now).is_some() {
            let sending = match self.response.take() {
                Some(response) => Box::pin(future::ready(Ok(response))),
                None => self.parts.send(&self.client, &self.machine.request(), self.last_status),
            };
            self.transport = Transport::Sending(SyncWrapper::new(sending));
        }
    }

    /// The runtime that this is polled in. Without one it has failed.
    fn runtime(&mut self, now: Duration) -> Option<runtime::Id> {
        let runtime = Handle::try_current().ok();
        if runtime.is_none() {
            self.source = Some("there is no runtime of tokio".into());
            self.machine.fail(now, Failure::Request);
        }
        Some(runtime?.id())
    }

    fn disconnect(&mut self) {
        self.transport = Transport::None;
        self.forget_chunk();
        self.nothing_is_due();
        (self.headers, self.source) = (None, None);
    }

    fn opened(&mut self, version: Version, headers: HeaderMap) -> Item {
        self.last_status = None;
        self.timer = None;
        if let Some(comments) = &mut self.comments {
            *comments = Comments::new(self.machine.limits().data);
        }
        let request = self.machine.request();
        Item::Open(Box::new(Open {
            attempt: request.attempt,
            url: request.url.to_string(),
            last_event_id: self.machine.last_event_id().to_string(),
            version,
            headers,
        }))
    }

    fn failed(&mut self, failure: Failure, then: Then) -> Error {
        if self.headers.is_some() {
            self.last_status = failure.status();
        }
        if then == Then::End {
            self.end = Some(End::Failed);
        }
        let (headers, source) = (self.headers.take(), self.source.take());
        self.disconnect();
        Error::new(failure, then, self.machine.request().attempt, headers, source)
    }

    #[cold]
    fn passing(&self, failure: Failure) -> Error {
        Error::new(failure, Then::GoOn, self.machine.request().attempt, None, None)
    }

    /// Until when to wait all the same, though the server's time is up.
    ///
    /// Whoever comes much too late was busy, and so was perhaps the runtime, which then has not read what there is. It gets
    /// another chance; and a second one, since it may be just about to read when the first is over.
    fn grace(&mut self, now: Duration) -> Option<Duration> {
        self.due.filter(|due| now > due.saturating_add(GRACE))?;
        let (given, until) = &mut self.grace;
        if now >= *until {
            if *given == 2 {
                return None;
            }
            (*given, *until) = (*given + 1, now.saturating_add(GRACE));
        }
        Some(*until)
    }

    fn nothing_is_due(&mut self) {
        (self.due, self.grace) = (None, (0, Duration::ZERO));
    }

    /// Waits until then, or until something happens.
    fn poll_until<T>(&mut self, cx: &mut Context<'_>, now: Duration, until: Option<Duration>) -> Poll<Option<T>> {
        if self.poll_timer(cx, now, until).is_ready() {
            return Poll::Ready(None);
        }
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Waits until then, or wakes up before.
    fn poll_timer(&mut self, cx: &mut Context<'_>, now: Duration, until: Option<Duration>) -> Poll<()> {
        let (Some(until), Some(start)) = (until, self.start) else {
            self.timer = None;
            return Poll::Pending;
        };
        let at = start + until.min(now.saturating_add(LONGEST));
        let Some(runtime) = self.runtime(now) else { return Poll::Ready(()) };
        let (_, timer) = match &mut self.timer {
            Some(timer) if timer.0 == runtime => {
                // One that runs out too early costs less than one that is set anew each time.
                if timer.1.deadline() > at || timer.1.is_elapsed() {
                    timer.1.as_mut().reset(at);
                }
                timer
            }
            timer => timer.insert((runtime, Box::pin(sleep_until(at)))),
        };
        timer.as_mut().poll(cx)
    }

    /// Since it was first polled.
    fn now(&mut self) -> Duration {
        let now = Instant::now();
        now.saturating_duration_since(*self.start.get_or_insert(now))
    }
}

/// The values of a header field, with commas between.
fn all_of(headers: &HeaderMap, name: HeaderName) -> Option<Vec<u8>> {
    let values: Vec<_> = headers.get_all(name).iter().map(|value| value.as_bytes()).collect();
    Some(values.join(&b", "[..])).filter(|_| !values.is_empty())
}

/// So that nobody shows them who only shows an error, or that a stream is open.
fn keep_secrets(headers: &mut HeaderMap) {
    for (name, value) in headers {
        value.set_sensitive([CONTENT_LOCATION, LINK, LOCATION, REFRESH, SET_COOKIE].contains(name));
    }
}

impl Stream for EventSource {
    type Item = Result<Item, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_item(cx)
    }
}

impl FusedStream for EventSource {
    fn is_terminated(&self) -> bool {
        self.end.is_some()
    }
}

/// The events of an [`EventSource`], and the errors that are no matter of another attempt: see
/// [`into_events`](EventSource::into_events).
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct Events(EventSource);

impl Events {
    /// The event source, which says why it has ended, and what the last event ID is.
    pub fn get_ref(&self) -> &EventSource {
        &self.0
    }

    /// The same, to restart it.
    pub fn get_mut(&mut self) -> &mut EventSource {
        &mut self.0
    }
}

impl Stream for Events {
    type Item = Result<ReceivedEvent, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // Nothing is lost when it is dropped.
        pin!(self.get_mut().0.next_event()).poll(cx).map(Result::transpose)
    }
}

impl FusedStream for Events {
    fn is_terminated(&self) -> bool {
        self.0.is_terminated()
    }
}

/// Neither the URL's query, nor header fields, nor events are shown.
impl fmt::Debug for EventSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSource").field("machine", &self.machine).finish_non_exhaustive()
    }
}
