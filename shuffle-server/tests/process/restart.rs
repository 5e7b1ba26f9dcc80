//! What is served after a restart, and what a damaged disk does.

use std::fs;

use crate::common::{PARTITIONS, Server, block, fin_of, is_sound};
use overhand_common::ErrorKind;

/// Pushes attempts of a few maps and returns their blocks in the order of a fetch.
fn push_some(server: &Server, token: &str) -> Vec<Vec<u8>> {
    let mut wire = server.connect_with(token);
    let mut all = vec![];
    for map in 0..5u32 {
        let blocks: Vec<Vec<u8>> = (0..PARTITIONS)
            .flat_map(|partition| {
                let payload = vec![(map * 16 + partition) as u8; 3000 + map as usize];
                [
                    block(partition, map, 9 + u64::from(map), 0, false, &payload),
                    block(partition, map, 9 + u64::from(map), 1, true, &[]),
                ]
            })
            .collect();
        wire.push(1, map, 9 + u64::from(map), 0, &blocks[..4], None).expect("pushed");
        wire.push(1, map, 9 + u64::from(map), 1, &blocks[4..], Some(fin_of(2, &blocks))).expect("committed");
        all.extend(blocks);
    }
    all.sort_by_key(|block| {
        let (header, _) = overhand_common::block::Header::decode(block).expect("a block");
        (header.partition, header.attempt.map_index, header.seq)
    });
    all
}

fn fetch_all(server: &Server, token: &str) -> Result<Vec<Vec<u8>>, overhand_common::Error> {
    server.connect_with(token).fetch(1, 0..PARTITIONS, 0..100)
}

#[test]
fn a_clean_restart_serves_everything() {
    let mut server = Server::start(&[]);
    let token = server.register("app");
    let pushed = push_some(&server, &token);
    assert!(fetch_all(&server, &token).expect("from memory") == pushed);
    for _ in 0..2 {
        assert!(server.stop().success());
        server.start_again();
        assert!(fetch_all(&server, &token).expect("from disk") == pushed);
    }
    assert_eq!(server.status()["applications"][0]["shuffles"][0]["commits"], 5);
    assert_eq!(server.status()["workers"][0]["incarnation"], 1, "nothing was lost, it is the same worker");
}

#[test]
fn a_killed_server_serves_what_was_committed_to_disk() {
    let mut server = Server::start(&["--durability", "disk"]);
    let token = server.register("app");
    let pushed = push_some(&server, &token);
    let mut wire = server.connect_with(&token);
    wire.push(1, 50, 99, 0, &[block(0, 50, 99, 0, false, b"never committed")], None).expect("taken");
    server.kill();
    server.start_again();
    // They lie in several segments, and of those no order is promised.
    let fetched = fetch_all(&server, &token).expect("from disk");
    for block in &pushed {
        assert_eq!(fetched.iter().filter(|fetched| *fetched == block).count(), 1);
    }
}

#[test]
fn commits_to_disk_of_one_connection_need_not_wait_for_each_other() {
    let server = Server::start(&["--durability", "disk"]);
    let mut wire = server.connect("app");
    let count = 50;
    for map in 0..count {
        let blocks = [block(0, map, 1, 0, true, &[map as u8; 100])];
        let attempt = overhand_common::ids::Attempt { map_index: map, attempt: 1 };
        let stream = u64::from(map) + 100;
        wire.send(&crate::common::Wire::frame(stream, 1, attempt, 0, &blocks, Some(fin_of(1, &blocks))));
    }
    for _ in 0..count {
        wire.ack().expect("committed");
    }
    assert_eq!(wire.fetch(1, 0..1, 0..count).expect("there").len(), count as usize);
    let segments = server.segments().len();
    assert!(segments < count as usize / 2, "{segments} segments: each commit had a flush of its own");
}

#[test]
fn a_killed_server_that_kept_data_in_memory_is_another_worker() {
    let mut server = Server::start(&[]);
    let token = server.register("app");
    push_some(&server, &token);
    server.kill();
    server.start_again();
    assert_eq!(server.status()["workers"][0]["incarnation"], 2);
    assert_eq!(fetch_all(&server, &token).expect_err("it was in memory").kind(), ErrorKind::NotFound);
    server.assert_serves("after");
}

#[test]
fn an_index_that_is_lost_is_rebuilt_from_the_segments() {
    let mut server = Server::start(&[]);
    let token = server.register("app");
    let pushed = push_some(&server, &token);
    assert!(server.stop().success());
    fs::remove_dir_all(server.folder.join("index")).expect("removed");
    server.start_again();
    assert!(fetch_all(&server, &token).expect("from disk") == pushed);
}

#[test]
fn a_flipped_bit_in_a_segment_is_never_silently_served() {
    let mut server = Server::start(&[]);
    let token = server.register("app");
    let pushed = push_some(&server, &token);
    assert!(server.stop().success());
    let segment = server.segments().remove(0);
    let whole = fs::read(&segment).expect("readable");
    for step in 0..24 {
        let mut damaged = whole.clone();
        let at = (whole.len() - 1) * step / 23;
        damaged[at] ^= 0x10;
        fs::write(&segment, &damaged).expect("written");
        server.start_again();
        if let Ok(fetched) = fetch_all(&server, &token) {
            for block in fetched {
                assert!(!is_sound(&block) || pushed.contains(&block), "a flip at byte {at} made a new sound block");
            }
        }
        server.assert_serves("after");
        assert!(server.stop().success());
        // A segment that was found to be damaged may have been put aside, so the next flip begins anew.
        fs::write(&segment, &whole).expect("written");
    }
}

#[test]
fn a_segment_that_is_gone_is_an_error_and_not_a_short_answer() {
    let mut server = Server::start(&[]);
    let token = server.register("app");
    let pushed = push_some(&server, &token);
    assert!(server.stop().success());
    for segment in server.segments() {
        fs::remove_file(segment).expect("removed");
    }
    server.start_again();
    match fetch_all(&server, &token) {
        Err(error) => assert!(matches!(error.kind(), ErrorKind::DataLost | ErrorKind::NotFound), "{error}"),
        Ok(fetched) => panic!("{} of {} blocks without an error", fetched.len(), pushed.len()),
    }
    server.assert_serves("after");
}
