//! Batches of records in, blocks out.

use crate::Result;

/// Memory for records, off any heap, at an address that does not change; goes back to the client's pool when dropped.
///
/// Records are packed without gaps: a 32-bit partition, a 32-bit length (both little-endian), that many bytes.
#[derive(Debug)]
pub struct Chunk {}

impl Chunk {
    /// Where it starts.
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        todo!()
    }

    /// How many bytes it has.
    pub fn capacity(&self) -> usize {
        todo!()
    }

    /// Its bytes; what they are before they are written is left open.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        todo!()
    }
}

/// What a writer has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriteStats {
    /// Records taken.
    pub records: u64,
    /// Bytes of items, their lengths included, before compression.
    pub raw_bytes: u64,
    /// Bytes of blocks, headers included.
    pub stored_bytes: u64,
    /// Blocks made.
    pub blocks: u64,
    /// Frames sent.
    pub frames: u64,
    /// Nanoseconds that calls waited for earlier batches or for acknowledgements.
    pub wait_nanos: u64,
    /// Bytes of buffers held now: batches in work, runs that wait, frames on their way.
    pub held_bytes: u64,
}

/// Writes one attempt's output. Dropping it without [`Writer::finish`] gives up: workers never commit the attempt.
#[derive(Debug)]
pub struct Writer {}

impl Writer {
    /// Memory for records: `min_len` bytes or somewhat more.
    ///
    /// # Errors
    /// `Internal` if the system has no memory.
    pub fn chunk(&mut self, min_len: usize) -> Result<Chunk> {
        let _ = min_len;
        todo!()
    }

    /// Takes chunks full of records, each with how many of its bytes are used; an item never spans two. Returns at once if the
    /// batch before is done, else when it is; the chunks go back to the pool when their records are encoded.
    ///
    /// # Errors
    /// Of this batch or of an earlier one: `Invalid` if the records are not as they should be, `Retry` if a worker is
    /// out of reach. After an error only dropping is left.
    pub fn push(&mut self, chunks: Vec<(Chunk, usize)>) -> Result<()> {
        let _ = chunks;
        todo!()
    }

    /// Takes the last chunks (maybe none), sends everything, and waits until every shard that was touched has
    /// committed the attempt. Returns the stored bytes per partition.
    ///
    /// Handing the last records over here and not by [`Writer::push`] saves a block per partition.
    ///
    /// # Errors
    /// As of [`Writer::push`]; `Closed` if it was called before.
    pub fn finish(&mut self, chunks: Vec<(Chunk, usize)>) -> Result<Vec<u64>> {
        let _ = chunks;
        todo!()
    }

    /// Gives up: nothing more is sent, everything is freed. The same as dropping it.
    pub fn abort(self) {}

    /// What was done so far; also after the end.
    pub fn stats(&self) -> WriteStats {
        todo!()
    }
}
