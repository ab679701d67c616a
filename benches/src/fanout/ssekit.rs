//! The contestants of ssekit: a hub, whose events have IDs. It keeps as many events as the others.

use std::io;
use std::net::TcpListener;

use ::axum::Router;
use ::axum::response::{IntoResponse, Response};
use ::axum::routing::get;
use actix_web::{App, HttpServer, rt, web};
use ssekit_core::Event;
use ssekit_server::hub::{
    Hub, HubOptions, HubResponse, MemoryLog, Rejection, RetentionOptions, Subscribe, Subscription,
};

use super::actix_web_lab::OnWorker;
use super::publisher::{self, Jobs, Topic};
use super::{OTHER_PATH, PATH, RING, axum_sse};
use crate::serve::axum::block_on;

const TOPIC: &str = "feed";
const OTHER_TOPIC: &str = "other";
/// The number of events that are published first. So the number in an ID always has six digits, and the log is full.
const BEFORE: usize = 100_000;

#[derive(Clone)]
struct Feed(Hub);

impl Feed {
    fn new() -> Self {
        let mut feed =
            Self(Hub::with_log(MemoryLog::new(RetentionOptions::new().with_max_events(RING)), HubOptions::new()));
        (0..BEFORE).for_each(|_| feed.publish("before"));
        feed
    }

    fn subscribe(&self, topic: &str) -> Result<Subscription, Rejection> {
        self.0.subscribe(Subscribe::topic(topic))
    }
}

impl Topic for Feed {
    fn publish(&mut self, text: &str) {
        // If an event is refused, its subscribers miss it.
        let _ = self.0.publish(TOPIC, Event::data(text)).now();
    }
}

/// Serves with axum's own server.
pub(super) fn serve_axum(listener: TcpListener, jobs: Jobs) -> io::Result<()> {
    block_on(async { axum_sse::serve_router(listener, router(jobs)).await })
}

/// Serves with ssekit's own accept loop.
pub(super) fn serve_axum_serve(listener: TcpListener, jobs: Jobs) -> io::Result<()> {
    block_on(async {
        socket2::SockRef::from(&listener).set_tcp_nodelay(true)?;
        ssekit_axum::serve(listener, router(jobs))?.await;
        Ok(())
    })
}

fn router(jobs: Jobs) -> Router {
    let feed = Feed::new();
    tokio::spawn(publisher::run(jobs, feed.clone()));
    let subscribe = |topic: &'static str| {
        let feed = feed.clone();
        get(async move |request| respond(&feed, topic, &request))
    };
    Router::new().route(PATH, subscribe(TOPIC)).route(OTHER_PATH, subscribe(OTHER_TOPIC))
}

fn respond(feed: &Feed, topic: &str, request: &ssekit_axum::SseRequest) -> Response {
    ssekit_axum::HubResponse::from(HubResponse::new(request, feed.subscribe(topic))).into_response()
}

pub(super) fn serve_actix(listener: TcpListener, jobs: Jobs) -> io::Result<()> {
    let feed = Feed::new();
    let streams = feed.0.streams().clone();
    let publish = OnWorker::new(publisher::run(jobs, feed.clone()));
    let app = move || {
        publish.start();
        let subscribe = |topic: &'static str| {
            let feed = feed.clone();
            web::get().to(move |request: ssekit_actix::SseRequest| {
                let response = HubResponse::new(&request, feed.subscribe(topic));
                async { ssekit_actix::HubResponse::from(response) }
            })
        };
        App::new().route(PATH, subscribe(TOPIC)).route(OTHER_PATH, subscribe(OTHER_TOPIC))
    };
    let server = ssekit_actix::configure(HttpServer::new(app).workers(1), &streams);
    rt::System::new().block_on(server.listen(listener)?.run())
}
