//! Keeps disk reads off the threads that serve sockets.
//!
//! `sendfile` reads from the page cache; where a page is missing it blocks the calling thread until the disk has
//! answered. So the range is looked at first, with reads of single bytes that don't wait, and if something is missing
//! it is brought in on a thread that may block. A segment that was written lately is in the cache as a rule: then
//! nobody leaves the thread. The look is a sample, one byte in every [`STEP`]: the kernel reads ahead in such units.
//! A page that is missed costs one disk read on the wrong thread, nothing else.

use std::{fs::File, io, io::IoSliceMut, ops::Range, sync::Arc};

use rustix::{
    fs::Advice,
    io::{Errno, ReadWriteFlags},
};

/// Distance of the bytes that are looked at.
const STEP: u64 = 128 << 10;

/// Brings a range of a file into the page cache if it is not there; an error is the file's.
pub async fn bring_in(file: &Arc<File>, range: Range<u64>) -> io::Result<()> {
    if look(file, &range, ReadWriteFlags::NOWAIT).is_ok() {
        return Ok(());
    }
    let file = file.clone();
    let read = tokio::task::spawn_blocking(move || {
        let len = std::num::NonZeroU64::new(range.end - range.start);
        rustix::fs::fadvise(&file, range.start, len, Advice::WillNeed)?;
        look(&file, &range, ReadWriteFlags::empty())
    });
    read.await.map_err(io::Error::other)?
}

fn look(file: &File, range: &Range<u64>, flags: ReadWriteFlags) -> io::Result<()> {
    let last = range.end.saturating_sub(1);
    let places = (range.start..last).step_by(STEP as usize).chain([last]);
    for place in places {
        let mut byte = [0];
        match rustix::io::preadv2(file, &mut [IoSliceMut::new(&mut byte)], place, flags) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[tokio::test]
    async fn a_range_beyond_the_files_end_is_the_files_error() {
        let mut file = tempfile::tempfile().expect("temporary file");
        file.write_all(&[7; 300_000]).expect("written");
        let file = Arc::new(file);
        bring_in(&file, 10..300_000).await.expect("there");
        let error = bring_in(&file, 10..300_001).await.expect_err("too far");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
