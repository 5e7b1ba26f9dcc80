//! Writers and readers against a worker that keeps everything in memory.

mod support;

use std::sync::Arc;

use overhand_client::{
    Attempt, Client, ClientConfig, Codec, Epoch, Error, ErrorKind, Expected, Interrupt, Place, ReadRequest,
};
use proptest::prelude::*;
use support::{
    Records, attempt, collect, items, pieces, placement, proxy::Proxy, read_all, records, small, worker::Worker, write,
    write_attempt,
};

fn client(config: ClientConfig) -> Client {
    Client::new(config).expect("in bounds")
}

fn configs() -> impl Strategy<Value = ClientConfig> {
    let codec = prop_oneof![Just(Codec::None), Just(Codec::Lz4), Just(Codec::Zstd), Just(Codec::StreamVByte)];
    let key = prop_oneof![Just(None), Just(Some(16)), Just(Some(24)), Just(Some(32))];
    (codec, key).prop_map(|(codec, key)| ClientConfig { codec, encryption_key: key.map(|len| vec![9; len]), ..small() })
}

fn some_records() -> impl Strategy<Value = Records> {
    let len = prop_oneof![8 => 0usize..60, 2 => 60usize..2000, 1 => 2000usize..9000];
    let item = (any::<u8>(), len).prop_map(|(byte, len)| (0..len).map(|at| byte ^ (at >> 3) as u8).collect());
    proptest::collection::vec((0u32..40, item), 0..300)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn a_reader_gets_what_was_written(
        config in configs(),
        maps in proptest::collection::vec(some_records(), 0..4),
        shards in 1u32..5,
        (chunk, batch) in (100usize..20_000, 1usize..4),
        (backwards, twice) in any::<(bool, bool)>(),
    ) {
        let worker = Worker::start();
        let client = client(config);
        let placement = placement(&worker.address, 1, 40, shards);
        let mut expected = vec![];
        for (map, records) in (0..).zip(&maps) {
            let mut writer = client.writer(Arc::clone(&placement), attempt(map)).expect("a writer");
            let stored = write(&mut writer, records, chunk, batch).expect("written");
            prop_assert_eq!(writer.stats().stored_bytes, stored.iter().sum::<u64>());
            prop_assert_eq!(writer.stats().records, records.len() as u64);
            expected.extend(pieces(attempt(map), &stored));
        }
        let counters = client.counters();
        prop_assert!(counters.extra_frames <= counters.shard_outputs, "more than one beyond the data: {:?}", counters);
        worker.state().backwards = backwards;
        worker.state().twice = twice;
        let found = read_all(&client, &placement, expected).expect("read");
        prop_assert_eq!(found, items(maps.iter().flatten()));
    }
}

#[test]
fn an_attempt_sends_nothing_to_shards_that_it_does_not_touch() {
    let worker = Worker::start();
    let client = client(small());
    let placement = placement(&worker.address, 1, 40, 4);
    let stored = write_attempt(&client, &placement, attempt(0), &vec![(15, b"x".to_vec())]).expect("written");
    assert_eq!(stored.iter().filter(|bytes| **bytes > 0).count(), 1);
    assert_eq!(write_attempt(&client, &placement, attempt(1), &vec![]).expect("written"), vec![0; 40]);
    let state = worker.state();
    assert_eq!((state.pushes, state.blocks.len()), (1, 1));
    assert!(state.attempts[&(support::key(1, 1, 0), attempt(0))].committed);
}

#[test]
fn a_small_shuffle_takes_one_frame_for_each_map_and_one_fetch_for_each_reader() {
    let worker = Worker::start();
    let client = client(ClientConfig::default());
    let placement = placement(&worker.address, 1, 10, 1);
    let mut expected = vec![];
    for map in 0..4 {
        let stored = write_attempt(&client, &placement, attempt(map), &records(map, 100, 10, 100)).expect("written");
        expected.extend(pieces(attempt(map), &stored));
    }
    read_all(&client, &placement, expected).expect("read");
    let counters = client.counters();
    assert_eq!((counters.frames, counters.fetches, counters.credits), (4, 1, 0));
    assert_eq!((counters.connections, counters.coordinator_calls), (2, 0));
    assert_eq!((counters.shard_outputs, counters.extra_frames), (4, 0));
}

#[test]
fn when_a_writer_has_finished_nobody_else_keeps_its_interrupt() {
    let worker = Worker::start();
    let client = client(small());
    let interrupt: Interrupt = Arc::new(|| false);
    let mut writer = client.writer(placement(&worker.address, 1, 40, 1), attempt(0)).expect("a writer");
    writer.set_interrupt(Arc::clone(&interrupt));
    write(&mut writer, &records(0, 100, 40, 100), 1000, 1).expect("written");
    assert_eq!(Arc::strong_count(&interrupt), 2, "one here, one in the writer");
}

#[test]
fn many_partitions_and_one_partition_come_back() {
    let worker = Worker::start();
    let client = client(ClientConfig { carry_limit: 100 << 10, ..small() });
    for (shuffle, partitions) in [(1, 100_000), (2, 1)] {
        let placement = placement(&worker.address, shuffle, partitions, partitions.min(8));
        let records = records(0, 60_000, partitions, 40);
        let stored = write_attempt(&client, &placement, attempt(0), &records).expect("written");
        let found = read_all(&client, &placement, pieces(attempt(0), &stored)).expect("read");
        assert!(found == items(&records), "{partitions} partitions");
    }
}

#[test]
fn items_larger_than_any_buffer_come_back() {
    let worker = Worker::start();
    let client = client(small());
    let placement = placement(&worker.address, 1, 3, 1);
    let large = |len: usize| (0..len).map(|at| (at * 7 / 5) as u8).collect::<Vec<u8>>();
    let records = vec![
        (0, large(5_000_000)),
        (1, large(1020)),
        (1, large(1021)),
        (0, vec![]),
        (1, large(300_000)),
        (0, large(70_000)),
    ];
    let stored = write_attempt(&client, &placement, attempt(0), &records).expect("written");
    for backwards in [false, true] {
        worker.state().backwards = backwards;
        let found = read_all(&client, &placement, pieces(attempt(0), &stored)).expect("read");
        assert!(found == items(&records), "backwards: {backwards}");
    }
}

#[test]
fn only_the_expected_attempts_are_read() {
    let worker = Worker::start();
    let client = client(small());
    let placement = placement(&worker.address, 1, 20, 2);
    let garbage = Attempt { map_index: 0, attempt: 1 };
    let mut failed = client.writer(Arc::clone(&placement), garbage).expect("a writer");
    let mut chunk = failed.chunk(100_000).expect("memory");
    let used = 12 * 5_000;
    for record in chunk.as_mut_slice()[..used].chunks_mut(12) {
        record.copy_from_slice(&[3, 0, 0, 0, 4, 0, 0, 0, b'b', b'a', b'd', b'!']);
    }
    failed.push(vec![(chunk, used)]).expect("taken");
    failed.abort();
    let speculative = Attempt { map_index: 0, attempt: 2 };
    let right = records(0, 2000, 20, 50);
    write_attempt(&client, &placement, speculative, &right).expect("written");
    let stored = write_attempt(&client, &placement, attempt(0), &right).expect("written");
    let found = read_all(&client, &placement, pieces(attempt(0), &stored)).expect("read");
    assert_eq!(found, items(&right));
}

#[test]
fn ranges_of_partitions_and_maps_are_read_alone() {
    let worker = Worker::start();
    let client = client(small());
    let placement = placement(&worker.address, 1, 20, 3);
    let maps: Vec<Records> = (0..6).map(|map| records(map, 500, 20, 60)).collect();
    let mut expected = vec![];
    for (map, records) in (0..).zip(&maps) {
        let stored = write_attempt(&client, &placement, attempt(map), records).expect("written");
        expected.extend(pieces(attempt(map), &stored));
    }
    let inside = |piece: &Expected| (5..12).contains(&piece.partition) && (2..4).contains(&piece.attempt.map_index);
    let wanted: Vec<Expected> = expected.iter().copied().filter(inside).collect();
    let request = ReadRequest { partitions: 5..12, maps: 2..4, expected: wanted };
    let mut reader = client.reader(Arc::clone(&placement), request).expect("in bounds");
    let found = collect(&mut reader).expect("read");
    let right = maps[2..4].iter().flatten().filter(|record| (5..12).contains(&record.0));
    assert_eq!(found, items(right));
    assert!(reader.next().expect("the end stays").is_none());
    assert!(reader.stats().dropped_blocks > 0);
    let request = ReadRequest { partitions: 5..12, maps: 2..4, expected };
    assert_eq!(client.reader(Arc::clone(&placement), request).expect_err("outside").kind(), ErrorKind::Invalid);
    let request = ReadRequest { partitions: 0..21, maps: 0..1, expected: vec![] };
    assert_eq!(client.reader(placement, request).expect_err("outside").kind(), ErrorKind::Invalid);
}

#[test]
fn nothing_expected_ends_at_once_and_asks_nobody() {
    let client = client(small());
    let placement = placement("127.0.0.1:1", 1, 20, 3);
    assert!(read_all(&client, &placement, vec![]).expect("read").is_empty());
    let request = ReadRequest { partitions: 3..3, maps: 0..0, expected: vec![] };
    assert!(client.reader(placement, request).expect("in bounds").next().expect("read").is_none());
    assert_eq!(client.counters(), Default::default());
}

#[test]
fn a_flipped_bit_is_read_again_and_then_names_exactly_the_damaged_attempt() {
    for at in [0, 9, 17, 25, 33, 45, 300] {
        let worker = Worker::start();
        let client = client(small());
        let placement = placement(&worker.address, 1, 2, 1);
        let maps: Vec<Records> = (0..3).map(|map| records(map, 30, 2, 60)).collect();
        let mut expected = vec![];
        for (map, records) in (0..).zip(&maps) {
            let stored = write_attempt(&client, &placement, attempt(map), records).expect("written");
            expected.extend(pieces(attempt(map), &stored));
        }
        worker.state().flip = Some((attempt(1), at, usize::MAX));
        let error = read_all(&client, &placement, expected.clone()).expect_err("damaged");
        assert_eq!((error.kind(), error.lost), (ErrorKind::DataLost, vec![attempt(1)]), "byte {at}");
        let fetches = worker.state().fetches;
        worker.state().flip = Some((attempt(1), 45, fetches + 1));
        assert_eq!(read_all(&client, &placement, expected).expect("read again"), items(maps.iter().flatten()));
    }
}

#[test]
fn blocks_that_are_gone_name_their_attempt() {
    let worker = Worker::start();
    let client = client(small());
    let placement = placement(&worker.address, 1, 4, 1);
    let mut expected = vec![];
    for map in 0..3 {
        let stored = write_attempt(&client, &placement, attempt(map), &records(map, 300, 4, 60)).expect("written");
        expected.extend(pieces(attempt(map), &stored));
    }
    expected.push(Expected { partition: 2, attempt: attempt(8) });
    let error = read_all(&client, &placement, expected.clone()).expect_err("never written");
    assert_eq!((error.kind(), error.lost), (ErrorKind::DataLost, vec![attempt(8)]));
    expected.pop();
    let stored = worker.state().blocks.remove(&(1, 0)).expect("written");
    let error = read_all(&client, &placement, expected.clone()).expect_err("all gone");
    assert_eq!(error.lost, [attempt(0), attempt(1), attempt(2)]);
    let less = stored[..stored.len() - 1].to_vec();
    worker.state().blocks.insert((1, 0), less);
    let mut reader =
        client.reader(placement, ReadRequest { partitions: 0..4, maps: 0..3, expected }).expect("in bounds");
    let error = collect(&mut reader).expect_err("one block gone");
    assert_eq!(error.lost, [attempt(2)]);
    assert_eq!(reader.next().expect_err("it stays"), error);
}

#[test]
fn all_epochs_of_a_shard_are_read_each_from_the_first_worker_that_has_it() {
    let (first, second) = (Worker::start(), Worker::start());
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").to_string();
    let client = client(ClientConfig { retry_for: std::time::Duration::from_millis(100), ..small() });
    let before = placement(&first.address, 1, 10, 1);
    let place = |address: &str| Place { worker: support::WORKER, address: address.to_owned() };
    let mut after = (*before).clone();
    after.shards[0].push(Epoch { epoch: 1, chain: vec![place(&second.address)] });
    let mut reading = after.clone();
    reading.shards[0][0].chain.insert(0, place(&gone));
    // One that has lost the shuffle is asked before one that has it.
    let empty = Worker::start();
    reading.shards[0][1].chain.insert(0, place(&empty.address));

    let maps = [records(0, 1000, 10, 50), records(1, 1000, 10, 50)];
    let mut expected = vec![];
    for ((map, records), placement) in (0..).zip(&maps).zip([before, Arc::new(after)]) {
        let stored = write_attempt(&client, &placement, attempt(map), records).expect("written");
        expected.extend(pieces(attempt(map), &stored));
    }
    assert_eq!((first.state().attempts.len(), second.state().attempts.len()), (1, 1));
    assert_eq!(read_all(&client, &Arc::new(reading), expected).expect("read"), items(maps.iter().flatten()));
}

#[test]
fn a_worker_out_of_reach_loses_everything_that_it_alone_has() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").to_string();
    let client = client(ClientConfig { retry_for: std::time::Duration::from_millis(200), ..small() });
    let placement = placement(&gone, 1, 4, 2);
    let expected: Vec<_> = (0..4).map(|partition| Expected { partition, attempt: attempt(partition % 2) }).collect();
    let error = read_all(&client, &placement, expected).expect_err("nobody there");
    assert_eq!((error.kind(), &error.lost[..]), (ErrorKind::DataLost, &[attempt(0), attempt(1)][..]));
    assert!(error.to_string().contains(&gone), "{error}");
    let error = write_attempt(&client, &placement, attempt(0), &records(0, 10, 4, 10)).expect_err("nobody there");
    assert_eq!(error.kind(), ErrorKind::Retry);
    assert!(error.message().contains(&gone) && error.message().contains("check that it runs"), "{error}");
}

#[test]
fn a_connection_cut_in_a_push_is_made_again_and_frames_go_once() {
    let worker = Worker::start();
    let proxy = Proxy::start(&worker.address);
    let client = client(small());
    let placement = placement(&proxy.address, 1, 10, 2);
    let records = records(0, 20_000, 10, 100);
    let mut expected = vec![];
    for (map, (up, down)) in (0..).zip([(50_000, i64::MAX), (130_000, i64::MAX), (i64::MAX, 200), (i64::MAX, 1000)]) {
        proxy.cut_up_after(up);
        proxy.cut_down_after(down);
        let stored = write_attempt(&client, &placement, attempt(map), &records).expect("written");
        expected.push(pieces(attempt(map), &stored));
    }
    assert_eq!(proxy.cuts(), 4);
    assert!(worker.state().repeats > 0);
    for expected in expected {
        assert!(read_all(&client, &placement, expected).expect("read") == items(&records));
    }
}

#[test]
fn a_connection_cut_in_a_fetch_is_made_again_and_items_come_once() {
    let worker = Worker::start();
    let proxy = Proxy::start(&worker.address);
    let client = client(small());
    let placement = placement(&proxy.address, 1, 10, 2);
    let records = records(0, 20_000, 10, 100);
    let stored = write_attempt(&client, &placement, attempt(0), &records).expect("written");
    for down in [1, 40, 10_000, 100_000] {
        proxy.cut_down_after(down);
        let found = read_all(&client, &placement, pieces(attempt(0), &stored)).expect("read");
        assert!(found == items(&records), "{down}");
    }
    assert_eq!(proxy.cuts(), 4);
}

#[test]
fn what_a_worker_refuses_fails_the_writer_and_frees_its_memory() {
    let worker = Worker::start();
    let client = client(ClientConfig { idle_memory: 0, ..small() });
    let placement = placement(&worker.address, 1, 10, 2);
    worker.state().refuses = Some(Error::new(ErrorKind::NotFound, "shuffle 1 was removed"));
    let error = write_attempt(&client, &placement, attempt(0), &records(0, 20_000, 10, 100)).expect_err("refused");
    assert_eq!((error.kind(), error.message()), (ErrorKind::NotFound, "shuffle 1 was removed"));
    worker.state().refuses = None;
    write_attempt(&client, &placement, attempt(1), &records(1, 2_000, 10, 100)).expect("the connection serves on");
}

#[test]
fn records_of_no_partition_fail_the_writer() {
    let worker = Worker::start();
    let client = client(small());
    let placement = placement(&worker.address, 1, 10, 1);
    let error = write_attempt(&client, &placement, attempt(0), &vec![(10, vec![])]).expect_err("10 partitions");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let mut writer = client.writer(placement, attempt(1)).expect("a writer");
    writer.finish(vec![]).expect("nothing to write");
    assert_eq!(writer.finish(vec![]).expect_err("again").kind(), ErrorKind::Closed);
}

#[test]
fn encrypted_blocks_need_the_key() {
    let worker = Worker::start();
    let locked = client(ClientConfig { encryption_key: Some(vec![1; 16]), ..small() });
    let placement = placement(&worker.address, 1, 2, 1);
    let records = records(0, 100, 2, 50);
    let stored = write_attempt(&locked, &placement, attempt(0), &records).expect("written");
    let plain =
        worker.state().blocks.values().flatten().any(|block| block.windows(10).any(|window| window == b"map 0 reco"));
    assert!(!plain);
    let expected = pieces(attempt(0), &stored);
    assert_eq!(read_all(&locked, &placement, expected.clone()).expect("read"), items(&records));
    let error = read_all(&client(small()), &placement, expected).expect_err("no key");
    assert_eq!(error.kind(), ErrorKind::Invalid);
}
