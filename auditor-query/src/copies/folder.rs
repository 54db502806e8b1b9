//! The folder of the copies: which files there are, and bringing them up to the log.
//!
//! `TABLE-FIRST-END.parquet` holds what is of the entries from `FIRST` to before `END`. `writer` is locked by who writes,
//! `readers` by all who read, so that no file is removed under them.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    thread,
};

use auditor_ledger::Reader;
use datafusion::arrow::{
    array::{Int64Array, cast::AsArray as _},
    compute::{filter_record_batch, kernels::cmp},
    datatypes::{Int64Type, SchemaRef},
    record_batch::RecordBatch,
};

use super::{
    Error, PIECE, TABLES,
    columns::{Classes, Events, Resources, Table as _},
    rows::{Batches, Rows},
    stretch::{Stretch, cover, merges, missing},
    write::{self, Writer},
};

/// Entries that are looked at without copies, where none can be written.
const UNCOPIED: u64 = 32 * PIECE;
/// The file that says which log the copies are of, and in which form.
const ABOUT: &str = "about";
/// What is in it before the log's name: changes with the columns.
const FORM: &str = "mcp-auditor query copies 1";

/// The copies of one log.
#[derive(Clone, Debug)]
pub(crate) struct Copies {
    folder: PathBuf,
}

/// What can be read now; the files stay while this lives.
pub(crate) struct Held {
    folder: PathBuf,
    stretches: Vec<Stretch>,
    /// The first entry that the log has; files may begin before it.
    pub(crate) first: u64,
    /// The newest entries, which are in no file.
    pub(crate) tail: Batches,
    /// Entries of the tail of which nothing could be read.
    pub(crate) unread: u64,
    _readers: Option<File>,
}

impl Held {
    /// The files of a table.
    pub(crate) fn files(&self, table: &str) -> Vec<PathBuf> {
        let files = self.stretches.iter();
        files.map(|one| one.path(&self.folder, table)).collect()
    }
}

impl Copies {
    /// Those in a folder, which need not exist.
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Brings them up to the log and holds what there is. `progress` gets entries done, and all that are to be done.
    pub(crate) fn hold(
        &self,
        log: &Reader,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Held, Error> {
        let written = self.update(log, progress);
        let readers = self.lock("readers", File::lock_shared).ok();
        let stretches = if readers.is_some() && self.is_of(log) {
            cover(self.list()?, log.first())
        } else {
            Vec::new()
        };
        let from = stretches.last().map_or(log.first(), |last| last.end);
        if log.size().saturating_sub(from) > UNCOPIED {
            // Too many to be looked at otherwise.
            written?;
        }
        let mut rows = Rows::new();
        for entry in log.entries(from) {
            let entry = entry?;
            rows.push(entry.index, &entry.bytes);
        }
        Ok(Held {
            folder: self.folder.clone(),
            stretches,
            first: log.first(),
            unread: rows.unread,
            tail: rows.finish()?,
            _readers: readers,
        })
    }

    /// Writes files of all full pieces that are in none, and leaves out what the log has no more. Waits for who writes now.
    pub(crate) fn update(
        &self,
        log: &Reader,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<(), Error> {
        let builder = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder);
        builder.map_err(|error| self.failed(error))?;
        if self.is_of(log) && missing(&self.list()?, log).is_empty() && !self.is_to_tidy(log)? {
            return Ok(());
        }
        let _writer = self.lock("writer", File::lock)?;
        if !self.is_of(log) {
            let _alone = self.lock("readers", File::lock)?;
            for entry in self.names()? {
                if entry.ends_with(".parquet") || entry.ends_with(".unfinished") {
                    fs::remove_file(self.folder.join(entry)).map_err(|error| self.failed(error))?;
                }
            }
            fs::write(self.folder.join(ABOUT), about(log)).map_err(|error| self.failed(error))?;
        }
        self.write_missing(log, progress)?;
        self.merge(log.first())?;
        self.remove_covered(log.first())
    }

    fn write_missing(
        &self,
        log: &Reader,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<(), Error> {
        let missing = missing(&self.list()?, log);
        let all: u64 = missing.iter().map(|one| one.end - one.first).sum();
        let (next, done) = (AtomicUsize::new(0), AtomicU64::new(0));
        let work = || -> Result<(), Error> {
            while let Some(stretch) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.write(log, *stretch)?;
                let count = stretch.end - stretch.first;
                progress(done.fetch_add(count, Ordering::Relaxed) + count, all);
            }
            Ok(())
        };
        thread::scope(|scope| {
            let processors = thread::available_parallelism().map_or(1, usize::from);
            let workers = processors.min(missing.len());
            let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            let mut results = workers.into_iter().map(|worker| worker.join());
            let died = || self.failed(io::Error::other("a thread that writes copies died"));
            results.try_for_each(|result| result.unwrap_or_else(|_| Err(died())))
        })
    }

    fn write(&self, log: &Reader, stretch: Stretch) -> Result<(), Error> {
        let mut writers = Vec::new();
        for (table, schema) in TABLES.into_iter().zip(schemas()) {
            let path = stretch.path(&self.folder, table);
            let rows = stretch.end - stretch.first;
            writers.push(Writer::create(&path, &schema, rows)?);
        }
        let (mut rows, mut held) = (Rows::new(), 0);
        let count = usize::try_from(stretch.end - stretch.first).unwrap_or(usize::MAX);
        for entry in log.entries(stretch.first).take(count) {
            let entry = entry?;
            rows.push(entry.index, &entry.bytes);
            held += 1;
            if held == PIECE {
                held = 0;
                put(&mut writers, std::mem::replace(&mut rows, Rows::new()))?;
            }
        }
        put(&mut writers, rows)?;
        // Events last: their file says that the stretch is there.
        writers.into_iter().rev().try_for_each(Writer::finish)
    }

    /// Makes one file of pieces that are complete, and of a file part of which the log has no more.
    fn merge(&self, first: u64) -> Result<(), Error> {
        for (parts, whole) in merges(&cover(self.list()?, first), first) {
            for (table, schema) in TABLES.into_iter().zip(schemas()).rev() {
                let paths: Vec<_> = parts
                    .iter()
                    .map(|one| one.path(&self.folder, table))
                    .collect();
                let path = whole.path(&self.folder, table);
                let mut writer = Writer::create(&path, &schema, whole.end - whole.first)?;
                for batch in write::read(&paths) {
                    writer.write(&since(&batch?, first)?)?;
                }
                writer.finish()?;
            }
        }
        Ok(())
    }

    /// Removes files whose entries are in larger ones, or no more in the log, unless somebody reads.
    fn remove_covered(&self, first: u64) -> Result<(), Error> {
        let Ok(readers) = self.open("readers") else {
            return Ok(());
        };
        if readers.try_lock().is_err() {
            return Ok(());
        }
        let all = self.list()?;
        let kept = cover(all.clone(), first);
        for stretch in all.into_iter().filter(|one| !kept.contains(one)) {
            for table in TABLES {
                let path = stretch.path(&self.folder, table);
                fs::remove_file(&path).map_err(|error| Error::File(path, error))?;
            }
        }
        Ok(())
    }

    /// Whether files are to be merged or removed.
    fn is_to_tidy(&self, log: &Reader) -> Result<bool, Error> {
        let all = self.list()?;
        let kept = cover(all.clone(), log.first());
        Ok(kept.len() < all.len() || !merges(&kept, log.first()).is_empty())
    }

    /// Whether these are copies of this log, in this form.
    fn is_of(&self, log: &Reader) -> bool {
        fs::read_to_string(self.folder.join(ABOUT)).is_ok_and(|text| text == about(log))
    }

    fn list(&self) -> Result<Vec<Stretch>, Error> {
        let names = self.names()?;
        let mut all: Vec<_> = names.iter().filter_map(|name| Stretch::of(name)).collect();
        all.sort_unstable();
        Ok(all)
    }

    fn names(&self) -> Result<Vec<String>, Error> {
        let entries = fs::read_dir(&self.folder).map_err(|error| self.failed(error))?;
        let names = entries
            .flatten()
            .map(|entry| entry.file_name().into_string());
        Ok(names.filter_map(Result::ok).collect())
    }

    fn lock(&self, name: &str, lock: fn(&File) -> io::Result<()>) -> Result<File, Error> {
        let file = self.open(name)?;
        lock(&file).map_err(|error| self.failed(error))?;
        Ok(file)
    }

    fn open(&self, name: &str) -> Result<File, Error> {
        let mut options = File::options();
        let opened = options
            .read(true)
            .append(true)
            .create(true)
            .open(self.folder.join(name));
        opened.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::File(self.folder.clone(), error)
    }
}

/// What the file says that tells which log copies are of.
fn about(log: &Reader) -> String {
    format!(
        "{FORM}\n{}\n{}\n",
        log.origin(),
        log.first_key().unwrap_or_default()
    )
}

fn schemas() -> [SchemaRef; 3] {
    [Events::schema(), Resources::schema(), Classes::schema()]
}

/// Adds rows to the file of each table.
fn put(writers: &mut [Writer], rows: Rows) -> Result<(), Error> {
    let batches = rows.finish()?;
    let mut pairs = writers.iter_mut().zip(&batches);
    pairs.try_for_each(|(writer, batch)| writer.write(batch))
}

/// The rows of entries from an index on.
fn since(batch: &RecordBatch, first: u64) -> Result<RecordBatch, Error> {
    let first = i64::try_from(first).unwrap_or(i64::MAX);
    let index = batch.column(0).as_primitive::<Int64Type>();
    let is_kept = cmp::gt_eq(index, &Int64Array::new_scalar(first))?;
    Ok(filter_record_batch(batch, &is_kept)?)
}

#[cfg(test)]
mod tests;
