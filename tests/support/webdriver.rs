//! As much of WebDriver as the tests need, with a browser of the test's own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, thread};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::task::block_in_place;
use tokio::time::timeout;

use super::process::{Process, command};
use super::{Result, SOON, START, request};

/// Starts chromedriver, and returns its address.
///
/// It chooses a port that is free for IPv4, and exits if another program has the same port for IPv6. So it may take several
/// attempts.
async fn start_driver(directory: &Path) -> (Process, SocketAddr) {
    let mut command = command(&installed("chromedriver"));
    command.arg("--port=0").env("HOME", directory).env("TMPDIR", directory);
    for _ in 0..10 {
        let mut driver = Process::start("chromedriver", &mut command).unwrap();
        if let Ok(port) = driver.says("started successfully on port ", SOON).await {
            let port = port.trim_end_matches('.').parse().unwrap();
            return (driver, SocketAddr::from(([127, 0, 0, 1], port)));
        }
    }
    panic!("chromedriver does not start")
}

pub(crate) struct Browser {
    /// The browser is in its group of processes.
    _driver: Process,
    addr: SocketAddr,
    /// The session's path.
    session: String,
}

impl Browser {
    /// Opens a window that remembers nothing, and leaves nothing outside `directory`.
    pub(crate) async fn open(directory: &Path) -> Self {
        let (driver, addr) = start_driver(directory).await;
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,800",
            &format!("--user-data-dir={}", directory.join("profile").display()),
        ];
        let options = json!({ "binary": installed("chromium"), "args": arguments });
        let wanted = json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": options } } });
        let opened = call(addr, Method::POST, "/session", wanted, START).await.unwrap();
        let session = format!("/session/{}", opened["sessionId"].as_str().unwrap());
        Self { _driver: driver, addr, session }
    }

    pub(crate) async fn go(&self, url: &str) {
        self.post("/url", json!({ "url": url })).await.unwrap();
    }

    /// What the script returns.
    pub(crate) async fn run<T: DeserializeOwned>(&self, script: &str) -> T {
        let value = self.post("/execute/sync", json!({ "script": script, "args": [] })).await.unwrap();
        serde_json::from_value(value).unwrap()
    }

    /// A picture of the window, as a PNG file.
    pub(crate) async fn screenshot(&self) -> Vec<u8> {
        let path = format!("{}/screenshot", self.session);
        let picture = call(self.addr, Method::GET, &path, Value::Null, SOON).await.unwrap();
        base64(picture.as_str().unwrap())
    }

    async fn post(&self, command: &str, body: Value) -> Result<Value> {
        call(self.addr, Method::POST, &format!("{}{command}", self.session), body, SOON).await
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let end = async {
            if thread::panicking() {
                let script = json!({ "script": "return document.body.innerText", "args": [] });
                match self.post("/execute/sync", script).await {
                    Ok(text) => eprintln!("--- the page:\n{}", text.as_str().unwrap_or_default()),
                    Err(error) => eprintln!("--- the page cannot be read: {error}"),
                }
            }
            // What is still there after that is killed with the driver.
            let _ = call(self.addr, Method::DELETE, &self.session, Value::Null, Duration::from_secs(5)).await;
        };
        block_in_place(|| Handle::current().block_on(end));
    }
}

async fn call(addr: SocketAddr, method: Method, path: &str, body: Value, limit: Duration) -> Result<Value> {
    let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
    let builder = Request::builder().method(method).uri(path).header("host", addr.to_string());
    let command = builder.header("content-type", "application/json").body(Full::new(body))?;
    let (status, body) = timeout(limit, async {
        let response = request(addr, command).await?;
        Result::Ok((response.status(), response.into_body().collect().await?.to_bytes()))
    })
    .await??;
    let mut answer: Value = serde_json::from_slice(&body)?;
    let value = answer["value"].take();
    if status.is_success() { Ok(value) } else { Err(format!("{path}: {value:#}").into()) }
}

fn installed(program: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file()).unwrap_or_else(|| {
        panic!("{program} is not installed: run scripts/test, or `apt-get install chromium chromium-driver`")
    })
}

fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |byte: u8| DIGITS.iter().position(|&digit| digit == byte);
    let digits: Vec<usize> = text.bytes().map_while(digit).collect();
    // Four digits are three bytes, and of the last ones, two are one and three are two.
    let groups = digits.chunks(4).map(|group| (group.len() - 1, group.iter().fold(0, |bits, digit| bits << 6 | digit)));
    groups.flat_map(|(bytes, bits)| (bits << (6 * (3 - bytes)) << 8).to_be_bytes()[4..4 + bytes].to_vec()).collect()
}
