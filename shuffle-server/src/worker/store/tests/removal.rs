use overhand_common::ErrorKind;

use super::support::*;
use crate::worker::store::{Durability, Settings, Store};

/// Nothing of any shuffle or application is left, in memory or on disk.
fn assert_empty(store: &Store, dir: &std::path::Path) {
    assert_eq!(store.usage().memory_used, 0);
    assert_eq!(store.usage().disk_used, 0);
    let left = std::fs::read_dir(crate::disk::segments_dir(dir)).expect("there").count();
    assert_eq!(left, 0, "folders of applications are gone too");
    assert!(store.core.indexes.iter().all(|index| index.records().expect("readable") == 0));
    assert!(store.apps().is_empty());
}

#[tokio::test]
async fn removing_an_application_leaves_nothing() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(settings(dir.path(), 16 << 20));
    for shuffle in 0..3 {
        for map in 0..5 {
            let mut writer = Writer::new(map, u64::from(map));
            writer.key.shuffle = shuffle;
            writer.frame(&[(0, 0, 1000), (5, 0, 1000)], true).to(&store).await.expect("taken");
        }
        if shuffle == 1 {
            flush(&store).await;
        }
    }
    store.remove_shuffle(&app(), 1).await.expect("removed");
    store.remove_app(&app()).await.expect("removed");
    assert_empty(&store, dir.path());
    store.remove_app(&app()).await.expect("nothing to do");
}

#[tokio::test]
async fn removing_a_shuffle_deletes_its_files_and_refuses_late_frames() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(settings(dir.path(), 16 << 20));
    write(&store, 0, 1, &[(0, 0, 1000)]).await;
    flush(&store).await;
    write(&store, 1, 2, &[(0, 0, 1000)]).await;
    assert_eq!(segment_files(dir.path()).len(), 1);
    store.remove_shuffle(&app(), 1).await.expect("removed");
    assert!(segment_files(dir.path()).is_empty());
    assert_eq!((store.usage().memory_used, store.usage().disk_used), (0, 0));
    let late = Writer::new(2, 1).frame(&[(0, 0, 1000)], true);
    assert_eq!(late.to(&store).await.expect_err("late").kind(), ErrorKind::NotFound);
    assert_eq!(read(&store, 0..1, 0..9).await.expect_err("gone").kind(), ErrorKind::NotFound);
    // The tombstone survives a restart.
    store.close().await.expect("closed");
    drop(store);
    let store = open(settings(dir.path(), 16 << 20));
    assert_eq!(late.to(&store).await.expect_err("late").kind(), ErrorKind::NotFound);
    assert_eq!(store.apps(), [app()]);
    store.remove_app(&app()).await.expect("removed");
    assert_empty(&store, dir.path());
}

#[tokio::test]
async fn a_shuffle_that_never_came_here_can_be_removed() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(settings(dir.path(), 16 << 20));
    store.remove_shuffle(&app(), 1).await.expect("removed");
    assert_eq!(store.apps(), [app()]);
    store.remove_app(&app()).await.expect("removed");
    assert_empty(&store, dir.path());
}

#[tokio::test]
async fn an_attempt_that_is_newer_than_the_removal_begins_the_shuffle_anew() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(settings(dir.path(), 16 << 20));
    write(&store, 0, 7, &[(0, 0, 1000)]).await;
    store.remove_shuffle(&app(), 1).await.expect("removed");
    assert_eq!(read(&store, 0..1, 0..9).await.expect_err("gone").kind(), ErrorKind::NotFound);
    write(&store, 0, 8, &[(0, 0, 2000)]).await;
    let anew = read(&store, 0..1, 0..9).await.expect("there");
    // The tombstone is gone for good: what came after it survives a restart.
    store.close().await.expect("closed");
    drop(store);
    let store = open(settings(dir.path(), 16 << 20));
    assert_eq!(read(&store, 0..1, 0..9).await.expect("there"), anew);
    // And it is removed like any other.
    store.remove_shuffle(&app(), 1).await.expect("removed");
    let late = Writer::new(1, 8).frame(&[(0, 0, 1000)], true);
    assert_eq!(late.to(&store).await.expect_err("late").kind(), ErrorKind::NotFound);
    store.remove_app(&app()).await.expect("removed");
    assert_empty(&store, dir.path());
}

#[tokio::test]
async fn removal_during_pushes_and_flushes_leaves_nothing() {
    let dir = tempfile::tempdir().expect("dir");
    let settings = Settings { memtable_max: 64 << 10, ..settings(dir.path(), 4 << 20) };
    let store = open(Settings { durability: Durability::Disk, ..settings });
    for round in 0..10u64 {
        let writers: Vec<_> = (0..4u32)
            .map(|map| {
                let store = store.clone();
                tokio::spawn(async move {
                    let mut writer = Writer::new(map, u64::from(map));
                    writer.key.shuffle = round as u32;
                    for seq in 0..20 {
                        let frame = writer.frame(&[(0, seq, 50_000), (1, seq, 5_000)], seq == 19);
                        if let Err(error) = frame.to(&store).await {
                            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
                            return;
                        }
                    }
                })
            })
            .collect();
        while store.usage().disk_used == 0 {
            tokio::task::yield_now().await;
        }
        store.remove_shuffle(&app(), round as u32).await.expect("removed");
        for writer in writers {
            writer.await.expect("no panic");
        }
        assert_eq!(store.usage().disk_used, 0);
    }
    store.remove_app(&app()).await.expect("removed");
    assert_empty(&store, dir.path());
}
