//! Frames that go through several workers: every member of a chain has what was acknowledged, and whatever a member
//! does, the answer is soon there and says who it was.

use std::time::{Duration, Instant};

use overhand_common::{
    ErrorKind,
    ids::{Attempt, Layout, Place},
    message::{Failure, Fin, Hello, Kind, Last, MIN_VERSION, Push},
};

use crate::common::{PARTITIONS, PATIENCE, Server, Servers, Wire, block, fin_of, shard};

const QUICK: [&str; 2] = ["--set", "network.silence=1s"];

/// A frame of shuffle 1, whose map index is also its attempt.
fn push(map: u32, frame: u32, last: Option<Last>, chain: &[Place]) -> Push {
    let layout = Layout::new(PARTITIONS, 1).expect("in bounds");
    let attempt = Attempt { map_index: map, attempt: u64::from(map) };
    Push { key: shard(1), layout, attempt, frame, last, chain: chain.to_vec() }
}

/// The frames of a map task: `count` of them with 16 blocks of `len` bytes each, and what they add up to.
fn task(map: u32, count: u32, len: usize) -> (Vec<Vec<Vec<u8>>>, Fin) {
    let frame = |frame: u32| -> Vec<Vec<u8>> {
        let blocks = (0..16).map(|at| (at % PARTITIONS, frame * 4 + at / PARTITIONS));
        blocks
            .map(|(partition, seq)| {
                block(partition, map, u64::from(map), seq, seq + 1 == count * 4, &vec![(seq + map) as u8; len])
            })
            .collect()
    };
    let frames: Vec<_> = (0..count).map(frame).collect();
    let fin = fin_of(count, &frames.concat());
    (frames, fin)
}

/// Pushes a map task's frames, up to `ahead` of them before the first answer. Their answers come in their order.
fn push_task(wire: &mut Wire, map: u32, (frames, fin): &(Vec<Vec<Vec<u8>>>, Fin), chain: &[Place], ahead: usize) {
    let mut streams = std::collections::VecDeque::new();
    let answered = |wire: &mut Wire, stream: Option<u64>| {
        let (answered, outcome) = wire.answer();
        assert_eq!((Some(answered), outcome.map(drop)), (stream, Ok(())));
    };
    for (at, blocks) in frames.iter().enumerate() {
        let last = (at + 1 == frames.len()).then_some(Last::Whole(*fin));
        streams.push_back(wire.send_push(&push(map, at as u32, last, chain), blocks));
        if streams.len() > ahead {
            answered(wire, streams.pop_front());
        }
    }
    while let Some(stream) = streams.pop_front() {
        answered(wire, Some(stream));
    }
}

/// The failure of a frame.
fn refused(wire: &mut Wire, push: &Push, blocks: &[Vec<u8>]) -> Failure {
    let stream = wire.send_push(push, blocks);
    let (answered, outcome) = wire.answer();
    assert_eq!(answered, stream);
    outcome.expect_err("refused")
}

fn sorted(mut blocks: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    blocks.sort();
    blocks
}

fn broken_by(failure: &Failure, member: &Place) -> bool {
    failure.error.kind() == ErrorKind::Broken && failure.suspect == Some(member.worker)
}

#[test]
fn what_was_acknowledged_is_readable_at_every_member_of_the_chain() {
    let cluster = Servers::start(3, &[]);
    for (map, members) in [(0, &[1][..]), (1, &[1, 2])] {
        let task = task(map, 5, 3000);
        push_task(&mut cluster.connect(0), map, &task, &cluster.chain(members), 10);
        for member in [&[0], members].concat() {
            let found = cluster.connect(member).fetch(1, 0..PARTITIONS, map..map + 1).expect("there");
            assert!(sorted(found) == sorted(task.0.concat()), "map {map} at worker {member}");
        }
    }
    let forwarded = |at| cluster.metric(at, "overhand_forwarded_frames_total");
    assert_eq!((forwarded(0), forwarded(1), forwarded(2)), (10.0, 5.0, 0.0));
    assert_eq!(cluster.metric(2, "overhand_commits_total"), 1.0);
}

#[test]
fn a_repeated_frame_goes_through_the_whole_chain_again() {
    let cluster = Servers::start(2, &[]);
    let (frames, fin) = task(0, 1, 1000);
    let alone = push(0, 0, Some(Last::Whole(fin)), &[]);
    let mut wire = cluster.connect(0);
    wire.send_push(&alone, &frames[0]);
    wire.ack().expect("taken by the first");
    for _ in 0..2 {
        wire.send_push(&Push { chain: cluster.chain(&[1]), ..alone.clone() }, &frames[0]);
        wire.ack().expect("taken by both");
    }
    let found = cluster.connect(1).fetch(1, 0..PARTITIONS, 0..1).expect("there");
    assert!(sorted(found) == sorted(frames.concat()));
}

#[test]
fn a_last_frame_that_does_not_match_at_any_member_is_refused() {
    let cluster = Servers::start(2, &[]);
    let chain = cluster.chain(&[1]);
    let (frames, fin) = task(0, 1, 100);
    let wrong = Last::Whole(Fin { blocks: fin.blocks + 1, ..fin });
    let failure = refused(&mut cluster.connect(0), &push(0, 0, Some(wrong), &chain), &frames[0]);
    assert_eq!(failure.error.kind(), ErrorKind::Invalid);

    let (frames, fin) = task(1, 2, 100);
    let mut wire = cluster.connect(0);
    wire.send_push(&push(1, 0, None, &[]), &frames[0]);
    wire.ack().expect("taken by the first only");
    let failure = refused(&mut wire, &push(1, 1, Some(Last::Whole(fin)), &chain), &frames[1]);
    assert!(broken_by(&failure, &chain[0]), "{failure:?}");
    assert!(failure.error.message().contains("frame 0 is expected"), "{failure:?}");
}

#[test]
fn a_member_that_is_killed_breaks_the_chain_and_nothing_is_lost_at_the_first() {
    let mut cluster = Servers::start(3, &[]);
    let chain = cluster.chain(&[1, 2]);
    let (frames, fin) = task(0, 4, 3000);
    let mut wire = cluster.connect(0);
    for at in 0..2 {
        wire.send_push(&push(0, at, None, &chain), &frames[at as usize]);
        wire.ack().expect("taken by all");
    }
    cluster.servers[2].kill();
    let failure = refused(&mut wire, &push(0, 2, None, &chain), &frames[2]);
    assert!(broken_by(&failure, &chain[1]), "{failure:?}");
    assert!(cluster.metric(1, "overhand_chains_broken_total") >= 1.0);
    let chain = cluster.chain(&[1]);
    for at in [2, 3] {
        let last = (at == 3).then_some(Last::Whole(fin));
        wire.send_push(&push(0, at, last, &chain), &frames[at as usize]);
        wire.ack().expect("taken by those who are left");
    }
    for member in [0, 1] {
        let found = cluster.connect(member).fetch(1, 0..PARTITIONS, 0..1).expect("there");
        assert!(sorted(found) == sorted(frames.concat()), "at worker {member}");
    }
}

#[test]
fn a_member_that_says_nothing_breaks_the_chain_within_the_silence_and_the_client_hears_meanwhile() {
    let cluster = Servers::start(2, &["--set", "network.silence=3s"]);
    let chain = cluster.chain(&[1]);
    let (frames, _) = task(0, 3, 1000);
    let mut wire = cluster.connect(0);
    wire.send_push(&push(0, 0, None, &chain), &frames[0]);
    wire.ack().expect("taken by both");
    cluster.servers[1].pause();
    let begun = Instant::now();
    let stream = wire.send_push(&push(0, 1, None, &chain), &frames[1]);
    wire.send_push(&push(0, 2, None, &chain), &frames[2]);
    let mut busy = 0;
    let answer = loop {
        let answer = wire.receive().expect("a message");
        match answer.header.kind {
            Kind::Busy => busy += 1,
            _ => break answer,
        }
    };
    assert!(begun.elapsed() >= Duration::from_secs(3) && begun.elapsed() < Duration::from_secs(8));
    assert_eq!(answer.header.stream, stream);
    let failure = Failure::decode(&answer.head).expect("well formed");
    assert!(broken_by(&failure, &chain[0]), "{failure:?}");
    assert!((1..=4).contains(&busy), "{busy} times");
    let failure = wire.answer().1.expect_err("all frames on their way fail with it");
    assert!(broken_by(&failure, &chain[0]), "{failure:?}");
}

#[test]
fn a_worker_of_another_incarnation_or_none_breaks_the_chain_at_once() {
    let cluster = Servers::start(2, &QUICK);
    let there = cluster.chain(&[1]).remove(0);
    let mut restarted = there.clone();
    restarted.worker.incarnation += 1;
    let nobody = Place { address: "127.0.0.1:1".into(), ..there.clone() };
    let nowhere = Place { address: "no.such.host.invalid:7338".into(), ..there };
    let (frames, _) = task(0, 1, 1000);
    for (map, place) in [restarted, nobody, nowhere].into_iter().enumerate() {
        let begun = Instant::now();
        let chain = [place];
        let mut wire = cluster.connect(0);
        for attempt in 0..100 {
            let map = 1000 * map as u32 + attempt;
            let failure =
                refused(&mut wire, &push(map, 0, None, &chain), &[block(0, map, u64::from(map), 0, true, b"x")]);
            assert!(broken_by(&failure, &chain[0]), "{failure:?}");
        }
        assert!(begun.elapsed() < PATIENCE);
    }
    let mut wire = cluster.connect(0);
    wire.send_push(&push(0, 0, None, &cluster.chain(&[1])), &frames[0]);
    wire.ack().expect("the right one is served as ever");
}

#[test]
fn a_chain_that_comes_back_to_a_worker_is_refused() {
    let cluster = Servers::start(2, &QUICK);
    let block = [block(0, 0, 0, 0, true, b"x")];
    for members in [&[0][..], &[1, 0], &[1, 1]] {
        let failure = refused(&mut cluster.connect(0), &push(0, 0, None, &cluster.chain(members)), &block);
        assert_eq!(failure.error.kind(), ErrorKind::Invalid, "{failure:?}");
    }
    let mut disguised = cluster.chain(&[0]).remove(0);
    disguised.worker.id = uuid::Uuid::from_u128(7);
    let failure = refused(&mut cluster.connect(0), &push(0, 0, None, &[disguised.clone()]), &block);
    assert!(broken_by(&failure, &disguised), "{failure:?}");
}

#[test]
fn workers_that_are_each_others_next_with_little_memory_all_make_progress() {
    let cluster = Servers::start(2, &["--memory-budget", "32 MiB"]);
    let tasks: Vec<_> = (0..8u32).map(|map| task(map, 24, 65_000)).collect();
    std::thread::scope(|scope| {
        for (map, task) in tasks.iter().enumerate() {
            let (mut wire, chain) = (cluster.connect(map % 2), cluster.chain(&[1 - map % 2]));
            scope.spawn(move || push_task(&mut wire, map as u32, task, &chain, 12));
        }
    });
    for at in 0..2 {
        let mut wire = cluster.connect(at);
        for (map, task) in tasks.iter().enumerate() {
            let found = wire.fetch(1, 0..PARTITIONS, map as u32..map as u32 + 1).expect("there");
            let own = found.into_iter().filter(|found| task.0.iter().any(|frame| frame.contains(found)));
            assert_eq!(own.count(), 24 * 16, "map {map} at worker {at}");
        }
    }
}

#[test]
fn a_worker_says_that_it_is_busy_while_memory_is_short() {
    let server = Server::start(&["--memory-budget", "32 MiB"]);
    let token = server.register("app");
    let blocks: Vec<Vec<u8>> = (0..14).map(|seq| block(0, 9, 9, seq, seq == 13, &vec![1; 1_000_000])).collect();
    let bytes = Wire::frame(11, 1, Attempt { map_index: 9, attempt: 9 }, 0, &blocks, Some(fin_of(1, &blocks)));
    // Two that announce a frame and send only a part of it hold nearly all the memory.
    let announce = || {
        let mut wire = server.connect_with(&token);
        wire.send(&bytes[..100_000]);
        wire
    };
    let holders = [announce(), announce()];
    crate::common::eventually("memory is held", || {
        server.status()["workers"][0]["memory_used"].as_u64().is_some_and(|used| used > 27 << 20)
    });
    let mut third = announce();
    for _ in 0..2 {
        assert_eq!(third.receive().expect("a sign of life").header.kind, Kind::Busy);
    }
    drop(holders);
    third.send(&bytes[100_000..]);
    third.ack().expect("there is memory again");
}

#[test]
fn a_client_of_the_last_protocol_writes_and_reads_and_hears_nothing_new() {
    let server = Server::start(&["--memory-budget", "32 MiB"]);
    let hello = Hello { max_version: MIN_VERSION, ..Hello::new(server.register("app")) };
    let mut wire = Wire::connect_with(server.data(), hello).expect("welcome");
    let task = task(3, 40, 65_000);
    push_task(&mut wire, 3, &task, &[], 12);
    assert!(sorted(wire.fetch(1, 0..PARTITIONS, 3..4).expect("there")) == sorted(task.0.concat()));
    let failure = refused(&mut wire, &push(4, 1, None, &[]), &[]);
    assert_eq!((failure.error.kind(), failure.suspect), (ErrorKind::Retry, None));
}
