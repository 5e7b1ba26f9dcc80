//! Opening an index.

use std::path::Path;

use overhand_common::{Error, ErrorKind, Result};
use rocksdb::{BlockBasedOptions, Cache, DB, DBCompressionType, Options};

use super::{CACHE, Index, WRITE_BUFFER, WRITE_BUFFERS, format};

impl Index {
    /// Opens the index in `path`, and makes one if there is none; says whether it was made. Fails with a text that
    /// says what to do.
    pub fn open(path: &Path) -> Result<(Self, bool)> {
        let wrong = |what: String| {
            let text = format!(
                "the index {} does not open: {what}; if the disk is well, move this folder away and start again: \
                 it is rebuilt from the segments beside it",
                path.display()
            );
            Error::new(ErrorKind::Internal, text)
        };
        let db = DB::open(&options(), path).map_err(|error| wrong(error.to_string()))?;
        let index = Self { db };
        let version = index.db.get(format::VERSION_KEY).map_err(|error| wrong(error.to_string()))?;
        let Some(version) = version else {
            index
                .db
                .put(format::VERSION_KEY, format::VERSION.to_le_bytes())
                .map_err(|error| wrong(error.to_string()))?;
            return Ok((index, true));
        };
        if version != format::VERSION.to_le_bytes() {
            return Err(wrong(format!("its version is {version:?}, this program knows {}", format::VERSION)));
        }
        Ok((index, false))
    }
}

fn options() -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&Cache::new_lru_cache(CACHE));
    blocks.set_cache_index_and_filter_blocks(true);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&blocks);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_write_buffer_size(WRITE_BUFFER);
    options.set_max_write_buffer_number(WRITE_BUFFERS);
    options.set_max_open_files(128);
    options.set_max_total_wal_size(4 * WRITE_BUFFER as u64);
    // Its log repeats what metrics and errors say; a little is kept for people who look into a damaged one.
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(1 << 20);
    options.set_stats_dump_period_sec(0);
    options
}
