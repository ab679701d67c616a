//! The contestants of ssekit.

use std::io;
use std::net::TcpListener;

use ::axum::response::{IntoResponse, Response};
use actix_web::{HttpRequest, HttpResponse, Responder as _};
use futures_util::StreamExt;
use ssekit_core::{EncodedEvent, Event};
use ssekit_server::{BoxError, EventChunk, IntoEvent, Sender};

use super::axum::{block_on, router};
use super::feed::{self, Feed, Text};
use super::{CHANNEL, Setup, actix, axum};
use crate::Kind;

/// The comment at the start of each stream.
const COMMENT: &str = ": \n\n";

fn frame(text: Text) -> EncodedEvent {
    Event::data(&text).into()
}

/// An item that is encoded when it is sent.
struct Item(Text);

impl IntoEvent for Item {
    fn into_event(self) -> Result<EncodedEvent, BoxError> {
        Ok(frame(self.0))
    }

    fn encode_into(self, chunk: &mut EventChunk<'_>) -> Result<(), BoxError> {
        chunk.encode(&Event::data(&self.0));
        Ok(())
    }
}

/// A sender of ssekit.
struct Into(Sender);

impl feed::Sender for Into {
    async fn send(&mut self, text: Text) -> bool {
        self.0.send(frame(text)).await.is_ok()
    }

    fn try_send(&mut self, text: Text) -> bool {
        self.0.try_send(frame(text)).is_ok()
    }
}

pub(super) struct Axum;

impl axum::Responder for Axum {
    const NAME: &'static str = "ssekit-axum";
    const KIND: Kind = Kind::Ours;
    const COMMENT: &'static str = COMMENT;

    fn respond(feed: Feed) -> Response {
        ssekit_axum::Sse::new(feed.into_stream().map(frame)).into_response()
    }
}

pub(super) struct AxumItems;

impl axum::Responder for AxumItems {
    const NAME: &'static str = "ssekit-axum-items";
    const KIND: Kind = Kind::Ours;
    const COMMENT: &'static str = COMMENT;

    fn respond(feed: Feed) -> Response {
        ssekit_axum::Sse::new(feed.into_stream().map(Item)).into_response()
    }
}

pub(super) struct AxumChannel;

impl axum::Responder for AxumChannel {
    const NAME: &'static str = "ssekit-axum-channel";
    const KIND: Kind = Kind::Ours;
    const COMMENT: &'static str = COMMENT;

    fn respond(feed: Feed) -> Response {
        let (sender, sse) = ssekit_axum::Sse::channel(CHANNEL);
        feed.send_to(Into(sender));
        sse.into_response()
    }
}

pub(super) struct Actix;

impl actix::Responder for Actix {
    const NAME: &'static str = "ssekit-actix";
    const KIND: Kind = Kind::Ours;
    const COMMENT: &'static str = COMMENT;
    const IS_CONFIGURED: bool = true;

    fn respond(feed: Feed, request: &HttpRequest) -> HttpResponse {
        ssekit_actix::Sse::new(feed.into_stream().map(frame)).respond_to(request)
    }
}

pub(super) struct ActixItems;

impl actix::Responder for ActixItems {
    const NAME: &'static str = "ssekit-actix-items";
    const KIND: Kind = Kind::Ours;
    const COMMENT: &'static str = COMMENT;
    const IS_CONFIGURED: bool = true;

    fn respond(feed: Feed, request: &HttpRequest) -> HttpResponse {
        ssekit_actix::Sse::new(feed.into_stream().map(Item)).respond_to(request)
    }
}

pub(super) struct ActixChannel;

impl actix::Responder for ActixChannel {
    const NAME: &'static str = "ssekit-actix-channel";
    const KIND: Kind = Kind::Ours;
    const COMMENT: &'static str = COMMENT;
    const IS_CONFIGURED: bool = true;

    fn respond(feed: Feed, request: &HttpRequest) -> HttpResponse {
        let (sender, sse) = ssekit_actix::Sse::channel(CHANNEL);
        feed.send_to(Into(sender));
        sse.respond_to(request)
    }
}

/// Serves with ssekit's own accept loop.
pub(super) fn serve_axum(listener: TcpListener, setup: Setup) -> io::Result<()> {
    block_on(async {
        socket2::SockRef::from(&listener).set_tcp_nodelay(true)?;
        ssekit_axum::serve(listener, router::<Axum>(setup))?.await;
        Ok(())
    })
}
