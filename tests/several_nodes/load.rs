//! Those who post, and what became of each line.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::SendRequest;
use serde_json::json;
use ssekit::hub::Position;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::client::Client;
use crate::support::{Result, SOON, connect, until};

const POSTERS: usize = 3;
/// How long each waits between two lines.
const PAUSE: Duration = Duration::from_millis(10);

/// What became of the lines.
#[derive(Default)]
pub(crate) struct Posts {
    /// They were acknowledged, by these IDs.
    pub(crate) acked: BTreeMap<Position, String>,
    /// They are not published.
    pub(crate) failed: HashSet<String>,
    /// Nobody knows.
    pub(crate) unknown: HashSet<String>,
}

/// Some who post at each node, each one line behind the other.
pub(crate) struct Load {
    posts: Arc<Mutex<Posts>>,
    is_over: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

/// Where some of them post: may be changed.
pub(crate) type Target = Arc<Mutex<SocketAddr>>;

impl Load {
    pub(crate) fn start(targets: &[&Target]) -> Self {
        let (posts, is_over, mut tasks) =
            (Arc::<Mutex<Posts>>::default(), Arc::<AtomicBool>::default(), JoinSet::new());
        for (n, target) in targets.iter().enumerate() {
            for m in 0..POSTERS {
                let (target, posts, is_over) = (Arc::clone(target), posts.clone(), is_over.clone());
                tasks.spawn(async move {
                    let mut connection = None;
                    for number in 0.. {
                        if is_over.load(Ordering::Relaxed) {
                            return;
                        }
                        let text = format!("{n}.{m}-{number}");
                        let addr = *target.lock().unwrap();
                        let outcome = post_by(&mut connection, addr, &text).await;
                        posts.lock().unwrap().add(text, outcome);
                        sleep(PAUSE).await;
                    }
                });
            }
        }
        Self { posts, is_over, tasks }
    }

    pub(crate) fn posts(&self) -> MutexGuard<'_, Posts> {
        self.posts.lock().unwrap()
    }

    /// Waits until so many more are acknowledged.
    pub(crate) async fn until_acked(&self, count: usize) {
        let count = self.posts().acked.len() + count;
        until(&format!("{count} lines"), SOON, async || (self.posts().acked.len() >= count).then_some(())).await;
    }

    /// Waits until so many more have failed: nobody hangs.
    pub(crate) async fn until_failed(&self, count: usize) {
        let failed = || {
            let posts = self.posts();
            posts.failed.len() + posts.unknown.len()
        };
        let count = failed() + count;
        until(&format!("{count} failures"), SOON, async || (failed() >= count).then_some(())).await;
    }

    /// Posts a line until it is taken, and waits until all of these clients have it: then they have all that was before.
    pub(crate) async fn settle(&self, node: SocketAddr, clients: &[Client]) -> Position {
        let mut number = 0;
        let at = until("a line is taken", SOON, async || {
            number += 1;
            let text = format!("settled at {node}, {}, {number}", self.posts().acked.len());
            let outcome = post(node, &text).await;
            let at = if let Outcome::Acked(at) = outcome { Some(at) } else { None };
            self.posts().add(text, outcome);
            at
        });
        let at = at.await;
        for client in clients {
            client.until_line(at).await;
        }
        at
    }

    /// Ends it, when each has its last answer.
    pub(crate) async fn end(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                ended.unwrap();
            }
        };
        timeout(SOON, all).await.expect("all posts are answered");
    }
}

impl Posts {
    fn add(&mut self, text: String, outcome: Outcome) {
        match outcome {
            Outcome::Acked(at) => assert_eq!(self.acked.insert(at, text), None, "two lines at {at}"),
            Outcome::Failed => assert!(self.failed.insert(text)),
            Outcome::Unknown => assert!(self.unknown.insert(text)),
        }
    }

    /// Of what a client has seen, no line is there twice, and none that was not posted or has failed. All that it has to have
    /// seen are there, at their places.
    pub(crate) fn check(&self, client: &Client, has_to: impl Fn(Position) -> bool) {
        let lines = client.lines();
        assert!(lines.is_sorted_by(|a, b| a.0 < b.0));
        let texts: HashSet<_> = lines.iter().map(|(_, text)| text).collect();
        assert_eq!(texts.len(), lines.len(), "a line came twice");
        let seen: BTreeMap<_, _> = lines.into_iter().collect();
        for (at, text) in &seen {
            let is_known = self.acked.get(at) == Some(text) || self.unknown.contains(text);
            assert!(
                is_known,
                "{text:?} at {at}: acknowledged as {:?}, failed {}",
                self.acked.get(at),
                self.failed.contains(text)
            );
        }
        let missing: Vec<_> = self.acked.iter().filter(|(at, _)| has_to(**at) && !seen.contains_key(at)).collect();
        assert!(missing.is_empty(), "{} missing, of {}: {:?}", missing.len(), self.acked.len(), missing[0]);
    }
}

/// What became of a line.
#[derive(Debug)]
pub(crate) enum Outcome {
    Acked(Position),
    Failed,
    Unknown,
}

/// Posts a line over a connection of its own.
pub(crate) async fn post(node: SocketAddr, text: &str) -> Outcome {
    post_by(&mut None, node, text).await
}

/// The same, and keeps the connection. Each is answered in time.
async fn post_by(
    connection: &mut Option<(SocketAddr, SendRequest<Full<Bytes>>)>,
    node: SocketAddr,
    text: &str,
) -> Outcome {
    let kept = connection.take().filter(|(addr, sender)| *addr == node && !sender.is_closed());
    let sender = match kept {
        Some((_, sender)) => Ok(sender),
        None => connect(node).await,
    };
    let Ok(mut sender) = sender else { return Outcome::Failed };
    let answer = async {
        let body = json!({ "name": "", "text": text }).to_string();
        let post = Request::post("/chat").header("host", node.to_string()).body(Full::from(body))?;
        let response = sender.send_request(post).await?;
        let status = response.status().as_u16();
        let text = response.into_body().collect().await?.to_bytes();
        Result::Ok((status, String::from_utf8(text.into())?))
    };
    match timeout(SOON, answer).await.expect("a post is answered") {
        Ok((202, position)) => {
            *connection = Some((node, sender));
            Outcome::Acked(position.parse().unwrap())
        }
        Ok((503, _)) => Outcome::Failed,
        Ok((504, _)) | Err(_) => Outcome::Unknown,
        Ok(other) => panic!("{other:?}"),
    }
}
