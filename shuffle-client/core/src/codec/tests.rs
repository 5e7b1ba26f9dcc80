use overhand_common::{block::MAX_RAW, ids::Attempt};
use proptest::prelude::*;

use super::*;

fn header() -> Header {
    Header {
        payload_len: 0,
        raw_len: 0,
        codec: Codec::None,
        flags: Flags::default(),
        partition: 3,
        attempt: Attempt { map_index: 1, attempt: 9 },
        seq: 4,
        items: 2,
    }
}

fn cipher(bits: usize) -> Option<Arc<Cipher>> {
    (bits > 0).then(|| Arc::new(Cipher::new(&vec![7; bits / 8]).expect("a legal size")))
}

fn packed(codec: Codec, bits: usize, raw: &[u8]) -> (Header, Vec<u8>) {
    let mut packer = Packer::new(codec, 1, cipher(bits)).expect("set up");
    let mut header = header();
    let mut out = vec![0; Packer::bound(raw.len())];
    packer.pack(raw, &mut Effort::default(), &mut header, &mut out).expect("packed");
    out.truncate(header.payload_len as usize);
    (header, out)
}

fn unpacked(bits: usize, header: &Header, payload: &[u8]) -> Result<Vec<u8>> {
    let mut out = vec![0; header.raw_len as usize];
    Unpacker::new(cipher(bits)).unpack(header, &mut payload.to_vec(), &mut out)?;
    Ok(out)
}

fn codecs() -> impl Strategy<Value = Codec> {
    prop_oneof![Just(Codec::None), Just(Codec::Lz4), Just(Codec::Zstd), Just(Codec::StreamVByte)]
}

fn keys() -> impl Strategy<Value = usize> {
    prop_oneof![Just(0), Just(128), Just(192), Just(256)]
}

/// Bytes from random to a single repeated one.
fn payloads() -> impl Strategy<Value = Vec<u8>> {
    (0u32..=8, proptest::collection::vec(any::<u8>(), 0..3000))
        .prop_map(|(bits, bytes)| bytes.into_iter().map(|byte| (u32::from(byte) & ((1 << bits) - 1)) as u8).collect())
}

proptest! {
    #[test]
    fn any_payload_comes_back(codec in codecs(), bits in keys(), raw in payloads()) {
        let (header, payload) = packed(codec, bits, &raw);
        prop_assert!(payload.len() <= Packer::bound(raw.len()));
        prop_assert_eq!(unpacked(bits, &header, &payload).expect("unpacked"), raw);
    }

    #[test]
    fn a_changed_byte_or_header_of_an_encrypted_payload_is_found(
        raw in proptest::collection::vec(any::<u8>(), 1..300),
        at in any::<proptest::sample::Index>(),
    ) {
        let (header, mut payload) = packed(Codec::Lz4, 128, &raw);
        let moved = Header { partition: 4, ..header };
        prop_assert_eq!(unpacked(128, &moved, &payload).expect_err("another partition").kind(), ErrorKind::DataLost);
        payload[at.index(raw.len())] ^= 1;
        prop_assert_eq!(unpacked(128, &header, &payload).expect_err("changed").kind(), ErrorKind::DataLost);
    }

    #[test]
    fn garbage_is_refused_and_never_panics(codec in codecs(), payload in payloads(), raw_len in 0u32..5000) {
        let header = Header { codec, raw_len, payload_len: payload.len() as u32, ..header() };
        if let Ok(raw) = unpacked(0, &header, &payload) {
            prop_assert_eq!(raw.len() as u32, raw_len);
        }
    }
}

#[test]
fn random_bytes_are_stored_as_they_are() {
    let mut raw = vec![0; 10_000];
    rand::RngCore::fill_bytes(&mut rand::rng(), &mut raw);
    for codec in [Codec::Lz4, Codec::Zstd] {
        let (header, payload) = packed(codec, 0, &raw);
        assert_eq!((header.codec, &payload), (Codec::None, &raw));
    }
}

#[test]
fn the_largest_block_packs() {
    let raw = vec![b'x'; MAX_RAW];
    let (header, payload) = packed(Codec::Lz4, 256, &raw);
    assert!(payload.len() < MAX_RAW / 100);
    assert_eq!(unpacked(256, &header, &payload).expect("unpacked"), raw);
}

#[test]
fn keys_of_other_sizes_and_missing_keys_are_errors() {
    assert_eq!(Cipher::new(&[1; 15]).expect_err("15 bytes").kind(), ErrorKind::Invalid);
    let (header, payload) = packed(Codec::None, 128, b"secret");
    assert_eq!(unpacked(0, &header, &payload).expect_err("no key").kind(), ErrorKind::Invalid);
    assert_eq!(unpacked(256, &header, &payload).expect_err("another key").kind(), ErrorKind::DataLost);
    let (header, payload) = packed(Codec::None, 0, b"open");
    assert_eq!(unpacked(128, &header, &payload).expect_err("not encrypted").kind(), ErrorKind::DataLost);
}
