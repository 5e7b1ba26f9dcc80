//! The load tool, small.

use serde_json::Value;

use crate::common::overhand;

/// A number that is there and above zero.
fn positive(value: &Value) -> bool {
    value.as_f64().is_some_and(|number| number > 0.0 && number.is_finite())
}

#[test]
fn a_small_measurement_tells_of_each_phase_of_each_worker_and_of_the_machine() {
    let folder = tempfile::TempDir::new().expect("temporary folder");
    let path = folder.path().to_str().expect("text");
    let flags = ["--size", "64m", "--replicas", "2", "--data-dir", path, "--json", "--no-warm-up"];
    let out = overhand(&[&["bench"][..], &flags].concat());
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{errors}");
    let report: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert_eq!(report["replicas"].as_array().map(Vec::len), Some(1), "{report}");
    let measured = &report["replicas"][0];
    assert_eq!(measured["replicas"], 2);
    for phase in ["write", "read"] {
        let phase = &measured[phase];
        assert!(phase["bytes"].as_u64().is_some_and(|bytes| bytes >= 64_000_000), "{report}");
        assert!(positive(&phase["gb_per_s"]) && positive(&phase["client_cpu_s_per_gb"]), "{report}");
        assert_eq!(phase["worker_cpu_s_per_gb"].as_array().map(Vec::len), Some(2), "{report}");
    }
    let names = ["memcpy", "CRC-32", "LZ4", "LZ4 back", "loopback, 64 KiB", "loopback, 1 MiB", "disk"];
    let machine = report["machine"].as_array().expect("figures");
    assert!(machine.iter().map(|figure| &figure["name"]).eq(names.iter()), "{report}");
    assert!(machine.iter().all(|figure| positive(&figure["gb_per_s"])), "{report}");
    assert!(errors.contains("writing") && errors.contains("reading"), "progress is shown: {errors}");
    assert_eq!(folder.path().read_dir().expect("readable").count(), 0, "nothing is left");
}

#[test]
fn one_worker_alone_tells_of_both_ways_of_fetches_and_of_memory() {
    let shape = ["--applications", "3", "--maps", "20", "--partitions", "300"];
    let flags = ["--size", "64m", "--alone", "--json", "--memory-budget", "2g"];
    let out = overhand(&[&["bench"][..], &shape, &flags].concat());
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let report: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let alone = &report["alone"];
    let rates = alone["rates"].as_array().expect("of three shapes");
    let applications: Vec<_> = rates.iter().map(|rates| rates["applications"].as_u64()).collect();
    assert_eq!(applications, [Some(1), Some(1), Some(3)], "{report}");
    let connections: Vec<_> = rates.iter().map(|rates| rates["connections"].as_u64()).collect();
    assert_eq!(connections, [Some(1), Some(3), Some(3)], "{report}");
    for rates in rates {
        assert!(["taken", "served"].iter().all(|way| positive(&rates[way]["gb_per_s"])), "{report}");
    }
    for figure in ["meanwhile_gb_per_s", "fetches", "fetch_p50_s", "fetch_p99_s", "connection_bytes", "shard_bytes"] {
        assert!(positive(&alone[figure]), "{figure}: {report}");
    }
}

#[test]
fn many_applications_share_a_worker_and_each_reads_what_it_wrote() {
    let shape = ["--applications", "3", "--maps", "20", "--partitions", "300", "--block-items", "1"];
    let flags = ["--size", "16m", "--replicas", "1", "--json", "--no-warm-up"];
    let out = overhand(&[&["bench"][..], &shape, &flags].concat());
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let report: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert_eq!((&report["applications"], &report["maps"], &report["block"]), (&3.into(), &20.into(), &8192.into()));
    assert!(report["replicas"][0]["read"]["bytes"].as_u64().is_some_and(|bytes| bytes >= 16_000_000), "{report}");
}

#[test]
fn a_given_cluster_without_enough_workers_is_refused_with_the_reason() {
    let server = crate::common::Server::start(&[]);
    let flags = ["--size", "1m", "--replicas", "2", "--coordinator", &server.endpoints.control];
    let out = overhand(&[&["bench"][..], &flags].concat());
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(!out.status.success() && errors.contains("too few workers for 2 replicas"), "{errors}");
    let flags = ["--size", "1m", "--replicas", "1", "--coordinator", &server.endpoints.control];
    let out = overhand(&[&["bench"][..], &flags].concat());
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).expect("text");
    assert!(["write GB/s", "read GB/s", "memcpy"].iter().all(|part| text.contains(part)), "{text}");
}
