//! The data plane's messages over a blocking socket.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    ops::Range,
};

use overhand_common::{
    Error,
    block::{self, Block, Codec, Flags},
    ids::{Attempt, Layout, ShardKey, WorkerId},
    message::{
        Ack, Credit, End, Failure, Fetch, Fin, HEADER_LEN, Header, Hello, Kind, Last, Push, RemoveShuffle, VERSION,
        Welcome, message,
    },
};

use super::PATIENCE;

/// Partitions of every shuffle in these tests, all in one shard.
pub const PARTITIONS: u32 = 4;

/// A connection.
pub struct Wire {
    pub stream: TcpStream,
    /// Who answered the hello.
    pub worker: Option<WorkerId>,
    version: u16,
    next: u64,
}

/// A message as it came.
#[derive(Debug)]
pub struct Piece {
    pub header: Header,
    pub head: Vec<u8>,
    pub body: Vec<u8>,
}

/// A sealed block.
pub fn block(partition: u32, map_index: u32, attempt: u64, seq: u32, last: bool, payload: &[u8]) -> Vec<u8> {
    let header = block::Header {
        payload_len: payload.len() as u32,
        raw_len: payload.len() as u32,
        codec: Codec::None,
        flags: if last { Flags::LAST } else { Flags::default() },
        partition,
        attempt: Attempt { map_index, attempt },
        seq,
        items: 1,
    };
    let mut bytes = vec![0; block::HEADER_LEN];
    bytes.extend_from_slice(payload);
    header.seal(&mut bytes);
    bytes
}

/// The FIN that is right for these blocks in this many frames.
pub fn fin_of(frames: u32, blocks: &[Vec<u8>]) -> Fin {
    let crc = |block: &Vec<u8>| u32::from_le_bytes(block[..4].try_into().expect("a block has a header"));
    Fin {
        frames,
        blocks: blocks.len() as u64,
        bytes: blocks.iter().map(|block| block.len() as u64).sum(),
        crc_xor: blocks.iter().fold(0, |xor, block| xor ^ crc(block)),
    }
}

/// The only shard of a shuffle.
pub fn shard(shuffle: u32) -> ShardKey {
    ShardKey { shuffle, shard: 0, epoch: 0 }
}

impl Wire {
    /// Connects and says hello; the error is the worker's.
    pub fn connect(address: &str, token: &str) -> Result<Self, Error> {
        Self::connect_with(address, Hello::new(token))
    }

    /// Connects and says this hello; the error is the worker's.
    pub fn connect_with(address: &str, hello: Hello) -> Result<Self, Error> {
        let mut wire = Self::silent(address);
        wire.send(&message(Kind::Hello, 1, &hello.encode()));
        let answer = wire.receive().expect("answered");
        match answer.header.kind {
            Kind::Welcome => {
                let welcome = Welcome::decode(&answer.head).expect("well formed");
                wire.worker = Some(welcome.worker);
                wire.version = welcome.version;
                Ok(wire)
            }
            Kind::Failure => Err(Failure::decode(&answer.head).expect("well formed").error),
            other => panic!("{other:?} is no answer to a hello"),
        }
    }

    /// Connects and says nothing.
    pub fn silent(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("the data plane answers");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        Self { stream, worker: None, version: VERSION, next: 10 }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("sent");
    }

    /// A number for a new request.
    pub fn stream_id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// The next message; an error when the worker has closed.
    pub fn receive(&mut self) -> io::Result<Piece> {
        let mut bytes = [0; HEADER_LEN];
        self.stream.read_exact(&mut bytes)?;
        let header = Header::decode(&bytes).expect("the worker's headers are right");
        let mut head = vec![0; header.head_len as usize];
        self.stream.read_exact(&mut head)?;
        header.check_head(&head).expect("the worker's heads are right");
        let mut body = vec![0; header.body_len as usize];
        self.stream.read_exact(&mut body)?;
        Ok(Piece { header, head, body })
    }

    /// The failure that must come next.
    pub fn receive_failure(&mut self) -> Error {
        let answer = self.receive().expect("answered");
        assert_eq!(answer.header.kind, Kind::Failure);
        Failure::decode(&answer.head).expect("well formed").error
    }

    /// Whether the worker has closed the connection.
    pub fn is_closed(&mut self) -> bool {
        let mut rest = vec![];
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => rest.is_empty(),
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    /// Waits for the answer to a request without a body in its answer.
    pub fn ack(&mut self) -> Result<(), Error> {
        self.answer().1.map(drop).map_err(|failure| failure.error)
    }

    /// Waits for the next answer to a request without a body in its answer, however long the worker says that it is
    /// busy: of which stream, and what.
    pub fn answer(&mut self) -> (u64, Result<Ack, Failure>) {
        loop {
            let answer = self.receive().expect("answered");
            let outcome = match answer.header.kind {
                Kind::Busy => continue,
                Kind::Ack => Ok(Ack::decode(&answer.head).expect("well formed")),
                Kind::Failure => Err(Failure::decode(&answer.head).expect("well formed")),
                other => panic!("{other:?} is no acknowledgement"),
            };
            return (answer.header.stream, outcome);
        }
    }

    /// Sends a frame; returns its stream.
    pub fn send_push(&mut self, push: &Push, blocks: &[Vec<u8>]) -> u64 {
        let stream = self.stream_id();
        let head = push.encode(self.version).expect("can be said");
        let body = blocks.concat();
        let header = Header::new(Kind::Push, stream, &head, body.len() as u32, blocks.len() as u32);
        self.send(&[&header.encode()[..], &head, &body].concat());
        stream
    }

    /// The bytes of a frame.
    pub fn frame(
        stream: u64,
        shuffle: u32,
        attempt: Attempt,
        frame: u32,
        blocks: &[Vec<u8>],
        fin: Option<Fin>,
    ) -> Vec<u8> {
        let layout = Layout::new(PARTITIONS, 1).expect("in bounds");
        let (key, last) = (shard(shuffle), fin.map(Last::Whole));
        let head = Push { key, layout, attempt, frame, last, chain: vec![] }.encode(VERSION).expect("can be said");
        let body = blocks.concat();
        let header = Header::new(Kind::Push, stream, &head, body.len() as u32, blocks.len() as u32);
        [&header.encode()[..], &head, &body].concat()
    }

    /// Pushes a frame and waits for the answer.
    pub fn push(
        &mut self,
        shuffle: u32,
        map_index: u32,
        attempt: u64,
        frame: u32,
        blocks: &[Vec<u8>],
        fin: Option<Fin>,
    ) -> Result<(), Error> {
        let id = self.stream_id();
        self.send(&Self::frame(id, shuffle, Attempt { map_index, attempt }, frame, blocks, fin));
        self.ack()
    }

    /// Pushes a whole attempt in one frame.
    pub fn push_all(&mut self, shuffle: u32, map_index: u32, attempt: u64, blocks: &[Vec<u8>]) -> Result<(), Error> {
        self.push(shuffle, map_index, attempt, 0, blocks, Some(fin_of(1, blocks)))
    }

    /// Fetches everything in range, a credit of one byte at a time, so that each message needs a new one. Returns the
    /// blocks, none of which was checked but for its length.
    pub fn fetch(&mut self, shuffle: u32, partitions: Range<u32>, maps: Range<u32>) -> Result<Vec<Vec<u8>>, Error> {
        let id = self.stream_id();
        let fetch = Fetch { key: shard(shuffle), partitions, maps, credit: 1, without: vec![], ends: false };
        self.send(&message(Kind::Fetch, id, &fetch.encode(self.version)));
        let mut bytes = vec![];
        loop {
            let answer = self.receive().expect("answered");
            assert!(answer.header.stream == id || answer.header.kind == Kind::Busy);
            match answer.header.kind {
                Kind::Busy => {}
                Kind::Data => {
                    bytes.extend_from_slice(&answer.body);
                    self.send(&message(Kind::Credit, id, &Credit { bytes: answer.body.len() as u64 }.encode()));
                }
                Kind::End => {
                    let end = End::decode(&answer.head).expect("well formed");
                    assert_eq!(end.bytes, bytes.len() as u64);
                    return Ok(split(&bytes));
                }
                Kind::Failure => return Err(Failure::decode(&answer.head).expect("well formed").error),
                other => panic!("{other:?} is no part of a fetch"),
            }
        }
    }

    /// Deletes a shuffle.
    pub fn remove(&mut self, shuffle: u32) -> Result<(), Error> {
        let id = self.stream_id();
        self.send(&message(Kind::RemoveShuffle, id, &RemoveShuffle { shuffle }.encode()));
        self.ack()
    }
}

/// Blocks by their lengths; what can't be split is one block more.
fn split(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut blocks = vec![];
    while !bytes.is_empty() {
        let len = block::Header::decode(bytes).map_or(bytes.len(), |(header, _)| header.block_len().min(bytes.len()));
        blocks.push(bytes[..len].to_vec());
        bytes = &bytes[len..];
    }
    blocks
}

/// Whether a block's checksum holds.
pub fn is_sound(bytes: &[u8]) -> bool {
    Block::split(bytes).is_ok_and(|(_, rest)| rest.is_empty())
}
