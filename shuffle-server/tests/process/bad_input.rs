//! Whatever comes in on the data plane, the answer is a clear error, nothing is lost, and the server goes on serving.

use crate::common::{PARTITIONS, Server, Wire, block, fin_of, old_token, shard};
use overhand_common::{
    ErrorKind,
    ids::{Attempt, Layout},
    message::{Fetch, Fin, HEADER_LEN, Header, Hello, Kind, Push, VERSION, message},
    token::TokenKey,
};
use std::{
    io::Write,
    net::Shutdown,
    time::{Duration, SystemTime},
};

const ATTEMPT: Attempt = Attempt { map_index: 0, attempt: 1 };

fn frame(stream: u64, blocks: &[Vec<u8>]) -> Vec<u8> {
    Wire::frame(stream, 1, ATTEMPT, 0, blocks, Some(fin_of(1, blocks)))
}

#[test]
fn random_bytes_instead_of_a_hello_are_refused() {
    let server = Server::start(&[]);
    let mut noise: u64 = 0x9e37_79b9_7f4a_7c15;
    for round in 0..20 {
        let mut wire = Wire::silent(server.data());
        let bytes: Vec<u8> = (0..HEADER_LEN * (1 + round))
            .map(|_| {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (noise >> 56) as u8
            })
            .collect();
        wire.send(&bytes);
        let error = wire.receive_failure();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().contains("is the other side an Overhand client?"), "{error}");
        assert!(wire.is_closed());
    }
    server.assert_serves("after");
}

#[test]
fn another_protocol_is_refused() {
    let server = Server::start(&[]);
    let mut wire = Wire::silent(server.data());
    wire.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n");
    assert_eq!(wire.receive_failure().kind(), ErrorKind::Invalid);
    assert!(wire.is_closed());
    server.assert_serves("after");
}

#[test]
fn a_first_message_that_is_no_hello_is_refused() {
    let server = Server::start(&[]);
    let mut wire = Wire::silent(server.data());
    wire.send(&message(Kind::Cancel, 9, &[]));
    let answer = wire.receive_failure();
    assert!(answer.message().contains("begins with a hello"), "{answer}");
    assert!(wire.is_closed());
    server.assert_serves("after");
}

#[test]
fn no_hello_in_time_ends_the_connection() {
    let server = Server::start(&["--set", "network.hello_timeout=50ms"]);
    let mut wire = Wire::silent(server.data());
    assert!(wire.receive_failure().message().contains("no hello came in time"));
    assert!(wire.is_closed());
    server.assert_serves("after");
}

#[test]
fn a_client_of_other_versions_is_told_to_upgrade() {
    let server = Server::start(&[]);
    let mut wire = Wire::silent(server.data());
    let hello = Hello { min_version: 900, max_version: 901, token: server.register("app") };
    wire.send(&message(Kind::Hello, 1, &hello.encode()));
    let error = wire.receive_failure();
    assert_eq!(error.kind(), ErrorKind::Stale);
    assert!(error.message().contains("versions 900 to 901"), "{error}");
    server.assert_serves("after");
}

#[test]
fn a_truncated_frame_is_dropped_and_can_be_sent_again() {
    let server = Server::start(&[]);
    let token = server.register("app");
    let blocks = [block(0, 0, 1, 0, true, &[7; 5000])];
    let whole = frame(11, &blocks);
    for cut in [1, HEADER_LEN - 1, HEADER_LEN, HEADER_LEN + 10, HEADER_LEN + 100, whole.len() - 1] {
        let mut wire = server.connect_with(&token);
        wire.send(&whole[..cut]);
        wire.stream.shutdown(Shutdown::Write).expect("shut down");
        assert!(wire.is_closed(), "cut at {cut}");
    }
    let mut wire = server.connect_with(&token);
    assert_eq!(wire.fetch(1, 0..PARTITIONS, 0..1).expect_err("nothing came").kind(), ErrorKind::NotFound);
    wire.send(&whole);
    wire.ack().expect("taken");
    assert!(wire.fetch(1, 0..PARTITIONS, 0..1).expect("there") == blocks);
    server.assert_serves("after");
}

#[test]
fn a_frame_that_stops_half_way_holds_its_memory_for_a_limited_time_only() {
    let server = Server::start(&["--set", "network.stall_timeout=50ms"]);
    let mut wire = server.connect("app");
    let blocks = [block(0, 0, 1, 0, true, &[7; 50_000])];
    wire.send(&frame(11, &blocks)[..20_000]);
    assert!(wire.is_closed());
    crate::common::eventually("its memory is given back", || server.status()["workers"][0]["memory_used"] == 0);
    server.assert_serves("after");
}

#[test]
fn a_wrong_checksum_of_a_header_ends_the_connection() {
    let server = Server::start(&[]);
    let mut wire = server.connect("app");
    let mut bytes = frame(11, &[block(0, 0, 1, 0, true, b"x")]);
    bytes[17] ^= 4;
    wire.send(&bytes);
    let error = wire.receive_failure();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("message header: the checksum is"), "{error}");
    assert!(wire.is_closed());
    server.assert_serves("after");
}

#[test]
fn a_wrong_checksum_of_a_head_fails_its_request_only() {
    let server = Server::start(&[]);
    let mut wire = server.connect("app");
    let blocks = [block(0, 0, 1, 0, true, &[1; 30_000])];
    let mut bytes = frame(11, &blocks);
    bytes[HEADER_LEN + 3] ^= 1;
    wire.send(&bytes);
    let error = wire.receive_failure();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("message head"), "{error}");
    wire.send(&frame(12, &blocks));
    wire.ack().expect("the connection goes on");
    assert!(wire.fetch(1, 0..PARTITIONS, 0..1).expect("there") == blocks);
}

#[test]
fn a_wrong_checksum_of_a_block_fails_its_frame_only() {
    let server = Server::start(&[]);
    let mut wire = server.connect("app");
    let blocks = [block(0, 0, 1, 0, false, b"first"), block(0, 0, 1, 1, true, b"second")];
    let mut bytes = frame(11, &blocks);
    *bytes.last_mut().expect("not empty") ^= 1;
    wire.send(&bytes);
    let error = wire.receive_failure();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("block 1"), "{error}");
    let blocks = [block(0, 0, 2, 0, true, b"another attempt")];
    wire.push_all(1, 0, 2, &blocks).expect("the connection goes on");
    assert_eq!(wire.fetch(1, 0..PARTITIONS, 0..1).expect("there"), blocks);
    server.assert_serves("after");
}

#[test]
fn blocks_that_are_not_as_the_frame_says_are_refused() {
    let server = Server::start(&[]);
    let mut wire = server.connect("app");
    let other_attempt = [block(0, 0, 99, 0, true, b"x")];
    let other_map = [block(0, 5, 1, 0, true, b"x")];
    let beyond_the_shard = [block(PARTITIONS, 0, 1, 0, true, b"x")];
    for wrong in [&other_attempt, &other_map, &beyond_the_shard] {
        assert_eq!(wire.push_all(1, 0, 1, wrong).expect_err("refused").kind(), ErrorKind::Invalid);
    }
    let layout = Layout::new(PARTITIONS, 1).expect("in bounds");
    let head = Push { key: shard(1), layout, attempt: ATTEMPT, frame: 0, last: None, chain: vec![] }
        .encode(VERSION)
        .expect("can be said");
    let one = block(0, 0, 1, 0, true, b"x");
    let two_announced = Header::new(Kind::Push, 50, &head, 2 * one.len() as u32, 3).encode();
    wire.send(&[&two_announced[..], &head, &one, &one].concat());
    assert_eq!(wire.receive_failure().kind(), ErrorKind::Invalid);
    server.assert_serves("after");
}

#[test]
fn a_length_of_four_gigabytes_is_refused_before_anything_is_reserved() {
    let server = Server::start(&[]);
    let mut wire = server.connect("app");
    let layout = Layout::new(PARTITIONS, 1).expect("in bounds");
    let head = Push { key: shard(1), layout, attempt: ATTEMPT, frame: 0, last: None, chain: vec![] }
        .encode(VERSION)
        .expect("can be said");
    wire.send(&Header::new(Kind::Push, 11, &head, u32::MAX, 1).encode());
    let error = wire.receive_failure();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("4294967295"), "{error}");
    assert!(wire.is_closed());
    assert_eq!(server.status()["workers"][0]["memory_used"], 0);
    server.assert_serves("after");
}

#[test]
fn an_unknown_shuffle_is_not_found() {
    let server = Server::start(&[]);
    let mut wire = server.connect("app");
    assert_eq!(wire.fetch(99, 0..1, 0..1).expect_err("unknown").kind(), ErrorKind::NotFound);
    wire.remove(99).expect("removing what is not there is no error");
    server.assert_serves("after");
}

#[test]
fn an_application_sees_its_own_data_only() {
    let server = Server::start(&[]);
    let mut one = server.connect("one");
    let blocks = [block(0, 0, 1, 0, true, b"private")];
    one.push_all(1, 0, 1, &blocks).expect("pushed");
    let mut other = server.connect("other");
    assert_eq!(other.fetch(1, 0..PARTITIONS, 0..1).expect_err("not theirs").kind(), ErrorKind::NotFound);
    other.remove(1).expect("there is none of theirs");
    assert_eq!(one.fetch(1, 0..PARTITIONS, 0..1).expect("untouched"), blocks);
}

#[test]
fn expired_foreign_and_senseless_tokens_are_denied() {
    let server = Server::start(&[]);
    let foreign = TokenKey::new(b"the secret of another cluster").expect("long enough");
    let app = "app".parse().expect("valid");
    let foreign = foreign.sign(&app, "", SystemTime::now(), Duration::from_secs(60)).expect("signed");
    let expired = old_token(&server.key(), "app").expect("signed");
    for token in [foreign.as_str(), &expired, "", "a.b.c"] {
        let error = Wire::connect(server.data(), token).err().expect("refused");
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(error.message().contains("the token was refused"), "{error}");
        let error = server.keep_alive(token).expect_err("refused");
        assert!(crate::common::denied(&error), "{error:?}");
    }
    server.assert_serves("after");
}

#[test]
fn a_commit_that_claims_more_than_came_is_refused_and_never_read() {
    let server = Server::start(&[]);
    let mut wire = server.connect("app");
    let blocks = [block(0, 0, 1, 0, false, b"one"), block(0, 0, 1, 1, true, b"two")];
    let right = fin_of(1, &blocks);
    let claims = [
        Fin { frames: 2, ..right },
        Fin { blocks: right.blocks + 1, ..right },
        Fin { bytes: right.bytes + 1, ..right },
        Fin { crc_xor: right.crc_xor ^ 1, ..right },
    ];
    for (at, claim) in claims.into_iter().enumerate() {
        let attempt = 1 + at as u64;
        let blocks = [block(0, 0, attempt, 0, false, b"one"), block(0, 0, attempt, 1, true, b"two")];
        let claim = match at {
            3 => claim,
            _ => Fin { crc_xor: fin_of(1, &blocks).crc_xor, ..claim },
        };
        let error = wire.push(1, 0, attempt, 0, &blocks, Some(claim)).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    let good = [block(0, 0, 50, 0, true, b"good")];
    wire.push_all(1, 0, 50, &good).expect("pushed");
    assert_eq!(wire.fetch(1, 0..PARTITIONS, 0..1).expect("there"), good);
}

#[test]
fn frames_come_in_order_and_repeats_are_taken_once() {
    let server = Server::start(&[]);
    let mut wire = server.connect("app");
    let blocks = [block(0, 0, 1, 0, false, b"one"), block(0, 0, 1, 1, true, b"two")];
    let error = wire.push(1, 0, 1, 1, &blocks[1..], None).expect_err("out of order");
    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
    for _ in 0..3 {
        wire.push(1, 0, 1, 0, &blocks[..1], None).expect("taken, or known");
    }
    for _ in 0..3 {
        wire.push(1, 0, 1, 1, &blocks[1..], Some(fin_of(2, &blocks))).expect("taken, or known");
    }
    assert_eq!(wire.fetch(1, 0..PARTITIONS, 0..1).expect("there"), blocks);
}

#[test]
fn messages_that_only_a_worker_sends_end_the_connection() {
    let server = Server::start(&[]);
    for kind in [Kind::Hello, Kind::Welcome, Kind::Ack, Kind::End, Kind::Failure] {
        let mut wire = server.connect("app");
        wire.send(&message(kind, 5, &[]));
        assert_eq!(wire.receive_failure().kind(), ErrorKind::Invalid, "{kind:?}");
        assert!(wire.is_closed(), "{kind:?}");
    }
    server.assert_serves("after");
}

#[test]
fn credit_and_cancel_for_unknown_streams_are_passed_over() {
    let server = Server::start(&[]);
    let mut wire = server.connect("app");
    wire.send(&message(Kind::Credit, 77, &u64::MAX.to_le_bytes()));
    wire.send(&message(Kind::Cancel, 77, &[]));
    wire.push_all(1, 0, 1, &[block(0, 0, 1, 0, true, b"x")]).expect("the connection goes on");
}

#[test]
fn a_cancelled_fetch_sends_no_more_and_its_number_is_free_again() {
    let server = Server::start(&[]);
    let mut wire = server.connect("app");
    let blocks: Vec<Vec<u8>> = (0..20).map(|seq| block(0, 0, 1, seq, seq == 19, &[seq as u8; 3000])).collect();
    wire.push_all(1, 0, 1, &blocks).expect("pushed");
    let fetch = |credit| {
        Fetch { key: shard(1), partitions: 0..1, maps: 0..1, credit, without: vec![], ends: false }.encode(VERSION)
    };
    wire.send(&message(Kind::Fetch, 500, &fetch(1)));
    let first = wire.receive().expect("the first piece");
    assert_eq!((first.header.kind, first.body == blocks[0]), (Kind::Data, true));
    wire.send(&message(Kind::Cancel, 500, &[]));
    wire.send(&message(Kind::Credit, 500, &u64::MAX.to_le_bytes()));
    wire.send(&message(Kind::Fetch, 500, &fetch(u64::MAX)));
    let whole = wire.receive().expect("of the second fetch");
    assert!(whole.body == blocks.concat());
    assert_eq!(wire.receive().expect("its end").header.kind, Kind::End);
}

#[test]
fn too_many_streams_and_connections_are_told_so() {
    let server = Server::start(&["--set", "network.streams=2", "--set", "network.connections=2"]);
    let mut wire = server.connect("app");
    wire.push_all(1, 0, 1, &[block(0, 0, 1, 0, true, b"x")]).expect("pushed");
    let fetch =
        Fetch { key: shard(1), partitions: 0..1, maps: 0..1, credit: 0, without: vec![], ends: false }.encode(VERSION);
    for stream in 1..=3 {
        wire.send(&message(Kind::Fetch, stream, &fetch));
    }
    let error = wire.receive_failure();
    assert_eq!(error.kind(), ErrorKind::Backpressure);
    assert!(error.message().contains("network.streams"), "{error}");
    let _second = server.connect("second");
    let mut third = Wire::silent(server.data());
    assert!(third.receive_failure().message().contains("network.connections"));
    drop((wire, third, _second));
    crate::common::eventually("a place is free again", || {
        let mut probe = Wire::silent(server.data());
        let token = server.register("app");
        probe.stream.write_all(&message(Kind::Hello, 1, &Hello::new(token).encode())).is_ok()
            && probe.receive().is_ok_and(|answer| answer.header.kind == Kind::Welcome)
    });
}
