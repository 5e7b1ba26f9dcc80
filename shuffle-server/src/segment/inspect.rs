//! What a segment's file says about itself.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

use overhand_common::{
    Malformed,
    segment::{CUT_LEN, Cut, Identity, MAX_PREAMBLE, TRAILER_LEN, Trailer},
};

use super::Extent;

/// A file that is a whole segment, as far as preamble, cuts and trailer tell.
#[derive(Debug)]
pub struct Inspected {
    /// Whose blocks it holds.
    pub identity: Identity,
    /// Its lengths.
    pub extent: Extent,
    /// Its cuts.
    pub cuts: Vec<Cut>,
}

/// Reads a file's preamble, cuts and trailer and checks them. An `InvalidData` error says how the file is torn or
/// damaged; others are the file system's.
pub fn inspect(path: &Path) -> io::Result<Inspected> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    let mut preamble = vec![0; (len as usize).min(MAX_PREAMBLE)];
    file.read_exact_at(&mut preamble, 0)?;
    let (identity, begin) = Identity::decode(&preamble).map_err(damaged)?;
    let at = len.checked_sub(TRAILER_LEN as u64);
    let at = at.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is torn: there is no trailer"))?;
    let mut trailer = [0; TRAILER_LEN];
    file.read_exact_at(&mut trailer, at)?;
    let trailer = Trailer::decode(&trailer, len).map_err(damaged)?;
    // The trailer's own checksum and the file's length vouch for this number.
    let mut row = vec![0; trailer.cuts as usize * CUT_LEN];
    file.read_exact_at(&mut row, trailer.cuts_at)?;
    if crc32fast::hash(&row) != trailer.cuts_crc {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the checksum of the cuts does not match"));
    }
    let cuts = Cut::decode_all(&row).map_err(damaged)?;
    let inside = |cut: &Cut| (begin..trailer.cuts_at).contains(&cut.offset);
    if !cuts.first().is_none_or(inside) || !cuts.last().is_none_or(inside) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "cuts are outside of the blocks"));
    }
    Ok(Inspected { identity, extent: Extent { len, blocks_end: trailer.cuts_at, blocks: trailer.blocks }, cuts })
}

fn damaged(malformed: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, malformed.to_string())
}
