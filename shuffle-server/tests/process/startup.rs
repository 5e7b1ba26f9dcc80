//! Starting and stopping: what is wrong is said clearly, all at once, and with what to do about it.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt, process::Output};

use crate::common::{Server, block, eventually, files, overhand, shard};
use overhand_common::{
    ErrorKind,
    message::{Fetch, Kind, VERSION, message},
};
use tempfile::TempDir;

fn refused(args: &[&str]) -> String {
    let Output { status, stdout, stderr } = overhand(args);
    assert!(!status.success(), "it started: {}", String::from_utf8_lossy(&stdout));
    assert!(stdout.is_empty());
    String::from_utf8(stderr).expect("text")
}

#[test]
fn a_port_in_use_is_named_with_what_it_is_for_and_how_to_change_it() {
    let folder = TempDir::new().expect("temporary folder");
    let dir = folder.path().join("data");
    let dir = dir.to_str().expect("text");
    let taken = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = taken.local_addr().expect("bound").to_string();
    let cases = [
        (vec!["--listen", address.as_str()], "for the control plane", "--listen"),
        (vec!["--listen", "127.0.0.1:0", "--set"], "for the data plane", "--set listen.data="),
        (vec!["--listen", "127.0.0.1:0", "--set"], "for metrics and health", "--set listen.admin="),
    ];
    for (mut args, purpose, change) in cases {
        let set = change.strip_prefix("--set ").map(|key| format!("{key}{address}"));
        args.extend(set.as_deref());
        let text = refused(&[&["standalone", "--data-dir", dir], &args[..]].concat());
        for part in [address.as_str(), purpose, "another process listens there", change] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
    }
    assert!(!folder.path().join("data").exists(), "nothing was touched");
}

#[test]
fn a_broken_configuration_is_refused_with_all_its_problems() {
    let folder = TempDir::new().expect("temporary folder");
    let file = folder.path().join("overhand.toml");
    fs::write(&file, "[memory]\nbudget = \"lots\"\nhigh_water = 0.9\n[storage]\ndurability = \"none\"\n")
        .expect("written");
    let text = refused(&["standalone", "--config", file.to_str().expect("text"), "--set", "nets.x=1"]);
    for part in [
        "4 place(s)",
        "memory.budget: \"lots\" is no size",
        "memory.high_water: there is no such key",
        "storage.durability",
        "nets.x",
        "overhand.toml",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    let text = refused(&["standalone", "--memory-budget", "1 MiB", "--set", "coordinator.lease=10ms"]);
    for part in
        ["storage.data_dirs: a data folder is needed", "memory.budget: 1 MiB is too little", "coordinator.lease"]
    {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

#[test]
fn a_data_folder_that_cannot_be_used_is_named() {
    let folder = TempDir::new().expect("temporary folder");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("written");
    let missing_parent = folder.path().join("missing/data");
    // Nobody can make a folder there, not even root.
    let read_only = std::path::Path::new("/proc/overhand");
    for dir in [file.as_path(), &missing_parent, read_only] {
        let dir = dir.to_str().expect("text");
        let text = refused(&["standalone", "--listen", "127.0.0.1:0", "--data-dir", dir]);
        assert!(text.contains(dir), "{dir} is not in {text}");
    }
}

#[test]
fn a_data_folder_has_one_server_at_a_time() {
    let server = Server::start(&[]);
    let dir = server.folder.to_str().expect("text");
    let text = refused(&["standalone", "--listen", "127.0.0.1:0", "--data-dir", dir]);
    assert!(text.contains(dir), "{text}");
    assert!(server.folder.join("endpoints.json").exists(), "the first one's file is left alone");
    server.assert_serves("after");
}

#[test]
fn an_index_that_will_not_open_is_named_and_can_be_moved_away() {
    let mut server = Server::start(&[]);
    let token = server.register("app");
    let blocks = [block(0, 0, 1, 0, true, b"kept")];
    server.connect_with(&token).push_all(1, 0, 1, &blocks).expect("pushed");
    assert!(server.stop().success());
    let index = server.folder.join("index");
    for path in files(&index, "") {
        fs::write(path, "this is no database").expect("written");
    }
    let dir = server.folder.to_str().expect("text");
    let text = refused(&["standalone", "--listen", "127.0.0.1:0", "--data-dir", dir]);
    assert!(text.contains(&format!("{}", index.display())) && text.contains("move this folder away"), "{text}");
    fs::rename(&index, server.folder.with_extension("broken-index")).expect("moved");
    server.start_again();
    assert_eq!(server.connect_with(&token).fetch(1, 0..1, 0..1).expect("rebuilt"), blocks);
}

#[test]
fn a_clean_stop_says_so_and_takes_its_endpoints_along() {
    let mut server = Server::start(&["--set", "log.format=json"]);
    let mode = fs::metadata(server.folder.join("secret")).expect("made").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(server.admin("/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(server.admin("/readyz"), (200, "ok\n".to_owned()));
    assert_eq!(server.admin("/nowhere").0, 404);
    let idle = server.connect("idle");
    assert!(server.stop().success());
    assert!(!server.folder.join("endpoints.json").exists());
    drop(idle);
    for line in server.logged().lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert!(line["level"].is_string() && line["message"].is_string(), "{line}");
    }
    assert!(server.logged().contains("stopped"));
}

#[test]
fn a_stop_answers_the_requests_that_are_open() {
    let mut server = Server::start(&[]);
    let mut wire = server.connect("app");
    let blocks = [block(0, 0, 1, 0, true, b"x")];
    wire.push_all(1, 0, 1, &blocks).expect("pushed");
    let fetch = Fetch { key: shard(1), partitions: 0..1, maps: 0..1, credit: 0, without: vec![], ends: false };
    wire.send(&message(Kind::Fetch, 5, &fetch.encode(VERSION)));
    eventually("the fetch is open", || server.admin("/metrics").1.contains("overhand_fetch_streams 1"));
    assert!(server.stop().success());
    assert_eq!(wire.receive_failure().kind(), ErrorKind::Closed);
    assert!(wire.is_closed());
}

#[test]
fn the_effective_configuration_is_printed_and_read_again() {
    let folder = TempDir::new().expect("temporary folder");
    let out = overhand(&["config", "--data-dir", "/one", "--data-dir", "/two", "--set", "network.window=3MiB"]);
    let text = String::from_utf8(out.stdout).expect("text");
    assert!(text.contains("data_dirs = [\"/one\", \"/two\"]") && text.contains("window = \"3 MiB\""), "{text}");
    let file = folder.path().join("overhand.toml");
    fs::write(&file, &text).expect("written");
    let again = overhand(&["config", "--config", file.to_str().expect("text")]);
    assert_eq!(String::from_utf8(again.stdout).expect("text"), text);
}

#[test]
fn metrics_follow_what_happens() {
    let server = Server::start(&[]);
    server.assert_serves("app");
    let (code, text) = server.admin("/metrics");
    assert_eq!(code, 200);
    let value = |name: &str| -> f64 {
        let line =
            text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} is not in {text}"));
        line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a number")
    };
    assert_eq!(value("overhand_pushed_frames_total"), 1.0);
    assert_eq!(value("overhand_fetches_total"), 1.0);
    assert_eq!(value("overhand_push_seconds_count"), 1.0);
    assert!(value("overhand_process_resident_bytes") > 1e6);
    assert!(value("overhand_memory_budget_bytes") > 1e6);
}
