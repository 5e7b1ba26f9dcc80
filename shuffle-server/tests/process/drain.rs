//! `overhand drain`: the worker takes nothing new, and the command ends when it holds nothing.

use std::process::Output;

use overhand_common::ErrorKind;

use crate::common::{Cluster, block, eventually, overhand};

fn drain(cluster: &Cluster, worker: &str, more: &[&str]) -> Output {
    let secret = cluster.secret.to_str().expect("text");
    let coordinator = &cluster.coordinators[0].endpoints.control;
    overhand(&[&["drain", worker, "--coordinator", coordinator, "--secret-file", secret], more].concat())
}

fn text(output: &[u8]) -> String {
    String::from_utf8(output.to_vec()).expect("text")
}

fn is_draining(cluster: &Cluster, coordinator: usize, worker: usize) -> bool {
    let status = cluster.coordinators[coordinator].status();
    let workers = status["workers"].as_array().expect("workers");
    workers.iter().any(|known| known["data_address"] == cluster.workers[worker].data() && known["draining"] == true)
}

#[test]
fn a_draining_worker_takes_nothing_new_serves_what_it_has_and_every_coordinator_knows() {
    let cluster = Cluster::start(2, 2, &["coordinator.heartbeat_interval=20s", "coordinator.worker_timeout=60s"]);
    let (token, _) = cluster.coordinators[0].register_for("app", "").expect("registered");
    cluster.push(0, &token);
    let worker = cluster.workers[0].data().to_owned();
    let done = drain(&cluster, &worker, &["--no-wait"]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    for coordinator in 0..2 {
        // A report would be due in 20 s only: it was sent at once.
        eventually("it has reported", || {
            let metrics = cluster.coordinators[coordinator].admin("/metrics").1;
            metrics.contains("overhand_coordinator_workers{state=\"draining\"} 1")
        });
        assert!(is_draining(&cluster, coordinator, 0) && !is_draining(&cluster, coordinator, 1));
    }
    let mut wire = cluster.workers[0].connect_with(&token);
    assert_eq!(wire.fetch(1, 0..4, 0..1).expect("served").len(), 1);
    let undone = drain(&cluster, &worker, &["--undo"]);
    assert!(undone.status.success() && text(&undone.stdout).contains("takes new data again"));
    assert!(!is_draining(&cluster, 0, 0));
    wire.push_all(2, 0, 1, &[block(0, 0, 1, 0, true, b"new")]).expect("taken again");
}

#[test]
fn a_drain_ends_when_the_worker_holds_nothing_and_says_why_it_takes_long() {
    let cluster = Cluster::start(1, 2, &[]);
    let (token, _) = cluster.coordinators[0].register_for("app", "").expect("registered");
    cluster.push(0, &token);
    let worker = cluster.workers[0].data().to_owned();
    let done = std::thread::scope(|scope| {
        let draining = scope.spawn(|| drain(&cluster, &worker, &["--json"]));
        eventually("it drains", || is_draining(&cluster, 0, 0));
        // The driver of this test moves nothing for a while; time is the subject here.
        std::thread::sleep(std::time::Duration::from_secs(7));
        assert!(!draining.is_finished());
        cluster.workers[0].connect_with(&token).remove(1).expect("moved");
        draining.join().expect("it ends")
    });
    assert!(done.status.success(), "{}", text(&done.stderr));
    let lines: Vec<serde_json::Value> =
        text(&done.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let (first, last) = (&lines[0], &lines[lines.len() - 1]);
    assert!(first["done"] == false && first["shuffles_left"] == 1, "{first}");
    assert!(first["bytes_left"].as_u64().is_some_and(|bytes| bytes > 10_000), "{first}");
    assert!(last["done"] == true && last["bytes_left"] == 0 && last["bytes_moved"] == first["bytes_left"], "{last}");
    assert!(
        lines.iter().any(|line| line["why"].to_string().contains("application app: its driver spoke")),
        "{lines:?}"
    );
}

#[test]
fn an_empty_worker_is_drained_at_once_and_may_be_stopped() {
    let mut cluster = Cluster::start(1, 1, &[]);
    let folder = cluster.coordinators[0].folder.to_str().expect("text").to_owned();
    let secret = cluster.secret.to_str().expect("text").to_owned();
    let id = cluster.coordinators[0].status()["workers"][0]["id"].as_str().expect("an id")[..8].to_owned();
    let done = overhand(&["drain", &id, "--data-dir", &folder, "--secret-file", &secret]);
    assert!(done.status.success() && text(&done.stdout).contains("it may be stopped"), "{}", text(&done.stderr));
    assert!(cluster.workers[0].stop().success());
}

#[test]
fn a_drain_without_the_clusters_secret_or_of_nobody_is_refused_with_a_clear_text() {
    let cluster = Cluster::start(1, 1, &[]);
    let nobody = drain(&cluster, "nobody:1", &[]);
    assert!(!nobody.status.success());
    let said = text(&nobody.stderr);
    assert!(said.contains("no worker \"nobody:1\"") && said.contains(cluster.workers[0].data()), "{said}");
    let address = &cluster.coordinators[0].endpoints.control;
    let without = overhand(&["drain", "x", "--coordinator", address]);
    assert!(text(&without.stderr).contains("--secret-file"), "{}", text(&without.stderr));
    let wrong = cluster.coordinators[0].folder.join("wrong");
    std::fs::write(&wrong, "quite another secret").expect("written");
    let wrong = wrong.to_str().expect("text");
    let refused = overhand(&["drain", cluster.workers[0].data(), "--coordinator", address, "--secret-file", wrong]);
    assert!(!refused.status.success() && text(&refused.stderr).contains("auth.secret_file"));
    assert!(!is_draining(&cluster, 0, 0));
    // A worker asked directly wants the secret as well.
    let (token, _) = cluster.coordinators[0].register_for("app", "").expect("registered");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let status = runtime.block_on(async {
        let channel = overhand_server::control::connect(&cluster.workers[0].endpoints.control, crate::common::PATIENCE);
        let channel = channel.await.expect("the worker answers");
        let request = overhand_proto::v1::SetDrainingRequest { draining: true, token };
        overhand_proto::v1::worker_client::WorkerClient::new(channel).set_draining(request).await
    });
    let status = status.expect_err("an application's token is not enough");
    assert_eq!(overhand_proto::kind_of(status.code()), ErrorKind::Denied);
}
