//! The data plane's messages.
//!
//! # Format
//! A message is a header of [`HEADER_LEN`] bytes, a head of at most [`MAX_HEAD`] and a body of at most [`MAX_BODY`].
//! All numbers are little-endian.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 4 | CRC-32 of bytes 4 to 32 |
//! | 4 | 1 | kind: see [`Kind`] |
//! | 5 | 3 | zero |
//! | 8 | 8 | stream: chosen by the client, the same in every message that belongs to one request |
//! | 16 | 4 | head length |
//! | 20 | 4 | CRC-32 of the head |
//! | 24 | 4 | body length |
//! | 28 | 4 | blocks in the body; zero in [`Kind::Data`], whose sender may not have looked |
//!
//! So a receiver knows that the lengths are what the sender meant before it allocates a byte for them, and each block
//! in the body carries its own checksum. A body is whole blocks, one after another, nothing else.
//!
//! # A push, step by step
//! 1. The client opens a connection and says [`Hello`]: versions and its token. The worker answers [`Welcome`]: the
//!    version, who it is, and the window: how many body bytes may be on their way unacknowledged on this connection.
//! 2. [`Push`] names shuffle, shard, epoch, attempt and frame number, and the rest of the chain; the body is the
//!    frame's blocks. The worker reserves memory before it reads the body, checks every block, forwards the same body to
//!    the next of the chain, and answers [`Ack`] on the same stream when the whole chain has it.
//!    A frame that it has already is acknowledged again and dropped; one out of order is refused.
//! 3. The attempt's last frame on a shard carries [`Fin`]: what every worker of the chain must hold by now. It answers
//!    only if that is so, and the attempt is committed on the shard.
//! 4. If a member of the chain fails, the answer is a [`Failure`] of the kind `Broken` that names it. What was not
//!    acknowledged goes to the shard's next epoch; what was, is committed on the members that are left by a push of no
//!    blocks whose [`Fin`] *settles* the epoch: a worker may hold more frames than it says, which nobody was promised.
//!
//! A worker that owes an answer says [`Kind::Busy`] each second while it waits (for memory, for a disk, for the next of
//! the chain): one that is silent for much longer is not slow but gone.
//!
//! # A fetch, step by step
//! 1. [`Fetch`] names shard, epoch, a range of partitions and of map indexes, and the first credit in bytes.
//! 2. The worker sends [`Kind::Data`] messages of whole blocks while credit lasts (the message that uses it up may be
//!    larger than what was left), the client grants more by [`Credit`].
//! 3. [`End`] closes the stream and says how many bytes went out: fewer received is an error. The blocks
//!    come in no promised order, blocks of attempts that are not committed may be among them, and so may blocks of map
//!    indexes outside the range: the client takes what it wants.
//!
//! # Copies
//! A driver tells a worker to [`Replicate`] an epoch of a shard that another one has, and, once all copies are where
//! they should be, a worker that is being drained to [`Forget`] its own. Both are answered by [`Ack`].
//!
//! # Versions
//! | version | what is new |
//! |---|---|
//! | 1 | |
//! | 2 | the chain and settling in [`Push`], what to leave out in [`Fetch`], the hint in [`Ack`], the suspect in [`Failure`], [`Kind::Busy`], [`Replicate`], [`Forget`] |
//!
//! What version 1 has no room for is not sent to a peer that speaks it.

use std::ops::Range;

use crate::{
    error::{Error, Kind as ErrorKind},
    ids::{Attempt, Layout, Place, ShardKey, WorkerId},
    wire::{Fields, Malformed, put_str},
};

/// The first protocol version that this code speaks.
pub const MIN_VERSION: u16 = 1;
/// The newest protocol version that this code speaks.
pub const VERSION: u16 = 2;
/// The header's length in bytes.
pub const HEADER_LEN: usize = 32;
/// The longest head in bytes.
pub const MAX_HEAD: usize = 8 << 10;
/// The longest body in bytes: a block of the largest size always fits.
pub const MAX_BODY: usize = 16 << 20;
/// The longest token in bytes.
pub const MAX_TOKEN: usize = 4 << 10;
/// The most workers in a chain.
pub const MAX_CHAIN: usize = 8;
/// The most ranges of map indexes that a fetch may leave out.
pub const MAX_WITHOUT: usize = 512;

const MAX_ADDRESS: usize = 300;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Client: opens the connection, see [`Hello`].
    Hello = 1,
    /// Client: a frame of blocks, see [`Push`].
    Push = 2,
    /// Client: asks for blocks, see [`Fetch`].
    Fetch = 3,
    /// Client: more may be sent on this fetch, see [`Credit`].
    Credit = 4,
    /// Client: no more of this fetch is wanted; nothing answers.
    Cancel = 5,
    /// Client: delete a shuffle, see [`RemoveShuffle`]; answered by [`Kind::Ack`].
    RemoveShuffle = 6,
    /// Client: take a copy of an epoch of a shard, see [`Replicate`]; answered by [`Kind::Ack`].
    Replicate = 7,
    /// Client: delete the copy of an epoch of a shard, see [`Forget`]; answered by [`Kind::Ack`].
    Forget = 8,
    /// Worker: answers [`Hello`], see [`Welcome`].
    Welcome = 33,
    /// Worker: it is done as asked, see [`Ack`].
    Ack = 34,
    /// Worker: blocks of a fetch; no head.
    Data = 35,
    /// Worker: the fetch is complete, see [`End`].
    End = 36,
    /// Worker: the request failed, see [`Failure`].
    Failure = 37,
    /// Worker: it is alive and owes an answer on this connection; on stream 0, no head. Since version 2.
    Busy = 38,
}

impl Kind {
    const ALL: [Kind; 14] = [
        Kind::Hello,
        Kind::Push,
        Kind::Fetch,
        Kind::Credit,
        Kind::Cancel,
        Kind::RemoveShuffle,
        Kind::Replicate,
        Kind::Forget,
        Kind::Welcome,
        Kind::Ack,
        Kind::Data,
        Kind::End,
        Kind::Failure,
        Kind::Busy,
    ];
}

/// A message's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the message is.
    pub kind: Kind,
    /// The request that it belongs to.
    pub stream: u64,
    /// Bytes of the head.
    pub head_len: u32,
    /// Checksum of the head.
    pub head_crc: u32,
    /// Bytes of the body.
    pub body_len: u32,
    /// Blocks in the body; zero in [`Kind::Data`].
    pub blocks: u32,
}

impl Header {
    /// The header of a message with this `head` and a body of `body_len` bytes in `blocks` blocks.
    pub fn new(kind: Kind, stream: u64, head: &[u8], body_len: u32, blocks: u32) -> Self {
        Self { kind, stream, head_len: head.len() as u32, head_crc: crc32fast::hash(head), body_len, blocks }
    }

    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[4] = self.kind as u8;
        out[8..16].copy_from_slice(&self.stream.to_le_bytes());
        out[16..20].copy_from_slice(&self.head_len.to_le_bytes());
        out[20..24].copy_from_slice(&self.head_crc.to_le_bytes());
        out[24..28].copy_from_slice(&self.body_len.to_le_bytes());
        out[28..32].copy_from_slice(&self.blocks.to_le_bytes());
        let crc = crc32fast::hash(&out[4..]);
        out[..4].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a header and checks its checksum and its lengths against their bounds.
    pub fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Self, Malformed> {
        const FORMAT: &str = "message header";
        let mut fields = Fields::new(FORMAT, bytes);
        let crc = fields.u32("checksum")?;
        let found = crc32fast::hash(&bytes[4..]);
        if crc != found {
            return Err(Malformed::new(
                FORMAT,
                format!("the checksum is {found:08x}, {crc:08x} was sent; is the other side an Overhand client?"),
            ));
        }
        let code = fields.u8("kind")?;
        let zero = fields.take(3, "reserved bytes")?;
        let stream = fields.u64("stream")?;
        let head_len = fields.u32("head length")?;
        let head_crc = fields.u32("head checksum")?;
        let body_len = fields.u32("body length")?;
        let blocks = fields.u32("blocks")?;
        let kind = Kind::ALL
            .into_iter()
            .find(|kind| *kind as u8 == code)
            .ok_or_else(|| Malformed::new(FORMAT, format!("kind {code} is unknown")))?;
        if zero != [0; 3] {
            return Err(Malformed::new(FORMAT, "the reserved bytes are not zero"));
        }
        if head_len as usize > MAX_HEAD || body_len as usize > MAX_BODY {
            return Err(Malformed::new(
                FORMAT,
                format!("a head of {head_len} and a body of {body_len} bytes: {MAX_HEAD} and {MAX_BODY} are allowed"),
            ));
        }
        if !matches!(kind, Kind::Push | Kind::Data) && (body_len != 0 || blocks != 0) {
            return Err(Malformed::new(FORMAT, format!("{kind:?} has no body, {body_len} bytes are announced")));
        }
        if u64::from(blocks) * crate::block::HEADER_LEN as u64 > u64::from(body_len) {
            return Err(Malformed::new(FORMAT, format!("{blocks} blocks can't be in a body of {body_len} bytes")));
        }
        Ok(Self { kind, stream, head_len, head_crc, body_len, blocks })
    }

    /// Checks a head against this header's checksum.
    pub fn check_head(&self, head: &[u8]) -> Result<(), Malformed> {
        let found = crc32fast::hash(head);
        if found == self.head_crc {
            return Ok(());
        }
        Err(Malformed::new(
            "message head",
            format!("{:?}: the checksum is {found:08x}, {:08x} was sent", self.kind, self.head_crc),
        ))
    }
}

/// A message without a body, ready to be sent.
pub fn message(kind: Kind, stream: u64, head: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_LEN + head.len());
    out.extend_from_slice(&Header::new(kind, stream, head, 0, 0).encode());
    out.extend_from_slice(head);
    out
}

/// Opens a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The oldest version that the client speaks.
    pub min_version: u16,
    /// The newest version that the client speaks.
    pub max_version: u16,
    /// The application's token.
    pub token: String,
}

impl Hello {
    const MAGIC: u64 = u64::from_le_bytes(*b"OVERHAND");

    /// The hello of this code with this token.
    pub fn new(token: impl Into<String>) -> Self {
        Self { min_version: MIN_VERSION, max_version: VERSION, token: token.into() }
    }

    /// The head's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + self.token.len());
        out.extend_from_slice(&Self::MAGIC.to_le_bytes());
        out.extend_from_slice(&self.min_version.to_le_bytes());
        out.extend_from_slice(&self.max_version.to_le_bytes());
        put_str(&mut out, &self.token);
        out
    }

    /// Reads the head's bytes.
    pub fn decode(head: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::new("hello", head);
        if fields.u64("magic")? != Self::MAGIC {
            return Err(fields.malformed("it does not start with OVERHAND".into()));
        }
        let min_version = fields.u16("oldest version")?;
        let max_version = fields.u16("newest version")?;
        let token = fields.str(MAX_TOKEN, "token")?.to_owned();
        fields.end()?;
        Ok(Self { min_version, max_version, token })
    }

    /// The newest version that both sides speak.
    pub fn negotiate(&self) -> Result<u16, Error> {
        let version = self.max_version.min(VERSION);
        if version < self.min_version || version < MIN_VERSION {
            let text = format!(
                "the client speaks protocol versions {} to {}, this worker {MIN_VERSION} to {VERSION}: upgrade the older side",
                self.min_version, self.max_version
            );
            return Err(Error::new(ErrorKind::Stale, text));
        }
        Ok(version)
    }
}

/// Answers [`Hello`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Welcome {
    /// The version that both sides speak from here on.
    pub version: u16,
    /// Who answers.
    pub worker: WorkerId,
    /// Body bytes that may be on their way unacknowledged on this connection.
    pub window: u64,
}

impl Welcome {
    /// The head's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(34);
        out.extend_from_slice(&self.version.to_le_bytes());
        put_worker(&mut out, &self.worker);
        out.extend_from_slice(&self.window.to_le_bytes());
        out
    }

    /// Reads the head's bytes.
    pub fn decode(head: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::new("welcome", head);
        let version = fields.u16("version")?;
        let worker = worker(&mut fields)?;
        let window = fields.u64("window")?;
        fields.end()?;
        Ok(Self { version, worker, window })
    }
}

/// What a worker must hold of an attempt on a shard's epoch when its last frame is there, that frame included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fin {
    /// Frames that carried blocks or this.
    pub frames: u32,
    /// Blocks.
    pub blocks: u64,
    /// Bytes of blocks, headers included.
    pub bytes: u64,
    /// All the blocks' checksums, joined by exclusive or.
    pub crc_xor: u32,
}

/// How an attempt ends on an epoch of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// The worker must hold exactly this.
    Whole(Fin),
    /// The attempt went on in another epoch: of the frames that the worker holds, the first [`Fin::frames`] count,
    /// and these add up to this. Since version 2.
    Settled(Fin),
}

impl Last {
    /// What it says of the frames that count.
    pub fn fin(&self) -> &Fin {
        match self {
            Last::Whole(fin) | Last::Settled(fin) => fin,
        }
    }
}

/// A frame of blocks: all of one attempt, all for one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// Where the blocks belong.
    pub key: ShardKey,
    /// How the shuffle's partitions are split, so that a worker can check every block's partition.
    pub layout: Layout,
    /// Who wrote them.
    pub attempt: Attempt,
    /// The frame's number within (attempt, shard, epoch), from 0, without gaps. A frame that settles is none of them:
    /// it has no blocks, and as its number the count of those that count.
    pub frame: u32,
    /// Present in the attempt's last frame on this epoch.
    pub last: Option<Last>,
    /// Who comes after the receiver in the chain, at most [`MAX_CHAIN`]; the next one first. Since version 2.
    pub chain: Vec<Place>,
}

impl Push {
    /// The head's bytes in `version`.
    ///
    /// # Errors
    /// `Stale` if that version can't say it.
    pub fn encode(&self, version: u16) -> Result<Vec<u8>, Error> {
        let mut out = Vec::with_capacity(96);
        put_key(&mut out, &self.key);
        out.extend_from_slice(&self.layout.partitions().to_le_bytes());
        out.extend_from_slice(&self.layout.shards().to_le_bytes());
        out.extend_from_slice(&self.attempt.map_index.to_le_bytes());
        out.extend_from_slice(&self.attempt.attempt.to_le_bytes());
        out.extend_from_slice(&self.frame.to_le_bytes());
        out.push(match &self.last {
            None => 0,
            Some(Last::Whole(_)) => 1,
            Some(Last::Settled(_)) => 2,
        });
        if let Some(last) = &self.last {
            put_fin(&mut out, last.fin());
        }
        if version >= 2 {
            out.push(self.chain.len() as u8);
            self.chain.iter().for_each(|place| put_place(&mut out, place));
        } else if !self.chain.is_empty() || matches!(self.last, Some(Last::Settled(_))) {
            let text = "this worker speaks protocol version 1, which knows neither replicas nor epochs: upgrade it";
            return Err(Error::new(ErrorKind::Stale, text));
        }
        Ok(out)
    }

    /// Reads the head's bytes of `version`; the shard is one of the layout.
    pub fn decode(head: &[u8], version: u16) -> Result<Self, Malformed> {
        let mut fields = Fields::new("push", head);
        let (key, layout) = (key(&mut fields)?, layout(&mut fields)?);
        if key.shard >= layout.shards() {
            return Err(fields.malformed(format!("shard {} of a shuffle with {} shards", key.shard, layout.shards())));
        }
        let map_index = fields.u32("map index")?;
        let attempt = Attempt { map_index, attempt: fields.u64("attempt")? };
        let frame = fields.u32("frame")?;
        let last = match fields.u8("last")? {
            0 => None,
            1 => Some(Last::Whole(fin(&mut fields)?)),
            2 if version >= 2 => Some(Last::Settled(fin(&mut fields)?)),
            other => return Err(fields.malformed(format!("last is {other}: 0, 1 or 2 is expected"))),
        };
        let mut chain = vec![];
        if version >= 2 {
            let count = usize::from(fields.u8("chain")?);
            if count > MAX_CHAIN {
                return Err(fields.malformed(format!("a chain of {count} more workers: {MAX_CHAIN} are allowed")));
            }
            for _ in 0..count {
                chain.push(place(&mut fields)?);
            }
        }
        fields.end()?;
        Ok(Self { key, layout, attempt, frame, last, chain })
    }
}

/// Asks for the blocks of a range of partitions and of map indexes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// Of which shard and epoch.
    pub key: ShardKey,
    /// Half-open; it may reach beyond the shard.
    pub partitions: Range<u32>,
    /// Half-open.
    pub maps: Range<u32>,
    /// Body bytes that may be sent before more is granted.
    pub credit: u64,
    /// Half-open ranges of map indexes that the client has already, in order and apart, at most [`MAX_WITHOUT`]: a
    /// worker leaves them out where that is cheap. Since version 2.
    pub without: Vec<Range<u32>>,
    /// The epoch ends here: the worker refuses new data for it from now on, so that what is fetched is all there will
    /// be. Copies are taken like this. Since version 2.
    pub ends: bool,
}

impl Fetch {
    /// The head's bytes in `version`.
    pub fn encode(&self, version: u16) -> Vec<u8> {
        let mut out = Vec::with_capacity(40 + 8 * self.without.len());
        put_key(&mut out, &self.key);
        for number in [self.partitions.start, self.partitions.end, self.maps.start, self.maps.end] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.credit.to_le_bytes());
        if version >= 2 {
            let without = &self.without[..self.without.len().min(MAX_WITHOUT)];
            out.extend_from_slice(&(without.len() as u16).to_le_bytes());
            for range in without {
                out.extend_from_slice(&range.start.to_le_bytes());
                out.extend_from_slice(&range.end.to_le_bytes());
            }
            out.push(u8::from(self.ends));
        }
        out
    }

    /// Reads the head's bytes of `version`.
    pub fn decode(head: &[u8], version: u16) -> Result<Self, Malformed> {
        let mut fields = Fields::new("fetch", head);
        let key = key(&mut fields)?;
        let partitions = fields.u32("first partition")?..fields.u32("end of partitions")?;
        let maps = fields.u32("first map index")?..fields.u32("end of map indexes")?;
        let credit = fields.u64("credit")?;
        if partitions.start > partitions.end || maps.start > maps.end {
            return Err(fields.malformed(format!(
                "the range of partitions {partitions:?} or of map indexes {maps:?} ends before it starts"
            )));
        }
        let mut without: Vec<Range<u32>> = vec![];
        let mut ends = false;
        if version >= 2 {
            let count = usize::from(fields.u16("ranges to leave out")?);
            if count > MAX_WITHOUT {
                return Err(fields.malformed(format!("{count} ranges to leave out: {MAX_WITHOUT} are allowed")));
            }
            for _ in 0..count {
                let range =
                    fields.u32("first map index to leave out")?..fields.u32("end of map indexes to leave out")?;
                if range.is_empty() || without.last().is_some_and(|before| before.end >= range.start) {
                    return Err(fields.malformed(format!("the range to leave out {range:?} is empty or out of order")));
                }
                without.push(range);
            }
            ends = match fields.u8("ends")? {
                0 => false,
                1 => true,
                other => return Err(fields.malformed(format!("ends is {other}: 0 or 1 is expected"))),
            };
        }
        fields.end()?;
        Ok(Self { key, partitions, maps, credit, without, ends })
    }
}

/// Lets a worker send more of a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credit {
    /// More body bytes that may be sent.
    pub bytes: u64,
}

impl Credit {
    /// The head's bytes.
    pub fn encode(&self) -> Vec<u8> {
        self.bytes.to_le_bytes().to_vec()
    }

    /// Reads the head's bytes.
    pub fn decode(head: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::new("credit", head);
        let bytes = fields.u64("bytes")?;
        fields.end()?;
        Ok(Self { bytes })
    }
}

/// Deletes a shuffle of the connection's application; deleting one that is not there is no error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoveShuffle {
    /// Which one.
    pub shuffle: u32,
}

impl RemoveShuffle {
    /// The head's bytes.
    pub fn encode(&self) -> Vec<u8> {
        self.shuffle.to_le_bytes().to_vec()
    }

    /// Reads the head's bytes.
    pub fn decode(head: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::new("remove shuffle", head);
        let shuffle = fields.u32("shuffle")?;
        fields.end()?;
        Ok(Self { shuffle })
    }
}

/// Tells a worker to take a copy of everything that another one holds of an epoch of a shard of the connection's
/// application, and to answer when it has it. Having it already is no error. Since version 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replicate {
    /// Which shard and epoch.
    pub key: ShardKey,
    /// How the shuffle's partitions are split.
    pub layout: Layout,
    /// Who has it.
    pub from: Place,
}

impl Replicate {
    /// The head's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        put_key(&mut out, &self.key);
        out.extend_from_slice(&self.layout.partitions().to_le_bytes());
        out.extend_from_slice(&self.layout.shards().to_le_bytes());
        put_place(&mut out, &self.from);
        out
    }

    /// Reads the head's bytes; the shard is one of the layout.
    pub fn decode(head: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::new("replicate", head);
        let (key, layout) = (key(&mut fields)?, layout(&mut fields)?);
        if key.shard >= layout.shards() {
            return Err(fields.malformed(format!("shard {} of a shuffle with {} shards", key.shard, layout.shards())));
        }
        let from = place(&mut fields)?;
        fields.end()?;
        Ok(Self { key, layout, from })
    }
}

/// Tells a worker to delete its copy of an epoch of a shard of the connection's application: others have it. Having
/// none is no error. Since version 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forget {
    /// Which shard and epoch.
    pub key: ShardKey,
}

impl Forget {
    /// The head's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(12);
        put_key(&mut out, &self.key);
        out
    }

    /// Reads the head's bytes.
    pub fn decode(head: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::new("forget", head);
        let key = key(&mut fields)?;
        fields.end()?;
        Ok(Self { key })
    }
}

/// It is done as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ack {
    /// The shard's epoch has grown so large that its next data should go to a new one, on other workers. Since version
    /// 2.
    pub split: bool,
}

impl Ack {
    /// The head's bytes in `version`; none unless there is something to say.
    pub fn encode(&self, version: u16) -> &'static [u8] {
        if self.split && version >= 2 { &[1] } else { &[] }
    }

    /// Reads the head's bytes.
    pub fn decode(head: &[u8]) -> Result<Self, Malformed> {
        match head {
            [] | [0] => Ok(Self { split: false }),
            [1] => Ok(Self { split: true }),
            _ => Err(Malformed::new("acknowledgement", format!("{} bytes that mean nothing", head.len()))),
        }
    }
}

/// Closes a fetch that went well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct End {
    /// Body bytes that were sent on the stream.
    pub bytes: u64,
}

impl End {
    /// The head's bytes.
    pub fn encode(&self) -> Vec<u8> {
        self.bytes.to_le_bytes().to_vec()
    }

    /// Reads the head's bytes.
    pub fn decode(head: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::new("end", head);
        let bytes = fields.u64("bytes")?;
        fields.end()?;
        Ok(Self { bytes })
    }
}

/// A request failed: the kind and the text of an [`Error`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub error: Error,
    /// With `Broken`: the member of the chain that failed. Since version 2.
    pub suspect: Option<WorkerId>,
}

impl Failure {
    const MAX_TEXT: usize = 4 << 10;

    /// A failure that is nobody else's fault.
    pub fn new(error: Error) -> Self {
        Self { error, suspect: None }
    }

    /// The head's bytes in `version`; a long text is cut.
    pub fn encode(&self, version: u16) -> Vec<u8> {
        let text = self.error.message();
        let mut len = text.len().min(Self::MAX_TEXT);
        while !text.is_char_boundary(len) {
            len -= 1;
        }
        let mut out = vec![self.error.kind().code()];
        put_str(&mut out, &text[..len]);
        if let Some(suspect) = self.suspect
            && version >= 2
        {
            put_worker(&mut out, &suspect);
        }
        out
    }

    /// Reads the head's bytes.
    pub fn decode(head: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::new("failure", head);
        let kind = ErrorKind::from_code(fields.u8("kind")?);
        let text = fields.str(Self::MAX_TEXT, "text")?.to_owned();
        let suspect = if fields.is_empty() { None } else { Some(worker(&mut fields)?) };
        fields.end()?;
        Ok(Self { error: Error::new(kind, text), suspect })
    }
}

fn put_key(out: &mut Vec<u8>, key: &ShardKey) {
    for number in [key.shuffle, key.shard, key.epoch] {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

fn key(fields: &mut Fields<'_>) -> Result<ShardKey, Malformed> {
    Ok(ShardKey { shuffle: fields.u32("shuffle")?, shard: fields.u32("shard")?, epoch: fields.u32("epoch")? })
}

fn layout(fields: &mut Fields<'_>) -> Result<Layout, Malformed> {
    Layout::new(fields.u32("partitions")?, fields.u32("shards")?)
}

fn put_fin(out: &mut Vec<u8>, fin: &Fin) {
    out.extend_from_slice(&fin.frames.to_le_bytes());
    out.extend_from_slice(&fin.blocks.to_le_bytes());
    out.extend_from_slice(&fin.bytes.to_le_bytes());
    out.extend_from_slice(&fin.crc_xor.to_le_bytes());
}

fn fin(fields: &mut Fields<'_>) -> Result<Fin, Malformed> {
    Ok(Fin {
        frames: fields.u32("frames")?,
        blocks: fields.u64("blocks")?,
        bytes: fields.u64("bytes")?,
        crc_xor: fields.u32("checksums")?,
    })
}

fn put_worker(out: &mut Vec<u8>, worker: &WorkerId) {
    out.extend_from_slice(&worker.id.as_u128().to_le_bytes());
    out.extend_from_slice(&worker.incarnation.to_le_bytes());
}

fn worker(fields: &mut Fields<'_>) -> Result<WorkerId, Malformed> {
    let id = uuid::Uuid::from_u128(fields.u128("worker id")?);
    Ok(WorkerId { id, incarnation: fields.u64("incarnation")? })
}

fn put_place(out: &mut Vec<u8>, place: &Place) {
    put_worker(out, &place.worker);
    put_str(out, &place.address);
}

fn place(fields: &mut Fields<'_>) -> Result<Place, Malformed> {
    Ok(Place { worker: worker(fields)?, address: fields.str(MAX_ADDRESS, "address")?.to_owned() })
}

#[cfg(test)]
mod tests;
