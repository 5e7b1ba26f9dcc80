use std::{path::Path, sync::Arc, time::Duration};

use overhand_common::ids::ShardKey;
use proptest::prelude::*;

use super::*;

#[test]
fn a_segments_path_says_what_it_is() {
    let app = "app-20261121-1.2_x".parse().expect("valid");
    let name = SegmentName { app, key: ShardKey { shuffle: 7, shard: 0, epoch: 3 }, number: u64::MAX };
    let path = name.path(Path::new("/data/1"));
    assert_eq!(path, Path::new("/data/1/segments/app-20261121-1.2_x/7-0-3-18446744073709551615.seg"));
    assert_eq!(SegmentName::parse(&path), Some(name));
    assert!(SegmentName::is_unfinished(&SegmentName::unfinished(&path)));
    assert_eq!(SegmentName::parse(&SegmentName::unfinished(&path)), None);
}

proptest! {
    #[test]
    fn other_paths_are_no_segments(name in "[0-9a-z.-]{0,20}") {
        if let Some(parsed) = SegmentName::parse(&Path::new("segments/app").join(&name)) {
            prop_assert_eq!(parsed.path(Path::new("")), Path::new("segments/app").join(&name));
        }
    }
}

fn folders(count: usize) -> (Vec<tempfile::TempDir>, Folders) {
    let dirs: Vec<_> = (0..count).map(|_| tempfile::tempdir().expect("dir")).collect();
    let open = |dir: &tempfile::TempDir| Folder::open(dir.path(), 0, Arc::new(RealMedium)).expect("opens");
    let all = dirs.iter().map(|dir| Arc::new(open(dir))).collect();
    (dirs, Folders::new(all))
}

#[test]
fn the_faster_folder_takes_more() {
    let (_dirs, folders) = folders(2);
    folders.all()[0].wrote(1 << 20, Duration::from_millis(40));
    folders.all()[1].wrote(1 << 20, Duration::from_millis(10));
    let mut writing = vec![];
    let mut taken = [0, 0];
    for _ in 0..50 {
        let at = folders.choose(1 << 20, &[]).expect("healthy");
        taken[at] += 1;
        writing.push(folders.all()[at].writing(1 << 20));
    }
    assert!(taken[1] >= 3 * taken[0] && taken[0] > 0, "{taken:?}");
}

#[test]
fn a_folder_that_was_tried_or_failed_is_not_chosen() {
    let (_dirs, folders) = folders(3);
    folders.all()[1].failed(&std::io::Error::from_raw_os_error(5));
    assert_eq!(folders.choose(1, &[0]), Some(2));
    assert_eq!(folders.choose(1, &[0, 2]), None);
    assert_eq!(folders.choose(u64::MAX, &[]), None);
    assert!(folders.any_healthy());
}

#[test]
fn a_folder_whose_disk_filled_up_is_full_until_a_probe_finds_room() {
    let (_dirs, folders) = folders(1);
    let folder = &folders.all()[0];
    folder.failed(&std::io::Error::from_raw_os_error(28));
    assert_eq!(folder.health(), Health::Full);
    folder.probe();
    assert_eq!(folder.health(), Health::Ok);
}
