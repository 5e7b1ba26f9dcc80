//! A segment: the immutable file that a memtable becomes, and that describes itself.
//!
//! # Format
//! All numbers are little-endian.
//!
//! | part | what |
//! |---|---|
//! | preamble | magic `OVHSEG01`, u32 length of the identity, u32 its CRC-32, the identity: see [`Identity`] |
//! | blocks | each with its header in line, sorted by partition, map index, attempt, sequence number |
//! | cuts | [`CUT_LEN`] bytes each: u32 partition, u32 map index, u64 offset of a block in the file |
//! | trailer | [`TRAILER_LEN`] bytes: u64 offset of the cuts, u32 cuts, u32 their CRC-32, u64 blocks, u32 CRC-32 of the trailer so far, u32 zero, magic `OVHSEGND` |
//!
//! A cut stands where a partition begins, and inside one at the first block that begins [`CUT_SPACING`] bytes or more
//! after the cut before. So the extent of a partition is found by two binary searches, a range of map tasks is a
//! sub-range of it, and an extent can be sent in pieces of whole blocks without reading them.

use std::ops::Range;

use crate::{
    ids::{AppId, Layout, ShardKey},
    wire::{Fields, Malformed, put_str},
};

/// The length of a cut in bytes.
pub const CUT_LEN: usize = 16;
/// The least distance of two cuts within one partition, in bytes.
pub const CUT_SPACING: u64 = 256 << 10;
/// The length of the trailer in bytes.
pub const TRAILER_LEN: usize = 40;
/// The longest preamble in bytes.
pub const MAX_PREAMBLE: usize = 512;

const MAGIC: &[u8; 8] = b"OVHSEG01";
const END_MAGIC: &[u8; 8] = b"OVHSEGND";
const FORMAT: &str = "segment";

/// Whose blocks a segment holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The application.
    pub app: AppId,
    /// The shard and its epoch.
    pub key: ShardKey,
    /// How the shuffle's partitions are split.
    pub layout: Layout,
    /// The segment's number, unique within its data folder.
    pub number: u64,
}

impl Identity {
    /// The file's first bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(64);
        put_str(&mut body, self.app.as_str());
        for number in [self.key.shuffle, self.key.shard, self.key.epoch, self.layout.partitions(), self.layout.shards()]
        {
            body.extend_from_slice(&number.to_le_bytes());
        }
        body.extend_from_slice(&self.number.to_le_bytes());
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&(body.len() as u32).to_le_bytes());
        out.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        out.extend_from_slice(&body);
        out
    }

    /// Reads the preamble at the front of `bytes` (the file's first [`MAX_PREAMBLE`] bytes, or all of a shorter one);
    /// returns it and its length, which is where the blocks begin.
    pub fn decode(bytes: &[u8]) -> Result<(Self, u64), Malformed> {
        let mut fields = Fields::new(FORMAT, bytes);
        if fields.take(8, "magic")? != MAGIC {
            return Err(fields.malformed("it does not start with OVHSEG01".into()));
        }
        let len = fields.u32("identity length")? as usize;
        let crc = fields.u32("identity checksum")?;
        let body = fields.take(len, "identity")?;
        if crc32fast::hash(body) != crc {
            return Err(Malformed::new(FORMAT, "the checksum of the identity does not match"));
        }
        let mut fields = Fields::new(FORMAT, body);
        let app = fields.str(AppId::MAX_LEN, "application")?.parse()?;
        let key =
            ShardKey { shuffle: fields.u32("shuffle")?, shard: fields.u32("shard")?, epoch: fields.u32("epoch")? };
        let layout = Layout::new(fields.u32("partitions")?, fields.u32("shards")?)?;
        let number = fields.u64("number")?;
        fields.end()?;
        Ok((Self { app, key, layout, number }, 16 + len as u64))
    }
}

/// A place where a block begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cut {
    /// The block's partition.
    pub partition: u32,
    /// The block's map index.
    pub map_index: u32,
    /// Where the block begins in the file.
    pub offset: u64,
}

impl Cut {
    /// The cut's bytes.
    pub fn encode(&self) -> [u8; CUT_LEN] {
        let mut out = [0; CUT_LEN];
        out[..4].copy_from_slice(&self.partition.to_le_bytes());
        out[4..8].copy_from_slice(&self.map_index.to_le_bytes());
        out[8..].copy_from_slice(&self.offset.to_le_bytes());
        out
    }

    /// Reads a row of cuts and checks that they ascend.
    pub fn decode_all(bytes: &[u8]) -> Result<Vec<Cut>, Malformed> {
        if !bytes.len().is_multiple_of(CUT_LEN) {
            return Err(Malformed::new(FORMAT, format!("{} bytes are no row of cuts", bytes.len())));
        }
        let mut cuts: Vec<Cut> = Vec::with_capacity(bytes.len() / CUT_LEN);
        for bytes in bytes.chunks_exact(CUT_LEN) {
            let mut fields = Fields::new(FORMAT, bytes);
            let cut = Cut {
                partition: fields.u32("partition")?,
                map_index: fields.u32("map index")?,
                offset: fields.u64("offset")?,
            };
            if let Some(before) = cuts.last()
                && ((before.partition, before.map_index) > (cut.partition, cut.map_index)
                    || before.offset >= cut.offset)
            {
                return Err(Malformed::new(FORMAT, format!("cut {cut:?} does not come after {before:?}")));
            }
            cuts.push(cut);
        }
        Ok(cuts)
    }
}

/// Decides, block by block as a segment is written, where its cuts stand.
#[derive(Debug, Default)]
pub struct Cutter {
    cuts: Vec<Cut>,
}

impl Cutter {
    /// Takes note of the block that begins at `offset`; blocks must come in the segment's order.
    pub fn block(&mut self, partition: u32, map_index: u32, offset: u64) {
        let cut = match self.cuts.last() {
            Some(last) => last.partition != partition || offset - last.offset >= CUT_SPACING,
            None => true,
        };
        if cut {
            self.cuts.push(Cut { partition, map_index, offset });
        }
    }

    /// The cuts so far.
    pub fn cuts(&self) -> &[Cut] {
        &self.cuts
    }
}

/// Which blocks of a shard's epoch a reader asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Half-open.
    pub partitions: Range<u32>,
    /// Half-open.
    pub maps: Range<u32>,
    /// Half-open ranges of map indexes that are left out, none empty, in order and apart.
    pub without: Vec<Range<u32>>,
}

impl Scope {
    /// The first map index from `map_index` on that is asked for; `None` if there is none.
    pub fn next_map(&self, map_index: u32) -> Option<u32> {
        let from = map_index.max(self.maps.start);
        let at = self.without.partition_point(|range| range.end <= from);
        let next = match self.without.get(at) {
            Some(range) if range.start <= from => range.end,
            _ => from,
        };
        (next < self.maps.end).then_some(next)
    }
}

/// The byte ranges of a segment, each of whole blocks, that together hold every block in `scope`; one range per pair of
/// neighbouring cuts, so that each can be sent on its own. `end` is where the blocks end.
/// Blocks of neighbouring map indexes may be in them too; blocks of other partitions never, and no range has only blocks
/// of map indexes that are not asked for, as far as the cuts tell.
pub fn pieces<'a>(cuts: &'a [Cut], end: u64, scope: &'a Scope) -> impl Iterator<Item = Range<u64>> + 'a {
    let first = cuts.partition_point(|cut| cut.partition < scope.partitions.start);
    let last = cuts.partition_point(|cut| cut.partition < scope.partitions.end);
    (first..last).filter_map(move |at| {
        let cut = cuts[at];
        let next = cuts.get(at + 1);
        // The block at the next cut may have the same map index as the last one before it.
        let highest = next.filter(|next| next.partition == cut.partition).map_or(u32::MAX, |next| next.map_index);
        let asked_for = scope.next_map(cut.map_index).is_some_and(|map_index| map_index <= highest);
        asked_for.then(|| cut.offset..next.map_or(end, |next| next.offset))
    })
}

/// The end of a segment: where its cuts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trailer {
    /// Where the cuts begin, which is where the blocks end.
    pub cuts_at: u64,
    /// How many cuts there are.
    pub cuts: u32,
    /// Checksum of the cuts' bytes.
    pub cuts_crc: u32,
    /// How many blocks there are.
    pub blocks: u64,
}

impl Trailer {
    /// The trailer's bytes.
    pub fn encode(&self) -> [u8; TRAILER_LEN] {
        let mut out = [0; TRAILER_LEN];
        out[..8].copy_from_slice(&self.cuts_at.to_le_bytes());
        out[8..12].copy_from_slice(&self.cuts.to_le_bytes());
        out[12..16].copy_from_slice(&self.cuts_crc.to_le_bytes());
        out[16..24].copy_from_slice(&self.blocks.to_le_bytes());
        let crc = crc32fast::hash(&out[..24]);
        out[24..28].copy_from_slice(&crc.to_le_bytes());
        out[32..].copy_from_slice(END_MAGIC);
        out
    }

    /// Reads the last [`TRAILER_LEN`] bytes of a file of `file_len` bytes, and checks that what it says fits.
    pub fn decode(bytes: &[u8], file_len: u64) -> Result<Self, Malformed> {
        let mut fields = Fields::new(FORMAT, bytes);
        let cuts_at = fields.u64("offset of the cuts")?;
        let cuts = fields.u32("number of cuts")?;
        let cuts_crc = fields.u32("checksum of the cuts")?;
        let blocks = fields.u64("number of blocks")?;
        let crc = fields.u32("checksum")?;
        let zero = fields.u32("reserved bytes")?;
        if fields.take(8, "magic")? != END_MAGIC || zero != 0 || crc != crc32fast::hash(&bytes[..24]) {
            return Err(Malformed::new(FORMAT, "its end is torn or damaged"));
        }
        fields.end()?;
        let len = (u64::from(cuts) * CUT_LEN as u64)
            .checked_add(TRAILER_LEN as u64)
            .and_then(|tail| tail.checked_add(cuts_at));
        if len != Some(file_len) {
            return Err(Malformed::new(
                FORMAT,
                format!("{cuts} cuts from byte {cuts_at} do not end at byte {file_len}"),
            ));
        }
        Ok(Self { cuts_at, cuts, cuts_crc, blocks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn identity() -> Identity {
        Identity {
            app: "app-1".parse().expect("valid"),
            key: ShardKey { shuffle: 1, shard: 2, epoch: 3 },
            layout: Layout::new(100, 4).expect("valid"),
            number: 99,
        }
    }

    fn without() -> impl Strategy<Value = Vec<Range<u32>>> {
        // Borders that ascend, every second of which ends a range.
        proptest::collection::btree_set(0u32..24, 0..8)
            .prop_map(|borders| borders.into_iter().collect::<Vec<_>>().chunks_exact(2).map(|c| c[0]..c[1]).collect())
    }

    #[test]
    fn preamble_and_trailer_come_back_as_they_were() {
        let bytes = identity().encode();
        assert_eq!(Identity::decode(&bytes), Ok((identity(), bytes.len() as u64)));
        let trailer = Trailer { cuts_at: 1000, cuts: 3, cuts_crc: 77, blocks: 12 };
        assert_eq!(Trailer::decode(&trailer.encode(), 1000 + 48 + 40), Ok(trailer));
        assert!(Trailer::decode(&trailer.encode(), 1000 + 48 + 39).is_err());
    }

    proptest! {
        #[test]
        fn any_flipped_bit_of_preamble_or_trailer_is_found(at in any::<proptest::sample::Index>(), bit in 0u8..8) {
            let mut bytes = identity().encode();
            let flip = at.index(bytes.len());
            bytes[flip] ^= 1 << bit;
            prop_assert!(Identity::decode(&bytes).is_err());
            let mut bytes = Trailer { cuts_at: 1000, cuts: 3, cuts_crc: 77, blocks: 12 }.encode();
            bytes[at.index(TRAILER_LEN)] ^= 1 << bit;
            prop_assert!(Trailer::decode(&bytes, 1088).is_err());
        }

        #[test]
        fn the_next_map_is_the_first_that_is_asked_for(
            maps in (0u32..21, 0u32..21),
            without in without(),
            from in 0u32..22,
        ) {
            let scope = Scope { partitions: 0..1, maps: maps.0.min(maps.1)..maps.1, without };
            let asked_for = |map: &u32| scope.maps.contains(map) && !scope.without.iter().any(|out| out.contains(map));
            prop_assert_eq!(scope.next_map(from), (from..40).find(asked_for));
        }

        #[test]
        fn pieces_hold_every_block_that_is_asked_for_and_no_other_partition(
            mut blocks in proptest::collection::vec((0u32..8, 0u32..20, 40u64..400_000), 1..60),
            partitions in (0u32..9, 0u32..9),
            maps in (0u32..21, 0u32..21),
            without in without(),
        ) {
            blocks.sort();
            let partitions = partitions.0.min(partitions.1)..partitions.1;
            let maps = maps.0.min(maps.1)..maps.1;
            let scope = Scope { partitions: partitions.clone(), maps: maps.clone(), without };
            let asked_for = |map: &u32| maps.contains(map) && !scope.without.iter().any(|out| out.contains(map));
            let mut cutter = Cutter::default();
            let mut offset = 100;
            let mut placed = vec![];
            for (partition, map_index, len) in blocks {
                cutter.block(partition, map_index, offset);
                placed.push((partition, map_index, offset));
                offset += len;
            }
            let row: Vec<u8> = cutter.cuts().iter().flat_map(Cut::encode).collect();
            let cuts = Cut::decode_all(&row).expect("in order");
            let pieces: Vec<_> = pieces(&cuts, offset, &scope).collect();
            for piece in &pieces {
                // What lies before a cut of the same partition is left out if all its map indexes are.
                let at = cuts.iter().position(|cut| cut.offset == piece.start).expect("a piece begins at a cut");
                let bounded = cuts.get(at + 1).filter(|next| next.partition == cuts[at].partition);
                let highest = bounded.map_or(maps.end.saturating_sub(1), |next| next.map_index);
                prop_assert!((cuts[at].map_index..=highest).any(|map| asked_for(&map)));
            }
            for (partition, map_index, offset) in placed {
                let times = pieces.iter().filter(|piece| piece.contains(&offset)).count();
                if partitions.contains(&partition) && asked_for(&map_index) {
                    prop_assert_eq!(times, 1);
                } else {
                    prop_assert!(times <= 1);
                    prop_assert!(times == 0 || partitions.contains(&partition));
                }
            }
        }
    }
}
