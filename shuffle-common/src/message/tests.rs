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
    let failure = Failure(Error::new(ErrorKind::Internal, "ü".repeat(5000)));
    let back = Failure::decode(&failure.encode()).expect("cut");
    assert_eq!(back.0.message(), "ü".repeat(2048));
}

fn push() -> impl Strategy<Value = Push> {
    let fin = (any::<u32>(), any::<u64>(), any::<u64>(), any::<u32>())
        .prop_map(|(frames, blocks, bytes, crc_xor)| Fin { frames, blocks, bytes, crc_xor });
    (any::<[u32; 4]>(), 1u32..100, any::<u64>(), proptest::option::of(fin)).prop_map(|(n, shards, attempt, fin)| Push {
        key: ShardKey { shuffle: n[0], shard: shards - 1, epoch: n[1] },
        layout: Layout::new(shards * 3, shards).expect("in bounds"),
        attempt: Attempt { map_index: n[2], attempt },
        frame: n[3],
        fin,
    })
}

proptest! {
    #[test]
    fn heads_come_back_as_they_were(push in push(), numbers in any::<[u32; 4]>(), token in "[a-z.]{0,300}") {
        prop_assert_eq!(Push::decode(&push.encode()), Ok(push));
        let fetch = Fetch { key: push.key, partitions: numbers[0].min(numbers[1])..numbers[1], maps: 0..numbers[2], credit: 1 << 33 };
        prop_assert_eq!(Fetch::decode(&fetch.encode()), Ok(fetch));
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
        let _ = Push::decode(&bytes);
        let _ = Fetch::decode(&bytes);
        let _ = Credit::decode(&bytes);
        let _ = RemoveShuffle::decode(&bytes);
        let _ = End::decode(&bytes);
        let _ = Failure::decode(&bytes);
    }
}
