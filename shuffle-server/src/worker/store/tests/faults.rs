use std::{io, time::Duration};

use overhand_common::ErrorKind;

use super::{
    medium::{Fault, Two, fill, two},
    support::*,
};
use crate::{
    disk::Health,
    worker::store::{Durability, Settings},
};

#[tokio::test]
async fn both_folders_take_segments() {
    let Two { dirs, store, .. } = two(|settings| settings);
    fill(&store, 0..20).await;
    assert!(dirs.iter().all(|dir| !segment_files(dir.path()).is_empty()));
    assert_eq!(read_all(&store).await.len(), 40);
}

#[tokio::test]
async fn a_folder_that_fails_is_taken_out_and_the_other_takes_its_segments() {
    let Two { dirs, medium, store } =
        two(|settings| Settings { probe_interval: Duration::from_secs(3600), ..settings });
    medium.set(dirs[0].path(), Some(Fault::Create));
    fill(&store, 0..20).await;
    flush(&store).await;
    assert!(segment_files(dirs[0].path()).is_empty());
    assert_eq!(read_all(&store).await.len(), 40);
    let states: Vec<String> = store.describe().disks.into_iter().map(|disk| disk.state).collect();
    assert!(states[0].starts_with("failed: "), "{states:?}");
    assert_eq!(states[1], "ok");
    // When its disk is well again, a probe finds out.
    medium.set(dirs[0].path(), None);
    store.core.folders.all()[0].probe();
    assert_eq!(store.describe().disks[0].state, "ok");
}

#[tokio::test]
async fn a_disk_that_fails_while_nothing_is_written_is_found_by_a_probe() {
    let Two { dirs, medium, store } =
        two(|settings| Settings { probe_interval: Duration::from_millis(20), ..settings });
    let mut health = store.folders_health().remove(0);
    medium.set(dirs[0].path(), Some(Fault::Create));
    health.wait_for(|health| matches!(health, Health::Failed(_))).await.expect("the store is there");
    assert!(store.describe().disks[0].state.starts_with("failed: "));
    store.takes_data().expect("the other folder takes data");
    medium.set(dirs[0].path(), None);
    health.wait_for(|health| *health == Health::Ok).await.expect("the store is there");
}

#[tokio::test]
async fn a_folder_takes_no_data_before_it_is_full() {
    let Two { dirs, medium, store } =
        two(|settings| Settings { disk_reserve: 1 << 20, probe_interval: Duration::from_secs(3600), ..settings });
    medium.set(dirs[1].path(), Some(Fault::Free((1 << 20) + 1000)));
    fill(&store, 0..20).await;
    flush(&store).await;
    assert!(segment_files(dirs[1].path()).is_empty());
    assert_eq!(read_all(&store).await.len(), 40);
    medium.set(dirs[1].path(), Some(Fault::Free(1000)));
    store.core.folders.all()[1].probe();
    assert!(store.describe().disks[1].state.starts_with("full"));
}

#[tokio::test]
async fn when_no_folder_takes_data_nothing_is_lost_and_who_needs_memory_is_told() {
    let Two { dirs, medium, store } =
        two(|settings| Settings { probe_interval: Duration::from_millis(20), ..settings });
    let set = |fault| dirs.iter().for_each(|dir| medium.set(dir.path(), fault));
    set(Some(Fault::Create));
    let mut taken = 0;
    let error = loop {
        let blocks = [(0, 0, 300_000), (3, 0, 300_000)];
        match Writer::new(taken, u64::from(taken)).frame(&blocks, true).to(&store).await {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Backpressure);
    assert!(taken > 3);
    assert_eq!(read_all(&store).await.len(), 2 * taken as usize);
    assert_eq!(store.check().expect_err("not ready").kind(), ErrorKind::Backpressure);
    set(None);
    let mut stalled = store.core.stalled.subscribe();
    stalled.wait_for(|stalled| !stalled).await.expect("the store is there");
    fill(&store, taken..20).await;
    assert_eq!(read_all(&store).await.len(), 40);
    store.check().expect("ready again");
}

#[tokio::test]
async fn a_commit_that_cannot_reach_the_disk_is_not_acknowledged_until_it_does() {
    let Two { dirs, medium, store } = two(|settings| Settings {
        durability: Durability::Disk,
        probe_interval: Duration::from_secs(3600),
        ..settings
    });
    let set = |fault| dirs.iter().for_each(|dir| medium.set(dir.path(), fault));
    set(Some(Fault::Create));
    let frame = Writer::new(0, 1).frame(&[(0, 0, 1000)], true);
    assert_eq!(frame.to(&store).await.expect_err("no disk").kind(), ErrorKind::Backpressure);
    set(None);
    store.core.folders.all().iter().for_each(|folder| folder.probe());
    frame.to(&store).await.expect("the repeat is acknowledged when it is on disk");
    let Two { dirs, store, .. } = Two { dirs, medium, store };
    drop(store);
    let data_dirs = dirs.iter().map(|dir| dir.path().to_owned()).collect();
    let store = open(Settings { data_dirs, ..settings(dirs[0].path(), 4 << 20) });
    assert_eq!(read_all(&store).await.len(), 1);
}

#[tokio::test]
async fn closing_without_a_disk_says_that_the_shutdown_is_not_clean() {
    let Two { dirs, medium, store } = two(|settings| settings);
    fill(&store, 0..1).await;
    dirs.iter().for_each(|dir| medium.set(dir.path(), Some(Fault::Create)));
    assert_eq!(store.close().await.expect_err("not flushed").kind(), ErrorKind::Backpressure);
    let id = store.worker_id();
    drop(store);
    let data_dirs = dirs.iter().map(|dir| dir.path().to_owned()).collect();
    let store = open(Settings { data_dirs, ..settings(dirs[0].path(), 4 << 20) });
    assert_eq!(store.worker_id().incarnation, id.incarnation + 1);
}

#[tokio::test]
async fn a_segment_that_cannot_be_read_is_lost_for_its_readers() {
    let Two { dirs, store, .. } = two(|settings| settings);
    fill(&store, 0..3).await;
    flush(&store).await;
    let mut cursor = store.fetch(&app(), &fetch(KEY, 0..16, 0..100)).expect("there");
    cursor.next(1).await.expect("readable").expect("a piece");
    cursor.read_failed(&io::Error::from_raw_os_error(5));
    assert_eq!(drain(&mut cursor, 1 << 20).await.expect_err("lost").kind(), ErrorKind::DataLost);
    let other = read(&store, 0..16, 0..100).await;
    assert_eq!(other.expect_err("lost for all").kind(), ErrorKind::DataLost);
    store.remove_app(&app()).await.expect("removed");
    assert!(dirs.iter().all(|dir| segment_files(dir.path()).is_empty()));
    assert_eq!(store.usage().disk_used, 0);
}
