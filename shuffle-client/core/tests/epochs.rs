//! Writers whose chains break, grow too large, or fall silent, against workers that keep everything in memory.

mod support;

use std::{
    net::TcpListener,
    sync::{Arc, atomic::AtomicBool, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use overhand_client::{Client, ClientConfig, Driver, Error, ErrorKind, Place, Trouble, WorkerId, Writer};
use overhand_common::message::Failure;
use support::{
    Records, attempt, driver::TestDriver, fill, items, pieces, proxy::Proxy, read_all, records, small, worker::Worker,
    write, write_attempt,
};

const PARTITIONS: u32 = 10;

fn id(number: u128) -> WorkerId {
    WorkerId { id: uuid::Uuid::from_u128(number), incarnation: 1 }
}

struct Cluster {
    workers: Vec<Worker>,
    driver: Arc<TestDriver>,
    client: Client,
}

/// `count` workers; every shard starts on the first `replicas` of them.
fn cluster(count: u128, replicas: usize, shards: u32, config: ClientConfig) -> Cluster {
    let workers: Vec<_> = (1..=count).map(|number| Worker::start_as(id(number))).collect();
    let places = workers.iter().map(Worker::place).collect();
    over(workers, places, replicas, shards, config)
}

fn over(workers: Vec<Worker>, places: Vec<Place>, replicas: usize, shards: u32, config: ClientConfig) -> Cluster {
    let driver = Arc::new(TestDriver::new(PARTITIONS, shards, places, replicas));
    let client = Client::with_driver(config, Arc::clone(&driver) as Arc<dyn Driver>).expect("in bounds");
    Cluster { workers, driver, client }
}

fn quick() -> ClientConfig {
    ClientConfig { silence: Duration::from_millis(300), retry_for: Duration::from_secs(2), ..small() }
}

fn some() -> Records {
    records(0, 20_000, PARTITIONS, 100)
}

impl Cluster {
    fn writer(&self, map: u32) -> Writer {
        self.client.writer(self.driver.placement(), attempt(map)).expect("a writer")
    }

    /// Reads all from the newest placement; dead workers, and those that never got an epoch's data, are left out: they
    /// are other tests' matter.
    fn check(&self, map: u32, stored: &[u64], records: &Records, dead: &[usize]) {
        let mut placement = (*self.driver.placement()).clone();
        let alive: Vec<_> = (0..self.workers.len()).filter(|worker| !dead.contains(worker)).collect();
        for (shard, epochs) in (0..).zip(&mut placement.shards) {
            for epoch in epochs.iter_mut() {
                let key = support::key(1, shard, epoch.epoch);
                let has = |place: &Place, worker: usize| {
                    let worker = &self.workers[worker];
                    worker.place().worker == place.worker && worker.state().attempts.keys().any(|of| of.0 == key)
                };
                epoch.chain.retain(|place| alive.iter().any(|worker| has(place, *worker)));
            }
            epochs.retain(|epoch| !epoch.chain.is_empty());
        }
        let found = read_all(&self.client, &Arc::new(placement), pieces(attempt(map), stored)).expect("read");
        assert!(found == items(records), "other rows");
    }

    /// How many epochs a worker has committed of the attempt.
    fn commits(&self, worker: usize, map: u32) -> usize {
        let state = self.workers[worker].state();
        let mine = state.attempts.iter().filter(|((_, of), progress)| *of == attempt(map) && progress.committed);
        mine.count()
    }

    fn fail_after(&self, worker: usize, pushes: usize, kind: ErrorKind, suspect: Option<WorkerId>) {
        let failure = Failure { error: Error::new(kind, "as told"), suspect };
        self.workers[worker].state().fails = Some((pushes, failure));
    }
}

#[test]
fn frames_go_down_the_whole_chain_and_each_member_commits() {
    let cluster = cluster(3, 3, 2, quick());
    let stored = write_attempt(&cluster.client, &cluster.driver.placement(), attempt(0), &some()).expect("written");
    assert_eq!([0, 1, 2].map(|worker| cluster.commits(worker, 0)), [2, 2, 2]);
    assert_eq!((cluster.driver.questions(), cluster.client.counters().driver_calls), (0, 0));
    cluster.check(0, &stored, &some(), &[0, 1]);
}

#[test]
fn a_primary_that_dies_in_the_middle_costs_one_question_and_no_row() {
    let mut cluster = cluster(4, 2, 3, quick());
    let mut writer = cluster.writer(0);
    let (first, second) = (records(0, 5_000, PARTITIONS, 100), records(1, 5_000, PARTITIONS, 100));
    let chunk = writer.chunk(1 << 20).expect("memory");
    writer.push(vec![fill(chunk, &first)]).expect("taken");
    while cluster.workers[1].state().pushes < 10 {
        thread::yield_now();
    }
    cluster.workers[0].kill();
    let stored = write(&mut writer, &second, 64 << 10, 2).expect("written");
    assert_eq!(cluster.driver.questions(), 1);
    assert!(cluster.workers[1].state().settles > 0);
    let counters = cluster.client.counters();
    assert!(counters.extra_frames > 0, "what settles brings nothing new: {counters:?}");
    let all = first.into_iter().chain(second).collect();
    cluster.check(0, &stored, &all, &[0]);
}

#[test]
fn a_replica_that_fails_is_left_out_and_named() {
    let mut cluster = cluster(4, 2, 2, quick());
    cluster.workers[1].kill();
    let records = some();
    let stored = write_attempt(&cluster.client, &cluster.driver.placement(), attempt(0), &records).expect("written");
    let asked = cluster.driver.asked.lock().expect("no panic").clone();
    assert!(matches!(&asked[..], [Trouble::Broken { epoch: 0, suspect, .. }] if *suspect == Some(id(2))), "{asked:?}");
    cluster.check(0, &stored, &records, &[1]);
}

#[test]
fn what_a_broken_epoch_acknowledged_is_settled_by_the_members_that_are_left() {
    let cluster = cluster(4, 2, 1, quick());
    cluster.fail_after(0, 7, ErrorKind::Broken, Some(id(2)));
    let records = some();
    let stored = write_attempt(&cluster.client, &cluster.driver.placement(), attempt(0), &records).expect("written");
    assert_eq!((cluster.workers[0].state().settles, cluster.workers[1].state().settles), (1, 0));
    let state = cluster.workers[0].state();
    let progress = &state.attempts[&(support::key(1, 0, 0), attempt(0))];
    assert!(progress.committed && progress.fin.frames == 7);
    drop(state);
    cluster.check(0, &stored, &records, &[1]);
}

#[test]
fn settling_falls_over_to_the_next_member() {
    let cluster = cluster(4, 3, 1, quick());
    // Nobody seems to be gone: the first is asked with the rest, then the second.
    cluster.fail_after(0, 7, ErrorKind::Broken, None);
    cluster.workers[0].state().settles_nothing = true;
    write_attempt(&cluster.client, &cluster.driver.placement(), attempt(0), &some()).expect("written");
    let settles = [0, 1, 2].map(|worker| cluster.workers[worker].state().settles);
    assert_eq!(settles, [1, 1, 1]);
}

#[test]
fn a_member_that_opposes_is_left_out_of_settling() {
    let cluster = cluster(5, 3, 1, quick());
    cluster.fail_after(0, 7, ErrorKind::Broken, None);
    cluster.workers[1].state().settles_nothing = true;
    write_attempt(&cluster.client, &cluster.driver.placement(), attempt(0), &some()).expect("written");
    assert_eq!(cluster.workers[2].state().settles, 1);
    assert!(cluster.workers[2].state().attempts[&(support::key(1, 0, 0), attempt(0))].committed);
}

#[test]
fn acknowledged_frames_that_nobody_confirms_fail_the_attempt_and_say_where() {
    let cluster = cluster(3, 1, 1, quick());
    cluster.fail_after(0, 7, ErrorKind::Backpressure, None);
    cluster.workers[0].state().settles_nothing = true;
    let error = write_attempt(&cluster.client, &cluster.driver.placement(), attempt(0), &some())
        .expect_err("7 frames are gone");
    assert_eq!(error.kind(), ErrorKind::DataLost);
    for part in ["shard 0 epoch 0", "7 frames", &cluster.workers[0].address, "must run again"] {
        assert!(error.message().contains(part), "{part}: {error}");
    }
}

#[test]
fn a_worker_that_dies_with_the_only_copy_fails_the_attempt() {
    let mut cluster = cluster(2, 1, 1, quick());
    let mut writer = cluster.writer(0);
    let chunk = writer.chunk(1 << 20).expect("memory");
    writer.push(vec![fill(chunk, &records(0, 5_000, PARTITIONS, 100))]).expect("taken");
    while cluster.workers[0].state().pushes < 10 {
        thread::yield_now();
    }
    cluster.workers[0].kill();
    let error = write(&mut writer, &some(), 64 << 10, 2).expect_err("lost");
    assert_eq!(error.kind(), ErrorKind::DataLost, "{error}");
    assert!(error.message().contains(&cluster.workers[0].address), "{error}");
}

#[test]
fn a_worker_with_the_only_copy_that_is_back_soon_confirms_it() {
    let mut cluster = cluster(2, 1, 1, quick());
    cluster.fail_after(0, 7, ErrorKind::Backpressure, None);
    let mut writer = cluster.writer(0);
    let (first, second) = (records(0, 5_000, PARTITIONS, 100), records(1, 5_000, PARTITIONS, 100));
    let chunk = writer.chunk(1 << 20).expect("memory");
    writer.push(vec![fill(chunk, &first)]).expect("taken");
    while cluster.workers[1].state().pushes == 0 {
        thread::yield_now();
    }
    cluster.workers[0].kill();
    let gone = TcpListener::bind(&cluster.workers[0].address).expect("its port is free");
    let stored = thread::scope(|scope| {
        let writing = scope.spawn(|| write(&mut writer, &second, 64 << 10, 2));
        // Nobody but who wants the first 7 frames settled.
        drop(gone.accept().expect("a connection"));
        drop(gone);
        cluster.workers[0].start_again();
        writing.join().expect("no panic").expect("written")
    });
    assert_eq!(cluster.workers[0].state().settles, 1);
    assert_eq!(cluster.commits(0, 0), 1);
    let all = first.into_iter().chain(second).collect();
    cluster.check(0, &stored, &all, &[]);
}

#[test]
fn a_worker_that_takes_nothing_loses_nothing() {
    let mut cluster = cluster(2, 1, 2, quick());
    cluster.workers[0].kill();
    let stored = write_attempt(&cluster.client, &cluster.driver.placement(), attempt(0), &some()).expect("written");
    assert_eq!((cluster.driver.questions(), cluster.commits(1, 0)), (1, 2));
    cluster.check(0, &stored, &some(), &[0]);
}

#[test]
fn a_silent_worker_is_taken_for_gone() {
    let cluster = cluster(2, 1, 2, quick());
    cluster.workers[0].state().silent = true;
    let began = Instant::now();
    let stored = write_attempt(&cluster.client, &cluster.driver.placement(), attempt(0), &some()).expect("written");
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!(cluster.driver.questions(), 1);
    cluster.check(0, &stored, &some(), &[0]);
}

#[test]
fn a_worker_that_says_that_it_is_busy_is_waited_for() {
    let cluster = cluster(2, 1, 1, quick());
    cluster.workers[0].state().busy = 10;
    let began = Instant::now();
    write_attempt(&cluster.client, &cluster.driver.placement(), attempt(0), &some()).expect("written");
    assert!(began.elapsed() >= Duration::from_secs(1), "longer than any silence");
    assert_eq!((cluster.driver.questions(), cluster.commits(0, 0)), (0, 1));
}

#[test]
fn a_worker_of_the_first_version_gets_what_it_knows_and_no_chain() {
    let cluster = cluster(3, 1, 1, quick());
    cluster.workers[0].state().old = true;
    write_attempt(&cluster.client, &cluster.driver.placement(), attempt(0), &some()).expect("written");
    assert_eq!((cluster.driver.questions(), cluster.commits(0, 0)), (0, 1));

    let alone = Client::new(quick()).expect("in bounds");
    let mut chained = (*cluster.driver.placement()).clone();
    chained.shards[0][0].chain.push(cluster.workers[1].place());
    let error = write_attempt(&alone, &Arc::new(chained), attempt(1), &some()).expect_err("an old worker");
    assert_eq!(error.kind(), ErrorKind::Stale);
    assert!(error.message().contains("upgrade"), "{error}");
}

#[test]
fn another_incarnation_is_given_nothing() {
    let mut second_life = id(1);
    second_life.incarnation += 1;
    let workers = vec![Worker::start_as(second_life), Worker::start_as(id(2))];
    let places = vec![Place { worker: id(1), ..workers[0].place() }, workers[1].place()];
    let cluster = over(workers, places, 1, 2, quick());
    let stored = write_attempt(&cluster.client, &cluster.driver.placement(), attempt(0), &some()).expect("written");
    assert_eq!((cluster.workers[0].state().pushes, cluster.driver.questions()), (0, 1));
    cluster.check(0, &stored, &some(), &[0]);
    let alone = Client::new(quick()).expect("in bounds");
    let mut old = (*cluster.driver.placement()).clone();
    old.shards.iter_mut().for_each(|epochs| epochs.truncate(1));
    let error = write_attempt(&alone, &Arc::new(old), attempt(1), &some()).expect_err("no driver to ask");
    assert_eq!(error.kind(), ErrorKind::Stale);
}

#[test]
fn an_epoch_that_has_grown_too_large_is_left_once_and_settled() {
    let cluster = cluster(4, 2, 1, quick());
    for worker in &cluster.workers {
        worker.state().splits_before = 1;
    }
    let stored = write_attempt(&cluster.client, &cluster.driver.placement(), attempt(0), &some()).expect("written");
    let asked = cluster.driver.asked.lock().expect("no panic").clone();
    assert_eq!(asked, [Trouble::Split { shard: 0, epoch: 0 }]);
    assert_eq!([0, 1, 2, 3].map(|worker| cluster.commits(worker, 0)), [1; 4]);
    assert_eq!(cluster.workers[1].state().settles, 1);
    cluster.check(0, &stored, &some(), &[0, 2]);
}

#[test]
fn however_many_writers_complain_the_driver_is_asked_once() {
    let mut cluster = cluster(4, 2, 4, quick());
    let mut driver = TestDriver::new(PARTITIONS, 4, cluster.workers.iter().map(Worker::place).collect(), 2);
    driver.slow = Duration::from_millis(100);
    cluster.driver = Arc::new(driver);
    cluster.client = Client::with_driver(quick(), Arc::clone(&cluster.driver) as Arc<dyn Driver>).expect("in bounds");
    cluster.workers[0].kill();
    let all = thread::scope(|scope| {
        let write = |map| write_attempt(&cluster.client, &cluster.driver.placement(), attempt(map), &some());
        let writers: Vec<_> = (0..12).map(|map| scope.spawn(move || write(map))).collect();
        writers.into_iter().map(|writer| writer.join().expect("no panic").expect("written")).collect::<Vec<_>>()
    });
    assert_eq!(cluster.driver.questions(), 1);
    assert_eq!(cluster.client.counters().driver_calls, 1);
    (0..).zip(&all).for_each(|(map, stored)| cluster.check(map, stored, &some(), &[0]));
}

#[test]
fn a_cut_connection_is_made_again_before_anybody_complains() {
    let workers = vec![Worker::start_as(id(1)), Worker::start_as(id(2))];
    let proxy = Proxy::start(&workers[0].address);
    let places = vec![Place { worker: id(1), address: proxy.address.clone() }, workers[1].place()];
    let cluster = over(workers, places, 2, 2, quick());
    proxy.cut_up_after(50_000);
    let stored = write_attempt(&cluster.client, &cluster.driver.placement(), attempt(0), &some()).expect("written");
    assert_eq!((proxy.cuts(), cluster.driver.questions()), (1, 0));
    cluster.check(0, &stored, &some(), &[0]);
}

#[test]
fn no_epoch_that_takes_data_fails_the_attempt_after_a_while() {
    let mut cluster = cluster(2, 1, 1, quick());
    cluster.workers[0].kill();
    cluster.workers[1].kill();
    let error = write_attempt(&cluster.client, &cluster.driver.placement(), attempt(0), &some()).expect_err("nobody");
    assert!(error.message().contains("no worker is left"), "{error}");
}

#[test]
fn an_interrupted_task_stops_waiting() {
    let cluster = cluster(1, 1, 1, small());
    cluster.workers[0].state().silent = true;
    let interrupted = Arc::new(AtomicBool::new(false));
    let mut writer = cluster.writer(0);
    let asked = Arc::clone(&interrupted);
    writer.set_interrupt(Arc::new(move || asked.swap(true, Ordering::SeqCst)));
    let error = write(&mut writer, &some(), 64 << 10, 2).expect_err("interrupted");
    assert_eq!((error.kind(), error.message()), (ErrorKind::Closed, "the task was interrupted"));
    assert!(interrupted.load(Ordering::SeqCst));
}
