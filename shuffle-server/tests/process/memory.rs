//! More data than memory, and readers that take their time.

use overhand_common::message::{Fetch, Kind, VERSION, message};

use crate::common::{PARTITIONS, Server, Wire, block, fin_of, shard};

const MIB: u64 = 1 << 20;
const BUDGET: u64 = 32 * MIB;
/// What the process takes beyond its budget: code, threads, sockets, RocksDB.
const CONSTANT: u64 = 64 * MIB;

/// Pushes a map task of `mib` MiB in frames of one; returns how many blocks it has.
fn push_large(wire: &mut Wire, shuffle: u32, map: u32, mib: u32) -> usize {
    let mut sums = fin_of(0, &[]);
    for frame in 0..mib {
        let payloads = (0..16u32).map(|at| (at % PARTITIONS, frame * 4 + at / PARTITIONS));
        let blocks: Vec<Vec<u8>> = payloads
            .map(|(partition, seq)| {
                block(partition, map, u64::from(map), seq, seq + 1 == mib * 4, &[(seq + map) as u8; 65_000])
            })
            .collect();
        let part = fin_of(1, &blocks);
        sums.frames += part.frames;
        sums.blocks += part.blocks;
        sums.bytes += part.bytes;
        sums.crc_xor ^= part.crc_xor;
        let fin = (frame + 1 == mib).then_some(sums);
        wire.push(shuffle, map, u64::from(map), frame, &blocks, fin).expect("taken");
    }
    sums.blocks as usize
}

fn resident(server: &Server) -> u64 {
    let text = server.admin("/metrics").1;
    let line = text.lines().find(|line| line.starts_with("overhand_process_resident_bytes ")).expect("it is told");
    line.rsplit(' ').next().and_then(|number| number.parse::<f64>().ok()).expect("a number") as u64
}

#[test]
fn a_job_five_times_larger_than_the_budget_completes_within_it() {
    let server = Server::start(&["--memory-budget", "32 MiB"]);
    let token = server.register("app");
    let blocks: usize = std::thread::scope(|scope| {
        let tasks: Vec<_> = (0..4u32)
            .map(|map| {
                let mut wire = server.connect_with(&token);
                scope.spawn(move || push_large(&mut wire, 1, map, 40))
            })
            .collect();
        tasks.into_iter().map(|task| task.join().expect("pushed")).sum()
    });
    let pushed = resident(&server);
    assert!(pushed <= BUDGET + CONSTANT, "{} MiB are resident after the pushes", pushed / MIB);
    let mut found = 0;
    for partition in 0..PARTITIONS {
        let fetched = server.connect_with(&token).fetch(1, partition..partition + 1, 0..4).expect("there");
        assert!(fetched.iter().all(|block| crate::common::is_sound(block)));
        found += fetched.len();
    }
    assert_eq!(found, blocks);
    let fetched = resident(&server);
    assert!(fetched <= BUDGET + CONSTANT, "{} MiB are resident after the fetches", fetched / MIB);
    assert!(server.status()["workers"][0]["memory_used"].as_u64().is_some_and(|used| used <= BUDGET));
}

#[test]
fn readers_that_do_not_read_hold_up_neither_writers_nor_other_readers() {
    let server = Server::start(&["--memory-budget", "32 MiB"]);
    let token = server.register("app");
    let blocks = push_large(&mut server.connect_with(&token), 1, 0, 16);
    let lazy: Vec<Wire> = (0..8)
        .map(|_| {
            let mut wire = server.connect_with(&token);
            for stream in 100..104u64 {
                let fetch = Fetch {
                    key: shard(1),
                    partitions: 0..PARTITIONS,
                    maps: 0..1,
                    credit: u64::MAX,
                    without: vec![],
                    ends: false,
                };
                wire.send(&message(Kind::Fetch, stream, &fetch.encode(VERSION)));
            }
            wire
        })
        .collect();
    push_large(&mut server.connect_with(&token), 2, 0, 64);
    assert_eq!(server.connect_with(&token).fetch(1, 0..PARTITIONS, 0..1).expect("there").len(), blocks);
    drop(lazy);
}
