//! A block: records of one attempt for one partition, with the header that travels in front of them everywhere.
//!
//! # Format
//! All numbers are little-endian. The header has [`HEADER_LEN`] bytes, the payload follows.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 4 | CRC-32 (IEEE) of bytes 4 to the payload's end |
//! | 4 | 4 | payload length, as stored: at most [`MAX_PAYLOAD`] |
//! | 8 | 4 | payload length after decryption and decompression: at most [`MAX_RAW`] |
//! | 12 | 1 | codec: 0 none, 1 LZ4 block, 2 ZSTD, 3 StreamVByte |
//! | 13 | 1 | flags: see [`Flags`] |
//! | 14 | 2 | zero |
//! | 16 | 4 | partition |
//! | 20 | 4 | map index |
//! | 24 | 8 | attempt |
//! | 32 | 4 | sequence number of the block within (attempt, partition), from 0 |
//! | 36 | 4 | items that begin in the block |
//!
//! The decoded payload is a row of items: a 32-bit length, then that many bytes. An item larger than a block goes on
//! in the next ones (sequence numbers in a row, [`Flags::CONTINUES`] on all but the last of them), and nothing else is in
//! these blocks.
//!
//! Every (attempt, partition) that has any block has exactly one with [`Flags::LAST`], and it has the highest
//! sequence number. So a reader that holds blocks 0 to n and finds LAST on n knows, by the writer's own signature,
//! that nothing is missing. A partition whose last records were sent earlier gets an empty last block.

use crate::{
    ids::Attempt,
    wire::{Fields, Malformed},
};

/// The header's length in bytes.
pub const HEADER_LEN: usize = 40;
/// The longest stored payload in bytes.
pub const MAX_PAYLOAD: usize = 4 << 20;
/// The longest decoded payload in bytes.
pub const MAX_RAW: usize = 4 << 20;

const FORMAT: &str = "block header";

/// How a payload is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Codec {
    /// As it is.
    None,
    /// LZ4's block format, without a length in front.
    #[default]
    Lz4,
    /// One ZSTD frame.
    Zstd,
    /// 32-bit words without their leading zero bytes, as the client's `codec/stream_vbyte.rs` has it.
    StreamVByte,
}

impl Codec {
    /// The code in the header.
    pub fn code(self) -> u8 {
        match self {
            Codec::None => 0,
            Codec::Lz4 => 1,
            Codec::Zstd => 2,
            Codec::StreamVByte => 3,
        }
    }

    /// The codec of a code.
    pub fn from_code(code: u8) -> Result<Self, Malformed> {
        match code {
            0 => Ok(Codec::None),
            1 => Ok(Codec::Lz4),
            2 => Ok(Codec::Zstd),
            3 => Ok(Codec::StreamVByte),
            _ => Err(Malformed::new(FORMAT, format!("codec {code} is unknown"))),
        }
    }
}

/// The flags of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(u8);

impl Flags {
    /// The last block of its (attempt, partition).
    pub const LAST: Flags = Flags(1);
    /// The block's last item goes on in the next block.
    pub const CONTINUES: Flags = Flags(2);
    /// The payload is encrypted: a 12-byte nonce, the ciphertext, a 16-byte tag (AES-GCM).
    pub const ENCRYPTED: Flags = Flags(4);

    const KNOWN: u8 = 7;

    /// Whether all flags of `other` are set.
    pub fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// These flags and those.
    #[must_use]
    pub fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// The byte in the header.
    pub fn bits(self) -> u8 {
        self.0
    }
}

/// A block's header, without its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the payload as stored.
    pub payload_len: u32,
    /// Bytes of the payload when decoded.
    pub raw_len: u32,
    /// How it is compressed.
    pub codec: Codec,
    /// What is special about it.
    pub flags: Flags,
    /// The partition that it belongs to.
    pub partition: u32,
    /// The attempt that wrote it.
    pub attempt: Attempt,
    /// Its number within (attempt, partition).
    pub seq: u32,
    /// Items that begin in it.
    pub items: u32,
}

impl Header {
    /// Header and payload together, in bytes.
    pub fn block_len(&self) -> usize {
        HEADER_LEN + self.payload_len as usize
    }

    /// Writes the header, with the checksum of itself and of the payload, into the first bytes of `block`, whose
    /// remaining bytes must be the payload.
    ///
    /// # Panics
    /// If `block` is not exactly as long as the header says.
    pub fn seal(&self, block: &mut [u8]) {
        assert_eq!(block.len(), self.block_len(), "a block is its header and its payload");
        self.put(block);
        let crc = crc32fast::hash(&block[4..]);
        block[..4].copy_from_slice(&crc.to_le_bytes());
    }

    /// The header of a payload that is somewhere else, which `payload` has gone over, and the checksum of both.
    pub fn encode(&self, payload: &crc32fast::Hasher) -> ([u8; HEADER_LEN], u32) {
        let mut bytes = [0; HEADER_LEN];
        self.put(&mut bytes);
        let mut both = crc32fast::Hasher::new();
        both.update(&bytes[4..]);
        both.combine(payload);
        let crc = both.finalize();
        bytes[..4].copy_from_slice(&crc.to_le_bytes());
        (bytes, crc)
    }

    /// Writes all but the checksum, in whose place `bytes` keeps what it has.
    fn put(&self, bytes: &mut [u8]) {
        bytes[4..8].copy_from_slice(&self.payload_len.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.raw_len.to_le_bytes());
        bytes[12] = self.codec.code();
        bytes[13] = self.flags.bits();
        bytes[14..16].fill(0);
        bytes[16..20].copy_from_slice(&self.partition.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.attempt.map_index.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.attempt.attempt.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.seq.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.items.to_le_bytes());
    }

    /// Reads a header and checks its fields against their bounds, not the checksum.
    pub fn decode(bytes: &[u8]) -> Result<(Self, u32), Malformed> {
        let mut fields = Fields::new(FORMAT, bytes);
        let crc = fields.u32("checksum")?;
        let payload_len = fields.u32("payload length")?;
        let raw_len = fields.u32("raw length")?;
        let codec = Codec::from_code(fields.u8("codec")?)?;
        let flags = fields.u8("flags")?;
        let zero = fields.u16("reserved bytes")?;
        let partition = fields.u32("partition")?;
        let map_index = fields.u32("map index")?;
        let attempt = fields.u64("attempt")?;
        let seq = fields.u32("sequence number")?;
        let items = fields.u32("items")?;
        if payload_len as usize > MAX_PAYLOAD || raw_len as usize > MAX_RAW {
            return Err(Malformed::new(
                FORMAT,
                format!(
                    "a payload of {payload_len} bytes ({raw_len} decoded) is over the limit of {MAX_PAYLOAD} ({MAX_RAW})"
                ),
            ));
        }
        if flags & !Flags::KNOWN != 0 || zero != 0 {
            return Err(Malformed::new(FORMAT, format!("unknown flags {flags:#x} or reserved bytes {zero:#x}")));
        }
        let attempt = Attempt { map_index, attempt };
        Ok((Self { payload_len, raw_len, codec, flags: Flags(flags), partition, attempt, seq, items }, crc))
    }
}

/// A block that was checked: header, checksum and payload agree.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    /// The header.
    pub header: Header,
    /// The stored checksum.
    pub crc: u32,
    /// The payload as stored.
    pub payload: &'a [u8],
}

impl<'a> Block<'a> {
    /// Takes the block at the front of `bytes` and checks it; returns it and what follows it.
    pub fn split(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let (header, crc) = Header::decode(bytes)?;
        let len = header.block_len();
        if bytes.len() < len {
            return Err(Malformed::new("block", format!("{len} bytes are announced, {} are there", bytes.len())));
        }
        let (block, rest) = bytes.split_at(len);
        let found = crc32fast::hash(&block[4..]);
        if found != crc {
            return Err(Malformed::new(
                "block",
                format!(
                    "partition {} {} block {}: the checksum is {found:08x}, {crc:08x} was written",
                    header.partition, header.attempt, header.seq
                ),
            ));
        }
        Ok((Self { header, crc, payload: &block[HEADER_LEN..] }, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sealed(payload: &[u8]) -> Vec<u8> {
        let header = Header {
            payload_len: payload.len() as u32,
            raw_len: payload.len() as u32,
            codec: Codec::None,
            flags: Flags::LAST,
            partition: 7,
            attempt: Attempt { map_index: 3, attempt: 1 << 40 },
            seq: 2,
            items: 1,
        };
        let mut block = vec![0; HEADER_LEN];
        block.extend_from_slice(payload);
        header.seal(&mut block);
        block
    }

    #[test]
    fn a_header_is_the_same_for_a_payload_that_is_elsewhere() {
        let block = sealed(b"abc");
        let (header, crc) = Header::decode(&block).expect("sealed");
        let mut payload = crc32fast::Hasher::new();
        payload.update(b"abc");
        assert_eq!(header.encode(&payload), (*block.first_chunk().expect("long enough"), crc));
    }

    #[test]
    fn the_format_is_pinned() {
        let bytes = sealed(b"abc");
        let text: String = bytes[4..].iter().map(|byte| format!("{byte:02x}")).collect();
        let fields = ["03000000", "03000000", "00", "01", "0000", "07000000", "03000000", "0000000000010000"];
        assert_eq!(text, fields.concat() + "02000000" + "01000000" + "616263");
        assert_eq!(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]), crc32fast::hash(&bytes[4..]));
    }

    proptest! {
        #[test]
        fn any_flipped_bit_is_found(payload in proptest::collection::vec(any::<u8>(), 0..200), at in any::<proptest::sample::Index>(), bit in 0u8..8) {
            let mut bytes = sealed(&payload);
            prop_assert_eq!(Block::split(&bytes).expect("sealed").0.payload, &payload[..]);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(Block::split(&bytes).is_err());
        }

        #[test]
        fn random_bytes_are_refused_and_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Block::split(&bytes).is_err());
        }
    }
}
