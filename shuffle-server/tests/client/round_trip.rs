//! The client against a real server: what was written is what is read, whatever its shape.

use std::{sync::Arc, time::Instant};

use crate::common::{Server, eventually};
use crate::support::{Records, attempt, collect, items, pieces, read_all, records, small, write_attempt};
use overhand_client::{
    Application, ApplicationConfig, Attempt, Client, ClientConfig, Codec, ErrorKind, Expected, Placement, ReadRequest,
};

fn application(server: &Server, name: &str) -> Application {
    let coordinators = vec![server.endpoints.control.clone()];
    Application::register(ApplicationConfig::new(coordinators, name.parse().expect("valid"))).expect("registered")
}

/// Writes a map task for each of `maps`; returns what to expect.
fn write_maps(client: &Client, placement: &Arc<Placement>, maps: &[Records]) -> Vec<Expected> {
    let mut expected = vec![];
    for (map, records) in (0..).zip(maps) {
        let stored = write_attempt(client, placement, attempt(map), records).expect("written");
        expected.extend(pieces(attempt(map), &stored));
    }
    expected
}

#[test]
fn every_codec_and_key_gives_back_what_was_written() {
    let server = Server::start(&[]);
    let application = application(&server, "codecs");
    let maps: Vec<Records> = (0..4).map(|map| records(map, 3000, 300, 90)).collect();
    for (shuffle, codec, key) in
        [(0, Codec::None, None), (1, Codec::Lz4, None), (2, Codec::Zstd, None), (3, Codec::Lz4, Some(vec![5; 32]))]
    {
        let client = Client::new(ClientConfig { codec, encryption_key: key, ..small() }).expect("a client");
        let placement = application.placement(shuffle, 300).expect("placed");
        assert_eq!(placement.layout.shards(), 2);
        let placement = Arc::new(Placement::decode(&placement.encode()).expect("it came back"));
        let expected = write_maps(&client, &placement, &maps);
        let found = read_all(&client, &placement, expected).expect("read");
        assert!(found == items(maps.iter().flatten()), "{codec:?}");
    }
    application.end().expect("told");
    server.assert_gets_empty();
}

#[test]
fn data_many_times_the_servers_memory_comes_back() {
    let server = Server::start(&["--memory-budget", "32 MiB"]);
    let application = application(&server, "tiny-memory");
    let client = Client::new(ClientConfig { codec: Codec::None, ..ClientConfig::default() }).expect("a client");
    let placement = Arc::new(application.placement(0, 200).expect("placed"));
    let maps: Vec<Records> = (0..8).map(|map| records(map, 160_000, 200, 120)).collect();
    let expected = std::thread::scope(|scope| {
        let (client, placement) = (&client, &placement);
        let writing: Vec<_> = (0..)
            .zip(&maps)
            .map(|(map, records)| {
                scope.spawn(move || {
                    let stored = write_attempt(client, placement, attempt(map), records).expect("written");
                    pieces(attempt(map), &stored)
                })
            })
            .collect();
        writing.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
    });
    assert!(!server.segments().is_empty());
    for partitions in [0..50, 50..51, 51..200] {
        let expected = expected.iter().copied().filter(|piece| partitions.contains(&piece.partition)).collect();
        let request = ReadRequest { partitions: partitions.clone(), maps: 0..8, expected };
        let found = collect(&mut client.reader(Arc::clone(&placement), request).expect("in bounds")).expect("read");
        let right = maps.iter().flatten().filter(|record| partitions.contains(&record.0));
        assert!(found == items(right), "{partitions:?}");
    }
    application.remove_shuffle(0).expect("removed");
    server.assert_gets_empty();
}

#[test]
fn ranges_of_map_tasks_are_read_alone_from_memory_and_from_segments() {
    for flags in [&[][..], &["--memory-budget", "32 MiB"]] {
        let server = Server::start(flags);
        let application = application(&server, "map-ranges");
        let client = Client::new(ClientConfig { codec: Codec::None, ..small() }).expect("a client");
        let placement = Arc::new(application.placement(0, 3).expect("placed"));
        let maps: Vec<Records> = (0..10).map(|map| records(map, 60_000, 3, 100)).collect();
        let expected = write_maps(&client, &placement, &maps);
        let halves: Vec<_> = std::thread::scope(|scope| {
            let read = |range: std::ops::Range<u32>| {
                let inside = |piece: &&Expected| piece.partition == 1 && range.contains(&piece.attempt.map_index);
                let expected = expected.iter().filter(inside).copied().collect();
                let request = ReadRequest { partitions: 1..2, maps: range, expected };
                let mut reader = client.reader(Arc::clone(&placement), request).expect("in bounds");
                scope.spawn(move || collect(&mut reader).expect("read"))
            };
            [read(0..4), read(4..10), read(0..10)].map(|thread| thread.join().expect("no panic")).into()
        });
        let right = |range: std::ops::Range<usize>| items(maps[range].iter().flatten().filter(|record| record.0 == 1));
        assert!(halves == [right(0..4), right(4..10), right(0..10)], "{flags:?}");
    }
}

#[test]
fn one_partition_and_a_hundred_thousand_come_back() {
    let server = Server::start(&[]);
    let application = application(&server, "partitions");
    let client = Client::new(ClientConfig { carry_limit: 1 << 20, ..ClientConfig::default() }).expect("a client");
    for (shuffle, partitions) in [(0, 100_000), (1, 1)] {
        let placement = Arc::new(application.placement(shuffle, partitions).expect("placed"));
        let maps: Vec<Records> = (0..2).map(|map| records(map, 150_000, partitions, 40)).collect();
        let expected = write_maps(&client, &placement, &maps);
        let found = read_all(&client, &placement, expected).expect("read");
        assert!(found == items(maps.iter().flatten()), "{partitions} partitions");
    }
}

#[test]
fn large_items_empty_items_and_empty_maps_come_back() {
    let server = Server::start(&["--memory-budget", "64 MiB"]);
    let application = application(&server, "items");
    let client = Client::new(ClientConfig::default()).expect("a client");
    let placement = Arc::new(application.placement(0, 5).expect("placed"));
    let large = |len: usize| (0..len as u64).map(|at| crate::support::mix(at / 4) as u8).collect::<Vec<u8>>();
    let maps = [
        vec![(0, vec![]), (4, large(40_000_000)), (4, vec![1]), (2, large(3_000_000)), (2, large(65_532))],
        vec![],
        vec![(4, large(5_000_000)), (4, vec![]), (0, vec![])],
    ];
    let expected = write_maps(&client, &placement, &maps);
    assert_eq!(expected.len(), 5);
    let found = read_all(&client, &placement, expected).expect("read");
    assert!(found == items(maps.iter().flatten()));
    assert!(read_all(&client, &placement, vec![]).expect("nothing was expected").is_empty());
}

#[test]
fn only_the_valid_attempt_of_a_map_task_is_read() {
    let server = Server::start(&[]);
    let application = application(&server, "attempts");
    let client = Client::new(small()).expect("a client");
    let placement = Arc::new(application.placement(0, 20).expect("placed"));
    let right = records(0, 5000, 20, 80);
    let garbage: Records = (0..5000).map(|number| (number % 20, b"garbage".to_vec())).collect();

    // A first attempt that failed half-way, and two at once, of which the engine takes the second.
    let failed = Attempt { map_index: 0, attempt: 1 };
    let mut writer = client.writer(Arc::clone(&placement), failed).expect("a writer");
    let chunk = writer.chunk(15 * garbage.len()).expect("memory");
    let (chunk, used) = crate::support::fill(chunk, &garbage);
    writer.push(vec![(chunk, used)]).expect("taken");
    writer.abort();
    let stored = std::thread::scope(|scope| {
        let other = Attempt { map_index: 0, attempt: 2 };
        let (client, placement) = (&client, &placement);
        let other = scope.spawn(move || write_attempt(client, placement, other, &garbage).expect("written"));
        let stored = write_attempt(client, placement, attempt(0), &right).expect("written");
        other.join().expect("no panic");
        stored
    });
    let found = read_all(&client, &placement, pieces(attempt(0), &stored)).expect("read");
    assert!(found == items(&right));

    // The failed one was never committed, so it can't be expected either.
    let error = read_all(&client, &placement, vec![Expected { partition: 3, attempt: failed }]).expect_err("garbage");
    assert_eq!((error.kind(), error.lost), (ErrorKind::DataLost, vec![failed]));
}

#[test]
fn a_removed_shuffle_takes_nothing_of_old_attempts_and_the_others_stay() {
    let server = Server::start(&[]);
    let application = application(&server, "removal");
    let client = Client::new(small()).expect("a client");
    let records = records(0, 1000, 10, 50);
    let placements: Vec<_> =
        (0..2).map(|shuffle| Arc::new(application.placement(shuffle, 10).expect("placed"))).collect();
    let mut expected = vec![];
    for placement in &placements {
        expected = write_maps(&client, placement, std::slice::from_ref(&records));
    }
    application.remove_shuffle(0).expect("removed");
    application.remove_shuffle(0).expect("nothing to do");
    let late = write_attempt(&client, &placements[0], attempt(0), &records).expect_err("too late");
    assert_eq!(late.kind(), ErrorKind::NotFound);
    let error = read_all(&client, &placements[0], expected.clone()).expect_err("gone");
    assert_eq!((error.kind(), error.lost), (ErrorKind::DataLost, vec![attempt(0)]));
    assert!(read_all(&client, &placements[1], expected).expect("read") == items(&records));
    assert_eq!(application.counters().removals, 1);
}

#[test]
fn shuffles_are_placed_written_read_and_removed_without_a_call_to_a_coordinator() {
    let start = Instant::now();
    let server = Server::start(&[]);
    let application = application(&server, "calls");
    let client = Client::new(small()).expect("a client");
    for shuffle in 0..50 {
        let placement = Arc::new(application.placement(shuffle, 10).expect("placed"));
        let expected = write_maps(&client, &placement, &[records(0, 100, 10, 50)]);
        read_all(&client, &placement, expected).expect("read");
        application.remove_shuffle(shuffle).expect("removed");
    }
    let (driver, executor) = (application.counters(), client.counters());
    assert_eq!((driver.shuffles, driver.refreshes, executor.coordinator_calls), (50, 0, 0));
    // The lease is kept by the clock alone, every few seconds.
    assert!(driver.coordinator_calls <= 2 + start.elapsed().as_secs(), "{driver:?} in {:?}", start.elapsed());
}

#[test]
fn an_application_lives_while_its_driver_keeps_the_lease() {
    let server = Server::start(&["--set", "coordinator.lease=600ms", "--set", "coordinator.heartbeat_interval=100ms"]);
    let application = application(&server, "lease");
    let client = Client::new(small()).expect("a client");
    let placement = Arc::new(application.placement(0, 10).expect("placed"));
    let records = records(0, 100, 10, 50);
    let expected = write_maps(&client, &placement, std::slice::from_ref(&records));
    // Ten calls to keep it are more than three leases.
    eventually("the lease is kept", || application.counters().coordinator_calls > 10);
    assert!(read_all(&client, &placement, expected).expect("read") == items(&records));
    drop(application);
    server.assert_gets_empty();
}
