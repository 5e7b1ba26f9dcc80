//! Names in a data folder.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use overhand_common::ids::{AppId, ShardKey};

const EXTENSION: &str = "seg";

/// Where a data folder's segments are.
pub fn segments_dir(folder: &Path) -> PathBuf {
    folder.join("segments")
}

/// What a segment's path says about it. The preamble in the file says it too; the path still does when the file is
/// torn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentName {
    /// The application.
    pub app: AppId,
    /// The shard and its epoch.
    pub key: ShardKey,
    /// Its number in the folder.
    pub number: u64,
}

impl SegmentName {
    /// The application's folder below the data folder.
    pub fn app_dir(folder: &Path, app: &AppId) -> PathBuf {
        segments_dir(folder).join(app.as_str())
    }

    /// The file below the data folder.
    pub fn path(&self, folder: &Path) -> PathBuf {
        let ShardKey { shuffle, shard, epoch } = self.key;
        Self::app_dir(folder, &self.app).join(format!("{shuffle}-{shard}-{epoch}-{}.{EXTENSION}", self.number))
    }

    /// Where the file is while it is being written.
    pub fn unfinished(path: &Path) -> PathBuf {
        path.with_extension(format!("{EXTENSION}.tmp"))
    }

    /// Whether `path` is that of an unfinished segment.
    pub fn is_unfinished(path: &Path) -> bool {
        path.extension() == Some(OsStr::new("tmp"))
    }

    /// Reads a path; `None` if no segment has such a path.
    pub fn parse(path: &Path) -> Option<Self> {
        let app = path.parent()?.file_name()?.to_str()?.parse().ok()?;
        if path.extension() != Some(OsStr::new(EXTENSION)) {
            return None;
        }
        let mut parts = path.file_stem()?.to_str()?.split('-');
        let mut number = || parts.next()?.parse::<u64>().ok();
        let mut part = || u32::try_from(number()?).ok();
        let key = ShardKey { shuffle: part()?, shard: part()?, epoch: part()? };
        let number = number()?;
        parts.next().is_none().then_some(Self { app, key, number })
    }
}
