use std::{
    fs,
    path::{Path, PathBuf},
};

use overhand_common::{
    block::{Codec, Flags, HEADER_LEN, Header},
    ids::{Attempt, Layout, ShardKey},
    segment::Identity,
};
use proptest::prelude::*;

use super::*;
use crate::disk::RealMedium;

fn identity() -> Identity {
    let key = ShardKey { shuffle: 1, shard: 0, epoch: 0 };
    Identity { app: "app".parse().expect("valid"), key, layout: Layout::new(9, 1).expect("valid"), number: 4 }
}

/// Sealed blocks in the segment's order.
fn blocks(places: &[(u32, u32, usize)]) -> Vec<(Header, Vec<u8>)> {
    let mut places = places.to_vec();
    places.sort_unstable();
    let block = |(seq, (partition, map_index, len)): (usize, (u32, u32, usize))| {
        let header = Header {
            payload_len: len as u32,
            raw_len: len as u32,
            codec: Codec::None,
            flags: Flags::default(),
            partition,
            attempt: Attempt { map_index, attempt: 0 },
            seq: seq as u32,
            items: 1,
        };
        let mut bytes = vec![seq as u8; HEADER_LEN + len];
        header.seal(&mut bytes);
        (header, bytes)
    };
    places.into_iter().enumerate().map(block).collect()
}

fn write_to(path: &Path, blocks: &[(Header, Vec<u8>)]) -> std::io::Result<Written> {
    let sources = blocks.iter().map(|(header, bytes)| Source {
        partition: header.partition,
        map_index: header.attempt.map_index,
        bytes,
    });
    write(&RealMedium, path, &identity(), sources, true, &|| false)
}

fn path(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("segments/app/1-0-0-4.seg")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn a_segment_says_what_was_written(
        places in prop::collection::vec((0u32..9, 0u32..9, 0usize..60_000), 0..200),
        at in any::<prop::sample::Index>(),
    ) {
        let dir = tempfile::tempdir().expect("dir");
        let path = path(&dir);
        let blocks = blocks(&places);
        let written = write_to(&path, &blocks).expect("written");
        let found = inspect(&path).expect("whole");
        prop_assert_eq!(&found.identity, &identity());
        prop_assert_eq!(found.extent, written.extent);
        prop_assert_eq!(&found.cuts, &written.cuts);
        let file = fs::read(&path).expect("there");
        let begin = identity().encode().len();
        let body: Vec<u8> = blocks.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        prop_assert_eq!(&file[begin..found.extent.blocks_end as usize], &body[..]);
        // The place after any block is found.
        if !blocks.is_empty() {
            let at = at.index(blocks.len());
            let after: u64 = blocks[..=at].iter().map(|(_, bytes)| bytes.len() as u64).sum();
            let opened = fs::File::open(&path).expect("there");
            let range = begin as u64..found.extent.blocks_end;
            let place = find(&opened, range, Position::of(&blocks[at].0)).expect("readable");
            prop_assert_eq!(place, begin as u64 + after);
        }
    }

    #[test]
    fn a_torn_segment_is_never_whole(cut in any::<prop::sample::Index>()) {
        let dir = tempfile::tempdir().expect("dir");
        let path = path(&dir);
        write_to(&path, &blocks(&[(0, 0, 10), (1, 0, 2000), (1, 1, 40)])).expect("written");
        let bytes = fs::read(&path).expect("there");
        fs::write(&path, &bytes[..cut.index(bytes.len())]).expect("written");
        prop_assert!(inspect(&path).is_err());
    }
}

#[test]
fn a_block_that_changed_in_memory_is_left_out() {
    let dir = tempfile::tempdir().expect("dir");
    let mut blocks = blocks(&[(0, 0, 10), (0, 1, 10), (1, 0, 10)]);
    blocks[1].1[45] ^= 1;
    let written = write_to(&path(&dir), &blocks).expect("written");
    assert_eq!((written.extent.blocks, written.damaged), (2, 1));
    let (good, bytes) = (inspect(&path(&dir)).expect("whole"), fs::read(path(&dir)).expect("there"));
    let body = [blocks[0].1.clone(), blocks[2].1.clone()].concat();
    assert_eq!(&bytes[identity().encode().len()..good.extent.blocks_end as usize], &body[..]);
}

#[test]
fn a_segment_that_is_given_up_leaves_no_file() {
    let dir = tempfile::tempdir().expect("dir");
    let blocks = blocks(&vec![(0, 0, 10_000); 2000]);
    let sources = blocks.iter().map(|(_, bytes)| Source { partition: 0, map_index: 0, bytes });
    let given_up = write(&RealMedium, &path(&dir), &identity(), sources, false, &|| true);
    assert!(given_up.is_err());
    let app_dir = path(&dir);
    assert_eq!(fs::read_dir(app_dir.parent().expect("app")).expect("there").count(), 0);
}

#[test]
fn a_segment_whose_length_changed_does_not_open() {
    let dir = tempfile::tempdir().expect("dir");
    let written = write_to(&path(&dir), &blocks(&[(0, 0, 10)])).expect("written");
    let segment = Segment::new(identity(), 0, path(&dir), written.extent);
    let file = segment.open().expect("whole");
    assert!(std::sync::Arc::ptr_eq(&file, &segment.open().expect("whole")));
    drop(file);
    fs::File::options().write(true).open(path(&dir)).expect("there").set_len(20).expect("cut");
    assert!(segment.open().is_err());
}
