//! Fetches that come together are answered together, and none waits for another.

use std::{collections::HashMap, ops::Range};

use overhand_common::message::{Fetch, Kind, VERSION, message};

use crate::common::{PARTITIONS, Server, Wire, block, shard};

fn fetch(stream: u64, shuffle: u32, partitions: Range<u32>, credit: u64) -> Vec<u8> {
    let fetch = Fetch { key: shard(shuffle), partitions, maps: 0..100, credit, without: vec![], ends: false };
    message(Kind::Fetch, stream, &fetch.encode(VERSION))
}

/// The bytes of each stream, until so many have ended well.
fn answers(wire: &mut Wire, count: usize) -> HashMap<u64, Vec<u8>> {
    let (mut bytes, mut ended) = (HashMap::<u64, Vec<u8>>::new(), 0);
    while ended < count {
        let answer = wire.receive().expect("answered");
        let stream = bytes.entry(answer.header.stream).or_default();
        match answer.header.kind {
            Kind::Data => stream.extend_from_slice(&answer.body),
            Kind::End => ended += 1,
            other => panic!("{other:?} is no part of these answers"),
        }
    }
    bytes
}

#[test]
fn fetches_that_come_together_are_all_answered_also_with_more_than_is_kept() {
    let server = Server::start(&[]);
    let mut wire = server.connect("app");
    let blocks: Vec<Vec<u8>> = (0..PARTITIONS).map(|at| block(at, 0, 1, 0, true, &[at as u8; 60_000])).collect();
    wire.push_all(1, 0, 1, &blocks).expect("pushed");
    // Several times what is kept for one write, and what a socket takes while nobody reads.
    let streams = 1000..1200u64;
    let partition = |stream: u64| stream as u32 % PARTITIONS;
    let asked = streams.clone().flat_map(|stream| fetch(stream, 1, partition(stream)..partition(stream) + 1, u64::MAX));
    wire.send(&asked.collect::<Vec<_>>());
    let answers = answers(&mut wire, streams.clone().count());
    for stream in streams {
        assert!(answers[&stream] == blocks[partition(stream) as usize], "stream {stream}");
    }
    wire.push_all(2, 0, 1, &blocks).expect("the connection goes on");
}

#[test]
fn an_answer_waits_neither_for_the_rest_of_the_next_fetch_nor_for_one_without_credit() {
    let server = Server::start(&[]);
    let mut wire = server.connect("app");
    let blocks = [block(0, 0, 1, 0, true, b"first"), block(1, 0, 1, 0, true, b"second")];
    wire.push_all(1, 0, 1, &blocks).expect("pushed");
    let (waiting, first, second) = (fetch(500, 1, 0..2, 0), fetch(501, 1, 0..1, 99), fetch(502, 1, 1..2, 99));
    let (begun, rest) = second.split_at(second.len() - 1);
    wire.send(&[&waiting[..], &first, begun].concat());
    assert!(answers(&mut wire, 1)[&501] == blocks[0]);
    wire.send(rest);
    assert!(answers(&mut wire, 1)[&502] == blocks[1]);
    wire.send(&message(Kind::Credit, 500, &u64::MAX.to_le_bytes()));
    assert!(answers(&mut wire, 1)[&500] == blocks.concat());
}
