//! Disks that fail, and disks that lie.

use std::{
    fs::File,
    io::{self, IoSlice, Write},
    path::Path,
    sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
};

use overhand_server::disk::{Medium, RealMedium, Space};

/// What is wrong with a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// Nothing.
    None = 0,
    /// Nothing can be written.
    Fails = 1,
    /// Writes succeed, and some of the bytes are others.
    Lies = 2,
}

/// One worker's disk.
#[derive(Debug, Default)]
pub struct Disk {
    fault: AtomicU8,
    /// Counts writes, so that which of them lie is the same in each run.
    writes: AtomicU64,
}

impl Disk {
    /// Begins a fault, or ends it.
    pub fn set(&self, fault: Fault) {
        self.fault.store(fault as u8, Relaxed);
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault.load(Relaxed) == fault as u8
    }

    fn check(&self) -> io::Result<()> {
        if self.is(Fault::Fails) { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }
}

impl Medium for Disk {
    fn space(&self, _: &Path) -> io::Result<Space> {
        Ok(Space { free: 1 << 40, total: 1 << 41 })
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        self.check()?;
        RealMedium.create(path)
    }

    fn write(&self, mut file: &File, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.check()?;
        if self.is(Fault::Lies) && self.writes.fetch_add(1, Relaxed).is_multiple_of(2) {
            let mut bytes = slices.iter().flat_map(|slice| slice.to_vec()).collect::<Vec<u8>>();
            let middle = bytes.len() / 2;
            if let Some(byte) = bytes.get_mut(middle) {
                *byte ^= 0x10;
            }
            return file.write(&bytes);
        }
        RealMedium.write(file, slices)
    }

    fn sync(&self, _: &File) -> io::Result<()> {
        self.check()
    }
}
