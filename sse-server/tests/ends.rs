//! How streams end, and which reasons the callbacks get. The clock is paused and advances by itself.

use std::future::pending;
use std::io;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use futures_util::{FutureExt, Stream, StreamExt, stream};
use http::Response;
use ssekit_core::{EncodedEvent, Event};
use ssekit_server::test::{TestClient, TestError};
use ssekit_server::{
    AfterEnd, BodyError, BoxError, CloseReason, DrainOptions, EventBody, IntoEvent, KeepAlive, LastEventId, SendError,
    Sender, SseRequest, SseRequestRejection, StreamGroup, StreamHandle,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_stream::wrappers::UnboundedReceiverStream;

const SECOND: Duration = Duration::from_secs(1);

/// The reasons that `on_close` reported, and when.
#[derive(Clone, Default)]
struct Closed(Arc<Mutex<Vec<(CloseReason, Instant)>>>);

impl Closed {
    fn watch<S: Stream<Item: IntoEvent>>(&self, body: EventBody<S>) -> EventBody<S> {
        let closed = self.0.clone();
        body.on_close(move |reason| closed.lock().unwrap().push((reason, Instant::now())))
    }

    /// Returns the only reason.
    fn reason(&self) -> Option<CloseReason> {
        let closed = self.0.lock().unwrap();
        assert!(closed.len() <= 1, "{closed:?}");
        closed.first().map(|(reason, _)| *reason)
    }

    fn after(&self, start: Instant) -> Duration {
        self.0.lock().unwrap()[0].1 - start
    }
}

fn client<S>(body: EventBody<S>) -> TestClient
where
    S: Stream<Item: IntoEvent> + 'static,
{
    TestClient::new(Response::new(body)).with_patience(1000 * SECOND)
}

async fn text(client: &mut TestClient) -> String {
    let mut text = String::new();
    while let Some(chunk) = client.next_chunk().await {
        text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
    }
    text
}

fn one_then_pending() -> impl Stream<Item = Event<'static>> {
    stream::iter([Event::data("one")]).chain(stream::pending())
}

#[tokio::test(start_paused = true)]
async fn close_reasons_tell_end_error_and_disconnect_apart() {
    let closed = Closed::default();
    let mut whole = client(closed.watch(EventBody::new(stream::iter([Event::data("one")]))));
    assert_eq!(text(&mut whole).await, ": \n\ndata: one\n\n");
    assert_eq!(closed.reason(), Some(CloseReason::StreamEnd));

    let closed = Closed::default();
    let failing = stream::iter([Ok(EncodedEvent::from(Event::data("one"))), Err(io::Error::other("broken"))]);
    let mut failing = client(closed.watch(EventBody::new(failing)));
    assert_eq!(failing.events(1).await.unwrap()[0].data, "one");
    assert_eq!(closed.reason(), None);
    let Some(Err(TestError::Body(error))) = failing.next_chunk().await else { panic!("no error") };
    assert_eq!(error.to_string(), "broken");
    assert_eq!(closed.reason(), Some(CloseReason::Error));

    let closed = Closed::default();
    let mut gone = client(closed.watch(EventBody::new(one_then_pending())));
    gone.events(1).await.unwrap();
    assert_eq!(closed.reason(), None);
    gone.disconnect();
    assert_eq!(closed.reason(), Some(CloseReason::ClientGone));
}

#[tokio::test(start_paused = true)]
async fn stream_is_dropped_before_the_callbacks_run() {
    let (sender, events) = mpsc::unbounded_channel::<EncodedEvent>();
    let order = Arc::new(Mutex::new(Vec::new()));
    let (first, second) = (order.clone(), order.clone());
    let body = EventBody::new(UnboundedReceiverStream::new(events))
        .on_close(move |_| first.lock().unwrap().push(("first", sender.is_closed())))
        .on_close(move |_| second.lock().unwrap().push(("second", true)));
    drop(body);
    assert_eq!(*order.lock().unwrap(), [("first", true), ("second", true)]);
}

#[tokio::test(start_paused = true)]
async fn stream_ends_at_its_maximum_lifetime() {
    for _ in 0..20 {
        let (closed, start) = (Closed::default(), Instant::now());
        let body = EventBody::new(one_then_pending()).with_max_lifetime(100 * SECOND, 10 * SECOND);
        let text = text(&mut client(closed.watch(body))).await;
        assert_eq!(text, format!(": \n\ndata: one\n\n{}", ": \n\n".repeat(6)), "with its keep-alives");
        assert_eq!(closed.reason(), Some(CloseReason::MaxLifetime));
        let after = closed.after(start);
        assert!(90 * SECOND <= after && after <= 100 * SECOND + SECOND / 100, "{after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn always_ready_stream_ends_at_its_maximum_lifetime() {
    let closed = Closed::default();
    let body = EventBody::new(stream::repeat(Event::data("x"))).with_max_lifetime(10 * SECOND, Duration::ZERO);
    let mut client = client(closed.watch(body));
    for _ in 0..10 {
        assert!(client.next_chunk().await.is_some());
        client.stall(SECOND).await;
    }
    // The last chunk, and the event that did not fit into it.
    let mut rest = 0;
    while client.next_chunk().await.is_some() {
        rest += 1;
        assert!(rest <= 2);
    }
    assert_eq!(closed.reason(), Some(CloseReason::MaxLifetime));
}

#[tokio::test(start_paused = true)]
async fn keep_alive_does_not_restart_the_idle_timeout() {
    let (closed, start) = (Closed::default(), Instant::now());
    let events = stream::iter([7, 20, 1000]).then(async |seconds| {
        sleep(seconds * SECOND).await;
        Event::data("late")
    });
    let body = EventBody::new(events).with_idle_timeout(30 * SECOND).with_keep_alive(KeepAlive::every(10 * SECOND));
    let text = text(&mut client(closed.watch(body))).await;
    assert_eq!(text.matches("data: late").count(), 2);
    assert_eq!(closed.reason(), Some(CloseReason::Idle));
    assert_eq!(closed.after(start).as_secs(), 7 + 20 + 30);
}

#[tokio::test(start_paused = true)]
async fn handle_ends_a_waiting_stream() {
    let closed = Closed::default();
    let body = closed.watch(EventBody::new(one_then_pending()));
    let handle = body.handle();
    let mut client = client(body);
    client.events(1).await.unwrap();
    let kicker = handle.clone();
    tokio::spawn(async move {
        sleep(SECOND).await;
        kicker.end();
    });
    let start = Instant::now();
    assert!(client.next_chunk().await.is_none());
    assert_eq!(start.elapsed().as_secs(), 1, "it was woken");
    assert_eq!(
        (closed.reason(), handle.close_reason()),
        (Some(CloseReason::Disconnected), Some(CloseReason::Disconnected))
    );
    // Too late to have an effect.
    handle.finish();
    let late = Closed::default();
    let told = late.0.clone();
    handle.on_close(move |reason| told.lock().unwrap().push((reason, Instant::now())));
    assert_eq!(late.reason(), Some(CloseReason::Disconnected));
}

#[tokio::test(start_paused = true)]
async fn handle_does_not_keep_the_waker_of_the_connection() {
    struct Task;
    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }
    for end in [drop, |mut body: EventBody<_>| {
        body.handle().end();
        assert!(body.next().now_or_never().unwrap().is_none());
    }] {
        let task = Arc::new(Task);
        let waker = Waker::from(task.clone());
        let mut body = EventBody::new(stream::pending::<EncodedEvent>());
        let handle = body.handle();
        let mut cx = Context::from_waker(&waker);
        assert!(body.poll_next_unpin(&mut cx).is_ready() && body.poll_next_unpin(&mut cx).is_pending());
        end(body);
        drop(waker);
        assert!(handle.close_reason().is_some());
        assert_eq!(Arc::strong_count(&task), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn finished_stream_sends_no_more_events() {
    let body = EventBody::new(stream::repeat(Event::data("x"))).with_max_chunk(0);
    let handle = body.handle();
    let mut client = client(body);
    client.events(3).await.unwrap();
    handle.finish();
    assert_eq!(text(&mut client).await, format!("id: {}\n\n", LastEventId::FINISHED));
}

#[tokio::test(start_paused = true)]
async fn finished_stream_ends_with_the_finished_id() {
    let body = EventBody::new(stream::iter([Event::data("all")])).with_after_end(AfterEnd::Stop);
    let mut client = client(body);
    assert_eq!(client.events(1).await.unwrap()[0].data, "all");
    assert!(client.next_event().await.is_none(), "the ID comes with no event");
    assert_eq!(client.last_event_id(), LastEventId::FINISHED);
    let header = client.last_event_id().as_bytes();
    let request = SseRequest::from_fields("GET", Some(header), [], None);
    assert_eq!(request, Err(SseRequestRejection::Finished));
    assert!(!LastEventId::try_from("7").unwrap().is_finished());
}

/// A server that is stuck with a chunk does not poll for another one.
#[tokio::test(start_paused = true)]
async fn client_that_reads_nothing_is_a_slow_consumer() {
    for (timeout, keep_alive) in [(10, 15), (10, 5), (3, 15), (20, 15), (40, 15)] {
        let (closed, start) = (Closed::default(), Instant::now());
        let body = EventBody::new(stream::repeat(Event::data("x")))
            .with_stall_timeout(timeout * SECOND)
            .with_keep_alive(KeepAlive::every(keep_alive * SECOND));
        let handle = body.handle();
        let mut client = client(closed.watch(body));
        client.next_chunk().await.unwrap().unwrap();
        client.stall((timeout - 1) * SECOND).await;
        assert_eq!(closed.reason(), None, "{timeout} {keep_alive}");
        client.stall(100 * SECOND).await;
        assert_eq!(handle.close_reason(), Some(CloseReason::SlowConsumer), "{timeout} {keep_alive}");
        let after = closed.after(start).as_secs();
        assert_eq!(after, u64::from(timeout), "{timeout} {keep_alive}");
        // If the client reads again, the stream is over.
        assert!(client.next_chunk().await.is_none());
        drop(client);
        assert_eq!(closed.reason(), Some(CloseReason::SlowConsumer));
    }
}

#[tokio::test(start_paused = true)]
async fn slow_reader_and_idle_stream_are_not_slow_consumers() {
    let closed = Closed::default();
    let body = EventBody::new(stream::repeat(Event::data("x"))).with_stall_timeout(10 * SECOND);
    let mut slow = client(closed.watch(body));
    for _ in 0..20 {
        slow.next_chunk().await.unwrap().unwrap();
        slow.stall(9 * SECOND).await;
    }
    assert_eq!(closed.reason(), None);

    let closed = Closed::default();
    let body = EventBody::new(one_then_pending()).with_stall_timeout(2 * SECOND);
    let mut idle = client(closed.watch(body));
    for _ in 0..20 {
        idle.next_chunk().await.unwrap().unwrap();
    }
    assert_eq!(closed.reason(), None);

    let closed = Closed::default();
    let mut patient = client(closed.watch(EventBody::new(stream::repeat(Event::data("x"))).without_stall_timeout()));
    patient.next_chunk().await.unwrap().unwrap();
    patient.stall(10_000 * SECOND).await;
    assert_eq!(closed.reason(), None);
    patient.next_chunk().await.unwrap().unwrap();
}

/// Without keep-alive, the body sets a timer only after an event.
#[tokio::test(start_paused = true)]
async fn slow_consumer_is_noticed_without_a_keep_alive() {
    let (closed, start) = (Closed::default(), Instant::now());
    let mut client = client(closed.watch(EventBody::new(stream::repeat(Event::data("x"))).without_keep_alive()));
    for _ in 0..10 {
        client.next_chunk().await.unwrap().unwrap();
        client.stall(7 * SECOND).await;
    }
    client.stall(100 * SECOND).await;
    assert_eq!(closed.reason(), Some(CloseReason::SlowConsumer));
    assert_eq!(closed.after(start).as_secs(), 63 + 10);
}

/// The kernel may close the connection before the timer of the stall timeout fires.
#[tokio::test(start_paused = true)]
async fn body_dropped_after_the_stall_timeout_closes_as_slow_consumer() {
    for (seconds, reason) in [(9, CloseReason::ClientGone), (11, CloseReason::SlowConsumer)] {
        let closed = Closed::default();
        let mut client = client(closed.watch(EventBody::new(stream::repeat(Event::data("x")))));
        client.next_chunk().await.unwrap().unwrap();
        client.stall(seconds * SECOND).await;
        client.disconnect();
        assert_eq!(closed.reason(), Some(reason));
    }
}

#[tokio::test(start_paused = true)]
async fn channel_holds_at_most_its_capacity() {
    let (sender, body) = EventBody::channel(2);
    let mut client = client(body);
    let event = || Event::data("x");
    assert_eq!(sender.capacity(), 2);
    sender.try_send(event()).unwrap();
    sender.try_send(event()).unwrap();
    let full = sender.try_send(event()).unwrap_err();
    assert_eq!(full.to_string(), "event not sent: the channel is full, because the client reads too slowly");
    assert_eq!(full.into_event(), Some(EncodedEvent::from(event())), "nothing is lost");
    assert_eq!(client.events(2).await.unwrap().len(), 2);
    // The places become free when the client asks for more.
    let waiting = tokio::spawn(async move {
        sender.send(event()).await.unwrap();
        sender
    });
    assert_eq!(client.events(1).await.unwrap().len(), 1);
    drop(waiting.await.unwrap());
    assert!(client.next_chunk().await.is_none(), "the last sender ends the stream");
}

#[tokio::test(start_paused = true)]
async fn sender_waits_while_the_channel_is_full() {
    let (sender, body) = EventBody::channel(1);
    let mut client = client(body);
    let task = tokio::spawn(async move {
        for n in 0..1000 {
            sender.send(Event::data(n.to_string())).await.unwrap();
        }
    });
    for n in 0..1000 {
        assert_eq!(client.next_event().await.unwrap().unwrap().data, n.to_string().as_str());
    }
    task.await.unwrap();
    assert!(client.next_event().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn senders_see_that_the_client_has_gone() {
    let (sender, body) = EventBody::channel(1);
    let mut client = client(body);
    client.next_chunk().await.unwrap().unwrap();
    sender.send(Event::data("fills it")).await.unwrap();
    let (blocked, waiting) = (sender.clone(), sender.clone());
    let blocked = tokio::spawn(async move { blocked.send(Event::data("waits")).await });
    let waiting = tokio::spawn(async move { waiting.closed().await });
    sleep(SECOND).await;
    assert!(!blocked.is_finished() && !waiting.is_finished() && !sender.is_closed());
    client.disconnect();
    let Err(SendError::Closed(event)) = blocked.await.unwrap() else { panic!("sent to nobody") };
    assert_eq!(event, EncodedEvent::from(Event::data("waits")));
    waiting.await.unwrap();
    sender.closed().await;
    assert!(sender.is_closed());
    assert_eq!(sender.handle().close_reason(), Some(CloseReason::ClientGone));
    assert!(sender.try_send(Event::data("late")).unwrap_err().to_string().ends_with("the stream is over"));
}

/// The body is not dropped, because its connection is stuck.
#[tokio::test(start_paused = true)]
async fn senders_see_a_slow_consumer() {
    let (sender, body) = EventBody::channel(1);
    let mut client = client(body);
    sender.send(Event::data("taken")).await.unwrap();
    client.next_chunk().await.unwrap().unwrap();
    let start = Instant::now();
    sender.closed().await;
    assert_eq!(start.elapsed().as_secs(), 10);
    assert_eq!(sender.handle().close_reason(), Some(CloseReason::SlowConsumer));
    assert!(sender.send(Event::data("late")).await.is_err());
    assert!(client.next_chunk().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn sender_finishes_the_stream_of_other_senders() {
    let (sender, body) = EventBody::channel(4);
    let other = sender.clone();
    sender.send(Event::data("last")).await.unwrap();
    sender.finish();
    assert!(other.is_closed());
    let mut client = client(body);
    assert_eq!(text(&mut client).await, format!(": \n\ndata: last\n\nid: {}\n\n", LastEventId::FINISHED));
    assert_eq!(other.handle().close_reason(), Some(CloseReason::StreamEnd));
}

#[tokio::test(start_paused = true)]
async fn result_of_the_function_ends_or_fails_the_stream() {
    async fn run<F>(callback: impl FnOnce(Sender) -> F) -> (String, Option<CloseReason>)
    where
        F: Future<Output = Result<(), BoxError>> + 'static,
    {
        let closed = Closed::default();
        let mut client = client(closed.watch(EventBody::from_fn(callback)));
        let mut text = String::new();
        while let Some(chunk) = client.next_chunk().await {
            match chunk {
                Ok(chunk) => text.push_str(std::str::from_utf8(&chunk).unwrap()),
                Err(error) => text.push_str(&error.to_string()),
            }
        }
        (text, closed.reason())
    }

    let (text, reason) = run(async |sender| Ok(sender.send(Event::data("one")).await?)).await;
    assert_eq!((text.as_str(), reason), (": \n\ndata: one\n\n", Some(CloseReason::StreamEnd)));

    let (text, _) = run(async |sender| {
        sender.finish();
        Ok(())
    })
    .await;
    assert_eq!(text, format!(": \n\nid: {}\n\n", LastEventId::FINISHED));

    let (text, reason) = run(async |sender| {
        let _ = sender.send(Event::data("one")).await;
        Err(io::Error::other("broken").into())
    })
    .await;
    assert_eq!((text.as_str(), reason), (": \n\ndata: one\n\nthe body failed: broken", Some(CloseReason::Error)));

    // More events than the channel holds, with pauses.
    let (text, _) = run(async |sender| {
        for n in 0..1000 {
            if n % 100 == 0 {
                sleep(SECOND).await;
            }
            sender.send(Event::data("x")).await?;
        }
        Ok(())
    })
    .await;
    assert_eq!(text.matches("data: x\n\n").count(), 1000);
}

#[tokio::test(start_paused = true)]
async fn function_that_returns_ok_keeps_after_end() {
    let done = format!(": \n\ndata: one\n\nid: {}\n\n", LastEventId::FINISHED);
    let ended = EventBody::from_fn(async |sender| {
        sender.send(Event::data("one")).await?;
        sender.finish();
        Ok(())
    });
    assert_eq!(text(&mut client(ended)).await, done);

    let returned = EventBody::from_fn(async |sender| Ok(sender.send(Event::data("one")).await?));
    assert_eq!(text(&mut client(returned.with_after_end(AfterEnd::Stop))).await, done);
}

#[tokio::test(start_paused = true)]
async fn function_is_dropped_when_the_client_goes() {
    let alive = Arc::new(());
    let inside = alive.clone();
    let body = EventBody::from_fn(|sender| async move {
        sender.send(Event::data("one")).await?;
        pending::<()>().await;
        drop(inside);
        Ok(())
    });
    let mut client = client(body);
    client.events(1).await.unwrap();
    assert_eq!(Arc::strong_count(&alive), 2);
    client.disconnect();
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[tokio::test]
async fn body_without_timeouts_needs_no_runtime() {
    let body = EventBody::new(stream::iter([Event::data("x")])).without_keep_alive().without_stall_timeout();
    let chunks: Vec<Result<_, BodyError>> = body.collect().await;
    assert_eq!(chunks.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn client_that_does_not_read_the_preamble_is_noticed() {
    let (closed, start) = (Closed::default(), Instant::now());
    let mut client = client(closed.watch(EventBody::new(one_then_pending()).with_max_chunk(0).without_keep_alive()));
    assert_eq!(client.next_chunk().await.unwrap().unwrap(), ": \n\n");
    client.stall(100 * SECOND).await;
    assert_eq!((closed.reason(), closed.after(start).as_secs()), (Some(CloseReason::SlowConsumer), 10));
}

/// When the burst comes, the timer is set for the keep-alive in an hour.
#[tokio::test(start_paused = true)]
async fn stall_after_a_burst_in_an_idle_stream_is_noticed() {
    let (sender, events) = mpsc::unbounded_channel::<EncodedEvent>();
    let body = EventBody::new(UnboundedReceiverStream::new(events)).with_max_chunk(0);
    let closed = Closed::default();
    let mut client = client(closed.watch(body.with_keep_alive(KeepAlive::every(3600 * SECOND))));
    client.next_chunk().await.unwrap().unwrap();
    let late = tokio::spawn(async move {
        sleep(60 * SECOND).await;
        for _ in 0..3 {
            sender.send(EncodedEvent::from(Event::data("x"))).unwrap();
        }
        sender
    });
    client.next_chunk().await.unwrap().unwrap();
    let start = Instant::now();
    client.stall(100 * SECOND).await;
    assert_eq!((closed.reason(), closed.after(start).as_secs()), (Some(CloseReason::SlowConsumer), 10));
    drop(late.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn first_of_several_ends_counts() {
    let streams = StreamGroup::new();
    let body = EventBody::new(one_then_pending()).with_group(&streams);
    let handle = body.handle();
    let mut client = client(body);
    client.events(1).await.unwrap();
    handle.finish();
    let drained = tokio::spawn({
        let streams = streams.clone();
        async move { streams.drain(DrainOptions::new()).await }
    });
    tokio::task::yield_now().await;
    assert_eq!(text(&mut client).await, format!("id: {}\n\n", LastEventId::FINISHED));
    let report = drained.await.unwrap();
    assert_eq!((report.open, report.ended, report.drained), (1, 1, 0));
    assert_eq!(handle.close_reason(), Some(CloseReason::Disconnected));
}

/// The stream uses the handle while the body polls it.
#[tokio::test(start_paused = true)]
async fn stream_ends_itself_through_its_handle() {
    let handle = Arc::new(Mutex::new(None::<StreamHandle>));
    let own = handle.clone();
    let body = EventBody::new(stream::poll_fn(move |_| {
        own.lock().unwrap().take().inspect(|handle| handle.end());
        Poll::<Option<EncodedEvent>>::Pending
    }));
    *handle.lock().unwrap() = Some(body.handle());
    let mut client = client(body);
    let start = Instant::now();
    assert_eq!(text(&mut client).await, ": \n\n");
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn senders_that_outlive_the_stream_hold_no_events() {
    let (sender, body) = EventBody::channel(4);
    let frame = EncodedEvent::from(Event::data("kept"));
    sender.send(frame.clone()).await.unwrap();
    let bytes = frame.into_bytes();
    assert!(!bytes.is_unique());
    drop(body);
    assert!(bytes.is_unique() && sender.is_closed());
}

#[tokio::test(start_paused = true)]
async fn function_that_returns_ends_the_stream_of_other_senders() {
    let kept = Arc::new(Mutex::new(None));
    let inside = kept.clone();
    let mut client = client(EventBody::from_fn(|sender| async move {
        *inside.lock().unwrap() = Some(sender.clone());
        Ok(sender.send(Event::data("last")).await?)
    }));
    assert_eq!(text(&mut client).await, ": \n\ndata: last\n\n");
    assert!(kept.lock().unwrap().as_ref().unwrap().is_closed());
}
