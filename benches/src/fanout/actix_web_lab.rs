//! `sse` of the crate `actix-web-lab`, from a broadcast channel of tokio's. Its events can share a text.

use std::io;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use actix_web::{App, HttpServer, rt, web};
use actix_web_lab::sse::{Data, Event, Sse};
use bytestring::ByteString;
use futures_util::StreamExt;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

use super::publisher::{self, Jobs};
use super::{PATH, RING};
use crate::serve::KEEP_ALIVE;

pub(super) fn serve(listener: TcpListener, jobs: Jobs) -> io::Result<()> {
    let (sender, _) = broadcast::channel::<ByteString>(RING);
    let publishing = sender.clone();
    let publish = publisher::run(jobs, move |text: &str| {
        // An error says that nobody has subscribed.
        let _ = publishing.send(text.into());
    });
    let publish = OnWorker::new(publish);
    let app = move || {
        publish.start();
        let sender = sender.clone();
        let subscribe = move || {
            // Who lags behind misses events, and goes on.
            let texts = BroadcastStream::new(sender.subscribe()).filter_map(async |text| text.ok());
            let events = texts.map(|text| Event::from(Data::new(text)));
            let sse = Sse::from_infallible_stream(events).with_keep_alive(KEEP_ALIVE);
            async move { sse }
        };
        App::new().route(PATH, web::get().to(subscribe))
    };
    let server = HttpServer::new(app).workers(1).tcp_nodelay(true).disable_signals();
    rt::System::new().block_on(server.listen(listener)?.run())
}

/// Work that the one worker does beside its connections. The function that makes an application is called there.
pub(super) struct OnWorker<F>(Arc<Mutex<Option<F>>>);

impl<F: Future<Output = ()> + 'static> OnWorker<F> {
    pub(super) fn new(work: F) -> Self {
        Self(Arc::new(Mutex::new(Some(work))))
    }

    pub(super) fn start(&self) {
        // Nothing panics while it is locked, but it is all the same whether something has.
        let work = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        work.map(rt::spawn);
    }
}

impl<F> Clone for OnWorker<F> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
