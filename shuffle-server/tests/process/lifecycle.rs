//! Applications and shuffles come and go, and what they leave on disk is nothing.

use std::fs;

use crate::common::{PARTITIONS, Server, block, denied, eventually};
use overhand_common::ErrorKind;
use tempfile::TempDir;

/// Puts a shuffle of this application on disk.
fn to_disk(server: &Server, token: &str, shuffle: u32) {
    let blocks = [block(0, 0, 1, 0, true, &[3; 10_000])];
    server.connect_with(token).push_all(shuffle, 0, 1, &blocks).expect("pushed");
    assert!(!server.segments().is_empty());
}

#[test]
fn the_disk_is_empty_after_an_application_ended() {
    let server = Server::start(&["--durability", "disk", "--set", "coordinator.heartbeat_interval=20ms"]);
    let token = server.register("app");
    to_disk(&server, &token, 1);
    to_disk(&server, &token, 2);
    server.end(&token);
    server.assert_gets_empty();
    assert!(server.keep_alive(&token).is_err());
    eventually("it is forgotten", || server.status()["applications"].as_array().is_some_and(Vec::is_empty));
    server.assert_serves("after");
}

#[test]
fn the_disk_is_empty_after_a_lease_expired() {
    let server = Server::start(&[
        "--durability",
        "disk",
        "--set",
        "coordinator.heartbeat_interval=20ms",
        "--set",
        "coordinator.lease=400ms",
        "--set",
        "coordinator.worker_timeout=10s",
    ]);
    let token = server.register("app");
    to_disk(&server, &token, 1);
    server.assert_gets_empty();
    let error = server.keep_alive(&token).expect_err("it is over");
    assert_eq!(error.code(), tonic::Code::FailedPrecondition, "{error:?}");
    server.assert_serves("after");
}

#[test]
fn a_lease_that_is_kept_keeps_the_data() {
    let server = Server::start(&["--set", "coordinator.heartbeat_interval=20ms", "--set", "coordinator.lease=1s"]);
    let (kept, other) = (server.register("kept"), server.register("other"));
    let blocks = [block(0, 0, 1, 0, true, b"x")];
    for token in [&kept, &other] {
        server.connect_with(token).push_all(1, 0, 1, &blocks).expect("pushed");
    }
    eventually("the other one expired", || {
        server.keep_alive(&kept).expect("it lives");
        server.connect_with(&other).fetch(1, 0..PARTITIONS, 0..1).is_err()
    });
    assert_eq!(server.connect_with(&kept).fetch(1, 0..PARTITIONS, 0..1).expect("there"), blocks);
}

#[test]
fn the_disk_is_empty_after_a_shuffle_was_removed_and_a_late_push_does_not_bring_it_back() {
    let mut server = Server::start(&["--durability", "disk"]);
    let token = server.register("app");
    to_disk(&server, &token, 1);
    let mut wire = server.connect_with(&token);
    wire.remove(1).expect("removed");
    assert!(server.segments().is_empty(), "the answer comes when the disk is clean");
    let late = [block(0, 1, 0, 0, true, b"late")];
    for _ in 0..2 {
        let mut wire = server.connect_with(&token);
        let error = wire.push_all(1, 1, 0, &late).expect_err("it is gone");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.message().contains("removed"), "{error}");
        assert_eq!(wire.fetch(1, 0..PARTITIONS, 0..2).expect_err("gone").kind(), ErrorKind::NotFound);
        assert!(server.stop().success());
        server.start_again();
    }
    server.assert_gets_empty();
}

#[test]
fn a_registration_secret_is_asked_for_where_there_is_one() {
    let folder = TempDir::new().expect("temporary folder");
    let file = folder.path().join("registration");
    fs::write(&file, "open sesame\n").expect("written");
    let setting = format!("auth.registration_secret_file={}", file.display());
    let server = Server::start(&["--set", &setting]);
    for wrong in ["", "open", "open sesame!"] {
        assert!(denied(&server.try_register("app", wrong).expect_err("refused")));
    }
    server.try_register("app", "open sesame").expect("registered");
}

#[test]
fn names_that_are_unsafe_or_reserved_are_refused() {
    let server = Server::start(&[]);
    for name in ["", "../etc", "worker", "a b"] {
        let error = server.try_register(name, "").expect_err("refused");
        assert_eq!(error.code(), tonic::Code::InvalidArgument, "{name:?}: {error:?}");
    }
}

#[test]
fn a_coordinator_and_a_worker_may_be_processes_of_their_own() {
    let folder = TempDir::new().expect("temporary folder");
    let secret = folder.path().join("secret");
    fs::write(&secret, "the secret of this very cluster").expect("written");
    let secret = format!("auth.secret_file={}", secret.display());
    let beat = "coordinator.heartbeat_interval=20ms";
    let coordinator =
        Server::start_as("coordinator", &folder.path().join("coordinator"), &["--set", &secret, "--set", beat]);
    assert_eq!(coordinator.endpoints.data, None);
    let of = format!("worker.coordinators={}", coordinator.endpoints.control);
    let mut worker = Server::start_as("worker", &folder.path().join("worker"), &["--set", &secret, "--set", &of]);
    eventually("the worker has reported", || {
        coordinator.status()["workers"].as_array().is_some_and(|all| all.len() == 1)
    });
    let token = coordinator.register("app");
    let blocks = [block(0, 0, 1, 0, true, b"x")];
    let mut wire = worker.connect_with(&token);
    wire.push_all(1, 0, 1, &blocks).expect("pushed");
    assert_eq!(wire.fetch(1, 0..PARTITIONS, 0..1).expect("there"), blocks);
    assert_eq!(coordinator.status()["applications"][0]["shuffles"][0]["blocks"], 1);
    assert_eq!(worker.admin("/readyz"), (200, "ok\n".to_owned()));
    coordinator.end(&token);
    eventually("the data is gone", || coordinator.status()["workers"][0]["memory_used"] == 0);
    drop(coordinator);
    eventually("the worker notices", || worker.admin("/readyz").0 == 503);
    assert_eq!(worker.admin("/healthz").0, 200, "it still serves");
    assert!(worker.stop().success());
}

#[test]
fn status_shows_workers_applications_and_shuffles() {
    let server = Server::start(&[]);
    let token = server.register("app");
    let blocks = [block(0, 0, 1, 0, false, &[1; 500]), block(3, 0, 1, 0, true, &[2; 500])];
    server.connect_with(&token).push_all(7, 0, 1, &blocks).expect("pushed");
    let status = server.status();
    assert_eq!(status["workers"][0]["disks"][0]["state"], "ok");
    assert_eq!(status["workers"][0]["error"], "");
    let app = &status["applications"][0];
    assert_eq!((&app["app"], &app["tenant"]), (&"app".into(), &"team".into()));
    let shuffle = &app["shuffles"][0];
    assert_eq!(
        (&shuffle["shuffle"], &shuffle["partitions"], &shuffle["blocks"]),
        (&7.into(), &PARTITIONS.into(), &2.into())
    );
    assert_eq!((&shuffle["memory_bytes"], &shuffle["disk_bytes"]), (&1080.into(), &0.into()));
    let out = crate::common::overhand(&["status", "--coordinator", &server.endpoints.control]);
    let text = String::from_utf8(out.stdout).expect("text");
    for part in ["app", "1.1 KiB", server.data(), "ok"] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

#[test]
fn a_data_folder_that_goes_away_is_seen_everywhere_and_the_worker_stays_ready() {
    let scratch = TempDir::new().expect("temporary folder");
    let (second, away) = (scratch.path().join("second"), scratch.path().join("away"));
    let folder = second.to_str().expect("text");
    let server = Server::start(&["--data-dir", folder, "--set", "storage.probe_interval=50ms"]);
    let state = || server.status()["workers"][0]["disks"][1]["state"].as_str().expect("text").to_owned();
    assert_eq!(state(), "ok");
    // As a disk that is taken out: nobody writes, so only a probe can tell.
    fs::rename(&second, &away).expect("moved away");
    eventually("the folder is out", || state().starts_with("failed: "));
    assert!(server.admin("/metrics").1.contains("overhand_data_folders_out 1"));
    assert!(server.logged().contains("data folder taken out of placement"));
    assert_eq!(server.admin("/readyz").0, 200, "the other folder takes data");
    fs::rename(&away, &second).expect("moved back");
    eventually("the folder is back", || state() == "ok");
    assert!(server.admin("/metrics").1.contains("overhand_data_folders_out 0"));
}

#[test]
fn status_of_a_coordinator_that_is_not_there_says_so() {
    let out = crate::common::overhand(&["status", "--coordinator", "127.0.0.1:1"]);
    assert!(!out.status.success());
    let text = String::from_utf8(out.stderr).expect("text");
    assert!(text.contains("127.0.0.1:1 can't be reached"), "{text}");
}
