//! What is served by axum's own `serve`.

use std::io;
use std::net;

use axum::Router;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::get;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::runtime;

use super::Setup;
use super::feed::Feed;
use crate::Kind;

/// A handler's work.
pub(super) trait Responder: 'static {
    const NAME: &'static str;
    const KIND: Kind = Kind::Rival;
    const COMMENT: &'static str = "";

    fn respond(feed: Feed) -> Response;
}

pub(super) fn serve<R: Responder>(listener: net::TcpListener, setup: Setup) -> io::Result<()> {
    block_on(async {
        let listener = to_tokio(listener)?.tap_io(|stream| {
            // What does not let itself be set is measured by the latency.
            let _ = stream.set_nodelay(true);
        });
        let router = router::<R>(setup);
        if setup.is_made {
            axum::serve(listener, router.into_make_service()).await
        } else {
            axum::serve(listener, router).await
        }
    })
}

pub(super) fn router<R: Responder>(setup: Setup) -> Router {
    let router = Router::new()
        .route("/events/{count}", get(async |Path(count)| R::respond(Feed::Events(count))))
        .route("/idle", get(async || R::respond(Feed::Idle)))
        .route("/ticks", get(async || R::respond(Feed::Ticks)));
    (0..setup.more_routes).fold(router, |router, n| router.route(&format!("/more/{n}"), get(async || "more")))
}

pub(crate) fn block_on<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

pub(crate) fn to_tokio(listener: net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}
