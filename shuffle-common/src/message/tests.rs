use proptest::prelude::*;

use super::*;

#[test]
fn a_length_of_four_gigabytes_is_refused() {
    let header = Header { kind: Kind::Push, stream: 1, head_len: 10, head_crc: 0, body_len: u32::MAX, blocks: 1 };
    let error = Header::decode(&header.encode()).expect_err("too long");
    assert!(error.to_string().contains("4294967295"), "{error}");
}

#[test]
fn more_blocks_than_a_body_can_hold_are_refused() {
    let header = Header { kind: Kind::Push, stream: 1, head_len: 0, head_crc: 0, body_len: 79, blocks: 2 };
    assert!(Header::decode(&header.encode()).is_err());
    let header = Header { body_len: 80, ..header };
    assert_eq!(Header::decode(&header.encode()), Ok(header));
}

#[test]
fn a_message_without_a_body_must_not_announce_one() {
    let header = Header { kind: Kind::Credit, stream: 1, head_len: 8, head_crc: 0, body_len: 40, blocks: 1 };
    assert!(Header::decode(&header.encode()).is_err());
}

#[test]
fn versions_are_negotiated() {
    let hello = |min_version, max_version| Hello { min_version, max_version, token: String::new() };
    assert_eq!(hello(1, 9).negotiate(), Ok(VERSION));
    assert_eq!(hello(9, 12).negotiate().expect_err("too new").kind(), ErrorKind::Stale);
    assert_eq!(hello(0, 0).negotiate().expect_err("too old").kind(), ErrorKind::Stale);
}

#[test]
fn a_long_failure_is_cut_at_a_character() {
    let failure = Failure::new(Error::new(ErrorKind::Internal, "ü".repeat(5000)));
    let back = Failure::decode(&failure.encode(VERSION)).expect("cut");
    assert_eq!(back.error.message(), "ü".repeat(2048));
}

fn place(number: u32) -> Place {
    let worker = WorkerId { id: uuid::Uuid::from_u128(u128::from(number) << 7), incarnation: u64::from(number) };
    Place { worker, address: format!("worker-{number}:7338") }
}

fn last() -> impl Strategy<Value = Last> {
    let fin = (any::<u32>(), any::<u64>(), any::<u64>(), any::<u32>())
        .prop_map(|(frames, blocks, bytes, crc_xor)| Fin { frames, blocks, bytes, crc_xor });
    (fin, any::<bool>()).prop_map(|(fin, settled)| if settled { Last::Settled(fin) } else { Last::Whole(fin) })
}

fn push() -> impl Strategy<Value = Push> {
    let chain = proptest::collection::vec(any::<u32>().prop_map(place), 0..MAX_CHAIN);
    (any::<[u32; 4]>(), 1u32..100, any::<u64>(), proptest::option::of(last()), chain).prop_map(
        |(n, shards, attempt, last, chain)| Push {
            key: ShardKey { shuffle: n[0], shard: shards - 1, epoch: n[1] },
            layout: Layout::new(shards * 3, shards).expect("in bounds"),
            attempt: Attempt { map_index: n[2], attempt },
            frame: n[3],
            last,
            chain,
        },
    )
}

#[test]
fn version_1_has_no_words_for_chains() {
    let layout = Layout::new(1, 1).expect("in bounds");
    let key = ShardKey { shuffle: 1, shard: 0, epoch: 0 };
    let attempt = Attempt { map_index: 0, attempt: 7 };
    let plain = Push { key, layout, attempt, frame: 0, last: None, chain: vec![] };
    assert!(plain.encode(1).is_ok());
    let chained = Push { chain: vec![place(1)], ..plain.clone() };
    assert_eq!(chained.encode(1).expect_err("a chain").kind(), ErrorKind::Stale);
    let settling = Push { last: Some(Last::Settled(Fin::default())), ..plain };
    assert_eq!(settling.encode(1).expect_err("settles").kind(), ErrorKind::Stale);
    assert_eq!(Ack { split: true }.encode(1), [0; 0]);
    assert_eq!(Ack::decode(Ack { split: true }.encode(2)), Ok(Ack { split: true }));
}

#[test]
fn ranges_to_leave_out_are_in_order_and_apart() {
    let key = ShardKey { shuffle: 1, shard: 0, epoch: 0 };
    for ends in [&[(3, 3)][..], &[(5, 7), (1, 2)], &[(1, 3), (3, 5)]] {
        let without = ends.iter().map(|(start, end)| *start..*end).collect();
        let fetch = Fetch { key, partitions: 0..1, maps: 0..9, credit: 1, without, ends: false };
        assert!(Fetch::decode(&fetch.encode(2), 2).is_err(), "{fetch:?}");
    }
}

proptest! {
    #[test]
    fn heads_come_back_as_they_were(push in push(), numbers in any::<[u32; 4]>(), token in "[a-z.]{0,300}") {
        prop_assert_eq!(Push::decode(&push.encode(2).expect("all can be said"), 2), Ok(push.clone()));
        let first = Push { chain: vec![], last: push.last.map(|last| Last::Whole(*last.fin())), ..push.clone() };
        prop_assert_eq!(Push::decode(&first.encode(1).expect("nothing new"), 1), Ok(first.clone()));
        let partitions = numbers[0].min(numbers[1])..numbers[1];
        let fetch = Fetch { key: push.key, partitions, maps: 0..numbers[2], credit: 1 << 33, without: vec![3..5, 7..8], ends: true };
        prop_assert_eq!(Fetch::decode(&fetch.encode(2), 2), Ok(fetch.clone()));
        prop_assert_eq!(Fetch::decode(&fetch.encode(1), 1), Ok(Fetch { without: vec![], ends: false, ..fetch }));
        let copy = Replicate { key: push.key, layout: push.layout, from: place(numbers[3]) };
        prop_assert_eq!(Replicate::decode(&copy.encode()), Ok(copy));
        let forget = Forget { key: push.key };
        prop_assert_eq!(Forget::decode(&forget.encode()), Ok(forget));
        let failure = Failure { error: Error::new(ErrorKind::Broken, token.clone()), suspect: Some(place(numbers[3]).worker) };
        prop_assert_eq!(Failure::decode(&failure.encode(2)), Ok(failure.clone()));
        prop_assert_eq!(Failure::decode(&failure.encode(1)), Ok(Failure { suspect: None, ..failure }));
        let hello = Hello::new(token);
        prop_assert_eq!(Hello::decode(&hello.encode()), Ok(hello));
        let worker = WorkerId { id: uuid::Uuid::from_u128(7), incarnation: 3 };
        let welcome = Welcome { version: 1, worker, window: 9 };
        prop_assert_eq!(Welcome::decode(&welcome.encode()), Ok(welcome));
    }

    #[test]
    fn any_flipped_bit_of_a_header_is_found(stream: u64, at in 0usize..HEADER_LEN, bit in 0u8..8) {
        let mut bytes = Header::new(Kind::Push, stream, b"head", 4000, 3).encode();
        prop_assert!(Header::decode(&bytes).is_ok());
        bytes[at] ^= 1 << bit;
        prop_assert!(Header::decode(&bytes).is_err());
    }

    #[test]
    fn random_heads_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let _ = Hello::decode(&bytes);
        let _ = Welcome::decode(&bytes);
        for version in [1, 2] {
            let _ = Push::decode(&bytes, version);
            let _ = Fetch::decode(&bytes, version);
        }
        let _ = Replicate::decode(&bytes);
        let _ = Forget::decode(&bytes);
        let _ = Ack::decode(&bytes);
        let _ = Credit::decode(&bytes);
        let _ = RemoveShuffle::decode(&bytes);
        let _ = End::decode(&bytes);
        let _ = Failure::decode(&bytes);
    }
}
