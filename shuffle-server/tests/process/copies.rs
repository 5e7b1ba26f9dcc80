//! A worker takes a copy of what another one has.

use overhand_common::{
    Error, ErrorKind,
    ids::{Layout, Place},
    message::{Forget, Kind, Replicate, message},
};

use crate::common::{PARTITIONS, Servers, Wire, block, shard};

fn replicate(wire: &mut Wire, shuffle: u32, from: &Place) -> Result<(), Error> {
    let layout = Layout::new(PARTITIONS, 1).expect("in bounds");
    let request = Replicate { key: shard(shuffle), layout, from: from.clone() };
    let stream = wire.stream_id();
    wire.send(&message(Kind::Replicate, stream, &request.encode()));
    wire.ack()
}

fn forget(wire: &mut Wire, shuffle: u32) -> Result<(), Error> {
    let stream = wire.stream_id();
    wire.send(&message(Kind::Forget, stream, &Forget { key: shard(shuffle) }.encode()));
    wire.ack()
}

#[test]
fn a_copy_has_every_block_and_goes_when_it_is_forgotten() {
    let cluster = Servers::start(2, &["--memory-budget", "32 MiB", "--set", "storage.copy_bandwidth=20MiB"]);
    let mut wire = cluster.connect(0);
    let mut all = vec![];
    for map in 0..6u32 {
        let blocks: Vec<Vec<u8>> =
            (0..8).map(|seq| block(0, map, u64::from(map), seq, seq == 7, &vec![map as u8; 1_000_000])).collect();
        wire.push_all(1, map, u64::from(map), &blocks).expect("pushed");
        all.extend(blocks);
    }
    all.sort();
    let from = cluster.chain(&[0]).remove(0);
    let mut copier = cluster.connect(1);
    let begun = std::time::Instant::now();
    for _ in 0..2 {
        replicate(&mut copier, 1, &from).expect("copied, or copied already");
        let mut found = copier.fetch(1, 0..PARTITIONS, 0..6).expect("there");
        found.sort();
        found.dedup();
        assert!(found == all);
    }
    assert!(begun.elapsed().as_secs_f64() > 2.0, "48 MB twice at 20 MiB per second");
    forget(&mut copier, 1).expect("forgotten");
    assert_eq!(copier.fetch(1, 0..PARTITIONS, 0..6).expect_err("gone").kind(), ErrorKind::NotFound);
    assert_eq!(wire.fetch(1, 0..PARTITIONS, 0..6).expect("untouched").len(), all.len());
}

#[test]
fn forgetting_what_is_not_there_is_no_error() {
    let cluster = Servers::start(1, &[]);
    forget(&mut cluster.connect(0), 77).expect("nothing to do");
}

#[test]
fn a_copy_of_what_nobody_wrote_is_made_and_then_nobody_can_write_it() {
    let cluster = Servers::start(2, &[]);
    replicate(&mut cluster.connect(1), 1, &cluster.chain(&[0])[0]).expect("nothing is there to be copied");
    let blocks = [block(0, 0, 0, 0, true, &[1; 100])];
    let late = cluster.connect(0).push_all(1, 0, 0, &blocks).expect_err("the copy would not have it");
    assert_eq!(late.kind(), ErrorKind::Broken);
}

#[test]
fn a_source_that_is_gone_silent_or_another_one_is_to_be_tried_again() {
    let mut cluster = Servers::start(3, &["--set", "network.silence=1s"]);
    let sources = cluster.chain(&[1, 2]);
    let mut other = sources[0].clone();
    other.worker.id = uuid::Uuid::from_u128(7);
    let mut wire = cluster.connect(0);
    assert_eq!(replicate(&mut wire, 1, &other).expect_err("another one").kind(), ErrorKind::Retry);
    let mut restarted = sources[0].clone();
    restarted.worker.incarnation += 1;
    assert_eq!(replicate(&mut wire, 1, &restarted).expect_err("not this one").kind(), ErrorKind::Retry);
    cluster.servers[1].kill();
    cluster.servers[2].pause();
    for source in &sources {
        assert_eq!(replicate(&mut wire, 1, source).expect_err("out of reach").kind(), ErrorKind::Retry);
    }
}

#[test]
fn a_worker_takes_no_copy_from_itself() {
    let cluster = Servers::start(1, &[]);
    let error = replicate(&mut cluster.connect(0), 1, &cluster.chain(&[0])[0]).expect_err("senseless");
    assert_eq!(error.kind(), ErrorKind::Invalid);
}
