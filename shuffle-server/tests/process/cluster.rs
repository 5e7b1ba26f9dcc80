//! Coordinators and workers as processes of their own, side by side on one machine.

use std::{
    fs,
    time::{Duration, Instant},
};

use overhand_proto::v1::ApplicationHealth;
use tempfile::TempDir;

use crate::common::{Cluster, Server, eventually, overhand};

#[test]
fn several_coordinators_and_workers_run_side_by_side_and_know_each_other() {
    let cluster = Cluster::start(2, 3, &[]);
    let (token, _) = cluster.coordinators[0].register_for("app", "team").expect("registered");
    cluster.coordinators[1].keep_alive(&token).expect("one's token is good at the other");
    cluster.push(1, &token);
    for coordinator in &cluster.coordinators {
        eventually("each knows what the workers hold", || {
            let status = coordinator.status();
            let workers = status["workers"].as_array().expect("workers").clone();
            let held: u64 = workers.iter().filter_map(|worker| worker["usage"][0]["bytes"].as_u64()).sum();
            held > 10_000 && workers.iter().all(|worker| worker["host"] != "" && worker["silent"] == false)
        });
        let out = overhand(&["status", "--coordinator", &coordinator.endpoints.control]);
        let text = String::from_utf8(out.stdout).expect("text");
        for part in ["3 of 3 worker(s)", "app", "team", &cluster.coordinators[0].endpoints.control] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
    }
    let either = format!("127.0.0.1:1,{}", cluster.coordinators[1].endpoints.control);
    assert!(overhand(&["status", "--coordinator", &either]).status.success(), "the first that answers");
    let folder = cluster.coordinators[0].folder.to_str().expect("text");
    assert!(overhand(&["status", "--data-dir", folder]).status.success());
}

#[test]
fn a_worker_with_another_secret_is_refused_and_both_files_are_named() {
    let cluster = Cluster::start(1, 0, &[]);
    let folder = TempDir::new().expect("temporary folder");
    let secret = folder.path().join("another-secret");
    fs::write(&secret, "the secret of quite another cluster").expect("written");
    let secret = secret.to_str().expect("text");
    let address = &cluster.coordinators[0].endpoints.control;
    let args = ["--secret-file", secret, "--coordinator", address];
    let worker = Server::start_as("worker", &folder.path().join("worker"), &args);
    eventually("it says so", || worker.logged().contains("takes no reports"));
    let ready = worker.admin("/readyz").1;
    for part in [secret, cluster.secret.to_str().expect("text"), "auth.secret_file", address] {
        assert!(ready.contains(part), "{part:?} is not in {ready}");
        assert!(worker.logged().contains(part), "{part:?} is not in {}", worker.logged());
    }
}

#[test]
fn what_a_driver_says_of_its_data_is_in_the_status_and_in_the_metrics() {
    let cluster = Cluster::start(1, 1, &[]);
    let coordinator = &cluster.coordinators[0];
    let (token, _) = coordinator.register_for("app", "").expect("registered");
    let health = ApplicationHealth {
        chains_broken: 2,
        epochs_opened: 3,
        under_replicated_epochs: 5,
        under_replicated_bytes: 7_000_000,
        copies_made: 4,
        lost_map_outputs: 1,
        losses: vec!["map 7 of shuffle 1, on one and two".into()],
    };
    coordinator.keep_alive_with(&token, health).expect("live");
    assert_eq!(coordinator.status()["applications"][0]["health"]["chains_broken"], 2);
    let out = overhand(&["status", "--coordinator", &coordinator.endpoints.control]);
    let text = String::from_utf8(out.stdout).expect("text");
    assert!(text.contains("lost map outputs") && text.contains("map 7 of shuffle 1"), "{text}");
    let metrics = coordinator.admin("/metrics").1;
    for line in [
        "overhand_coordinator_under_replicated_epochs 5",
        "overhand_coordinator_under_replicated_bytes 7000000",
        "overhand_coordinator_epochs_opened_total 3",
        "overhand_coordinator_lost_map_outputs_total 1",
        "overhand_coordinator_applications 1",
        "overhand_coordinator_workers{state=\"alive\"} 1",
    ] {
        assert!(metrics.contains(line), "{line:?} is not in {metrics}");
    }
    assert!(coordinator.logged().contains("map outputs were lost"));
}

#[test]
fn a_worker_that_dies_is_shown_as_silent_with_what_it_held() {
    let mut cluster = Cluster::start(1, 2, &["coordinator.worker_timeout=1s"]);
    let (token, _) = cluster.coordinators[0].register_for("app", "").expect("registered");
    cluster.push(0, &token);
    let coordinator = &cluster.coordinators[0];
    let lost = cluster.workers[0].data().to_owned();
    let pushed = Instant::now();
    let shown = |holds: &dyn Fn(&serde_json::Value) -> bool| {
        let status = coordinator.status();
        let workers = status["workers"].as_array().expect("workers");
        workers.iter().any(|worker| worker["data_address"] == lost.as_str() && holds(worker))
    };
    // While it lives it is asked itself; a report that was sent later tells its coordinator as much.
    let reported = |worker: &serde_json::Value| {
        worker["reported_ms_ago"].as_u64().is_some_and(|ago| Duration::from_millis(ago + 100) < pushed.elapsed())
    };
    eventually("it has reported what it holds", || shown(&reported));
    cluster.workers[0].kill();
    let silent = |worker: &serde_json::Value| {
        worker["silent"] == true && worker["usage"][0]["bytes"].as_u64().is_some_and(|bytes| bytes > 10_000)
    };
    eventually("it is silent", || shown(&silent));
    assert!(coordinator.admin("/metrics").1.contains("overhand_coordinator_workers{state=\"silent\"} 1"));
    assert!(coordinator.logged().contains("a worker is silent"));
}
