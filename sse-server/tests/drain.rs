//! How a drain ends all streams of a group. The clock is paused and advances by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{Stream, StreamExt, future, stream};
use http::Response;
use ssekit_core::{EncodedEvent, Event, event_type};
use ssekit_server::test::TestClient;
use ssekit_server::{CloseReason, DrainOptions, DrainPolicy, EventBody, StreamGroup};
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

fn pending() -> impl Stream<Item = EncodedEvent> {
    stream::pending()
}

fn client<S: Stream<Item = EncodedEvent> + 'static>(body: EventBody<S>) -> TestClient {
    TestClient::new(Response::new(body)).with_patience(1000 * SECOND)
}

/// Returns the rest of the stream, and when the stream ends.
async fn rest(mut client: TestClient) -> (String, Instant) {
    let mut text = String::new();
    while let Some(chunk) = client.next_chunk().await {
        text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
    }
    (text, Instant::now())
}

/// Returns the `retry` value of the last block, in milliseconds.
fn retry(text: &str) -> u64 {
    text.trim_end().rsplit_once("retry: ").unwrap().1.parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn drained_streams_end_with_the_farewell_and_a_retry_line() {
    let streams = StreamGroup::new();
    let mut clients = Vec::new();
    for _ in 0..100 {
        let mut client = client(EventBody::new(pending()).with_group(&streams));
        client.next_chunk().await.unwrap().unwrap();
        clients.push(rest(client));
    }
    assert_eq!((streams.len(), streams.is_ready()), (100, true));

    let start = Instant::now();
    let farewell = Event::data("1").with_event_type(event_type!("bye"));
    let options = DrainOptions::new().with_farewell(farewell).with_reconnection_time(3 * SECOND);
    let (report, clients) = future::join(streams.drain(options), future::join_all(clients)).await;
    assert_eq!(start.elapsed(), Duration::ZERO, "though their streams are pending");
    assert_eq!((report.open, report.drained, report.ended, report.forced), (100, 100, 0, 0));
    assert_eq!((streams.len(), streams.is_ready(), streams.closed_count(CloseReason::Draining)), (0, false, 100));
    let retries: Vec<u64> = clients.iter().map(|(text, _)| retry(text)).collect();
    for (text, _) in &clients {
        assert!(text.starts_with("event: bye\ndata: 1\n\nretry: "), "{text}");
    }
    assert!(retries.iter().all(|retry| (3000..=6000).contains(retry)), "{retries:?}");
    assert!(retries.iter().any(|retry| *retry != retries[0]), "they do not come back together");
}

#[tokio::test(start_paused = true)]
async fn drain_spreads_the_ends_and_events_go_out_until_then() {
    let streams = StreamGroup::new();
    let mut clients = Vec::new();
    for _ in 0..100 {
        let seconds = stream::repeat_with(|| EncodedEvent::from(Event::data("tick"))).then(async |frame| {
            sleep(SECOND).await;
            frame
        });
        let mut client = client(EventBody::new(seconds).with_group(&streams));
        client.next_chunk().await.unwrap().unwrap();
        clients.push(rest(client));
    }
    let start = Instant::now();
    let options = DrainOptions::new().with_spread(20 * SECOND).with_deadline(30 * SECOND);
    let (report, clients) = future::join(streams.drain(options), future::join_all(clients)).await;
    assert_eq!((report.drained, report.forced), (100, 0));
    let mut quarters = [0; 4];
    for (text, end) in clients {
        let seconds = (end - start).as_secs();
        assert!(seconds <= 20);
        assert!(text.matches("tick").count().abs_diff(seconds as usize) <= 1, "{seconds} {text}");
        quarters[(seconds / 5).min(3) as usize] += 1;
    }
    assert!(quarters.iter().all(|count| *count > 5), "{quarters:?}");
}

#[tokio::test(start_paused = true)]
async fn ready_events_go_out_before_the_farewell() {
    let streams = StreamGroup::new();
    let events = stream::iter((0..100).map(|n| EncodedEvent::from(Event::data(n.to_string())))).chain(pending());
    let mut client = client(EventBody::new(events).with_group(&streams).with_max_chunk(50));
    client.next_chunk().await.unwrap().unwrap();
    let (_, (text, _)) = future::join(streams.drain(DrainOptions::new()), rest(client)).await;
    let (events, retry) = text.split_once("retry: ").unwrap();
    assert!(events.ends_with("data: 98\n\ndata: 99\n\n") && retry.ends_with("\n\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn finish_then_close_lets_a_stream_run_to_its_end() {
    let streams = StreamGroup::new();
    let answer = |seconds: u64| {
        let words = stream::iter(0..seconds).then(async |n| {
            sleep(SECOND).await;
            EncodedEvent::from(Event::data(n.to_string()))
        });
        let policy = DrainPolicy::FinishThenClose { max: 10 * SECOND };
        client(EventBody::new(words).with_group(&streams).with_drain_policy(policy))
    };
    let (mut short, mut long) = (answer(5), answer(50));
    short.next_chunk().await.unwrap().unwrap();
    long.next_chunk().await.unwrap().unwrap();
    let start = Instant::now();
    let options = DrainOptions::new().with_deadline(60 * SECOND);
    let (report, short, long) = future::join3(streams.drain(options), rest(short), rest(long)).await;
    assert!(short.0.ends_with("data: 4\n\n"), "{}", short.0);
    assert!(long.0.contains("data: 9\n\nretry: ") || long.0.contains("data: 8\n\nretry: "), "{}", long.0);
    assert_eq!((report.open, report.ended, report.drained, report.forced), (2, 1, 1, 0));
    assert_eq!((long.1 - start).as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn deadline_forces_busy_and_stuck_streams() {
    let streams = StreamGroup::new();
    let firehose = stream::repeat_with(|| EncodedEvent::from(Event::data("x")));
    let body = EventBody::new(firehose).with_group(&streams).without_stall_timeout();
    let (busy_handle, mut busy) = (body.handle(), client(body));
    let body = EventBody::new(pending()).with_group(&streams).without_stall_timeout();
    let (stuck_handle, mut stuck) = (body.handle(), client(body));
    busy.next_chunk().await.unwrap().unwrap();
    stuck.next_chunk().await.unwrap().unwrap();
    let options = DrainOptions::new().with_deadline(5 * SECOND);
    let reading = async {
        let mut last = String::new();
        while let Some(chunk) = busy.next_chunk().await {
            last = String::from_utf8(chunk.unwrap().to_vec()).unwrap();
            sleep(SECOND / 10).await;
        }
        last
    };
    let (report, last) = future::join(streams.drain(options), reading).await;
    assert_eq!((report.open, report.drained, report.forced), (2, 0, 2));
    assert_eq!(report.took.as_secs(), 5);
    assert!((1000..=2000).contains(&retry(&last)), "it is told when to come back all the same: {last}");
    assert_eq!(busy_handle.close_reason(), Some(CloseReason::Forced));
    assert_eq!(stuck_handle.close_reason(), Some(CloseReason::Forced));
    assert_eq!(streams.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn stream_opened_during_a_drain_ends_with_a_retry_line() {
    let streams = StreamGroup::new();
    let report =
        streams.drain(DrainOptions::new().with_reconnection_time(7 * SECOND).with_farewell(Event::data("bye"))).await;
    assert_eq!((report.open, report.rejected), (0, 0));
    let body = EventBody::new(pending()).with_group(&streams);
    let handle = body.handle();
    let client = client(body);
    assert_eq!(client.status(), 200);
    let (text, _) = rest(client).await;
    assert!(text.starts_with("retry: ") && (7000..=14000).contains(&retry(&text)), "{text}");
    assert_eq!(handle.close_reason(), Some(CloseReason::Draining));
    assert_eq!((streams.len(), streams.closed_count(CloseReason::Draining)), (0, 0), "it never was one of them");
    assert_eq!(streams.drain(DrainOptions::new()).await.rejected, 1);
}

#[tokio::test(start_paused = true)]
async fn group_counts_streams_from_first_poll_to_close() {
    let streams = StreamGroup::new();
    let unused = EventBody::new(pending()).with_group(&streams);
    assert_eq!(streams.len(), 0, "a response that is never sent is no stream");
    drop(unused);
    let mut clients: Vec<_> = (0..3).map(|_| client(EventBody::new(pending()).with_group(&streams))).collect();
    for client in &mut clients {
        client.next_chunk().await.unwrap().unwrap();
    }
    assert_eq!((streams.len(), streams.handles().len()), (3, 3));
    clients.pop().unwrap().disconnect();
    streams.handles()[0].end();
    for client in clients {
        if streams.len() == 2 {
            rest(client).await;
        }
    }
    assert_eq!(streams.closed_count(CloseReason::Disconnected), 1);
    assert_eq!(streams.len(), 0);

    let guard = streams.connection();
    assert_eq!(streams.connections(), 1);
    let (waiting, ()) = future::join(
        tokio::spawn({
            let streams = streams.clone();
            async move { streams.connections_closed().await }
        }),
        async {
            sleep(SECOND).await;
            drop(guard);
        },
    )
    .await;
    waiting.unwrap();
    assert_eq!(streams.connections(), 0);
}

#[tokio::test(start_paused = true)]
async fn panicking_callback_does_not_stop_the_others() {
    let (streams, told) = (StreamGroup::new(), Arc::new(AtomicUsize::new(0)));
    let body = || {
        let told = told.clone();
        let body = EventBody::new(pending()).with_group(&streams).on_close(|_| panic!("the application's"));
        body.on_close(move |_| {
            told.fetch_add(1, Ordering::Relaxed);
        })
    };
    let mut gone = body();
    gone.next().await;
    let _ = tokio::spawn(async move { drop(gone) }).await;
    assert_eq!((streams.len(), told.load(Ordering::Relaxed)), (0, 1));

    let mut stuck = [body(), body()];
    for body in &mut stuck {
        body.next().await;
    }
    let of_drain = streams.clone();
    let report = tokio::spawn(async move { of_drain.drain(DrainOptions::new()).await }).await.unwrap();
    assert_eq!((report.forced, streams.len(), told.load(Ordering::Relaxed)), (2, 0, 3));
}

#[tokio::test(start_paused = true)]
async fn second_drain_reports_only_its_own_streams() {
    let streams = StreamGroup::new();
    let mut open = client(EventBody::new(pending()).with_group(&streams));
    open.next_chunk().await.unwrap().unwrap();
    let (first, _) = future::join(streams.drain(DrainOptions::new()), rest(open)).await;
    let second = streams.drain(DrainOptions::new()).await;
    assert_eq!((first.open, first.drained), (1, 1));
    assert_eq!(first.to_string(), "1 stream in 0.0ns: 1 drained, 0 ended, 0 forced; 0 rejected");
    assert_eq!((second.open, second.drained, second.ended, second.forced), (0, 0, 0, 0));
}

/// An HTTP/2 connection may carry many streams in turn.
#[tokio::test(start_paused = true)]
async fn dropped_connection_guard_ends_its_streams_and_keeps_no_closed_one() {
    let streams = StreamGroup::new();
    let connection = streams.connection();
    let handles: Vec<_> = (0..1000)
        .map(|_| {
            let body = EventBody::new(pending());
            connection.carry(body.handle());
            body.handle()
        })
        .collect();
    assert!(handles.iter().all(|handle| handle.close_reason() == Some(CloseReason::ClientGone)));
    assert!(format!("{connection:?}").matches("StreamHandle").count() < 10, "those that are over are forgotten");
    let body = EventBody::new(pending());
    let handle = body.handle();
    let mut client = client(body);
    client.next_chunk().await.unwrap().unwrap();
    connection.carry(handle.clone());
    drop(connection);
    assert!(client.next_chunk().await.is_none());
    assert_eq!(handle.close_reason(), Some(CloseReason::ClientGone));
}
