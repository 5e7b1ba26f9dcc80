//! Drivers against coordinators and workers that do as they are told, or not.

#[allow(dead_code, missing_docs)]
#[path = "support/cluster.rs"]
mod cluster;

use std::{
    collections::BTreeSet,
    net::TcpListener,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use cluster::{FakeCoordinator, FakeWorker, config, eventually, register};
use overhand_client::{Application, ApplicationConfig, Driver, Epoch, ErrorKind, Placement, Trouble, WorkerId};

fn broken(shard: u32, epoch: u32, suspect: WorkerId) -> Trouble {
    Trouble::Broken { shard, epoch, suspect: Some(suspect), why: "it is gone".into() }
}

fn workers(count: u128) -> Vec<FakeWorker> {
    (1..=count).map(FakeWorker::start).collect()
}

fn coordinator(workers: &[FakeWorker]) -> FakeCoordinator {
    FakeCoordinator::start(&workers.iter().collect::<Vec<_>>())
}

fn worker<'a>(workers: &'a [FakeWorker], id: &WorkerId) -> &'a FakeWorker {
    workers.iter().find(|worker| worker.place.worker == *id).expect("one of them")
}

fn now(application: &Application) -> Placement {
    application.ask(0, &Trouble::Unreadable).expect("placed")
}

fn members(epoch: &Epoch) -> BTreeSet<WorkerId> {
    epoch.chain.iter().map(|place| place.worker).collect()
}

#[test]
fn a_coordinator_that_is_gone_or_hangs_costs_nothing() {
    let workers = workers(2);
    let (good, hanging) = (coordinator(&workers), coordinator(&workers));
    hanging.said().hangs = true;
    let gone = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").to_string();
    let long = Duration::from_secs(60);
    let config = ApplicationConfig {
        connect_timeout: long,
        request_timeout: long,
        ..config(&[&gone, &hanging.address, &good.address])
    };
    let start = Instant::now();
    let application = Application::register(config).expect("one answers");
    assert_eq!(application.placement(0, 10).expect("placed").shards[0][0].chain.len(), 2);
    eventually("the lease is kept", || good.said().kept > 3);
    application.end().expect("one confirms");
    assert!(start.elapsed() < long / 2, "{:?}", start.elapsed());
    assert_eq!(good.said().ended, 1);
}

#[test]
fn every_coordinator_is_told_of_the_application_also_one_that_comes_later() {
    let workers = workers(2);
    let (first, second) = (coordinator(&workers), coordinator(&workers));
    let application = register(&[&first, &second]);
    eventually("both keep the lease", || first.said().kept > 0 && second.said().kept > 0);
    let address = first.address.clone();
    drop(first);
    let kept = second.said().kept;
    eventually("the other one goes on", || second.said().kept > kept + 3);
    application.placement(0, 10).expect("placed");
    let back = FakeCoordinator::start_at(&address, &workers.iter().collect::<Vec<_>>());
    eventually("it hears of the application again", || back.said().kept > 0);
    application.end().expect("told");
    assert_eq!((back.said().ended, second.said().ended), (1, 1));
}

#[test]
fn without_any_coordinator_the_view_stays() {
    let workers = workers(2);
    let only = coordinator(&workers);
    let application = register(&[&only]);
    drop(only);
    thread::sleep(Duration::from_secs(1));
    assert_eq!(application.placement(0, 10).expect("placed").shards[0][0].chain.len(), 2);
}

#[test]
fn a_worker_that_one_coordinator_hears_of_is_not_lost() {
    let workers = workers(3);
    let (first, second) = (coordinator(&workers), coordinator(&workers));
    let application = register(&[&first, &second]);
    eventually("both answered", || first.said().kept > 0 && second.said().kept > 0);
    let placed = application.placement(0, 10).expect("placed");
    let member = worker(&workers, &placed.shards[0][0].chain[0].worker);
    first.lose(member);
    let kept = first.said().kept;
    eventually("the view is newer than the grace period", || first.said().kept > kept + 4);
    assert_eq!(now(&application).version, placed.version);
    second.lose(member);
    eventually("its shards have moved", || now(&application).version > placed.version);
}

#[test]
fn a_storm_of_complaints_opens_one_epoch() {
    let workers = workers(4);
    let coordinator = coordinator(&workers);
    let application = Arc::new(register(&[&coordinator]));
    let placed = application.placement(0, 2000).expect("placed");
    let suspect = placed.shards[0][0].primary().worker;
    let calls: Vec<_> = (0..placed.layout.shards())
        .filter(|shard| members(&placed.shards[*shard as usize][0]).contains(&suspect))
        .flat_map(|shard| [shard; 20])
        .collect();
    let threads: Vec<_> = calls
        .into_iter()
        .map(|shard| {
            let driver: Arc<dyn Driver> = Arc::clone(&application) as _;
            let app = placed.app.clone();
            thread::spawn(move || driver.ask(&app, 0, &broken(shard, 0, suspect)).expect("answered").version)
        })
        .collect();
    let versions: BTreeSet<_> = threads.into_iter().map(|thread| thread.join().expect("no panic")).collect();
    assert_eq!(versions.len(), 1, "all hear of the same epochs");
    let after = now(&application);
    assert!(after.shards.iter().all(|epochs| epochs.len() <= 2));
    assert!(after.shards.iter().all(|epochs| !members(epochs.last().expect("one")).contains(&suspect)));
    eventually("the coordinator hears of it", || {
        let said = coordinator.said();
        said.health.as_ref().is_some_and(|health| health.chains_broken > 0 && health.epochs_opened > 0)
    });
    let error = Driver::ask(&*application, &"other".parse().expect("valid"), 0, &Trouble::Unreadable);
    assert_eq!(error.expect_err("another application").kind(), ErrorKind::NotFound);
}

#[test]
fn what_a_lost_worker_held_is_copied_from_the_other_member() {
    let workers = workers(4);
    let coordinator = coordinator(&workers);
    let application = register(&[&coordinator]);
    let placed = application.placement(0, 10).expect("placed");
    let [lost, left] = &placed.shards[0][0].chain[..] else { panic!("two members") };
    let others: Vec<_> = workers.iter().filter(|worker| worker.place != *lost && worker.place != *left).collect();
    // One refuses; the other takes longer than any silence would be borne.
    others[0].told().refuses = true;
    others[1].told().busy_for = Duration::from_millis(1500);
    coordinator.lose(worker(&workers, &lost.worker));
    eventually("the epoch has two members again", || {
        let epoch = &now(&application).shards[0][0];
        members(epoch) == BTreeSet::from([left.worker, others[1].place.worker])
    });
    let copies = others[1].told().copies.clone();
    assert_eq!((copies.len(), &copies[0].from, copies[0].key.epoch), (1, left, 0));
    assert!(!members(now(&application).current(0)).contains(&lost.worker), "new data goes elsewhere");
    eventually("the coordinator hears of it", || {
        let said = coordinator.said();
        said.health.as_ref().is_some_and(|health| health.copies_made == 1 && health.under_replicated_epochs == 0)
    });
    application.remove_shuffle(0).expect("removed");
    for other in others {
        assert_eq!(other.told().removed, [0], "also where a copy failed");
    }
    assert_eq!(worker(&workers, &lost.worker).told().removed, [0], "it is there still, to us");
    assert_eq!(application.ask(0, &Trouble::Unreadable).expect_err("removed").kind(), ErrorKind::NotFound);
}

#[test]
fn a_drain_moves_everything_and_forgets_it() {
    let workers = workers(3);
    let coordinator = coordinator(&workers);
    let application = register(&[&coordinator]);
    let placed = application.placement(0, 2000).expect("placed");
    let drained = placed.shards[0][0].primary().worker;
    let held = placed.shards.iter().flatten().filter(|epoch| members(epoch).contains(&drained)).count();
    coordinator.change(worker(&workers, &drained), |info| info.draining = true);
    eventually("everything is forgotten there", || worker(&workers, &drained).told().forgotten.len() == held);
    let after = now(&application);
    for epoch in after.shards.iter().flatten() {
        assert!(!members(epoch).contains(&drained) && epoch.chain.len() == 2, "{epoch:?}");
    }
    let copies: Vec<_> = workers.iter().flat_map(|worker| worker.told().copies.clone()).collect();
    assert_eq!(copies.len(), held);
    assert!(copies.iter().all(|copy| copy.from.worker == drained));
    application.remove_shuffle(0).expect("removed");
    assert!(worker(&workers, &drained).told().removed.is_empty(), "it has nothing any more");
}

#[test]
fn a_shuffle_removed_during_a_copy_is_removed_at_the_target_when_that_ends() {
    let workers = workers(3);
    let coordinator = coordinator(&workers);
    let application = register(&[&coordinator]);
    let placed = application.placement(0, 10).expect("placed");
    let members = members(&placed.shards[0][0]);
    let target = workers.iter().find(|worker| !members.contains(&worker.place.worker)).expect("a third one");
    target.told().busy_for = Duration::from_millis(500);
    coordinator.lose(worker(&workers, &placed.shards[0][0].primary().worker));
    eventually("the copy has begun", || !target.told().copies.is_empty());
    application.remove_shuffle(0).expect("removed");
    assert_eq!(target.told().removed, [0]);
    eventually("it is told again", || target.told().removed == [0, 0]);
}

#[test]
fn a_tenant_over_its_quota_is_refused_in_the_coordinators_words() {
    let workers = workers(1);
    let coordinator = coordinator(&workers);
    coordinator.said().over_quota = "tenant t has 5 GiB of 4 GiB".into();
    let application = register(&[&coordinator]);
    let error = application.placement(0, 10).expect_err("over quota");
    assert_eq!(error.kind(), ErrorKind::Backpressure);
    assert!(error.message().contains("tenant t has 5 GiB of 4 GiB"), "{error}");
    coordinator.said().over_quota.clear();
    eventually("it has room again", || application.placement(0, 10).is_ok());
}

#[test]
fn replicas_are_as_the_coordinators_say_unless_the_application_does() {
    let workers = workers(3);
    let coordinator = coordinator(&workers);
    coordinator.said().replicas = 3;
    let chain = |replicas| {
        let config = cluster_config(&coordinator, replicas);
        let application = Application::register(config).expect("registered");
        application.placement(0, 10).expect("placed").shards[0][0].chain.len()
    };
    assert_eq!((chain(None), chain(Some(1)), chain(Some(2))), (3, 1, 2));
}

fn cluster_config(coordinator: &FakeCoordinator, replicas: Option<u32>) -> ApplicationConfig {
    ApplicationConfig { replicas, ..config(&[&coordinator.address]) }
}

#[test]
fn losses_reach_the_coordinators() {
    let workers = workers(1);
    let coordinator = coordinator(&workers);
    let application = register(&[&coordinator]);
    application.report_lost(3, 2, "workers a and b died");
    eventually("it is told", || {
        let said = coordinator.said();
        said.health.as_ref().is_some_and(|health| health.lost_map_outputs == 2 && health.losses[0].contains("a and b"))
    });
    assert_eq!(application.health().lost_map_outputs, 2);
}
