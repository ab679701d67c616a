//! Passwords, rights, TLS.

use ssekit_redis::RedisConnectError;
use ssekit_redis::redis::{Client as RedisClient, TlsCertificates};
use ssekit_server::hub::{PublishError, RetentionOptions, StartFrom, Subscribe};
use ssekit_testkit::redis::{Proxy, RedisSetup};

use crate::node::{Client, RedisHub, node, options, publish, publish_at_last, until_status};

async fn refusal(client: RedisClient) -> RedisConnectError {
    RedisHub::connect(client, options(), RetentionOptions::new()).await.unwrap_err()
}

#[tokio::test]
async fn a_password_is_needed_and_stands_in_no_error() {
    let server = RedisSetup::new().password("s3cret/ü").start();
    let hub = node(&server.url()).await;
    let client = Client::start(&hub, None);
    publish(&hub, "one").await.unwrap();
    client.until_data(&["one"]).await;
    let wrong = format!("redis://:wr0ng@{}/", server.addr());
    let error = refusal(RedisClient::open(wrong).unwrap()).await;
    let text = format!("{error} {error:?}");
    assert!(
        matches!(error, RedisConnectError::Redis(_)) && !text.contains("wr0ng") && !text.contains("s3cret"),
        "{text}"
    );
    let none = refusal(RedisClient::open(format!("redis://{}/", server.addr())).unwrap()).await;
    assert!(none.to_string().contains("NOAUTH"), "{none}");
    assert!(!format!("{hub:?} {:?}", hub.log()).contains("s3cret"));
}

#[tokio::test]
async fn a_user_needs_few_rights_and_what_is_missing_is_named() {
    let server = RedisSetup::new().start();
    let rights = "+info +xadd +xread +xrange +xrevrange +xtrim +xinfo|stream";
    let set = |name: &str, keys: &str, rights: &str| {
        let words = format!("ACL SETUSER {name} on >pw {keys} -@all {rights}");
        let words: Vec<&[u8]> = words.split_whitespace().map(str::as_bytes).collect();
        server.command(&words);
        RedisClient::open(format!("redis://{name}:pw@{}/", server.addr())).unwrap()
    };
    let right = set("right", "~test:*", rights);
    let hub =
        RedisHub::connect(right, options().with_max_age(std::time::Duration::from_secs(1)), RetentionOptions::new())
            .await;
    let hub = hub.unwrap();
    publish(&hub, "one").await.unwrap();
    let oldest = Client::subscribe(&hub, Subscribe::prefix("").with_start(StartFrom::Oldest));
    oldest.until_data(&["one"]).await;
    publish(&hub, "more").await.unwrap();
    until_status(&hub, "trimmed", |status| status.first.offset == 2).await;
    assert!(hub.is_ready());

    let error = refusal(set("nothing", "~test:*", "")).await;
    assert!(error.to_string().contains("info"), "{error}");
    let error = refusal(set("other", "~other:*", rights)).await;
    assert!(error.to_string().contains("no permissions to access one of the keys"), "{error}");
    let error = refusal(set("reader", "~test:*", "+info +xread +xrange +xrevrange")).await;
    assert!(error.to_string().contains("xinfo"), "{error}");

    // A right that is taken away.
    set("right", "~test:*", &format!("{rights} -xadd"));
    let error = publish(&hub, "two").await.unwrap_err();
    assert!(matches!(&error, PublishError::Refused(reason) if reason.to_string().contains("xadd")), "{error:?}");
    set("right", "~test:*", rights);
    publish_at_last(&hub, "three").await;
    oldest.until_data(&["one", "more", "three"]).await;
}

#[tokio::test]
async fn what_redis_has_no_memory_for_is_refused() {
    let server = RedisSetup::new().config("maxmemory 3mb").config("maxmemory-policy noeviction").start();
    let hub = node(&server.url()).await;
    let text = "x".repeat(100_000);
    let error = loop {
        match publish(&hub, &text).await {
            Ok(position) => assert!(position.offset < 100),
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, PublishError::Refused(reason) if reason.to_string().contains("OOM")), "{error:?}");
    assert!(error.to_string().contains("not published"), "{error}");
}

#[tokio::test]
async fn a_connection_may_be_by_tls() {
    let server = RedisSetup::new().tls().password("s3cret").start();
    let authority = server.certificates().authority.clone().into_bytes();
    let certificates = |root_cert| TlsCertificates { client_tls: None, root_cert };
    let client = || RedisClient::build_with_tls(server.tls_url(), certificates(Some(authority.clone()))).unwrap();
    let proxy = Proxy::start(server.tls_addr());
    let by_proxy = RedisClient::build_with_tls(server.tls_url_by(proxy.addr()), certificates(Some(authority.clone())));
    let a = RedisHub::connect(client(), options(), RetentionOptions::new()).await.unwrap();
    let b = RedisHub::connect(by_proxy.unwrap(), options(), RetentionOptions::new()).await.unwrap();
    let client = Client::start(&b, None);
    publish(&a, "one").await.unwrap();
    client.until_data(&["one"]).await;
    proxy.cut();
    until_status(&b, "not ready", |status| !status.is_ready()).await;
    publish(&a, "two").await.unwrap();
    proxy.heal();
    client.until_data(&["one", "two"]).await;
    assert_eq!(client.told(), [""; 0]);

    // Of an authority that is not trusted; and what is no TLS at all.
    let unknown = RedisClient::open(server.tls_url()).unwrap();
    let error = refusal(unknown).await.to_string().to_lowercase();
    assert!(error.contains("certificate"), "{error}");
    refusal(RedisClient::open(format!("rediss://{}/", server.addr())).unwrap()).await;
}
