//! Copies of what other workers hold.

use std::path::Path;

use overhand_common::{ErrorKind, Result, ids::Attempt, message::Fetch};

use super::support::*;
use crate::worker::store::{Durability, Settings, Store};

async fn adopt(store: &Store, body: &[u8]) -> Result<()> {
    // Who reads a copy off the network does not know how many blocks are in it.
    let mut held = store.reserve(&app(), body.len(), 0).await?;
    held.copy_from_slice(body);
    store.adopt(&app(), &KEY, layout(), held).await
}

/// Blocks of three attempts, as they may come in a piece.
fn mixed() -> Vec<u8> {
    let of = |map_index, partition, seq| {
        block(partition, Attempt { map_index, attempt: u64::from(map_index) + 10 }, seq, 500)
    };
    [of(0, 0, 0), of(1, 0, 0), of(1, 3, 1), of(2, 9, 0)].concat()
}

fn on_disk(dir: &Path) -> Settings {
    Settings { durability: Durability::Disk, ..settings(dir, 16 << 20) }
}

#[tokio::test]
async fn a_copy_is_served_and_may_come_twice() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(settings(dir.path(), 16 << 20));
    adopt(&store, &mixed()).await.expect("taken");
    store.adopted(&app(), &KEY).await.expect("kept");
    assert_eq!(read_all(&store).await.len(), 4);
    adopt(&store, &mixed()).await.expect("taken again");
    store.adopted(&app(), &KEY).await.expect("kept");
    assert_eq!(read(&store, 0..16, 0..100).await.expect("readable").len(), 4);
    assert!(held(&store) == [(app(), 8 * 540)] && store.usage().disk_used == 0);
}

#[tokio::test]
async fn a_copy_is_paid_for_with_all_its_blocks() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(settings(dir.path(), 16 << 20));
    let attempt = Attempt { map_index: 0, attempt: 1 };
    let small: Vec<u8> = (0..1000).flat_map(|seq| block(0, attempt, seq, 0)).collect();
    adopt(&store, &small).await.expect("taken");
    let frame = Sent { push: Writer::new(1, 2).frame(&[], true).push, body: small, blocks: 1000 };
    let paid = store.reserve(&app(), frame.body.len(), frame.blocks).await.expect("there").charge();
    assert_eq!(store.usage().memory_used, paid);
}

#[tokio::test]
async fn a_damaged_copy_is_refused_and_nothing_of_it_kept() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(settings(dir.path(), 16 << 20));
    let (mut flipped, mut cut) = (mixed(), mixed());
    flipped[100] ^= 1;
    cut.pop();
    let elsewhere = block(99, Attempt { map_index: 0, attempt: 1 }, 0, 10);
    for bad in [flipped, cut, elsewhere, b"no block".to_vec()] {
        assert_eq!(adopt(&store, &bad).await.expect_err("damaged").kind(), ErrorKind::DataLost);
    }
    assert_eq!((store.usage().memory_used, store.apps()), (0, vec![]));
    store.adopted(&app(), &KEY).await.expect("a copy of nothing is none");
}

#[tokio::test]
async fn a_copy_does_not_disturb_attempts_that_were_under_way() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(settings(dir.path(), 16 << 20));
    let mut writer = Writer::new(0, 10);
    let frames = [writer.frame(&[(0, 0, 500)], false), writer.frame(&[(0, 1, 500)], true)];
    frames[0].to(&store).await.expect("taken");
    adopt(&store, &mixed()).await.expect("taken");
    assert_eq!(frames[1].to(&store).await.expect_err("the epoch has ended").kind(), ErrorKind::Broken);
    writer.settle(1).to(&store).await.expect("what was taken before counts");
    let mut copied = Writer::new(1, 11);
    copied.frame(&[(0, 0, 500)], false);
    let unknown = copied.frame(&[(3, 1, 500)], true).to(&store).await;
    assert_eq!(unknown.expect_err("only its blocks are here").kind(), ErrorKind::Retry);
    assert_eq!(read(&store, 0..16, 0..100).await.expect("readable").len(), 4);
}

#[tokio::test]
async fn a_copy_on_disk_survives_a_crash() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(on_disk(dir.path()));
    adopt(&store, &mixed()).await.expect("taken");
    store.adopted(&app(), &KEY).await.expect("kept");
    assert_eq!(store.usage().memory_used, 0);
    drop(store);
    let store = open(on_disk(dir.path()));
    assert_eq!(read_all(&store).await.len(), 4);
}

#[tokio::test]
async fn a_copy_of_a_removed_shuffle_is_refused_and_one_that_was_copied_stays_removed() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(settings(dir.path(), 16 << 20));
    adopt(&store, &mixed()).await.expect("taken");
    store.remove_shuffle(&app(), 1).await.expect("removed");
    assert_eq!(adopt(&store, &mixed()).await.expect_err("removed").kind(), ErrorKind::NotFound);
    let late = Writer::new(1, 11).frame(&[(0, 0, 500)], true);
    assert_eq!(late.to(&store).await.expect_err("late").kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn what_is_forgotten_is_gone_from_memory_disk_and_index_and_its_neighbours_are_not() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(settings(dir.path(), 16 << 20));
    let mut neighbour = Writer::new(0, 1);
    neighbour.key.epoch = 1;
    let kept = neighbour.frame(&[(0, 0, 5000)], true);
    for map in 0..3 {
        write(&store, map, u64::from(map), &[(0, 0, 5000), (1, 0, 5000)]).await;
        if map == 1 {
            kept.to(&store).await.expect("taken");
            flush(&store).await;
        }
    }
    let mut cursor = store.fetch(&app(), &fetch(KEY, 0..16, 0..100)).expect("there");
    let piece = cursor.next(1).await.expect("readable").expect("a block");
    store.forget(&app(), &KEY).await.expect("forgotten");
    store.forget(&app(), &KEY).await.expect("nothing to do");
    assert_eq!(cursor.next(1).await.expect_err("gone").kind(), ErrorKind::NotFound);
    drop((piece, cursor));
    assert_eq!(read(&store, 0..16, 0..100).await.expect_err("gone").kind(), ErrorKind::NotFound);
    assert_eq!((segment_files(dir.path()).len(), store.usage().memory_used), (1, 0));
    assert_eq!(held(&store), [(app(), store.usage().disk_used)]);
    let index = &store.core.indexes[0];
    assert_eq!((index.segments().count(), index.commits().count()), (1, 1));
    let left = drain(&mut store.fetch(&app(), &fetch(neighbour.key, 0..16, 0..100)).expect("there"), 1 << 20).await;
    assert_eq!(left.expect("readable").len(), 1);
    // There is no tombstone: it may come again.
    adopt(&store, &mixed()).await.expect("taken");
    assert_eq!(read_all(&store).await.len(), 4);
}

#[tokio::test]
async fn forgetting_what_never_came_is_no_error() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(settings(dir.path(), 16 << 20));
    store.forget(&app(), &KEY).await.expect("nothing to do");
    assert!(store.apps().is_empty());
}

#[tokio::test]
async fn forgetting_what_was_removed_does_not_end_what_begins_anew() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(settings(dir.path(), 16 << 20));
    write(&store, 0, 7, &[(0, 0, 100)]).await;
    store.remove_shuffle(&app(), KEY.shuffle).await.expect("removed");
    store.forget(&app(), &KEY).await.expect("nothing to do");
    write(&store, 0, 8, &[(0, 0, 100)]).await;
    assert_eq!(read_all(&store).await.len(), 1);
}

#[tokio::test]
async fn an_epoch_that_was_copied_takes_no_new_data_but_can_be_settled() {
    let (dir, other) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
    let (store, target) = (open(settings(dir.path(), 16 << 20)), open(settings(other.path(), 16 << 20)));
    let mut under_way = Writer::new(0, 7);
    let first = under_way.frame(&[(0, 0, 100)], false);
    first.to(&store).await.expect("taken");
    let ends = Fetch { ends: true, ..fetch(KEY, 0..u32::MAX, 0..u32::MAX) };
    let mut copied = store.fetch(&app(), &ends).expect("there");
    let bytes = bytes(&copied.next(1 << 20).await.expect("sound").expect("a block"));

    let second = under_way.frame(&[(0, 1, 100)], false);
    assert_eq!(second.to(&store).await.expect_err("ended").kind(), ErrorKind::Broken);
    first.to(&store).await.expect("a repeat is acknowledged");
    let stranger = Writer::new(1, 8).frame(&[(0, 0, 10)], true);
    assert_eq!(stranger.to(&store).await.expect_err("ended").kind(), ErrorKind::Broken);
    let settling = under_way.settle(1);
    settling.to(&store).await.expect("what was taken before counts");

    let mut body = target.reserve(&app(), bytes.len(), 1).await.expect("memory");
    body.copy_from_slice(&bytes);
    target.adopt(&app(), &KEY, layout(), body).await.expect("sound");
    assert_eq!(stranger.to(&target).await.expect_err("a copy").kind(), ErrorKind::Broken);
    store.forget(&app(), &KEY).await.expect("deleted");
    assert_eq!(stranger.to(&store).await.expect_err("deleted, and stays so").kind(), ErrorKind::Broken);
}

#[tokio::test]
async fn after_a_clean_restart_what_had_ended_still_takes_no_new_data() {
    let dirs = [(); 3].map(|()| tempfile::tempdir().expect("dir"));
    let [source, target, drained] = [0, 1, 2].map(|at| open(settings(dirs[at].path(), 16 << 20)));
    for store in [&source, &drained] {
        write(store, 0, 7, &[(0, 0, 100)]).await;
    }
    let ends = Fetch { ends: true, ..fetch(KEY, 0..u32::MAX, 0..u32::MAX) };
    let mut copied = source.fetch(&app(), &ends).expect("there");
    let bytes = bytes(&copied.next(1 << 20).await.expect("sound").expect("a block"));
    let mut body = target.reserve(&app(), bytes.len(), 1).await.expect("memory");
    body.copy_from_slice(&bytes);
    target.adopt(&app(), &KEY, layout(), body).await.expect("sound");
    drained.forget(&app(), &KEY).await.expect("deleted");

    drop(copied);
    let stranger = Writer::new(1, 8).frame(&[(0, 0, 10)], true);
    for (store, dir) in [source, target, drained].into_iter().zip(&dirs) {
        store.close().await.expect("closed");
        drop(store);
        let store = open(settings(dir.path(), 16 << 20));
        assert_eq!(store.worker_id().incarnation, 1, "it is who it was: writers still know it");
        assert_eq!(stranger.to(&store).await.expect_err("ended").kind(), ErrorKind::Broken);
        assert!(!store.core.indexes[0].has_left_by_close(), "that holds for one start");
        store.remove_app(&app()).await.expect("removed");
        assert_eq!(store.core.indexes[0].records().expect("readable"), 0);
    }
}
