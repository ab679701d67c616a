//! Runs the same hub cases on the servers of all adapters.

use std::time::Duration;

use futures_util::StreamExt;
use hyper::{Method, StatusCode};
use ssekit::Event;
use ssekit::hub::{Disconnect, Hub, HubOptions, MemoryLog, ResumeOutcome, RetentionOptions};
use ssekit::server::{AfterEnd, CloseReason, DrainOptions};

use super::app::{App, Client, chunks, events, soon, until};
use super::on_all;

/// Returns the data of the next `count` events, and the last ID.
async fn next(
    events: &mut (impl StreamExt<Item = ssekit::ReceivedEvent> + Unpin),
    count: usize,
) -> (Vec<String>, String) {
    let (mut texts, mut id) = (Vec::new(), String::new());
    for _ in 0..count {
        let event = soon(events.next()).await.unwrap();
        texts.push(event.data.to_string());
        id = event.last_event_id.to_string();
    }
    (texts, id)
}

#[tokio::test]
async fn reconnecting_client_resumes_after_its_last_event() {
    on_all(async |kind, http| {
        let app = App::with_hub(Hub::default());
        let server = app.start(kind, DrainOptions::new()).await;
        let mut client = Client::connect(server.addr, http).await;
        let mut one = events(client.get("/hub/a", &[]).await);
        let mut other = events(Client::connect(server.addr, http).await.get("/hub/a", &[]).await);
        until("both are there", || app.hub.len() == 2).await;
        for n in 1..=3 {
            app.hub.publish("a", Event::data(n.to_string())).now().unwrap();
            assert_eq!(next(&mut other, 1).await.0, [n.to_string()], "at once");
        }
        let (texts, id) = next(&mut one, 3).await;
        assert_eq!(texts, ["1", "2", "3"]);
        drop((one, client));
        until("it is gone", || app.hub.len() == 1).await;
        for n in 4..=2000 {
            app.hub.publish("a", Event::data(n.to_string())).now().unwrap();
        }
        let mut client = Client::connect(server.addr, http).await;
        let mut back = events(client.get("/hub/a", &[("last-event-id", &id)]).await);
        let expected: Vec<String> = (4..=2000).map(|n| n.to_string()).collect();
        assert_eq!(next(&mut back, 1997).await.0, expected);
        assert_eq!(next(&mut other, 1997).await.0, expected);
        let stats = app.hub.stats();
        assert_eq!((stats.resumes.fresh, stats.resumes.resumed, stats.delivered), (2, 1, 4000));
        assert_eq!(app.hub.clients().last().unwrap().resume, ResumeOutcome::Resumed { missed: 1997 });
        drop((back, client, other));
        until("all are gone", || app.hub.is_empty()).await;
    })
    .await;
}

#[tokio::test]
async fn rejected_client_gets_a_stream_only_for_get_that_accepts_one() {
    on_all(async |kind, http| {
        let options = HubOptions::new().with_max_clients_per_topic(1).with_retry_after(Duration::from_secs(30));
        let app = App::with_hub(Hub::new(options));
        let server = app.start(kind, DrainOptions::new()).await;
        let mut first = Client::connect(server.addr, http).await;
        let _first = first.get("/hub/a", &[]).await;
        let mut client = Client::connect(server.addr, http).await;
        let soft = client.get("/hub/a", &[("accept", "text/event-stream")]).await;
        assert_eq!(
            (soft.status(), &soft.headers()["content-type"]),
            (StatusCode::OK, &"text/event-stream".parse().unwrap())
        );
        let text: Vec<u8> = soon(chunks(soft).map(|chunk| chunk.unwrap().to_vec()).concat()).await;
        let retry = std::str::from_utf8(&text).unwrap().strip_prefix(": \n\nretry: ").unwrap();
        assert!((30_000..60_000).contains(&retry.trim_end().parse::<u64>().unwrap()), "{retry}");
        // A client that is no EventSource reads the status.
        let accepts = [("accept", "text/event-stream")];
        for (method, headers) in [(Method::GET, &[][..]), (Method::POST, &accepts[..])] {
            let hard = client.send(method, "/hub/a", headers).await;
            assert_eq!(hard.status(), StatusCode::SERVICE_UNAVAILABLE);
            let retry: u64 = hard.headers()["retry-after"].to_str().unwrap().parse().unwrap();
            assert!((30..=60).contains(&retry), "{retry}");
            let text = soon(chunks(hard).next()).await.unwrap().unwrap();
            assert_eq!(text, "topic has 1 clients, the maximum");
        }
        // A permanent rejection is a status for every request.
        let long = format!("/hub/{}", "x".repeat(257));
        let wrong = client.get(&long, &[("accept", "text/event-stream")]).await;
        assert_eq!((wrong.status(), wrong.headers().contains_key("retry-after")), (StatusCode::BAD_REQUEST, false));
    })
    .await;
}

#[tokio::test]
async fn newer_session_and_disconnect_end_a_stream() {
    on_all(async |kind, http| {
        let app = App::with_hub(Hub::default());
        let server = app.start(kind, DrainOptions::new()).await;
        let mut client = Client::connect(server.addr, http).await;
        let mut first = events(client.get("/hub/session", &[]).await);
        until("it is there", || app.hub.len() == 1).await;
        let mut client = Client::connect(server.addr, http).await;
        let mut second = events(client.get("/hub/session", &[]).await);
        assert!(soon(first.next()).await.is_none());
        until("one is left", || app.hub.len() == 1).await;
        let how = Disconnect::new().with_reason("signed out").with_after_end(AfterEnd::Stop);
        assert_eq!(app.hub.disconnect_key("s", &how), 1);
        let last = soon(second.next()).await.unwrap();
        assert_eq!((&*last.event_type, &*last.data), ("ssekit:disconnect", "signed out"));
        assert!(soon(second.next()).await.is_none());
        assert_eq!((app.hub.len(), app.hub.streams().closed_count(CloseReason::Disconnected)), (0, 2));
        let done = client.get("/hub/session", &[("last-event-id", "ssekit:done")]).await;
        assert_eq!(done.status(), StatusCode::NO_CONTENT);
    })
    .await;
}

#[tokio::test]
async fn drain_delivers_pending_events_to_each_client() {
    on_all(async |kind, http| {
        let app = App::with_hub(Hub::default());
        let options = DrainOptions::new().with_farewell(Event::data("bye"));
        let mut server = app.start(kind, options).await;
        let mut open = Vec::new();
        for _ in 0..20 {
            let mut client = Client::connect(server.addr, http).await;
            open.push((events(client.get("/hub/a", &[]).await), client));
        }
        until("all are there", || app.hub.len() == 20).await;
        for n in 0..100 {
            app.hub.publish("a", Event::data(n.to_string())).now().unwrap();
        }
        server.stop();
        for (mut events, _client) in open {
            let (texts, _) = next(&mut events, 101).await;
            assert!(texts[..100].iter().enumerate().all(|(n, text)| *text == n.to_string()) && texts[100] == "bye");
            assert!(soon(events.next()).await.is_none());
        }
        let report = server.ended().await;
        assert_eq!((report.open, report.drained, app.hub.len()), (20, 20, 0));
    })
    .await;
}

/// Other clients get all events, and the hub keeps no more than its log.
#[tokio::test]
async fn client_that_reads_nothing_does_not_slow_others() {
    on_all(async |kind, http| {
        let log = MemoryLog::new(RetentionOptions::new().with_max_events(1000));
        let app = App::with_hub(Hub::with_log(log, HubOptions::new()));
        let server = app.start(kind, DrainOptions::new()).await;
        let mut client = Client::connect(server.addr, http).await;
        let stuck = client.get("/hub/a", &[]).await;
        let mut others = Vec::new();
        for _ in 0..5 {
            let mut client = Client::connect(server.addr, http).await;
            others.push((events(client.get("/hub/a", &[]).await), client));
        }
        until("all are there", || app.hub.len() == 6).await;
        let text = "x".repeat(1000);
        let mut published = 0;
        // Publishes until the stall timeout closes its stream, and then some more.
        while app.hub.len() == 6 || published % 20 != 0 {
            for _ in 0..500 {
                app.hub.publish("a", Event::data(&text)).now().unwrap();
            }
            published += 1;
            for (events, _) in &mut others {
                let (texts, _) = next(events, 500).await;
                assert!(texts.iter().all(|read| *read == text));
            }
        }
        assert_eq!((app.hub.len(), app.hub.stats().gaps), (5, 0));
        let closed = app.hub.streams().closed_count(CloseReason::SlowConsumer);
        assert_eq!(closed, 1, "whether it fell off the log or did not read for too long");
        drop((stuck, client));
    })
    .await;
}
