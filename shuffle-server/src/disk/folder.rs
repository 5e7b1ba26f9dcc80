//! One data folder.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use overhand_common::{Error, ErrorKind, Result};
use parking_lot::Mutex;
use rustix::fs::{FlockOperation, flock};
use tokio::sync::watch;

use super::{Medium, Space, Task, Watch, segments_dir, threads::Threads};

/// So many rounds of probes a folder may be out in a row before it is taken for lost: 30 s, unless the probes' interval is
/// another.
const LOST_AFTER: u32 = 6;

/// Whether a folder takes data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Ok,
    /// Only its reserve is free: it does again when a probe finds more.
    Full,
    /// Writing failed: it does again when a probe's write succeeds.
    Failed(String),
    /// A step of writing takes longer than this: it does again when that has ended and a probe's write succeeds.
    Stalled(Duration),
}

impl Health {
    /// What `error` says of the folder that it came from.
    fn after(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Health::Full,
            _ => Health::Failed(error.to_string()),
        }
    }

    /// `ok`, or what is wrong.
    pub fn describe(&self) -> String {
        match self {
            Health::Ok => "ok".into(),
            Health::Full => "full: only the reserve is free".into(),
            Health::Failed(reason) => format!("failed: {reason}"),
            Health::Stalled(patience) => format!(
                "stalled: a write has not ended for {patience:?}; it is used again when it ends: check the disk \
                 (dmesg), or start again without this folder"
            ),
        }
    }
}

/// What hangs, and what waits for that to end.
#[derive(Default)]
struct Stuck {
    jobs: usize,
    put_off: VecDeque<Box<dyn FnOnce() + Send>>,
}

/// A data folder that this process holds the lock of.
pub struct Folder {
    path: PathBuf,
    reserve: u64,
    medium: Arc<dyn Medium>,
    _lock: File,
    health: watch::Sender<Health>,
    /// Whether a segment was written since the last probe: that is as good as a probe's write.
    written: AtomicBool,
    used: AtomicU64,
    /// Bytes that are being written.
    writing: AtomicU64,
    /// How long a MiB takes to be written: an average in which the latest eighth counts as much as all before.
    nanos_per_mib: AtomicU64,
    next_number: AtomicU64,
    threads: Threads,
    stuck: Mutex<Stuck>,
    /// Rounds of probes in a row that found it failed.
    failed_rounds: AtomicU32,
    losses: AtomicU64,
}

impl Folder {
    /// Opens a data folder, and makes it if only its last part is missing. `reserve` bytes of its file system are
    /// never used. Fails with a text that says what to do if it is missing, can't be written or is in use.
    pub fn open(path: &Path, reserve: u64, medium: Arc<dyn Medium>) -> Result<Self> {
        let wrong = |what: &str, todo: &str| {
            Error::new(ErrorKind::Invalid, format!("the data folder {} {what}: {todo}", path.display()))
        };
        if !path.exists() {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if !parent.exists() {
                return Err(wrong("is missing, and so is the folder above it", "make it, or is a disk not mounted?"));
            }
            fs::create_dir(path).map_err(|error| wrong(&format!("can't be made ({error})"), "make it writable"))?;
        }
        if !path.is_dir() {
            return Err(wrong("is no folder", "give one, or a name that is free"));
        }
        let opened = File::options().create(true).truncate(false).write(true).open(path.join("LOCK"));
        let lock = opened.map_err(|error| match error.kind() {
            io::ErrorKind::StorageFull => wrong("is full", "free some space"),
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                wrong(&format!("is read-only ({error})"), "mount it writable and let the user of this process write it")
            }
            _ => wrong(&format!("can't be written ({error})"), "check the disk"),
        })?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| wrong("is in use by another process", "stop that one, or give this one its own"))?;
        let folder = Self {
            path: path.to_owned(),
            reserve,
            medium,
            _lock: lock,
            health: watch::Sender::new(Health::Ok),
            written: AtomicBool::new(false),
            used: AtomicU64::new(0),
            writing: AtomicU64::new(0),
            nanos_per_mib: AtomicU64::new(0),
            next_number: AtomicU64::new(0),
            threads: Threads::default(),
            stuck: Mutex::default(),
            failed_rounds: AtomicU32::new(0),
            losses: AtomicU64::new(0),
        };
        folder.try_write().map_err(|error| match error.kind() {
            io::ErrorKind::StorageFull => wrong("is full", "free some space"),
            _ => wrong(&format!("can't be written ({error})"), "check the disk and the permissions"),
        })?;
        let made = fs::create_dir_all(segments_dir(path));
        made.map_err(|error| wrong(&format!("can't be written ({error})"), "check the disk and the permissions"))?;
        Ok(folder)
    }

    /// The folder's path, as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What files are written through.
    pub fn medium(&self) -> &dyn Medium {
        &*self.medium
    }

    /// Whether it takes data.
    pub fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    /// Tells when that changes.
    pub fn watch(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Bytes in segments.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }

    /// A segment of `len` bytes was added.
    pub fn added(&self, len: u64) {
        self.used.fetch_add(len, Ordering::AcqRel);
    }

    /// A segment of `len` bytes was deleted.
    pub fn deleted(&self, len: u64) {
        self.used.fetch_sub(len, Ordering::AcqRel);
    }

    /// The room on its file system.
    pub fn space(&self) -> io::Result<Space> {
        self.medium.space(&self.path)
    }

    /// Bytes that may still be written: without the reserve and without what is being written.
    pub fn available(&self) -> u64 {
        let taken = self.reserve.saturating_add(self.writing.load(Ordering::Acquire));
        self.space().map_or(0, |space| space.free.saturating_sub(taken))
    }

    /// A number for a new segment.
    pub fn next_number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::AcqRel)
    }

    /// New segments get numbers above `number`.
    pub fn number_seen(&self, number: u64) {
        self.next_number.fetch_max(number + 1, Ordering::AcqRel);
    }

    /// Announces that `len` bytes are about to be written.
    pub fn writing(&self, len: u64) -> Writing<'_> {
        self.writing.fetch_add(len, Ordering::AcqRel);
        Writing { folder: self, len }
    }

    /// How long `len` more bytes would take, behind those that are being written, in nanoseconds; 0 if not known yet.
    pub fn expected_nanos(&self, len: u64) -> u64 {
        let ahead = self.writing.load(Ordering::Acquire) + len;
        (ahead >> 10).saturating_mul(self.nanos_per_mib.load(Ordering::Acquire)) >> 10
    }

    /// Takes note that a segment was written, and how long that took.
    pub fn wrote(&self, len: u64, took: Duration) {
        self.written.store(true, Ordering::Release);
        let kib = (len >> 10).max(1);
        let sample = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).saturating_mul(1 << 10) / kib;
        let average = |before: u64| Some(if before == 0 { sample } else { before - before / 8 + sample / 8 });
        let _ = self.nanos_per_mib.fetch_update(Ordering::AcqRel, Ordering::Acquire, average);
    }

    /// Begins a job that may hang, on a thread of the folder's own.
    pub fn begin<T: Send + 'static>(&self, job: impl FnOnce(&Watch) -> T + Send + 'static) -> io::Result<Task<T>> {
        self.threads.begin(job)
    }

    /// Begins a job that must be done once, however long it takes until then: `None` while the folder hangs, and it is done
    /// when that ends, before the folder takes anything new.
    pub fn begin_some_time<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Watch) -> T + Send + 'static,
    ) -> io::Result<Option<Task<T>>> {
        let mut stuck = self.stuck.lock();
        if stuck.jobs == 0 {
            drop(stuck);
            return self.begin(job).map(Some);
        }
        stuck.put_off.push_back(Box::new(move || {
            job(&Watch::new());
        }));
        Ok(None)
    }

    /// What `task` gives. `TimedOut` when a step of it takes longer than `patience`: then the folder is out of placement
    /// until the job has ended, when `late` gets what came of it.
    pub fn finish<T: Send + 'static>(
        self: &Arc<Self>,
        task: Task<T>,
        patience: Duration,
        late: impl FnOnce(T) + Send + 'static,
    ) -> io::Result<T> {
        let given = task.wait(patience, || {
            self.stalled(patience);
            let this = self.clone();
            move |given: Option<T>| {
                tracing::warn!(folder = %this.path.display(), "a job that hung has ended");
                if let Some(given) = given {
                    late(given);
                }
                this.came_back();
            }
        });
        given.ok_or_else(|| io::Error::new(io::ErrorKind::TimedOut, Health::Stalled(patience).describe()))
    }

    fn stalled(&self, patience: Duration) {
        self.stuck.lock().jobs += 1;
        self.take_out(Health::Stalled(patience), |_| true);
    }

    /// A job that hung has ended: its thread does what was put off meanwhile.
    fn came_back(&self) {
        loop {
            let mut stuck = self.stuck.lock();
            let Some(job) = stuck.put_off.pop_front() else {
                stuck.jobs -= 1;
                return;
            };
            drop(stuck);
            job();
        }
    }

    fn take_out(&self, state: Health, from: impl FnOnce(&Health) -> bool) {
        self.health.send_if_modified(|health| {
            let changes = *health != state && from(health);
            if changes {
                let path = self.path.display();
                tracing::error!(folder = %path, state = state.describe(), "data folder taken out of placement");
                *health = state;
            }
            changes
        });
    }

    /// Whether a step of writing takes too long.
    pub fn is_stalled(&self) -> bool {
        matches!(*self.health.borrow(), Health::Stalled(_))
    }

    /// Whether a job hangs that nobody waits for any more.
    pub fn hangs(&self) -> bool {
        self.stuck.lock().jobs > 0
    }

    /// Ends the folder's threads, all but those that hang, and waits for that no longer than `patience`.
    pub fn end(&self, patience: Duration) {
        self.threads.end(self.stuck.lock().jobs, patience);
    }

    /// Takes the folder out of placement because of `error`.
    pub fn failed(&self, error: &io::Error) {
        self.take_out(Health::after(error), |health| !matches!(health, Health::Stalled(_)));
    }

    /// Looks whether the folder takes data, by a small write and by the free space. It does nothing while a write hangs,
    /// and does not write where a segment was written since the last probe. May hang with the disk.
    pub fn probe(&self) {
        if self.hangs() {
            return;
        }
        let before = self.health();
        let proven = self.written.swap(false, Ordering::AcqRel) && before == Health::Ok;
        let tried = if proven { Ok(()) } else { self.try_write() };
        self.judge(before, tried.and_then(|()| self.space()));
        self.be_less_sure();
    }

    /// Takes note that a round of probes has ended. One that has failed or hung for [`LOST_AFTER`] rounds in a row, and
    /// holds something, is taken for lost: others are to make up for what it holds, though it may come back.
    pub fn tally(&self) {
        if matches!(self.health(), Health::Ok | Health::Full) {
            self.failed_rounds.store(0, Ordering::Release);
        } else if self.failed_rounds.fetch_add(1, Ordering::AcqRel) + 1 == LOST_AFTER && self.used() > 0 {
            self.losses.fetch_add(1, Ordering::AcqRel);
            let path = self.path.display();
            tracing::error!(folder = %path, bytes = self.used(), "data folder taken for lost: what it holds is copied again");
        }
    }

    /// How often it was taken for lost.
    pub fn losses(&self) -> u64 {
        self.losses.load(Ordering::Acquire)
    }

    /// Looks at the free space only.
    pub fn measure(&self) {
        self.judge(self.health(), self.space());
    }

    /// Says how the folder is, by what was found, if nothing else was said since it was like `before`: that is newer.
    fn judge(&self, before: Health, found: io::Result<Space>) {
        let after = match found {
            Ok(space) if space.free <= self.reserve => Health::Full,
            Ok(_) => Health::Ok,
            Err(error) => Health::after(&error),
        };
        if after != Health::Ok {
            self.take_out(after, |health| *health == before);
            return;
        }
        self.health.send_if_modified(|health| {
            let changes = *health == before && before != Health::Ok;
            if changes {
                tracing::info!(folder = %self.path.display(), "data folder takes data again");
                *health = Health::Ok;
            }
            changes
        });
    }

    /// Lets what is known of its speed fade, so that a folder that was slow once is tried again some time.
    fn be_less_sure(&self) {
        let fade = |before: u64| Some(before - before / 32);
        let _ = self.nanos_per_mib.fetch_update(Ordering::AcqRel, Ordering::Acquire, fade);
    }

    /// Returns when everything on its file system is on stable storage.
    pub fn sync_all(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(File::open(&self.path)?)?)
    }

    /// Writes a small file through to the disk, and deletes it.
    fn try_write(&self) -> io::Result<()> {
        let path = self.path.join("probe.tmp");
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = self.medium.create(&path)?;
        let wrote = self.medium.write(&file, &[io::IoSlice::new(b"probe")]).and_then(|_| self.medium.sync(&file));
        fs::remove_file(&path)?;
        wrote
    }
}

/// Bytes that are being written while it lives.
pub struct Writing<'a> {
    folder: &'a Folder,
    len: u64,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.folder.writing.fetch_sub(self.len, Ordering::AcqRel);
    }
}
