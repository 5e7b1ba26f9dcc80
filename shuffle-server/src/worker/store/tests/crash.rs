use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use overhand_common::ErrorKind;

use super::support::*;
use crate::worker::store::{Durability, Settings, Store};

fn on_disk(dir: &Path) -> Settings {
    Settings { durability: Durability::Disk, ..settings(dir, 32 << 20) }
}

/// A store with 20 committed attempts in one segment each or a few, closed cleanly.
async fn filled(dir: &Path) {
    let store = open(settings(dir, 32 << 20));
    for map in 0..20 {
        write(&store, map, u64::from(map), &[(0, 0, 30_000), (7, 0, 30_000)]).await;
        if map == 9 {
            flush(&store).await;
        }
    }
    store.close().await.expect("closed");
}

fn damage(path: &Path, at: u64) {
    let file = fs::File::options().read(true).write(true).open(path).expect("there");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("there");
    file.write_all_at(&[byte[0] ^ 4], at).expect("written");
}

fn first_segment(dir: &Path) -> PathBuf {
    segment_files(dir).remove(0)
}

#[tokio::test]
async fn a_clean_restart_serves_everything_under_the_same_name() {
    let dir = tempfile::tempdir().expect("dir");
    filled(dir.path()).await;
    let first = open(settings(dir.path(), 32 << 20));
    let id = first.worker_id();
    assert_eq!(id.incarnation, 1);
    assert_eq!(read_all(&first).await.len(), 40);
    assert_eq!(first.describe().apps[0].shuffles[0].commits, 20);
    // The FIN of an attempt whose acknowledgement was lost is acknowledged again.
    let again = Writer::new(3, 3).frame(&[(0, 0, 30_000), (7, 0, 30_000)], true);
    again.to(&first).await.expect("acknowledged");
    assert_eq!(read_all(&first).await.len(), 40);
    first.close().await.expect("closed");
    drop(first);
    assert_eq!(open(settings(dir.path(), 32 << 20)).worker_id(), id);
}

#[tokio::test]
async fn after_a_crash_what_was_committed_to_disk_is_served_under_a_new_incarnation() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(on_disk(dir.path()));
    let id = store.worker_id();
    let writers: Vec<_> = (0..20u32)
        .map(|map| {
            let store = store.clone();
            tokio::spawn(async move { write(&store, map, u64::from(map), &[(0, 0, 3000), (7, 0, 3000)]).await })
        })
        .collect();
    for writer in writers {
        writer.await.expect("acknowledged");
    }
    // Two more are without a FIN, one in memory and one in a segment: nobody was promised anything.
    let mut under_way = Writer::new(30, 30);
    under_way.frame(&[(0, 0, 3000)], false).to(&store).await.expect("taken");
    flush(&store).await;
    Writer::new(31, 31).frame(&[(0, 0, 3000)], false).to(&store).await.expect("taken");
    drop(store);
    let store = open(on_disk(dir.path()));
    assert_eq!(store.worker_id().id, id.id);
    assert_eq!(store.worker_id().incarnation, id.incarnation + 1);
    let found = read_all(&store).await;
    assert_eq!(found.iter().filter(|position| position.attempt < 20).count(), 40);
    assert_eq!(store.describe().apps[0].shuffles[0].commits, 20);
    let settled = under_way.settle(1).to(&store).await;
    assert_eq!(settled.expect_err("not counted").kind(), ErrorKind::DataLost);
    let next = under_way.frame(&[(0, 1, 3000)], true).to(&store).await;
    assert_eq!(next.expect_err("frame 0 is expected").kind(), ErrorKind::Retry);
}

#[tokio::test]
async fn after_a_clean_restart_attempts_go_on_where_they_were() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(settings(dir.path(), 32 << 20));
    let (mut ends, mut settles) = (Writer::new(0, 1), Writer::new(1, 2));
    for seq in 0..3 {
        ends.frame(&[(0, seq, 3000)], false).to(&store).await.expect("taken");
        settles.frame(&[(0, seq, 3000)], false).to(&store).await.expect("taken");
    }
    store.close().await.expect("closed");
    drop(store);
    let store = open(settings(dir.path(), 32 << 20));
    ends.frame(&[(0, 3, 3000)], true).to(&store).await.expect("it is the next");
    settles.settle(2).to(&store).await.expect("its frames are here");
    assert_eq!(read_all(&store).await.len(), 7);
    assert_eq!(store.describe().apps[0].shuffles[0].commits, 2);
    assert!(store.core.indexes.iter().all(|index| index.under_way().count() == 0), "that holds for one start");
}

#[tokio::test]
async fn a_lost_index_is_rebuilt_from_the_segments() {
    let dir = tempfile::tempdir().expect("dir");
    filled(dir.path()).await;
    fs::remove_dir_all(dir.path().join("index")).expect("deleted");
    let store = open(settings(dir.path(), 32 << 20));
    assert_eq!(store.worker_id().incarnation, 2);
    assert_eq!(read_all(&store).await.len(), 40);
    store.close().await.expect("closed");
    drop(store);
    // And is then as good as the old one.
    let store = open(settings(dir.path(), 32 << 20));
    assert_eq!(store.worker_id().incarnation, 2);
    assert_eq!(read_all(&store).await.len(), 40);
}

#[tokio::test]
async fn an_index_that_does_not_open_is_an_error_that_says_what_to_do() {
    let dir = tempfile::tempdir().expect("dir");
    filled(dir.path()).await;
    let index = dir.path().join("index");
    for file in fs::read_dir(&index).expect("there") {
        let path = file.expect("there").path();
        if path.file_name().expect("named").to_string_lossy().starts_with("MANIFEST") {
            fs::write(&path, b"no manifest").expect("written");
        }
    }
    let error = Store::open(settings(dir.path(), 32 << 20), metrics()).map(drop).expect_err("damaged");
    assert!(error.message().contains(&*index.to_string_lossy()), "{error}");
    assert!(error.message().contains("move this folder away"), "{error}");
    fs::rename(&index, dir.path().join("index.damaged")).expect("moved away");
    assert_eq!(read_all(&open(settings(dir.path(), 32 << 20))).await.len(), 40);
}

#[tokio::test]
async fn a_torn_segment_is_lost_and_the_others_are_served() {
    for index_too in [false, true] {
        let dir = tempfile::tempdir().expect("dir");
        filled(dir.path()).await;
        let torn = first_segment(dir.path());
        let file = fs::File::options().write(true).open(&torn).expect("there");
        file.set_len(file.metadata().expect("there").len() / 2).expect("cut");
        if index_too {
            fs::remove_dir_all(dir.path().join("index")).expect("deleted");
        }
        let store = open(settings(dir.path(), 32 << 20));
        assert_eq!(store.worker_id().incarnation, 2);
        let mut cursor = store.fetch(&app(), &fetch(KEY, 0..16, 0..100)).expect("there");
        let mut found = std::collections::BTreeMap::new();
        let error = loop {
            match cursor.next(1 << 20).await {
                Ok(piece) => count(&piece.expect("an error comes before the end"), &mut found),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::DataLost);
        assert_eq!(found.len(), 20, "the other segment comes before the error");
        store.remove_app(&app()).await.expect("removed");
        assert!(!torn.exists(), "what was damaged goes with its application");
        assert_eq!(store.usage().disk_used, 0);
    }
}

#[tokio::test]
async fn a_segment_that_vanished_is_lost() {
    let dir = tempfile::tempdir().expect("dir");
    filled(dir.path()).await;
    fs::remove_file(first_segment(dir.path())).expect("deleted");
    let store = open(settings(dir.path(), 32 << 20));
    assert_eq!(read(&store, 0..16, 0..100).await.expect_err("lost").kind(), ErrorKind::DataLost);
    store.remove_app(&app()).await.expect("removed");
}

#[tokio::test]
async fn damage_to_what_a_segment_says_about_itself_is_found_when_the_index_is_rebuilt() {
    for from_the_end in [false, true] {
        let dir = tempfile::tempdir().expect("dir");
        filled(dir.path()).await;
        let path = first_segment(dir.path());
        let len = fs::metadata(&path).expect("there").len();
        damage(&path, if from_the_end { len - 50 } else { 20 });
        fs::remove_dir_all(dir.path().join("index")).expect("deleted");
        let store = open(settings(dir.path(), 32 << 20));
        assert_eq!(read(&store, 0..16, 0..100).await.expect_err("lost").kind(), ErrorKind::DataLost);
        store.remove_app(&app()).await.expect("removed");
        assert!(segment_files(dir.path()).is_empty());
    }
}

#[tokio::test]
async fn a_flipped_bit_in_a_block_reaches_the_reader_whose_checksum_finds_it() {
    let dir = tempfile::tempdir().expect("dir");
    filled(dir.path()).await;
    damage(&first_segment(dir.path()), 10_000);
    let store = open(settings(dir.path(), 32 << 20));
    assert_eq!(store.worker_id().incarnation, 1, "the blocks of a segment are not read at recovery");
    let mut cursor = store.fetch(&app(), &fetch(KEY, 0..16, 0..100)).expect("there");
    let mut damaged = 0;
    while let Some(piece) = cursor.next(1).await.expect("readable") {
        let bytes = bytes(&piece);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            match overhand_common::block::Block::split(rest) {
                Ok((_, after)) => rest = after,
                Err(_) => {
                    damaged += 1;
                    break;
                }
            }
        }
    }
    assert_eq!(damaged, 1);
}

#[tokio::test]
async fn unfinished_segments_are_deleted_at_start() {
    let dir = tempfile::tempdir().expect("dir");
    filled(dir.path()).await;
    let unfinished = first_segment(dir.path()).with_file_name("1-0-0-99.seg.tmp");
    fs::write(&unfinished, b"half of it").expect("written");
    let store = open(settings(dir.path(), 32 << 20));
    assert!(!unfinished.exists());
    assert_eq!(read_all(&store).await.len(), 40);
}

#[tokio::test]
async fn a_closed_store_refuses_everything() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(settings(dir.path(), 32 << 20));
    let body = store.reserve(&app(), 0, 0).await.expect("there");
    store.close().await.expect("closed");
    store.close().await.expect("closed already");
    let push = Writer::new(0, 0).frame(&[], true).push;
    assert_eq!(store.push(&app(), &push, Arc::new(body), 0).await.expect_err("closed").kind(), ErrorKind::Closed);
    assert_eq!(store.reserve(&app(), 10, 1).await.map(drop).expect_err("closed").kind(), ErrorKind::Closed);
    let fetched = store.fetch(&app(), &fetch(KEY, 0..1, 0..1)).map(drop);
    assert_eq!(fetched.expect_err("closed").kind(), ErrorKind::Closed);
}
