//! What `/readyz` says of the online key.

use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use waxseal_repository::Stop;
use waxseal_server::Settings;
use waxseal_tuf::{PublicKey, SignError, Signer};

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
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let text = index.get("/readyz").await.expect(200, "ready").text();
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
