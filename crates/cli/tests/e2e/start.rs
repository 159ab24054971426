//! A start that cannot publish at once: what is published is served meanwhile.

use std::fs::File;
use std::time::{Duration, Instant};

use crate::harness::{Form, Index, Wheel, clock_shifted, make_wheels, request};

#[test]
fn a_start_that_is_held_up_serves_what_is_there_and_takes_nothing_before_it_is_signed_again() {
    // Three days ago the index signed for a day.
    let mut index = Index::quickstart_with(|command| clock_shifted(command, "-3d"));
    index.upload_new(Wheel::new("before", "1.0"));
    index.stop();
    // Another program keeps it from publishing, as a key that hangs does.
    let lock = File::open(index.data().join("store/.store/timestamp.lock")).unwrap();
    lock.lock().unwrap();
    let begun = Instant::now();
    index.start();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    index.process().wait_for(&index.process().stderr, "the signing key or the disk is slow");

    let get = |path: &str| request("GET", &format!("{}{path}", index.url), &[], &[]).unwrap();
    let ready = get("/readyz");
    assert_eq!(ready.status, 503, "{}", ready.text());
    assert!(ready.text().contains("what is published has expired"), "{}", ready.text());
    assert_eq!(get("/simple/before/").status, 200);
    assert_eq!(get("/tuf/metadata/timestamp.json").status, 200);
    let folder = tempfile::tempdir().unwrap();
    let wheel = &make_wheels(folder.path(), &[Wheel::new("after", "1.0")])[0];
    let upload = || Form::file(&index.token, wheel).post(&index.url).unwrap();
    let refused = upload();
    assert_eq!(refused.status, 503, "{}", refused.reason);
    assert!(refused.reason.contains("before it is signed again"), "{}", refused.reason);
    assert_eq!(refused.header("Retry-After"), Some("5"));

    drop(lock);
    let until = Instant::now() + Duration::from_mins(1);
    while get("/readyz").status != 200 {
        assert!(Instant::now() < until, "{}", get("/readyz").text());
        std::thread::sleep(Duration::from_millis(20));
    }
    let taken = upload();
    assert_eq!(taken.status, 200, "{}", taken.reason);
}
