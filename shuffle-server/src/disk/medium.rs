//! What the store asks of the file system when it writes.

use std::{
    fs::{self, File},
    io::{self, IoSlice, Write},
    path::Path,
};

/// Room on a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// What an unprivileged process may still write.
    pub free: u64,
    /// All there is.
    pub total: u64,
}

/// A file system. Reads don't go through it: they are done by `sendfile` from the file itself.
pub trait Medium: Send + Sync {
    /// The room on the file system of `path`.
    fn space(&self, path: &Path) -> io::Result<Space>;
    /// A new file for writing; fails if it is there.
    fn create(&self, path: &Path) -> io::Result<File>;
    /// Writes some of `slices` where the last write ended.
    fn write(&self, file: &File, slices: &[IoSlice<'_>]) -> io::Result<usize>;
    /// Returns when the file's data is on stable storage.
    fn sync(&self, file: &File) -> io::Result<()>;
    /// Deletes a file.
    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}

/// The file system as it is.
#[derive(Debug, Default, Clone, Copy)]
pub struct RealMedium;

impl Medium for RealMedium {
    fn space(&self, path: &Path) -> io::Result<Space> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(Space { free: stat.f_bavail * stat.f_frsize, total: stat.f_blocks * stat.f_frsize })
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        File::options().write(true).create_new(true).open(path)
    }

    fn write(&self, mut file: &File, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        file.write_vectored(slices)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}
