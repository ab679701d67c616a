//! The contestants on actix-web's `HttpServer`, with one worker.

use std::io;
use std::net::TcpListener;

use actix_web::web::{self, Path};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, rt};

use ssekit_server::StreamGroup;

use super::Setup;
use super::feed::Feed;
use crate::Kind;

/// The work of a handler.
pub(super) trait Responder: 'static {
    const NAME: &'static str;
    const KIND: Kind = Kind::Rival;
    const COMMENT: &'static str = "";
    /// Whether ssekit's `configure` sets up the server.
    const IS_CONFIGURED: bool = false;

    fn respond(feed: Feed, request: &HttpRequest) -> HttpResponse;
}

pub(super) fn serve<R: Responder>(listener: TcpListener, setup: Setup) -> io::Result<()> {
    let app = move || {
        let events = async |request, count: Path<u64>| R::respond(Feed::Events(*count), &request);
        let idle = async |request| R::respond(Feed::Idle, &request);
        let ticks = async |request| R::respond(Feed::Ticks, &request);
        let app = App::new()
            .route("/events/{count}", web::get().to(events))
            .route("/idle", web::get().to(idle))
            .route("/ticks", web::get().to(ticks));
        (0..setup.more_routes).fold(app, |app, n| app.route(&format!("/more/{n}"), web::get().to(async || "more")))
    };
    let server = HttpServer::new(app).workers(1);
    let server = match R::IS_CONFIGURED {
        true => ssekit_actix::configure(server, &StreamGroup::new()),
        false => server.tcp_nodelay(true).disable_signals(),
    };
    rt::System::new().block_on(server.listen(listener)?.run())
}
