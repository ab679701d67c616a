//! axum's own `Sse` from a broadcast channel of tokio's, as axum's users have it: an event is made of the shared text for
//! each subscriber.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use axum::Router;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::get;
use axum::serve::ListenerExt;
use futures_util::StreamExt;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

use super::publisher::{self, Jobs};
use super::{PATH, RING};
use crate::serve::axum::{block_on, to_tokio};

pub(super) fn serve(listener: TcpListener, jobs: Jobs) -> io::Result<()> {
    block_on(async {
        let (sender, _) = broadcast::channel::<Arc<str>>(RING);
        let subscribers = sender.clone();
        let subscribe = async move || {
            // Who lags behind misses events, and goes on.
            let texts = BroadcastStream::new(subscribers.subscribe()).filter_map(async |text| text.ok());
            let events = texts.map(|text| Ok::<_, Infallible>(Event::default().data(text)));
            Sse::new(events).keep_alive(KeepAlive::default())
        };
        tokio::spawn(publisher::run(jobs, move |text: &str| {
            // An error says that nobody has subscribed.
            let _ = sender.send(text.into());
        }));
        serve_router(listener, Router::new().route(PATH, get(subscribe))).await
    })
}

/// By axum's own server.
pub(super) async fn serve_router(listener: TcpListener, router: Router) -> io::Result<()> {
    let listener = to_tokio(listener)?.tap_io(|stream| {
        // What does not let itself be set is measured by the latency.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router).await
}
