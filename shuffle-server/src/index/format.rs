//! Keys and values.
//!
//! Numbers in keys are big-endian, so that keys sort as they do; numbers in values are little-endian. An application's
//! id is its text followed by a zero byte, which no id contains.
//!
//! | key | value |
//! |---|---|
//! | `v` | u32 version of this format: [`VERSION`] |
//! | `s`, u64 segment | a segment: u64 file length, u64 end of blocks, u64 blocks, then the preamble as in the file |
//! | `c`, u64 segment, u32 partition, u32 map index, u64 offset | a chunk of its cuts, at most [`CHUNK`], as in the file; the key is the first one |
//! | `a`, application, u32 shuffle, u32 shard, u32 epoch, u32 map index, u64 attempt | a commit: u32 frames, u64 blocks, u64 bytes, u32 checksums joined by exclusive or |
//! | `p`, as in the key of a commit | an attempt that was under way at a clean close: u32 partitions, u32 shards, then what a commit's value says, after each of its frames; gone when the store is open |
//! | `e`, application, u32 shuffle, u32 shard, u32 epoch | an epoch that took no new data any more at a clean close: nothing; gone when the store is open |
//! | `t`, application, u32 shuffle | the shuffle was removed: u64 attempt from which on it may begin anew |

use overhand_common::{
    ids::{AppId, Attempt, Layout, ShardKey},
    message::Fin,
    segment::{Cut, Identity},
};

use crate::segment::Extent;

/// The version of the format.
pub const VERSION: u32 = 1;
/// The most cuts in a chunk: a fetch reads as few of these as it needs.
pub const CHUNK: usize = 256;

const COMMIT_LEN: usize = 24;

/// The key of the version.
pub const VERSION_KEY: &[u8] = b"v";
/// The first byte of segments' keys.
pub const SEGMENTS: u8 = b's';
/// The first byte of cuts' keys.
pub const CUTS: u8 = b'c';
/// The first byte of commits' keys.
pub const COMMITS: u8 = b'a';
/// The first byte of the keys of attempts under way.
pub const UNDER_WAY: u8 = b'p';
/// The first byte of the keys of epochs that had ended.
pub const ENDED: u8 = b'e';
/// The first byte of tombstones' keys.
pub const TOMBSTONES: u8 = b't';

/// The key of a segment.
pub fn segment_key(number: u64) -> Vec<u8> {
    join(SEGMENTS, &[&number.to_be_bytes()])
}

/// The value of a segment.
pub fn segment_value(identity: &Identity, extent: &Extent) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    for number in [extent.len, extent.blocks_end, extent.blocks] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&identity.encode());
    out
}

/// Reads a segment's value.
pub fn read_segment(value: &[u8]) -> Option<(Identity, Extent)> {
    let (len, rest) = value.split_first_chunk()?;
    let (blocks_end, rest) = rest.split_first_chunk()?;
    let (blocks, preamble) = rest.split_first_chunk()?;
    let number = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    let (identity, _) = Identity::decode(preamble).ok()?;
    Some((identity, Extent { len: number(len), blocks_end: number(blocks_end), blocks: number(blocks) }))
}

/// The key of the chunk of cuts that begins with `first`; with partition, map index and offset 0 it is below all of
/// the segment's.
pub fn cuts_key(segment: u64, first: Cut) -> Vec<u8> {
    let Cut { partition, map_index, offset } = first;
    join(CUTS, &[&segment.to_be_bytes(), &partition.to_be_bytes(), &map_index.to_be_bytes(), &offset.to_be_bytes()])
}

/// What the keys of all of a segment's cuts begin with.
pub fn cuts_prefix(segment: u64) -> Vec<u8> {
    join(CUTS, &[&segment.to_be_bytes()])
}

/// The key of a commit, or of an attempt under way.
pub fn attempt_key(kind: u8, app: &AppId, key: &ShardKey, attempt: &Attempt) -> Vec<u8> {
    let mut out = shard_key(kind, app, key);
    out.extend_from_slice(&attempt.map_index.to_be_bytes());
    out.extend_from_slice(&attempt.attempt.to_be_bytes());
    out
}

/// The value of a commit.
pub fn commit_value(fin: &Fin) -> Vec<u8> {
    let mut out = Vec::with_capacity(COMMIT_LEN);
    out.extend_from_slice(&fin.frames.to_le_bytes());
    out.extend_from_slice(&fin.blocks.to_le_bytes());
    out.extend_from_slice(&fin.bytes.to_le_bytes());
    out.extend_from_slice(&fin.crc_xor.to_le_bytes());
    out
}

/// Reads the key of a commit, or of an attempt under way.
pub fn read_attempt_key(key: &[u8]) -> Option<(AppId, ShardKey, Attempt)> {
    let (app, key, rest) = read_shard_key(key)?;
    let (map_index, rest) = rest.split_first_chunk()?;
    let attempt = u64::from_be_bytes(rest.try_into().ok()?);
    Some((app, key, Attempt { map_index: u32::from_be_bytes(*map_index), attempt }))
}

/// Reads the front of a key that begins with an application and a shard's epoch; returns what follows too.
pub fn read_shard_key(key: &[u8]) -> Option<(AppId, ShardKey, &[u8])> {
    let (app, shuffle, rest) = read_shuffle_key(key)?;
    let (shard, rest) = rest.split_first_chunk()?;
    let (epoch, rest) = rest.split_first_chunk()?;
    let key = ShardKey { shuffle, shard: u32::from_be_bytes(*shard), epoch: u32::from_be_bytes(*epoch) };
    Some((app, key, rest))
}

/// Reads a commit's value.
pub fn read_commit_value(value: &[u8]) -> Option<Fin> {
    let (frames, value) = value.split_first_chunk()?;
    let (blocks, value) = value.split_first_chunk()?;
    let (bytes, crc_xor) = value.split_first_chunk()?;
    Some(Fin {
        frames: u32::from_le_bytes(*frames),
        blocks: u64::from_le_bytes(*blocks),
        bytes: u64::from_le_bytes(*bytes),
        crc_xor: u32::from_le_bytes(crc_xor.try_into().ok()?),
    })
}

/// The value of an attempt under way, with the sums after each of its frames.
pub fn under_way_value(layout: Layout, after: &[Fin]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + after.len() * COMMIT_LEN);
    out.extend_from_slice(&layout.partitions().to_le_bytes());
    out.extend_from_slice(&layout.shards().to_le_bytes());
    after.iter().for_each(|fin| out.extend(commit_value(fin)));
    out
}

/// Reads the value of an attempt under way.
pub fn read_under_way_value(value: &[u8]) -> Option<(Layout, Vec<Fin>)> {
    let (partitions, value) = value.split_first_chunk()?;
    let (shards, value) = value.split_first_chunk()?;
    let layout = Layout::new(u32::from_le_bytes(*partitions), u32::from_le_bytes(*shards)).ok()?;
    if !value.len().is_multiple_of(COMMIT_LEN) {
        return None;
    }
    let sums: Vec<Fin> = value.chunks_exact(COMMIT_LEN).map(read_commit_value).collect::<Option<_>>()?;
    sums.iter().zip(1..).all(|(fin, frames)| fin.frames == frames).then_some((layout, sums))
}

/// The key of an epoch that had ended, or what the keys of a shard's epoch's commits and attempts under way begin with.
pub fn shard_key(kind: u8, app: &AppId, key: &ShardKey) -> Vec<u8> {
    let mut out = shuffle_key(kind, app, key.shuffle);
    out.extend_from_slice(&key.shard.to_be_bytes());
    out.extend_from_slice(&key.epoch.to_be_bytes());
    out
}

/// The key of a tombstone, or what the keys of a shuffle's commits begin with.
pub fn shuffle_key(kind: u8, app: &AppId, shuffle: u32) -> Vec<u8> {
    join(kind, &[app.as_str().as_bytes(), &[0], &shuffle.to_be_bytes()])
}

/// What the keys of all of an application's records of a kind begin with.
pub fn app_prefix(kind: u8, app: &AppId) -> Vec<u8> {
    join(kind, &[app.as_str().as_bytes(), &[0]])
}

/// Reads the front of a key that begins with an application and a shuffle; returns what follows too.
pub fn read_shuffle_key(key: &[u8]) -> Option<(AppId, u32, &[u8])> {
    let rest = key.get(1..)?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    let app = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
    let (shuffle, rest) = rest[end + 1..].split_first_chunk()?;
    Some((app, u32::from_be_bytes(*shuffle), rest))
}

/// The first key after all that begin with `prefix`, whose last byte that is not 255 exists: the kind's is such a one.
pub fn after(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while end.last() == Some(&u8::MAX) {
        end.pop();
    }
    *end.last_mut().expect("a kind is below 255") += 1;
    end
}

fn join(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![kind];
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}
