//! The response body: what goes out, when, and in which chunks. The clock is paused and moves by itself.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::{FutureExt, Stream, StreamExt, stream};
use http_body_util::BodyExt;
use ssekit_core::{EncodedEvent, Event, event_type};
use ssekit_server::{BoxError, DEFAULT_MAX_CHUNK, EventBody, IntoEvent, KeepAlive};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::UnboundedReceiverStream;

const PREAMBLE: &str = ": \n\n";

fn data(text: &str) -> EncodedEvent {
    EncodedEvent::from(Event::data(text))
}

fn channel() -> (mpsc::UnboundedSender<EncodedEvent>, UnboundedReceiverStream<EncodedEvent>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (sender, UnboundedReceiverStream::new(receiver))
}

async fn next<S>(body: &mut EventBody<S>) -> String
where
    S: Stream<Item: IntoEvent> + Unpin,
{
    String::from_utf8(body.next().await.expect("a chunk").expect("no error").to_vec()).unwrap()
}

/// Returns whether no chunk is ready.
fn is_pending<S: Stream<Item: IntoEvent> + Unpin>(body: &mut EventBody<S>) -> bool {
    body.poll_next_unpin(&mut Context::from_waker(Waker::noop())).is_pending()
}

#[tokio::test(start_paused = true)]
async fn preamble_goes_out_before_the_first_event() {
    let start = Instant::now();
    let mut body = pin!(EventBody::new(stream::pending::<EncodedEvent>()));
    assert_eq!(body.next().await.unwrap().unwrap(), PREAMBLE);
    let body = EventBody::new(stream::pending::<EncodedEvent>()).with_reconnection_time(Duration::from_secs(3));
    assert_eq!({ body }.next().await.unwrap().unwrap(), ": \nretry: 3000\n\n");
    assert_eq!(start.elapsed(), Duration::ZERO);
}

/// The timer of the runtime runs, but the polling thread is outside of the runtime.
#[test]
fn body_polled_outside_its_runtime_sends_keep_alives() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let handle = runtime.handle().clone();
    let (is_over, over) = tokio::sync::oneshot::channel::<()>();
    let running = std::thread::spawn(move || runtime.block_on(over));
    let keep_alive = KeepAlive::every(Duration::from_millis(20));
    let mut body = EventBody::new(stream::pending::<EncodedEvent>()).with_keep_alive(keep_alive);
    let entered = handle.enter();
    assert!(body.next().now_or_never().is_some() && is_pending(&mut body));
    drop(entered);
    for _ in 0..3 {
        let start = std::time::Instant::now();
        while is_pending(&mut body) {
            assert!(start.elapsed() < Duration::from_secs(10), "no keep-alive");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    drop(is_over);
    assert!(running.join().unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn lone_event_goes_out_at_once_without_a_copy() {
    let (sender, events) = channel();
    let mut body = EventBody::new(events);
    assert_eq!(next(&mut body).await, PREAMBLE);
    assert!(is_pending(&mut body));
    let start = Instant::now();
    let frame = data("one");
    sender.send(frame.clone()).unwrap();
    let chunk = body.next().await.unwrap().unwrap();
    assert_eq!(chunk, "data: one\n\n");
    assert_eq!(chunk.as_ptr(), frame.as_bytes().as_ptr());
    assert!(is_pending(&mut body));
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn ready_events_are_one_chunk_within_the_limit() {
    let (sender, events) = channel();
    // The limit has room for the preamble and one event, or for three events.
    let mut body = EventBody::new(events).with_max_chunk(3 * "data: 1\n\n".len());
    for n in 1..=6 {
        sender.send(data(&n.to_string())).unwrap();
    }
    assert_eq!(next(&mut body).await, ": \n\ndata: 1\n\ndata: 2\n\n");
    assert_eq!(next(&mut body).await, "data: 3\n\ndata: 4\n\ndata: 5\n\n");
    assert_eq!(next(&mut body).await, "data: 6\n\n");
    // An event larger than the limit is a chunk of its own.
    let large = "x".repeat(100);
    for text in ["7", &large, "8", "9"] {
        sender.send(data(text)).unwrap();
    }
    assert_eq!(next(&mut body).await, "data: 7\n\n");
    assert_eq!(next(&mut body).await, format!("data: {large}\n\n"));
    assert_eq!(next(&mut body).await, "data: 8\n\ndata: 9\n\n");
    assert!(is_pending(&mut body));
}

#[tokio::test(start_paused = true)]
async fn max_chunk_of_zero_makes_each_event_a_chunk() {
    let mut body = EventBody::new(stream::iter([data("1"), data("2")])).with_max_chunk(0);
    assert_eq!(next(&mut body).await, PREAMBLE);
    assert_eq!(next(&mut body).await, "data: 1\n\n");
    assert_eq!(next(&mut body).await, "data: 2\n\n");
}

#[tokio::test(start_paused = true)]
async fn body_keeps_no_buffer_after_a_chunk() {
    let (sender, events) = channel();
    let mut body = EventBody::new(events);
    for _ in 0..10 {
        sender.send(data("burst")).unwrap();
    }
    let chunk = body.next().await.unwrap().unwrap();
    assert!(is_pending(&mut body));
    assert!(chunk.is_unique(), "an idle body holds memory");
}

#[tokio::test(start_paused = true)]
async fn body_pauses_once_before_it_fails() {
    let wakes = Arc::new(CountingWaker::default());
    let waker = Waker::from(wakes.clone());
    let mut cx = Context::from_waker(&waker);
    let mut body = EventBody::new(stream::iter([Ok(Event::data("a")), Err("broken")]));
    assert!(matches!(body.poll_next_unpin(&mut cx), Poll::Ready(Some(Ok(_)))));
    assert!(body.poll_next_unpin(&mut cx).is_pending());
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    let Poll::Ready(Some(Err(error))) = body.poll_next_unpin(&mut cx) else { panic!("no error") };
    assert_eq!(error.to_string(), "broken");
}

#[tokio::test(start_paused = true)]
async fn stream_is_not_polled_beyond_a_full_chunk() {
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = taken.clone();
    let events = stream::iter(0..).map(move |_: u32| {
        counted.fetch_add(1, Ordering::Relaxed);
        data("x")
    });
    let mut body = EventBody::new(events);
    let max = DEFAULT_MAX_CHUNK;
    for chunk in 1..=3 {
        let bytes = next(&mut body).await.len();
        assert!(bytes <= max && bytes > max - 9, "{bytes}");
        let read_ahead = taken.load(Ordering::Relaxed) - chunk * (max / 9);
        assert!(read_ahead <= 3, "{read_ahead} events ahead");
    }
}

#[tokio::test(start_paused = true)]
async fn end_and_error_come_after_the_last_event() {
    let body = EventBody::new(stream::iter([Event::data("a"), Event::data("b")]));
    let bytes = BodyExt::collect(body).await.unwrap().to_bytes();
    assert_eq!(bytes, ": \n\ndata: a\n\ndata: b\n\n");

    let items = [Ok(Event::data("a")), Err("broken"), Ok(Event::data("never"))];
    let mut body = pin!(EventBody::new(stream::iter(items)));
    assert_eq!(body.next().await.unwrap().unwrap(), ": \n\ndata: a\n\n");
    assert_eq!(body.next().await.unwrap().unwrap_err().to_string(), "broken");
    assert!(body.next().await.is_none());
    assert!(body.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn only_an_idle_stream_sends_keep_alives() {
    let (sender, events) = channel();
    let mut body = EventBody::new(events);
    let start = Instant::now();
    assert_eq!(next(&mut body).await, PREAMBLE);
    for n in 1..=3 {
        assert_eq!(next(&mut body).await, ": \n\n");
        assert_eq!(start.elapsed(), Duration::from_secs(15 * n));
    }
    // Every write restarts the interval.
    for n in 1..=3 {
        assert!(is_pending(&mut body));
        tokio::time::advance(Duration::from_secs(10)).await;
        sender.send(data("busy")).unwrap();
        assert_eq!(next(&mut body).await, "data: busy\n\n");
        assert_eq!(start.elapsed(), Duration::from_secs(45 + 10 * n));
    }
    assert_eq!(next(&mut body).await, ": \n\n");
    assert_eq!(start.elapsed(), Duration::from_secs(45 + 30 + 15));
}

#[tokio::test(start_paused = true)]
async fn custom_keep_alive_is_sent_and_its_interval_is_clamped() {
    let keep_alive =
        KeepAlive::every(Duration::from_secs(1)).with_event(Event::data("").with_event_type(event_type!("ping")));
    let mut body = EventBody::new(stream::pending::<EncodedEvent>()).with_keep_alive(keep_alive);
    let start = Instant::now();
    assert_eq!(next(&mut body).await, PREAMBLE);
    assert_eq!(next(&mut body).await, "event: ping\ndata: \n\n");
    assert_eq!(start.elapsed(), Duration::from_secs(1));

    // A very short interval does not flood, and a very long one does not panic.
    let mut body = EventBody::new(stream::pending::<EncodedEvent>()).with_keep_alive(KeepAlive::every(Duration::ZERO));
    next(&mut body).await;
    assert!(is_pending(&mut body));
    let mut body = EventBody::new(stream::pending::<EncodedEvent>()).with_keep_alive(KeepAlive::every(Duration::MAX));
    next(&mut body).await;
    assert!(is_pending(&mut body));
    let mut body = EventBody::new(stream::pending::<EncodedEvent>()).without_keep_alive();
    next(&mut body).await;
    assert!(tokio::time::timeout(Duration::from_secs(1_000_000), next(&mut body)).await.is_err());
}

#[derive(Default)]
struct CountingWaker(AtomicUsize);

impl Wake for CountingWaker {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Returns the number of chunks and of wake-ups in this time, when the body is polled only after a wake-up.
async fn chunks_and_wakes(body: EventBody<impl Stream<Item: IntoEvent>>, seconds: usize) -> (usize, usize) {
    let wakes = Arc::new(CountingWaker::default());
    let waker = Waker::from(wakes.clone());
    let mut cx = Context::from_waker(&waker);
    let mut body = pin!(body);
    let mut written = 0;
    let mut seen = usize::MAX;
    for _ in 0..seconds {
        if wakes.0.load(Ordering::Relaxed) != seen {
            seen = wakes.0.load(Ordering::Relaxed);
            while let Poll::Ready(chunk) = body.as_mut().poll_next(&mut cx) {
                assert!(chunk.is_some());
                written += 1;
            }
        }
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    (written, wakes.0.load(Ordering::Relaxed))
}

#[tokio::test(start_paused = true)]
async fn idle_stream_wakes_only_for_its_keep_alive() {
    let (written, wakes) = chunks_and_wakes(EventBody::new(stream::pending::<EncodedEvent>()), 600).await;
    // The preamble and 600 s / 15 s keep-alives. The last step of the clock may still be due.
    assert!((40..=41).contains(&written), "{written} chunks");
    assert!((39..=40).contains(&wakes), "{wakes} wake-ups");
}

#[tokio::test(start_paused = true)]
async fn stream_idle_after_a_burst_wakes_only_for_its_keep_alive() {
    let one = || EventBody::new(stream::iter([data("one")]).chain(stream::pending()));
    // One more wake-up checks whether the event has stalled.
    let keep_alive = KeepAlive::every(Duration::from_secs(100));
    assert_eq!(chunks_and_wakes(one().with_keep_alive(keep_alive), 99).await, (1, 1));
    let hour = Duration::from_secs(3600);
    let body = one().without_keep_alive().with_max_lifetime(hour, Duration::ZERO).with_idle_timeout(hour);
    assert_eq!(chunks_and_wakes(body, 3599).await, (1, 1));
}

#[tokio::test(start_paused = true)]
async fn custom_type_is_an_item() {
    struct Tick(u32);
    impl IntoEvent for Tick {
        fn into_event(self) -> Result<EncodedEvent, BoxError> {
            Ok(data(&self.0.to_string()))
        }
    }
    let body = EventBody::new(stream::iter([Tick(1), Tick(2)]));
    assert_eq!(BodyExt::collect(body).await.unwrap().to_bytes(), ": \n\ndata: 1\n\ndata: 2\n\n");
}

#[tokio::test(start_paused = true)]
async fn dropped_body_drops_its_stream() {
    let (sender, events) = channel();
    let mut body = EventBody::new(events);
    next(&mut body).await;
    assert!(is_pending(&mut body));
    assert!(!sender.is_closed());
    drop(body);
    assert!(sender.is_closed());
}

#[tokio::test(start_paused = true)]
async fn ended_stream_is_dropped_before_the_body() {
    let (sender, receiver) = mpsc::unbounded_channel::<EncodedEvent>();
    // The stream ends at a marked event, while its sender still exists.
    let events = UnboundedReceiverStream::new(receiver).take_while(|frame| {
        let goes_on = frame.as_bytes() != b"data: end\n\n";
        async move { goes_on }
    });
    let mut body = pin!(EventBody::new(events));
    sender.send(data("one")).unwrap();
    sender.send(data("end")).unwrap();
    assert_eq!(body.next().await.unwrap().unwrap(), ": \n\ndata: one\n\n");
    assert!(sender.is_closed(), "held until the body goes");
    assert!(body.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn later_setting_replaces_an_earlier_one() {
    let mut body = EventBody::new(stream::pending::<EncodedEvent>()).without_keep_alive();
    assert_eq!(next(&mut body).await, PREAMBLE);
    let mut body = body.with_keep_alive(KeepAlive::every(Duration::from_secs(1)));
    assert_eq!(next(&mut body).await, ": \n\n");
}

#[tokio::test(start_paused = true)]
async fn received_event_is_an_item() {
    use ssekit_core::{InvalidValue, ReceivedEvent, SharedStr};
    let mut event = ReceivedEvent {
        event_type: "token".into(),
        data: SharedStr::from("a\nb".to_owned()),
        last_event_id: SharedStr::from_static("7"),
    };
    let mut body = EventBody::new(stream::iter([event.clone()]));
    assert_eq!(next(&mut body).await, ": \n\nevent: token\nid: 7\ndata: a\ndata: b\n\n");
    event.event_type = "forged\ndata".into();
    let mut body = pin!(EventBody::new(stream::iter([event])));
    assert_eq!(body.next().await.unwrap().unwrap(), PREAMBLE);
    let error = body.next().await.unwrap().unwrap_err().into_inner();
    assert_eq!(error.downcast::<InvalidValue>().unwrap().position(), 6);
}
