use overhand_common::ids::WorkerId;

use super::*;

fn place(id: u128) -> Place {
    Place { worker: WorkerId { id: uuid::Uuid::from_u128(id), incarnation: 1 }, address: "127.0.0.1:1".into() }
}

#[test]
fn what_is_wrong_with_the_next_worker_breaks_the_chain_and_what_is_wrong_with_the_request_does_not() {
    let next = place(1);
    for kind in ErrorKind::ALL {
        let passed = passed_on(&next, Failure::new(Error::new(kind, "why")));
        let theirs = matches!(kind, ErrorKind::Invalid | ErrorKind::Denied | ErrorKind::NotFound);
        assert_eq!(passed.error.kind(), if theirs { kind } else { ErrorKind::Broken });
        assert_eq!(passed.suspect, (!theirs).then_some(next.worker), "{kind:?}");
        assert!(passed.error.message().contains("why"));
    }
}

#[test]
fn the_suspect_that_a_next_worker_names_stays_the_suspect() {
    let further = Failure { error: Error::new(ErrorKind::Broken, "why"), suspect: Some(place(2).worker) };
    assert_eq!(passed_on(&place(1), further).suspect, Some(place(2).worker));
}

fn forwarder(budget: u64) -> Forwarder {
    let metrics = Metrics::new(&metrics::NoopRecorder);
    Forwarder::new(budget, Arc::default(), (Duration::from_secs(1), Duration::from_secs(1)), metrics)
}

#[tokio::test]
async fn a_level_has_an_eighth_of_the_budget_whatever_others_hold() {
    let forwarder = forwarder(64 << 20);
    let mut held = vec![];
    for _ in 0..8 {
        held.push(forwarder.room(1, 1 << 20).await.expect("room"));
    }
    let mut ninth = Box::pin(forwarder.room(1, 1 << 20));
    assert!(crate::worker::net::push::at_once(ninth.as_mut()).await.is_none());
    drop(forwarder.room(2, 1 << 20).await.expect("another level has room of its own"));
    held.pop();
    drop(ninth.await.expect("room was made"));
}

#[tokio::test]
async fn frames_that_are_too_large_and_chains_that_are_too_long_are_refused() {
    let forwarder = forwarder(32 << 20);
    drop(forwarder.room(1, 6 << 20).await.expect("more than the share, and alone"));
    for (level, len) in [(1, 9 << 20), (0, 1), (LEVELS + 1, 1)] {
        assert_eq!(forwarder.room(level, len).await.expect_err("refused").kind(), ErrorKind::Invalid);
    }
    drop(forwarder.room(LEVELS, 0).await.expect("a frame without blocks has room"));
}
