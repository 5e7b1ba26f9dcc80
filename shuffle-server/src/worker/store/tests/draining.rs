//! A worker that is to go.

use overhand_common::ErrorKind;

use super::support::*;

#[tokio::test]
async fn a_drained_worker_refuses_new_data_and_takes_what_ends_attempts() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(settings(dir.path(), 16 << 20));
    let mut writer = Writer::new(0, 7);
    let first = writer.frame(&[(0, 0, 100)], false);
    first.to(&store).await.expect("taken");
    store.set_draining(true);
    assert_eq!(store.takes_data().expect_err("draining").kind(), ErrorKind::Broken);
    store.check().expect("it serves what it has");
    let next = writer.frame(&[(0, 1, 100)], true);
    assert_eq!(next.to(&store).await.expect_err("new data").kind(), ErrorKind::Broken);
    first.to(&store).await.expect("it is here");
    writer.settle(1).to(&store).await.expect("its frames are here");
    assert_eq!(read_all(&store).await.len(), 1);
    let body = store.reserve(&app(), 0, 0).await.expect("there");
    let copied = store.adopt(&app(), &KEY, layout(), body).await;
    assert_eq!(copied.expect_err("new data").kind(), ErrorKind::Broken);
    store.set_draining(false);
    store.takes_data().expect("as before");
    write(&store, 1, 8, &[(0, 0, 100)]).await;
}

#[tokio::test]
async fn what_each_application_holds_is_known() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(settings(dir.path(), 16 << 20));
    assert!(held(&store).is_empty());
    write(&store, 0, 1, &[(0, 0, 960)]).await;
    assert_eq!(held(&store), [(app(), 1000)]);
    flush(&store).await;
    assert_eq!(held(&store), [(app(), store.usage().disk_used)]);
    write(&store, 1, 2, &[(0, 0, 960)]).await;
    let before = held(&store);
    store.close().await.expect("closed");
    drop(store);
    let store = open(settings(dir.path(), 16 << 20));
    assert!(held(&store)[0].1 >= before[0].1);
    assert_eq!(held(&store), [(app(), store.usage().disk_used)]);
    store.remove_shuffle(&app(), 1).await.expect("removed");
    assert_eq!(held(&store), [(app(), 0)]);
}

#[tokio::test]
async fn memory_that_comes_back_goes_to_the_application_that_holds_the_least() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(settings(dir.path(), 8 << 20));
    let mut held = vec![];
    for _ in 0..7 {
        held.push(store.reserve(&app(), 1 << 20, 0).await.expect("there"));
    }
    let reserve = |app: &str| {
        let (store, app) = (store.clone(), app.parse().expect("valid"));
        Box::pin(async move { store.reserve(&app, 2 << 20, 0).await })
    };
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut flood: Vec<_> = (0..20).map(|_| reserve("app-1")).collect();
    assert!(flood.iter_mut().all(|request| request.as_mut().poll(&mut context).is_pending()));
    let mut other = reserve("app-2");
    assert!(other.as_mut().poll(&mut context).is_pending());
    held.pop();
    assert!(flood.iter_mut().all(|request| request.as_mut().poll(&mut context).is_pending()));
    assert!(other.as_mut().poll(&mut context).is_ready());
}
