//! Whose folder it is: a worker's identity is kept in each of its data folders.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use overhand_common::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

const FILE: &str = "worker.json";

/// What `worker.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The version of this file and of the folder's layout.
    pub version: u32,
    /// The worker.
    pub worker: Uuid,
    /// This folder.
    pub folder: Uuid,
    /// All the worker's folders at its last start.
    pub folders: BTreeSet<Uuid>,
    /// The worker's incarnation at its last start.
    pub incarnation: u64,
    /// Whether everything was flushed when it was last closed.
    pub clean: bool,
}

impl Member {
    const VERSION: u32 = 1;

    /// Reads a folder's file; `None` if it has none: it is new.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        let wrong = |what: String| {
            let text = format!(
                "{}: {what}; it says whose data this is: restore it, or empty the folder {} if its data may go",
                path.display(),
                folder.display()
            );
            Error::new(ErrorKind::Invalid, text)
        };
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong(error.to_string())),
        };
        let member: Self = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
        if member.version != Self::VERSION {
            return Err(wrong(format!("its version is {}, this program knows {}", member.version, Self::VERSION)));
        }
        Ok(Some(member))
    }

    /// Replaces a folder's file; when it returns, the new one is on stable storage.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let path = folder.join(FILE);
        let unfinished = path.with_extension("json.tmp");
        let mut file = File::create(&unfinished)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)?;
        File::open(folder)?.sync_all()
    }
}

/// What the folders together say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The worker: a new one if all folders are new.
    pub worker: Uuid,
    /// Each folder's id, in the order of the folders; new ones get one.
    pub folders: Vec<Uuid>,
    /// The latest incarnation.
    pub incarnation: u64,
    /// Whether this start can serve everything that was there: the last close was clean, and no folder is missing.
    pub whole: bool,
    /// Folders that the worker had and that were not given.
    pub missing: BTreeSet<Uuid>,
}

impl Membership {
    /// Joins what the folders say; `members` are in the order of `paths`. Refuses folders of different workers.
    pub fn join(paths: &[&Path], members: &[Option<Member>]) -> Result<Self> {
        let known: Vec<(&Path, &Member)> =
            paths.iter().zip(members).filter_map(|(path, member)| Some((*path, member.as_ref()?))).collect();
        if let [(first_path, first), others @ ..] = known.as_slice()
            && let Some((path, other)) = others.iter().find(|(_, other)| other.worker != first.worker)
        {
            let text = format!(
                "the data folders {} and {} belong to different workers ({} and {}): give each worker its own",
                first_path.display(),
                path.display(),
                first.worker,
                other.worker
            );
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        let folder = |member: &Option<Member>| member.as_ref().map_or_else(Uuid::new_v4, |member| member.folder);
        let folders: Vec<Uuid> = members.iter().map(folder).collect();
        let expected = known.iter().flat_map(|(_, member)| member.folders.iter().copied());
        let missing: BTreeSet<Uuid> = expected.filter(|id| !folders.contains(id)).collect();
        Ok(Self {
            worker: known.first().map_or_else(Uuid::new_v4, |(_, member)| member.worker),
            incarnation: known.iter().map(|(_, member)| member.incarnation).max().unwrap_or(0),
            whole: !known.is_empty() && missing.is_empty() && known.iter().all(|(_, member)| member.clean),
            folders,
            missing,
        })
    }

    /// What to write into the folder at `at`.
    pub fn member(&self, at: usize, incarnation: u64, clean: bool) -> Member {
        let folders = self.folders.iter().copied().collect();
        Member { version: Member::VERSION, worker: self.worker, folder: self.folders[at], folders, incarnation, clean }
    }
}
