//! A data plane with a real store, and other workers' connections to it.

use std::time::{Duration, SystemTime};

use overhand_common::{
    ErrorKind,
    ids::{Attempt, Layout, Place, ShardKey},
    message::{Ack, Failure, Fin, HEADER_LEN, Header, Kind, Last, Push},
    token::TokenKey,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    Limits, Metrics, Plane,
    dial::{Session, dial},
    order::Verdict,
};
use crate::worker::store::{self, Settings, Store};

const SECOND: Duration = Duration::from_secs(1);

/// A data plane that serves a store in `dir`, where it is, and a token.
async fn serve(dir: &std::path::Path) -> (std::sync::Arc<Store>, Place, String) {
    let settings = Settings { disk_reserve: 0, ..Settings::new(vec![dir.to_owned()], 32 << 20) };
    let store = Store::open(settings, store::Metrics::new(&metrics::NoopRecorder)).expect("the store opens");
    let key = TokenKey::new(b"0123456789abcdef").expect("long enough");
    let app = "app".parse().expect("valid");
    let token = key.sign(&app, "", SystemTime::now(), 60 * SECOND).expect("signed");
    let limits = Limits {
        connections: 10,
        streams: 10,
        window: 1 << 20,
        hello_timeout: SECOND,
        stall_timeout: SECOND,
        close_timeout: SECOND,
        silence: SECOND,
        copy_bandwidth: 1 << 30,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it has one").to_string();
    let plane = Plane::new(store.clone(), key, limits, Metrics::new(&metrics::NoopRecorder));
    tokio::spawn(plane.serve(listener, CancellationToken::new()));
    (store.clone(), Place { worker: store.worker_id(), address }, token)
}

/// What comes of a frame without blocks.
async fn push(session: &mut Session, frame: u32, last: Option<Last>) -> Verdict {
    let (key, layout) = (ShardKey { shuffle: 1, shard: 0, epoch: 0 }, Layout::new(4, 1).expect("in bounds"));
    let push = Push { key, layout, attempt: Attempt { map_index: 0, attempt: 1 }, frame, last, chain: vec![] };
    let head = push.encode(session.version).expect("can be said");
    let bytes = [&Header::new(Kind::Push, 1, &head, 0, 0).encode()[..HEADER_LEN], &head].concat();
    session.output.send(&bytes).await.expect("sent");
    let header = session.input.header().await.expect("answered").expect("not closed");
    let head = session.input.head(&header).await.expect("whole");
    match header.kind {
        Kind::Ack => Ok(Ack::decode(head).expect("well formed")),
        _ => Err(Failure::decode(head).expect("well formed")),
    }
}

#[tokio::test]
async fn a_worker_that_is_drained_takes_what_settles_and_no_new_data() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let (store, place, token) = serve(dir.path()).await;
    let mut session = dial(&place, &token, SECOND).await.expect("welcome");
    push(&mut session, 0, None).await.expect("taken");
    store.set_draining(true);
    let failure = push(&mut session, 1, None).await.expect_err("refused");
    assert_eq!((failure.error.kind(), failure.suspect), (ErrorKind::Broken, Some(place.worker)));
    let settled = push(&mut session, 1, Some(Last::Settled(Fin { frames: 1, ..Fin::default() }))).await;
    assert!(!settled.is_err_and(|failure| failure.error.kind() == ErrorKind::Broken));
    store.set_draining(false);
    let failure = push(&mut session, 7, None).await.expect_err("too early");
    assert_ne!(failure.error.kind(), ErrorKind::Broken);
}

#[tokio::test]
async fn the_very_incarnation_must_answer() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let (_store, mut place, token) = serve(dir.path()).await;
    place.worker.incarnation += 1;
    let error = dial(&place, &token, SECOND).await.err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Stale);
    place.worker.incarnation -= 1;
    assert!(dial(&place, &token, SECOND).await.is_ok());
    place.worker.id = uuid::Uuid::from_u128(7);
    let error = dial(&place, &token, SECOND).await.err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Stale);
    let error = dial(&place, "no token", SECOND).await.err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Denied);
}
