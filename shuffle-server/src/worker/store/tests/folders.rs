use std::fs;

use overhand_common::ErrorKind;

use super::support::*;
use crate::worker::store::{Settings, Store};

fn refused(settings: Settings) -> String {
    let error = Store::open(settings, metrics()).map(drop).expect_err("refused");
    assert!(matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Internal), "{error}");
    error.message().to_owned()
}

#[tokio::test]
async fn a_missing_folder_is_made_but_not_the_one_above_it() {
    let dir = tempfile::tempdir().expect("dir");
    drop(open(settings(&dir.path().join("new"), 1 << 20)));
    let message = refused(settings(&dir.path().join("missing/new"), 1 << 20));
    assert!(message.contains("missing/new") && message.contains("is missing"), "{message}");
}

#[tokio::test]
async fn a_file_in_the_place_of_a_folder_is_refused() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("file");
    fs::write(&path, b"").expect("written");
    assert!(refused(settings(&path, 1 << 20)).contains("is no folder"));
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_refused() {
    // Where even root can't write.
    let message = refused(settings(std::path::Path::new("/proc/self"), 1 << 20));
    assert!(message.contains("/proc/self") && message.contains("can't be written") || message.contains("read-only"));
}

#[tokio::test]
async fn a_new_folder_with_less_room_than_its_reserve_is_refused() {
    let dir = tempfile::tempdir().expect("dir");
    let message = refused(Settings { disk_reserve: u64::MAX, ..settings(dir.path(), 1 << 20) });
    assert!(message.contains("is full") && message.contains("reserve"), "{message}");
}

#[tokio::test]
async fn a_folder_in_use_is_refused() {
    let dir = tempfile::tempdir().expect("dir");
    let _store = open(settings(dir.path(), 1 << 20));
    assert!(refused(settings(dir.path(), 1 << 20)).contains("is in use"));
}

#[tokio::test]
async fn folders_of_different_workers_are_refused() {
    let (a, b) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
    drop(open(settings(a.path(), 1 << 20)));
    drop(open(settings(b.path(), 1 << 20)));
    let both = vec![a.path().to_owned(), b.path().to_owned()];
    assert!(refused(Settings { data_dirs: both, ..settings(a.path(), 1 << 20) }).contains("different workers"));
}

#[tokio::test]
async fn a_worker_without_one_of_its_folders_is_another_incarnation() {
    let (a, b) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
    let both = Settings { data_dirs: vec![a.path().to_owned(), b.path().to_owned()], ..settings(a.path(), 1 << 20) };
    let store = open(both.clone());
    let id = store.worker_id();
    store.close().await.expect("closed");
    drop(store);
    let store = open(settings(a.path(), 1 << 20));
    assert_eq!((store.worker_id().id, store.worker_id().incarnation), (id.id, id.incarnation + 1));
    store.close().await.expect("closed");
    drop(store);
    assert_eq!(open(both).worker_id().id, id.id, "the folder is welcome back");
}

#[tokio::test]
async fn a_membership_file_that_is_damaged_is_refused() {
    let dir = tempfile::tempdir().expect("dir");
    drop(open(settings(dir.path(), 1 << 20)));
    fs::write(dir.path().join("worker.json"), b"{").expect("written");
    assert!(refused(settings(dir.path(), 1 << 20)).contains("worker.json"));
}
