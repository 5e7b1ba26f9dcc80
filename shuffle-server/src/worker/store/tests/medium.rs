//! Folders that fail as they are told to.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, IoSlice},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::{Condvar, Mutex};

use super::support::*;
use crate::{
    disk::{Medium, RealMedium, Space},
    worker::store::{Settings, Store},
};

/// A medium whose folders can be told to be full or to fail writes.
#[derive(Default)]
pub struct Faulty {
    faults: Mutex<HashMap<PathBuf, Fault>>,
    changed: Condvar,
}

#[derive(Clone, Copy)]
pub enum Fault {
    /// Files can't be made.
    Create,
    /// So much is free.
    Free(u64),
    /// Writes and deletions don't end before the fault does.
    Hang,
}

impl Faulty {
    /// Begins a fault of the folder, or ends it.
    pub fn set(&self, folder: &Path, fault: Option<Fault>) {
        let mut faults = self.faults.lock();
        match fault {
            Some(fault) => faults.insert(folder.to_owned(), fault),
            None => faults.remove(folder),
        };
        self.changed.notify_all();
    }

    fn of(&self, path: &Path) -> Option<Fault> {
        find(&self.faults.lock(), path)
    }

    fn hang(&self, path: &Path) {
        let mut faults = self.faults.lock();
        while let Some(Fault::Hang) = find(&faults, path) {
            self.changed.wait(&mut faults);
        }
    }
}

fn find(faults: &HashMap<PathBuf, Fault>, path: &Path) -> Option<Fault> {
    faults.iter().find(|(folder, _)| path.starts_with(folder)).map(|(_, fault)| *fault)
}

impl Medium for Faulty {
    fn space(&self, path: &Path) -> io::Result<Space> {
        match self.of(path) {
            Some(Fault::Free(free)) => Ok(Space { free, total: u64::MAX }),
            _ => RealMedium.space(path),
        }
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        match self.of(path) {
            Some(Fault::Create) => Err(io::Error::from_raw_os_error(5)),
            _ => RealMedium.create(path),
        }
    }

    fn write(&self, file: &File, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.hang(&std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?);
        // A part of what is asked, as a file system may do.
        RealMedium.write(file, &slices[..slices.len().div_ceil(2)])
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        RealMedium.sync(file)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.hang(path);
        RealMedium.remove(path)
    }
}

/// A store on two folders that may fail.
pub struct Two {
    pub dirs: [tempfile::TempDir; 2],
    pub medium: Arc<Faulty>,
    pub store: Arc<Store>,
}

pub fn two(change: impl FnOnce(Settings) -> Settings) -> Two {
    let dirs = [tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir")];
    let medium = Arc::new(Faulty::default());
    let data_dirs = dirs.iter().map(|dir| dir.path().to_owned()).collect();
    let settings = Settings { data_dirs, ..settings(dirs[0].path(), 4 << 20) };
    let store = Store::open_on(medium.clone(), change(settings), metrics()).expect("opens");
    Two { dirs, medium, store }
}

/// Pushes attempts of two blocks.
pub async fn fill(store: &Store, maps: std::ops::Range<u32>) {
    for map in maps {
        write(store, map, u64::from(map), &[(0, 0, 300_000), (3, 0, 300_000)]).await;
    }
}
