//! Disks that neither write nor fail.

use std::time::{Duration, Instant};

use overhand_common::{ErrorKind, ids::ShardKey};

use super::{
    medium::{Fault, Two, fill, two},
    support::*,
};
use crate::{
    disk::{Folder, Health},
    worker::store::{Durability, Settings, Store},
};

/// Long enough that a busy machine does not make a healthy disk look like one that hangs.
const PATIENCE: Duration = Duration::from_millis(1500);

fn impatient(settings: Settings) -> Settings {
    Settings { stall_timeout: PATIENCE, probe_interval: Duration::from_secs(3600), ..settings }
}

fn states(store: &Store) -> Vec<String> {
    store.describe().disks.into_iter().map(|disk| disk.state).collect()
}

async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::task::yield_now().await;
    }
}

fn folder(store: &Store, at: usize) -> &Folder {
    &store.core.folders.all()[at]
}

#[tokio::test]
async fn a_folder_that_hangs_is_taken_out_and_the_other_takes_its_segments() {
    let Two { dirs, medium, store } = two(impatient);
    medium.set(dirs[0].path(), Some(Fault::Hang));
    fill(&store, 0..20).await;
    flush(&store).await;
    assert_eq!(read_all(&store).await.len(), 40);
    let states = states(&store);
    assert!(states[0].starts_with("stalled: ") && states[0].contains("check the disk"), "{states:?}");
    assert_eq!(states[1], "ok");
    store.takes_data().expect("the other folder takes data");
    // What hung comes back: the segment that nobody needs goes, and the folder takes data again.
    medium.set(dirs[0].path(), None);
    until(|| !folder(&store, 0).hangs()).await;
    folder(&store, 0).probe();
    assert_eq!(folder(&store, 0).health(), Health::Ok);
    assert_eq!(read_all(&store).await.len(), 40);
    drop(store);
    assert!(segment_files(dirs[0].path()).is_empty());
    let data_dirs = dirs.iter().map(|dir| dir.path().to_owned()).collect();
    let store = open(Settings { data_dirs, ..settings(dirs[0].path(), 4 << 20) });
    assert_eq!(read_all(&store).await.len(), 40);
}

#[tokio::test]
async fn commits_reach_the_disk_though_a_folder_hangs() {
    let Two { dirs, medium, store } = two(|settings| Settings { durability: Durability::Disk, ..impatient(settings) });
    medium.set(dirs[0].path(), Some(Fault::Hang));
    let mut writers = tokio::task::JoinSet::new();
    for map in 0..8u32 {
        let store = store.clone();
        writers.spawn(async move { write(&store, map, u64::from(map), &[(0, 0, 3000)]).await });
    }
    while let Some(acknowledged) = writers.join_next().await {
        acknowledged.expect("acknowledged");
    }
    assert!(folder(&store, 0).is_stalled());
    medium.set(dirs[0].path(), None);
    until(|| !folder(&store, 0).hangs()).await;
    drop(store);
    let data_dirs = dirs.iter().map(|dir| dir.path().to_owned()).collect();
    let store = open(Settings { data_dirs, ..settings(dirs[0].path(), 4 << 20) });
    assert_eq!(store.describe().apps[0].shuffles[0].commits, 8);
    assert_eq!(read_all(&store).await.len(), 8);
}

#[tokio::test]
async fn when_all_folders_hang_writers_are_told_and_nothing_is_lost() {
    let Two { dirs, medium, store } =
        two(|settings| Settings { probe_interval: Duration::from_millis(20), ..impatient(settings) });
    let set = |fault| dirs.iter().for_each(|dir| medium.set(dir.path(), fault));
    set(Some(Fault::Hang));
    let mut taken = 0;
    let error = loop {
        let blocks = [(0, 0, 300_000), (3, 0, 300_000)];
        match Writer::new(taken, u64::from(taken)).frame(&blocks, true).to(&store).await {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Backpressure);
    assert_eq!(store.usage().disk_free, 0);
    assert_eq!(store.takes_data().expect_err("no folder").kind(), ErrorKind::Backpressure);
    assert_eq!(read_all(&store).await.len(), 2 * taken as usize);
    set(None);
    let mut stalled = store.core.stalled.subscribe();
    stalled.wait_for(|stalled| !stalled).await.expect("the store is there");
    fill(&store, taken..20).await;
    assert_eq!(read_all(&store).await.len(), 40);
    until(|| store.takes_data().is_ok()).await;
}

#[tokio::test]
async fn a_probe_that_hangs_holds_up_nobody() {
    let Two { dirs, medium, store } =
        two(|settings| Settings { probe_interval: Duration::from_millis(20), ..impatient(settings) });
    medium.set(dirs[0].path(), Some(Fault::Hang));
    folder(&store, 0).failed(&std::io::Error::from_raw_os_error(5));
    until(|| folder(&store, 0).is_stalled()).await;
    fill(&store, 0..20).await;
    assert_eq!(read_all(&store).await.len(), 40);
    medium.set(dirs[0].path(), None);
    until(|| folder(&store, 0).health() == Health::Ok).await;
}

#[tokio::test]
async fn what_hangs_is_removed_and_gives_its_memory_back_when_it_ends() {
    let Two { dirs, medium, store } = two(impatient);
    dirs.iter().for_each(|dir| medium.set(dir.path(), Some(Fault::Hang)));
    fill(&store, 0..2).await;
    let flushed = store.core.apps.shards()[0].wait_flushed().expect("there is something");
    store.core.queue.push(&store.core.apps.shards()[0]);
    assert_eq!(flushed.await.expect("answered").expect_err("hangs").kind(), ErrorKind::Backpressure);
    store.remove_app(&app()).await.expect("removed");
    assert!(store.usage().memory_used > 0, "what a disk reads at this moment stays");
    dirs.iter().for_each(|dir| medium.set(dir.path(), None));
    until(|| store.usage().memory_used == 0 && store.usage().disk_used == 0).await;
    until(|| (0..2).all(|at| !folder(&store, at).hangs())).await;
    assert!(dirs.iter().all(|dir| segment_files(dir.path()).is_empty()));
    assert!(store.core.indexes.iter().all(|index| index.records().expect("readable") == 0));
}

#[tokio::test]
async fn nobody_waits_for_deletions_in_a_folder_that_hangs() {
    const SHUFFLES: u32 = 100;
    let Two { dirs, medium, store } = two(impatient);
    for shuffle in 0..SHUFFLES {
        // Each in one of them by turns.
        let other = folder(&store, (shuffle as usize + 1) % 2);
        other.failed(&std::io::Error::from_raw_os_error(5));
        Writer { key: ShardKey { shuffle, ..KEY }, ..Writer::new(0, 7) }
            .frame(&[(0, 0, 3000)], true)
            .to(&store)
            .await
            .expect("written");
        flush(&store).await;
        other.probe();
    }
    let count = |at: usize| segment_files(dirs[at].path()).len();
    let (before, threads) = (count(0), || std::fs::read_dir("/proc/self/task").expect("readable").count());
    assert_eq!((before, count(1)), (50, 50));
    medium.set(dirs[0].path(), Some(Fault::Hang));
    let (began, alive) = (Instant::now(), threads());
    for shuffle in 0..SHUFFLES {
        store.remove_shuffle(&app(), shuffle).await.expect("removed");
    }
    store.remove_app(&app()).await.expect("removed");
    assert!(began.elapsed() < 10 * PATIENCE, "only the first one waits, and only so long");
    assert!(threads() < alive + 50, "one thread hangs, not one for each deletion");
    assert_eq!((count(0), count(1)), (before, 0));
    assert!(folder(&store, 0).is_stalled());
    medium.set(dirs[0].path(), None);
    until(|| !folder(&store, 0).hangs()).await;
    assert_eq!(count(0), 0);
    assert_eq!(store.usage().disk_used, 0);
    assert!(store.core.indexes.iter().all(|index| index.records().expect("readable") == 0));
}

#[tokio::test]
async fn closing_does_not_wait_for_a_folder_that_hangs_and_is_not_clean() {
    let Two { dirs, medium, store } = two(impatient);
    let id = store.worker_id();
    medium.set(dirs[0].path(), Some(Fault::Hang));
    fill(&store, 0..3).await;
    assert_eq!(store.close().await.expect_err("not clean").kind(), ErrorKind::Backpressure);
    medium.set(dirs[0].path(), None);
    until(|| !folder(&store, 0).hangs()).await;
    drop(store);
    let data_dirs = dirs.iter().map(|dir| dir.path().to_owned()).collect();
    let store = open(Settings { data_dirs, ..settings(dirs[0].path(), 4 << 20) });
    assert_eq!(store.worker_id().incarnation, id.incarnation + 1);
    assert_eq!(read_all(&store).await.len(), 6, "the other folder took everything");
}
