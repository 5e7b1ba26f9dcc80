//! Leases with two coordinators: who may say what goes.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use crate::common::{Cluster, block, eventually};

const LEASE: Duration = Duration::from_secs(2);
const SETTINGS: [&str; 2] = ["coordinator.lease=2s", "coordinator.worker_timeout=10s"];

/// Two coordinators with a short lease and a worker with data of "app", which is registered with the first only.
fn bench() -> (Cluster, String) {
    let cluster = Cluster::start(2, 1, &SETTINGS);
    let (token, _) = cluster.coordinators[0].register_for("app", "").expect("registered");
    cluster.push(0, &token);
    (cluster, token)
}

/// Lets several leases pass; time is what these tests are about.
fn pass_leases(mut meanwhile: impl FnMut()) {
    let begun = Instant::now();
    while begun.elapsed() < LEASE * 2 {
        meanwhile();
        sleep(LEASE / 10);
    }
}

fn phase(cluster: &Cluster, coordinator: usize) -> String {
    cluster.coordinators[coordinator].status()["applications"][0]["phase"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_driver_that_reaches_only_one_coordinator_keeps_its_data() {
    let (cluster, token) = bench();
    pass_leases(|| cluster.coordinators[0].keep_alive(&token).expect("live"));
    assert_eq!(phase(&cluster, 1), "expired", "the other has not heard of it");
    assert!(cluster.holds(0));
    cluster.coordinators[1].keep_alive(&token).expect("it is taken back");
    assert_eq!(phase(&cluster, 1), "live");
    eventually("without a word to either it is gone", || !cluster.holds(0));
}

#[test]
fn a_driver_that_is_gone_loses_nothing_while_a_coordinator_is_dead() {
    let (mut cluster, _) = bench();
    cluster.coordinators[1].kill();
    pass_leases(|| ());
    assert_eq!(phase(&cluster, 0), "expired");
    assert!(cluster.holds(0), "nobody knows what the dead one would say");
    cluster.coordinators[1].start_again_here();
    eventually("it has heard nothing of the driver either", || !cluster.holds(0));
}

#[test]
fn a_coordinator_that_was_restarted_waits_for_a_lease_before_it_says_anything() {
    let (mut cluster, token) = bench();
    pass_leases(|| cluster.coordinators[1].keep_alive(&token).expect("live"));
    cluster.coordinators[1].kill();
    let restarted = Instant::now();
    cluster.coordinators[1].start_again_here();
    eventually("the driver is gone for both", || !cluster.holds(0));
    assert!(restarted.elapsed() >= LEASE, "gone after {:?}", restarted.elapsed());
}

#[test]
fn a_worker_that_is_cut_off_deletes_nothing_and_serves_on() {
    let (cluster, token) = bench();
    cluster.coordinators.iter().for_each(crate::common::Server::freeze);
    pass_leases(|| ());
    assert!(cluster.holds(0));
    let served = cluster.workers[0].connect_with(&token).fetch(1, 0..4, 0..1).expect("it serves");
    assert_eq!(served, [block(0, 0, 1, 0, true, &[3; 10_000])]);
    // One alone is not enough.
    cluster.coordinators[0].thaw();
    pass_leases(|| ());
    assert!(cluster.holds(0));
    cluster.coordinators[1].thaw();
    eventually("both say that the driver is gone", || !cluster.holds(0));
}

#[test]
fn what_ended_by_its_drivers_word_goes_whatever_the_other_coordinator_knows() {
    let (mut cluster, token) = bench();
    cluster.coordinators[1].kill();
    cluster.coordinators[0].end(&token);
    eventually("its data is gone", || !cluster.holds(0));
}
