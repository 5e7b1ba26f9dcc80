use overhand_common::{ErrorKind, message::Fetch};

use super::support::*;
use crate::{
    segment::Position,
    worker::store::{Piece, Settings},
};

#[tokio::test]
async fn what_was_not_pushed_here_is_not_found() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(settings(dir.path(), 16 << 20));
    assert_eq!(read(&store, 0..1, 0..1).await.expect_err("no app").kind(), ErrorKind::NotFound);
    write(&store, 0, 1, &[(0, 0, 100)]).await;
    let mut other = KEY;
    other.epoch = 5;
    let missing = store.fetch(&app(), &fetch(other, 0..1, 0..1)).map(drop).expect_err("no such epoch");
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn attempts_that_are_not_committed_are_read_too_and_dropped_ones_are_not() {
    // A worker that missed the end of an attempt may be the last that has its blocks; a reader can tell whether it holds
    // all that it needs.
    let dir = tempfile::tempdir().expect("dir");
    let store = open(settings(dir.path(), 16 << 20));
    let mut writer = Writer::new(0, 1);
    writer.frame(&[(0, 0, 100)], false).to(&store).await.expect("taken");
    assert_eq!(read_all(&store).await.len(), 1);
    writer.frame(&[(0, 1, 100)], true).to(&store).await.expect("taken");
    assert_eq!(read_all(&store).await.len(), 2);
    let mut dropped = Writer::new(1, 2);
    dropped.frame(&[(0, 0, 100)], false).to(&store).await.expect("taken");
    dropped.sums.blocks += 1;
    dropped.frame(&[(0, 1, 100)], true).to(&store).await.expect_err("does not match");
    assert_eq!(read_all(&store).await.len(), 2);
}

#[tokio::test]
async fn map_indexes_that_the_reader_has_are_left_out() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(settings(dir.path(), 64 << 20));
    for map in 0..20 {
        let blocks: Vec<_> = (0..4).map(|partition| (partition, 0, 100_000)).collect();
        write(&store, map, u64::from(map), &blocks).await;
    }
    let fetch = Fetch { without: vec![0..5, 7..8, 12..20], ..fetch(KEY, 1..3, 0..20) };
    let wanted = |position: &Position| [5, 6, 8, 9, 10, 11].contains(&position.map_index);
    let found = drain(&mut store.fetch(&app(), &fetch).expect("there"), 1 << 20).await.expect("readable");
    assert_eq!(found.len(), 2 * 6);
    assert!(found.keys().all(wanted), "from memory it is exact");
    flush(&store).await;
    let on_disk = drain(&mut store.fetch(&app(), &fetch).expect("there"), 1 << 20).await.expect("readable");
    assert!(found.keys().all(|position| on_disk.contains_key(position)));
    assert!(on_disk.len() < 2 * 20, "from disk what lies between two cuts is left out: {}", on_disk.len());
}

#[tokio::test]
async fn ranges_of_partitions_and_of_maps_are_kept() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(settings(dir.path(), 64 << 20));
    for map in 0..10 {
        let blocks: Vec<_> = (0..16).map(|partition| (partition, 0, 1000)).collect();
        write(&store, map, u64::from(map), &blocks).await;
    }
    let found = read(&store, 3..5, 2..6).await.expect("readable");
    assert_eq!(found.len(), 2 * 4);
    assert!(read(&store, 3..3, 0..10).await.expect("readable").is_empty());
    assert!(read(&store, 3..5, 7..7).await.expect("readable").is_empty());
    flush(&store).await;
    let on_disk = read(&store, 3..5, 2..6).await.expect("readable");
    assert!(found.keys().all(|position| on_disk.contains_key(position)));
    assert!(on_disk.keys().all(|position| (3..5).contains(&position.partition)));
}

#[tokio::test]
async fn a_piece_has_whole_blocks_and_at_most_the_asked_bytes() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(settings(dir.path(), 64 << 20));
    for map in 0..20 {
        write(&store, map, u64::from(map), &[(0, 0, 100_000), (1, 0, 50)]).await;
    }
    let mut cursor = store.fetch(&app(), &fetch(KEY, 0..16, 0..100)).expect("there");
    let mut pieces = 0;
    while let Some(piece) = cursor.next(250_000).await.expect("readable") {
        assert!(piece.len() <= 250_000);
        pieces += 1;
    }
    assert_eq!(pieces, 10);
    let mut cursor = store.fetch(&app(), &fetch(KEY, 0..16, 0..100)).expect("there");
    let piece = cursor.next(1).await.expect("readable").expect("one block at least");
    assert_eq!(piece.len(), 100_040);
}

#[tokio::test]
async fn a_cursor_goes_on_in_the_segment_where_it_was_in_the_memtable() {
    for stop_after in [0, 1, 2, 7, 39, 40, 41, 59] {
        let dir = tempfile::tempdir().expect("dir");
        let store = open(settings(dir.path(), 64 << 20));
        for map in 0..20 {
            write(&store, map, u64::from(map), &[(0, 0, 30_000), (0, 1, 30), (2, 0, 30_000)]).await;
        }
        // An attempt that is not committed lies in between.
        Writer::new(5, 1000).frame(&[(0, 0, 400_000), (2, 0, 400_000)], false).to(&store).await.expect("taken");
        let mut cursor = store.fetch(&app(), &fetch(KEY, 0..16, 0..100)).expect("there");
        let mut found = std::collections::BTreeMap::new();
        for _ in 0..stop_after {
            count(&cursor.next(1).await.expect("readable").expect("more"), &mut found);
        }
        flush(&store).await;
        assert_eq!(store.usage().memory_used, 0, "the cursor pins nothing");
        while let Some(piece) = cursor.next(1 << 20).await.expect("readable") {
            assert!(matches!(piece, Piece::File { .. }));
            count(&piece, &mut found);
        }
        found.retain(|position, _| position.attempt != 1000);
        assert_eq!(found.len(), 60, "stopped after {stop_after}");
        assert!(found.values().all(|times| *times == 1), "stopped after {stop_after}: {found:?}");
    }
}

#[tokio::test]
async fn a_cursor_ends_with_not_found_when_its_shuffle_is_removed() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(settings(dir.path(), 16 << 20));
    write(&store, 0, 1, &[(0, 0, 1000), (1, 0, 1000)]).await;
    let mut cursor = store.fetch(&app(), &fetch(KEY, 0..16, 0..100)).expect("there");
    let piece = cursor.next(1).await.expect("readable").expect("a block");
    store.remove_shuffle(&app(), 1).await.expect("removed");
    assert_eq!(bytes(&piece).len(), 1040, "what was handed out stays readable");
    assert_eq!(cursor.next(1).await.expect_err("gone").kind(), ErrorKind::NotFound);
    drop(piece);
    assert_eq!(store.usage().memory_used, 0);
}

#[tokio::test]
async fn data_five_times_larger_than_the_budget_is_taken_and_read_back() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(settings(dir.path(), 8 << 20));
    let writers: Vec<_> = (0..8u32)
        .map(|map| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut writer = Writer::new(map, u64::from(map));
                for seq in 0..10 {
                    let blocks: Vec<_> = (0..16).map(|partition| (partition, seq, 32 << 10)).collect();
                    writer.frame(&blocks, seq == 9).to(&store).await.expect("taken");
                    assert!(store.usage().memory_used <= 8 << 20);
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("no panic");
    }
    assert_eq!(read_all(&store).await.len(), 8 * 10 * 16);
    assert!(store.usage().disk_used > 5 * (8 << 20) - (8 << 20));
}

#[tokio::test]
async fn data_that_fits_into_memory_stays_there() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(Settings { memtable_max: 1 << 20, ..settings(dir.path(), 64 << 20) });
    for map in 0..20 {
        write(&store, map, u64::from(map), &[(0, 0, 1 << 20)]).await;
    }
    assert_eq!(read_all(&store).await.len(), 20);
    assert_eq!(store.usage().disk_used, 0);
}

#[tokio::test]
async fn a_flush_for_want_of_memory_goes_no_further_than_the_low_mark() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(Settings { memtable_max: 1 << 20, flush_threads: 1, ..settings(dir.path(), 32 << 20) });
    for map in 0..60 {
        write(&store, map, u64::from(map), &[(0, 0, 1 << 20)]).await;
    }
    while store.usage().memory_used > store.core.settings.high_mark {
        tokio::task::yield_now().await;
    }
    // One table more may go than was needed, and one may be on its way.
    assert!(store.usage().memory_used > store.core.settings.low_mark - (3 << 20), "{:?}", store.usage());
    assert_eq!(read_all(&store).await.len(), 60);
}
