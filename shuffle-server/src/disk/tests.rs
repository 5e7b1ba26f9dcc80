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

#[test]
fn a_folder_ten_times_slower_than_the_others_is_chosen_rarely() {
    let (_dirs, folders) = folders(3);
    for (folder, millis) in folders.all().iter().zip([100, 10, 10]) {
        folder.wrote(1 << 20, Duration::from_millis(millis));
    }
    let mut writing = vec![];
    let mut taken = [0; 3];
    for _ in 0..100 {
        let at = folders.choose(1 << 20, &[]).expect("healthy");
        taken[at] += 1;
        writing.push(folders.all()[at].writing(1 << 20));
    }
    assert!(taken[0] <= 8 && taken[1] >= 40 && taken[2] >= 40, "{taken:?}");
}

#[test]
fn a_folder_that_was_slow_once_is_tried_again_some_time() {
    let (_dirs, folders) = folders(2);
    folders.all()[0].wrote(1 << 20, Duration::from_millis(100));
    folders.all()[1].wrote(1 << 20, Duration::from_millis(10));
    assert_eq!(folders.choose(1 << 20, &[]), Some(1));
    let tried = (0..200).any(|_| {
        folders.all().iter().for_each(|folder| folder.probe());
        folders.all()[1].wrote(1 << 20, Duration::from_millis(10));
        folders.choose(1 << 20, &[]) == Some(0)
    });
    assert!(tried);
}

#[test]
fn a_job_that_moves_is_waited_for_however_long_it_takes() {
    let (_dirs, folders) = folders(1);
    let (folder, patience) = (&folders.all()[0], Duration::from_secs(1));
    let task = folder.begin(|watch| {
        for _ in 0..30 {
            std::thread::sleep(Duration::from_millis(50));
            watch.moved();
        }
        7
    });
    assert_eq!(folder.finish(task.expect("begun"), patience, |_| ()).expect("moves"), 7);
    assert_eq!(folder.health(), Health::Ok);
}

#[test]
fn a_job_that_hangs_takes_its_folder_out_until_it_has_ended() {
    let (_dirs, folders) = folders(1);
    let folder = &folders.all()[0];
    let (release, held) = std::sync::mpsc::channel::<()>();
    let (tell, late) = std::sync::mpsc::channel();
    let task = folder.begin(move |watch| {
        held.recv().expect("released");
        watch.is_abandoned()
    });
    let given_up = folder.finish(task.expect("begun"), Duration::from_millis(20), move |given| {
        tell.send(given).expect("awaited");
    });
    assert_eq!(given_up.expect_err("hangs").kind(), std::io::ErrorKind::TimedOut);
    assert_eq!(folders.choose(1, &[]), None);
    folder.probe();
    assert!(folder.is_stalled(), "no probe is good while it hangs");
    release.send(()).expect("awaited");
    assert!(late.recv().expect("told"), "it knew that nobody waited");
    while folder.hangs() {
        std::thread::yield_now();
    }
    folder.probe();
    assert_eq!(folder.health(), Health::Ok);
    folder.end(Duration::from_secs(10));
}

#[test]
fn a_job_that_panics_panics_who_waits_for_it() {
    let (_dirs, folders) = folders(1);
    let folder = folders.all()[0].clone();
    let task = folder.begin(|_| panic!("on purpose")).expect("begun");
    let waiting = move || folder.finish(task, Duration::from_secs(10), |()| ());
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(waiting)).is_err());
}
