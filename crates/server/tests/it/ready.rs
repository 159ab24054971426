//! What `/readyz` says of the online key.

use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use http::header::RETRY_AFTER;
use jiff::{SignedDuration, Timestamp};
use waxseal_repository::Stop;
use waxseal_server::Settings;
use waxseal_tuf::{PublicKey, SignError, Signer};

use crate::api::{adding, post};
use crate::index::{Index, online_key, settings};

/// What a key does when it is asked to sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Sign,
    Fail,
    Hang,
}

/// A key that can be told.
#[derive(Debug, Clone)]
struct Moody(Arc<(Mutex<Does>, Condvar)>, waxseal_testkit::simulator::TestKey);

impl Moody {
    fn tell(&self, does: Does) {
        *self.0.0.lock().unwrap() = does;
        self.0.1.notify_all();
    }
}

impl Signer for Moody {
    fn public_key(&self) -> &PublicKey {
        self.1.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let does = self.0.0.lock().unwrap();
        let does = self.0.1.wait_while(does, |does| *does == Does::Hang).unwrap();
        match *does {
            Does::Fail => {
                let (key, problem) = ("the token".to_owned(), "it was pulled out".to_owned());
                Err(SignError { key, problem })
            }
            _ => self.1.sign(message),
        }
    }
}

async fn until(index: &Index, reached: impl Fn(&str) -> bool) -> String {
    until_answered(index, 200, reached).await
}

async fn until_answered(index: &Index, status: u16, reached: impl Fn(&str) -> bool) -> String {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let text = index.get("/readyz").await.expect(status, "ready").text();
        if reached(&text) {
            return text;
        }
        assert!(Instant::now() < deadline, "{text}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Uploads are accepted all the while, and published when the key signs again.
#[tokio::test]
async fn a_key_that_fails_or_hangs_is_told_and_what_waits_is_published_later() {
    let key = Moody(Arc::new((Mutex::new(Does::Sign), Condvar::new())), online_key());
    let settings = Settings { slow_publication: Duration::from_millis(50), ..settings() };
    let index = Index::signing_with(Box::new(key.clone()), settings);
    index.publish();
    let (process, stop) = (Arc::clone(&index.process), Stop::new(Arc::clone(&index.repository)));
    let running = thread::spawn({
        let stop = stop.clone();
        move || process.run(&stop)
    });

    key.tell(Does::Fail);
    index.upload(&index.wheel("foo", "1.0")).await.expect(200, "OK");
    let said = until(&index, |text| text.contains("not publishing since")).await;
    assert!(said.contains("accepted up to 1, published up to 0"), "{said}");
    assert!(said.contains("the token could not sign: it was pulled out"), "{said}");

    key.tell(Does::Sign);
    until(&index, |text| text.contains("published up to 1") && !text.contains("since")).await;

    key.tell(Does::Hang);
    index.upload(&index.wheel("bar", "1.0")).await.expect(200, "OK");
    let said = until(&index, |text| text.contains("publishing since")).await;
    assert!(said.contains("the signing key or the disk is slow"), "{said}");
    index.upload(&index.wheel("baz", "1.0")).await.expect(200, "OK");
    until(&index, |text| text.contains("accepted up to 3, published up to 1")).await;
    index.get("/simple/foo/").await.expect(200, "foo-1.0");

    key.tell(Does::Sign);
    until(&index, |text| text.contains("published up to 3")).await;
    stop.request();
    running.join().unwrap().unwrap();
}

/// As after a stop that was longer than the lifetime, with a key that does not sign at first.
#[tokio::test]
async fn nothing_is_taken_before_what_expired_is_signed_again_and_reads_are_answered() {
    let key = Moody(Arc::new((Mutex::new(Does::Sign), Condvar::new())), online_key());
    let settings = Settings { slow_publication: Duration::from_millis(50), ..settings() };
    let index = Index::signing_with(Box::new(key.clone()), settings.clone());
    index.upload(&index.wheel("foo", "1.0")).await.expect(200, "OK");
    index.process.publish_all(Timestamp::now() - SignedDuration::from_hours(72)).unwrap();
    let index = index.restarted(settings);
    key.tell(Does::Hang);
    let (process, stop) = (Arc::clone(&index.process), Stop::new(Arc::clone(&index.repository)));
    let running = thread::spawn({
        let stop = stop.clone();
        move || process.run(&stop)
    });

    let says_slow = |text: &str| text.contains("the signing key or the disk is slow");
    let said = until_answered(&index, 503, says_slow).await;
    assert!(said.contains("what is published has expired"), "{said}");
    key.tell(Does::Fail);
    let says_why = |text: &str| text.contains("the token could not sign: it was pulled out");
    until_answered(&index, 503, says_why).await;
    index.get("/simple/foo/").await.expect(200, "foo-1.0");
    index.get("/tuf/metadata/timestamp.json").await.expect(200, "timestamp");
    let bar = index.wheel("bar", "1.0");
    let refused = index.upload(&bar).await.expect(503, "before it is signed again");
    assert_eq!(refused.header(RETRY_AFTER), "5");
    let targets = adding("a", "1");
    post(&index, targets.clone()).await.problem(503, "not-ready");
    assert_eq!(index.repository.database().last_serial().unwrap(), 1);

    key.tell(Does::Sign);
    let deadline = Instant::now() + Duration::from_mins(1);
    while index.upload(&bar).await.status != 200 {
        assert!(Instant::now() < deadline, "{}", index.get("/readyz").await.text());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    post(&index, targets).await.accepted(3, false);
    until(&index, |text| text.contains("published up to 3")).await;
    stop.request();
    running.join().unwrap().unwrap();
}

/// What people have to renew is told while there is time, and does not send clients elsewhere; what they
/// have not renewed does.
#[tokio::test]
async fn roles_of_a_ceremony_are_told_before_they_expire_and_when_they_have() {
    let ready = async |days: i64, status| {
        let index = Index::founded(Timestamp::now() - SignedDuration::from_hours(24 * days));
        index.publish();
        index.get("/readyz").await.expect(status, "ready").text()
    };
    let text = ready(200, 200).await;
    assert!(!text.contains("expires"), "{text}");
    let text = ready(300, 200).await;
    for role in ["root", "targets", "bins"] {
        assert!(text.contains(&format!("\n{role} expires on 20")), "{text}");
    }
    let text = ready(366, 503).await;
    let problem = "has expired, and clients refuse it: bins, root, targets; a key ceremony has to";
    assert!(text.contains(problem), "{text}");
}
