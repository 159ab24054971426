//! The snapshot process in its thread.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use waxseal_repository::{Repository, Stop};

use super::audit::audit_all;
use super::index::{Index, Kind, send};
use waxseal_testkit::faulty_store::Fault;

/// The clock of a thread that runs is the real one.
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// Waits until a serial is published, as a request does that answers an upload.
fn wait_for(repository: &Repository, serial: u64) {
    let mut published = repository.published();
    let mut reached = pin!(published.wait_for(|published| *published >= serial));
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let deadline = Instant::now() + Duration::from_mins(1);
    while reached.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
        let left = deadline.checked_duration_since(Instant::now());
        thread::park_timeout(left.unwrap_or_else(|| panic!("{serial} is not published")));
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Ends the process also where a test fails, which waits for its threads.
pub(crate) struct StopAtEnd<'a>(pub(crate) &'a Stop);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.request();
    }
}

#[test]
fn an_upload_is_published_while_its_uploader_waits() {
    for kind in Kind::EACH {
        let index = Index::new(kind);
        let (repository, process) = index.create().unwrap();
        let stop = Stop::new(Arc::clone(&repository));
        thread::scope(|scope| {
            scope.spawn(|| process.run(&stop).unwrap());
            let _stop = StopAtEnd(&stop);
            for n in 1..=5 {
                assert_eq!(send(&repository, &format!("flask-{n}.tar.gz")), n);
                wait_for(&repository, n);
            }
            let uploaders = |n| {
                let repository = &repository;
                move || {
                    let serial = send(repository, &format!("click-{n}.tar.gz"));
                    wait_for(repository, serial);
                }
            };
            let many: Vec<_> = (0..8).map(|n| scope.spawn(uploaders(n))).collect();
            for uploader in many {
                uploader.join().unwrap();
            }
        });
        assert_eq!(repository.database().last_serial().unwrap(), 13);
        audit_all(&repository, now());
    }
}

#[test]
fn it_publishes_what_waits_before_it_stops() {
    let index = Index::new(Kind::Memory);
    let (repository, process) = index.create().unwrap();
    for n in 1..=5 {
        send(&repository, &format!("flask-{n}.tar.gz"));
    }
    let stop = Stop::new(Arc::clone(&repository));
    stop.request();
    process.run(&stop).unwrap();
    audit_all(&repository, now());
}

#[test]
fn it_goes_on_after_failures() {
    for fault in Fault::EACH {
        let index = Index::new(Kind::Memory);
        let (repository, process) = index.create().unwrap();
        let stop = Stop::new(Arc::clone(&repository));
        index.store.fail_next(3, fault);
        thread::scope(|scope| {
            scope.spawn(|| process.run(&stop).unwrap());
            let _stop = StopAtEnd(&stop);
            wait_for_failures(&index, 3);
            let serial = send(&repository, "flask-1.tar.gz");
            wait_for(&repository, serial);
        });
        assert_eq!(index.store.failed(), 3);
        audit_all(&repository, now());
    }
}

fn wait_for_failures(index: &Index, count: usize) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while index.store.failed() < count {
        assert!(Instant::now() < deadline, "{} of {count} failures", index.store.failed());
        thread::yield_now();
    }
}

#[test]
fn it_stops_although_nothing_can_be_published() {
    let index = Index::new(Kind::Memory);
    let (repository, process) = index.create().unwrap();
    let stop = Stop::new(Arc::clone(&repository));
    index.store.fail_next(usize::MAX / 2, Fault::Nothing);
    thread::scope(|scope| {
        let running = scope.spawn(|| process.run(&stop));
        let stopping = StopAtEnd(&stop);
        wait_for_failures(&index, 2);
        drop(stopping);
        // Whoever stops it hears that something is not published.
        assert!(running.join().unwrap().is_err());
    });
    assert_eq!(*repository.published().borrow(), 0);
    drop(process);
    index.store.fail(0, 0, Fault::Nothing);
    let (repository, process) = index.open().unwrap();
    send(&repository, "flask-1.tar.gz");
    process.publish_all(now()).unwrap();
    audit_all(&repository, now());
}
