use overhand_common::{
    ids::{AppId, Attempt, Layout, ShardKey},
    message::Fin,
    segment::{self, Cut, Identity, Scope},
};
use proptest::prelude::*;

use super::*;
use crate::segment::Extent;

fn app(name: &str) -> AppId {
    name.parse().expect("valid")
}

fn identity(number: u64) -> Identity {
    let key = ShardKey { shuffle: 1, shard: 2, epoch: 3 };
    Identity { app: app("app"), key, layout: Layout::new(100, 4).expect("valid"), number }
}

const EXTENT: Extent = Extent { len: 1000, blocks_end: 900, blocks: 9 };

fn index() -> (tempfile::TempDir, Index) {
    let dir = tempfile::tempdir().expect("dir");
    let (index, made) = Index::open(&dir.path().join("index")).expect("opens");
    assert!(made);
    (dir, index)
}

#[test]
fn the_format_is_pinned() {
    let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let key = ShardKey { shuffle: 1, shard: 2, epoch: 3 };
    let attempt = Attempt { map_index: 4, attempt: 5 };
    assert_eq!(hex(format::segment_key(258)), "730000000000000102");
    assert_eq!(
        hex(format::cuts_key(1, Cut { partition: 2, map_index: 3, offset: 4 })),
        "63000000000000000100000002000000030000000000000004"
    );
    assert_eq!(
        hex(format::attempt_key(format::COMMITS, &app("a"), &key, &attempt)),
        "61610000000001000000020000000300000004".to_owned() + "0000000000000005"
    );
    let fin = Fin { frames: 1, blocks: 2, bytes: 3, crc_xor: 4 };
    assert_eq!(hex(format::commit_value(&fin)), "010000000200000000000000030000000000000004000000");
    assert_eq!(hex(format::shuffle_key(format::TOMBSTONES, &app("a"), 1)), "74610000000001");
}

#[test]
fn records_come_back_as_they_were_after_opening_again() {
    let (dir, index) = index();
    let key = ShardKey { shuffle: 1, shard: 2, epoch: 3 };
    let attempt = Attempt { map_index: 4, attempt: 5 };
    let fin = Fin { frames: 1, blocks: 2, bytes: 3, crc_xor: 4 };
    let mut update = Update::default();
    update.add_segment(&identity(7), &EXTENT, &[]);
    update.add_commit(&app("app"), &key, &attempt, &fin);
    update.add_tombstone(&app("app"), 9, 11);
    let sums = [Fin { frames: 1, ..fin }, Fin { frames: 2, ..fin }];
    let layout = Layout::new(9, 2).expect("valid");
    update.add_under_way(&app("app"), &key, layout, &attempt, &sums);
    update.add_ended(&app("app"), &key);
    index.apply(update, true).expect("written");
    drop(index);
    let (index, made) = Index::open(&dir.path().join("index")).expect("opens");
    assert!(!made);
    assert_eq!(index.segments().collect::<Result<Vec<_>, _>>().expect("readable"), [(identity(7), EXTENT)]);
    let commits = index.commits().collect::<Result<Vec<_>, _>>().expect("readable");
    assert_eq!(commits, [(app("app"), key, attempt, fin)]);
    assert_eq!(index.tombstones().collect::<Result<Vec<_>, _>>().expect("readable"), [(app("app"), 9, 11)]);
    let under_way = index.under_way().collect::<Result<Vec<_>, _>>().expect("readable");
    assert_eq!(under_way, [(app("app"), key, layout, attempt, sums.to_vec())]);
    let ended = index.ended().collect::<Result<Vec<_>, _>>().expect("readable");
    assert_eq!(ended, [(app("app"), key)]);
    assert!(index.has_left_by_close());
    let mut update = Update::default();
    update.remove_left_by_close();
    index.apply(update, true).expect("written");
    assert!(!index.has_left_by_close());
    assert_eq!((index.under_way().count(), index.commits().count(), index.tombstones().count()), (0, 1, 1));
}

#[test]
fn removing_the_commits_of_an_epoch_leaves_its_neighbours() {
    let (_dir, index) = index();
    let mut update = Update::default();
    for (shard, epoch) in [(0, 0), (0, 1), (0, u32::MAX), (1, 0), (1, 1)] {
        let key = ShardKey { shuffle: 1, shard, epoch };
        update.add_commit(&app("app"), &key, &Attempt { map_index: 0, attempt: 0 }, &Fin::default());
    }
    index.apply(update, false).expect("written");
    let mut update = Update::default();
    update.remove_shard_commits(&app("app"), &ShardKey { shuffle: 1, shard: 0, epoch: u32::MAX });
    index.apply(update, false).expect("written");
    let left: Vec<_> =
        index.commits().map(|commit| commit.expect("readable").1).map(|key| (key.shard, key.epoch)).collect();
    assert_eq!(left, [(0, 0), (0, 1), (1, 0), (1, 1)]);
}

#[test]
fn removing_touches_nothing_of_neighbours() {
    let (_dir, index) = index();
    let key = |shuffle| ShardKey { shuffle, shard: 0, epoch: 0 };
    let attempt = Attempt { map_index: 0, attempt: 0 };
    let mut update = Update::default();
    for name in ["app", "app-1", "ap", "app."] {
        for shuffle in [0, 1, 255, 256, u32::MAX] {
            update.add_commit(&app(name), &key(shuffle), &attempt, &Fin::default());
            update.add_tombstone(&app(name), shuffle, 1);
        }
    }
    for number in [0, 1, 255, 256, u64::MAX] {
        update.add_segment(&identity(number), &EXTENT, &[Cut { partition: 0, map_index: 0, offset: 1 }]);
    }
    index.apply(update, false).expect("written");
    let mut update = Update::default();
    update.remove_commits(&app("app"), 255);
    update.remove_segment(255);
    index.apply(update, false).expect("written");
    assert_eq!((index.commits().count(), index.tombstones().count(), index.segments().count()), (19, 20, 4));
    assert_eq!(index.cuts(255, 0..1).expect("readable"), []);
    assert_eq!(index.cuts(256, 0..1).expect("readable").len(), 1);
    let mut update = Update::default();
    update.remove_commits(&app("app-1"), u32::MAX);
    update.remove_app(&app("app"));
    update.remove_segment(u64::MAX);
    index.apply(update, false).expect("written");
    assert_eq!((index.commits().count(), index.tombstones().count(), index.segments().count()), (14, 15, 3));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn cuts_read_for_a_range_give_the_same_pieces_as_all_cuts(
        mut blocks in prop::collection::vec((0u32..300, 0u32..20), 1..2500),
        ranges in prop::collection::vec(((0u32..301, 0u32..301), (0u32..21, 0u32..21)), 20),
    ) {
        let (_dir, index) = index();
        blocks.sort_unstable();
        let cut = |(at, (partition, map_index)): (usize, (u32, u32))| {
            Cut { partition, map_index, offset: at as u64 * 50 }
        };
        let cuts: Vec<Cut> = blocks.into_iter().enumerate().map(cut).collect();
        let end = cuts.len() as u64 * 50;
        let mut update = Update::default();
        for number in [6, 7, 8] {
            update.add_segment(&identity(number), &EXTENT, if number == 7 { &cuts } else { &cuts[..1] });
        }
        index.apply(update, false).expect("written");
        for (partitions, maps) in ranges {
            let partitions = partitions.0.min(partitions.1)..partitions.1;
            let maps = maps.0.min(maps.1)..maps.1;
            let read = index.cuts(7, partitions.clone()).expect("readable");
            let scope = Scope { partitions, maps, without: vec![] };
            let some: Vec<_> = segment::pieces(&read, end, &scope).collect();
            let all: Vec<_> = segment::pieces(&cuts, end, &scope).collect();
            prop_assert_eq!(some, all);
        }
    }
}
