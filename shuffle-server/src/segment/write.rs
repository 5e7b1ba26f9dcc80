//! Writing a segment.

use std::{
    fs::{self, File},
    io::{self, IoSlice},
    path::Path,
};

use overhand_common::segment::{Cut, Cutter, Identity, Trailer};

use super::Extent;
use crate::disk::{Medium, SegmentName};

/// The most slices of one write: what Linux takes.
const MAX_SLICES: usize = 1024;
/// The bytes from which a write is not made larger.
const BATCH: usize = 4 << 20;

/// A block to be written; they come in the segment's order.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The block's partition.
    pub partition: u32,
    /// The block's map index.
    pub map_index: u32,
    /// Header and payload.
    pub bytes: &'a [u8],
}

/// A segment that was written.
#[derive(Debug)]
pub struct Written {
    /// Its lengths.
    pub extent: Extent,
    /// Its cuts.
    pub cuts: Vec<Cut>,
    /// Blocks that were left out, because they no longer match their checksum.
    pub damaged: u64,
}

/// Writes a segment to `path`, whose folder is made if it is missing; with `sync` it is on stable storage when this
/// returns. Until it is complete it has another name, so `path` is there in full or not at all. Gives up when `stop`
/// says so. Nothing is left behind after an error.
pub fn write<'a>(
    medium: &dyn Medium,
    path: &Path,
    identity: &Identity,
    blocks: impl Iterator<Item = Source<'a>>,
    sync: bool,
    stop: &dyn Fn() -> bool,
) -> io::Result<Written> {
    let unfinished = SegmentName::unfinished(path);
    let dir = path.parent().expect("a segment is in a folder");
    let file = create(medium, dir, &unfinished)?;
    let done = fill(medium, &file, identity, blocks, stop).and_then(|written| {
        if sync {
            medium.sync(&file)?;
        }
        fs::rename(&unfinished, path)?;
        if sync {
            File::open(dir)?.sync_all()?;
            File::open(dir.parent().expect("an application's folder is in another"))?.sync_all()?;
        }
        Ok(written)
    });
    if done.is_err() {
        // Whichever name it has by now; what can't be deleted is dealt with at the next start.
        let _ = fs::remove_file(&unfinished);
        let _ = fs::remove_file(path);
    }
    done
}

/// The folder may be deleted between its making and the file's, when the application's last data goes.
fn create(medium: &dyn Medium, dir: &Path, path: &Path) -> io::Result<File> {
    for _ in 0..3 {
        fs::create_dir_all(dir)?;
        match medium.create(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => return done,
        }
    }
    medium.create(path)
}

fn fill<'a>(
    medium: &dyn Medium,
    file: &File,
    identity: &Identity,
    blocks: impl Iterator<Item = Source<'a>>,
    stop: &dyn Fn() -> bool,
) -> io::Result<Written> {
    let preamble = identity.encode();
    let mut offset = preamble.len() as u64;
    let mut cutter = Cutter::default();
    let (mut count, mut damaged) = (0, 0);
    let mut batch: Vec<&[u8]> = vec![&preamble];
    let mut batched = 0;
    for block in blocks {
        let crc = crc32fast::hash(&block.bytes[4..]).to_le_bytes();
        if block.bytes[..4] != crc {
            damaged += 1;
            continue;
        }
        cutter.block(block.partition, block.map_index, offset);
        offset += block.bytes.len() as u64;
        count += 1;
        batch.push(block.bytes);
        batched += block.bytes.len();
        if batch.len() == MAX_SLICES || batched >= BATCH {
            if stop() {
                return Err(io::Error::other("it is not needed any more"));
            }
            write_all(medium, file, &batch)?;
            batch.clear();
            batched = 0;
        }
    }
    let cuts: Vec<u8> = cutter.cuts().iter().flat_map(Cut::encode).collect();
    let trailer =
        Trailer { cuts_at: offset, cuts: cutter.cuts().len() as u32, cuts_crc: crc32fast::hash(&cuts), blocks: count };
    let trailer_bytes = trailer.encode();
    batch.push(&cuts);
    batch.push(&trailer_bytes);
    for batch in batch.chunks(MAX_SLICES) {
        write_all(medium, file, batch)?;
    }
    let len = offset + cuts.len() as u64 + trailer_bytes.len() as u64;
    let extent = Extent { len, blocks_end: offset, blocks: count };
    Ok(Written { extent, cuts: cutter.cuts().to_vec(), damaged })
}

fn write_all(medium: &dyn Medium, file: &File, batch: &[&[u8]]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = batch.iter().map(|bytes| IoSlice::new(bytes)).collect();
    let mut rest = slices.as_mut_slice();
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match medium.write(file, rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
