//! Capture files: what the kernel delivered, to be played again without it.
//!
//! A file is [`MAGIC`], the time of boot (nanoseconds, eight bytes, little-endian), then records, each behind its
//! length (four bytes, little-endian). Processes that ran at the start are there as records of their programs.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use auditor_common::record::{EXEC, Exec, Header};
use auditor_core::{audit::Process, key::Time};
use thiserror::Error;

use super::{Batch, Clock};

/// First bytes of a capture file; the last is the version of the layout.
const MAGIC: &[u8; 8] = b"MCPACAP\x01";
/// Longest record that a file may hold.
const RECORD: usize = 1 << 20;

/// Why a capture file cannot be written or played.
#[derive(Debug, Error)]
pub(crate) enum CaptureError {
    /// Reading or writing failed.
    #[error("capture file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: io::Error,
    },
    /// It is no capture file, or of another version.
    #[error("{path} is no capture file of this version")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It ends within a record, or a record is too long.
    #[error("capture file {path} is damaged after {records} records")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Whole records before.
        records: u64,
    },
}

/// A capture file that is being written.
pub(crate) struct Recording {
    file: BufWriter<File>,
    path: PathBuf,
}

impl Recording {
    /// Creates the file.
    ///
    /// # Errors
    /// When it cannot be created.
    pub(crate) fn create(path: &Path, clock: Clock) -> Result<Self, CaptureError> {
        let fail = |source| CaptureError::Io {
            path: path.to_owned(),
            source,
        };
        let mut file = BufWriter::new(File::create(path).map_err(fail)?);
        file.write_all(MAGIC).map_err(fail)?;
        file.write_all(&clock.boot.0.to_le_bytes()).map_err(fail)?;
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    /// Adds a batch as it came.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(&mut self, batch: &Batch) -> Result<(), CaptureError> {
        self.file
            .write_all(&batch.bytes)
            .map_err(|source| CaptureError::Io {
                path: self.path.clone(),
                source,
            })
    }

    /// Adds a process that ran before.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write_process(&mut self, process: &Process) -> Result<(), CaptureError> {
        let mut batch = Batch::default();
        batch.push(&encode(process));
        self.write(&batch)
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn finish(mut self) -> Result<(), CaptureError> {
        self.file.flush().map_err(|source| CaptureError::Io {
            path: self.path,
            source,
        })
    }
}

/// Plays a file: hands each record to `take`, with the clock of the recording.
///
/// # Errors
/// When the file cannot be read, is none, or is damaged; records before the damage were handed on.
pub(crate) fn replay(path: &Path, mut take: impl FnMut(&[u8], Clock)) -> Result<u64, CaptureError> {
    let fail = |source| CaptureError::Io {
        path: path.to_owned(),
        source,
    };
    let mut file = BufReader::with_capacity(1 << 18, File::open(path).map_err(fail)?);
    let mut head = [0; 16];
    let foreign = || CaptureError::Foreign {
        path: path.to_owned(),
    };
    file.read_exact(&mut head).map_err(|_| foreign())?;
    let Some((magic, boot)) = head.split_first_chunk::<8>() else {
        return Err(foreign());
    };
    if magic != MAGIC {
        return Err(foreign());
    }
    let boot: [u8; 8] = boot.try_into().map_err(|_| foreign())?;
    let clock = Clock {
        boot: Time(u64::from_le_bytes(boot)),
    };
    let mut record = Vec::new();
    for records in 0.. {
        let mut len = [0; 4];
        match file.read(&mut len[..1]).map_err(fail)? {
            0 => return Ok(records),
            _ => file.read_exact(&mut len[1..]),
        }
        .map_err(|_| CaptureError::Damaged {
            path: path.to_owned(),
            records,
        })?;
        let len = u32::from_le_bytes(len) as usize;
        record.resize(len.min(RECORD), 0);
        if len > RECORD || file.read_exact(&mut record).is_err() {
            return Err(CaptureError::Damaged {
                path: path.to_owned(),
                records,
            });
        }
        take(&record, clock);
    }
    Ok(0)
}

/// A process as the record of its program.
fn encode(process: &Process) -> Vec<u8> {
    let exe = process.exe.as_deref().unwrap_or_default();
    let path: Vec<u8> = exe
        .split('/')
        .rev()
        .filter(|name| !name.is_empty())
        .flat_map(|name| [name.as_bytes(), b"\0"])
        .flatten()
        .copied()
        .collect();
    let args: Vec<u8> = process
        .cmdline
        .iter()
        .flatten()
        .flat_map(|arg| [arg.as_bytes(), b"\0"])
        .flatten()
        .copied()
        .collect();
    let parent = process
        .lineage
        .first()
        .map(|parent| parent.key)
        .unwrap_or_default();
    let mut bytes = vec![EXEC, 0, 0, 0];
    bytes.extend(((path.len() + args.len()) as u32).to_ne_bytes());
    bytes.extend(0u64.to_ne_bytes());
    bytes.extend(process.key.start.to_ne_bytes());
    bytes.extend(process.key.pid.to_ne_bytes());
    bytes.resize(size_of::<Header>(), 0);
    for word in [0, 0, 0, process.cgroup_id.unwrap_or(0), parent.start] {
        bytes.extend(word.to_ne_bytes());
    }
    for word in [
        parent.pid,
        0,
        process.uid.unwrap_or(0),
        process.gid.unwrap_or(0),
        path.len() as u32,
        args.len() as u32,
    ] {
        bytes.extend(word.to_ne_bytes());
    }
    debug_assert_eq!(bytes.len(), size_of::<Header>() + size_of::<Exec>());
    bytes.extend(path);
    bytes.extend(args);
    bytes
}

#[cfg(test)]
mod tests {
    use auditor_core::{
        key::ProcessKey,
        record::{Record, decode},
    };

    use super::*;

    #[test]
    fn a_recorded_process_is_read_back() {
        let process = Process {
            key: ProcessKey { pid: 42, start: 99 },
            exe: Some("/usr/bin/python3".into()),
            cmdline: Some(vec!["python3".into(), "server.py".into()]),
            uid: Some(1000),
            gid: Some(1001),
            ..Process::default()
        };
        let bytes = encode(&process);
        let Ok(Record::Exec(header, exec, strings)) = decode(&bytes) else {
            panic!()
        };
        assert_eq!(
            (header.tgid, header.start, exec.uid, exec.gid),
            (42, 99, 1000, 1001)
        );
        assert_eq!(strings.path(), process.exe);
        assert_eq!(Some(strings.arguments()), process.cmdline);
    }

    #[test]
    fn a_file_is_played_as_it_was_recorded_up_to_its_damage() {
        let path = std::env::temp_dir().join(format!("mcp-auditor-capture-{}", std::process::id()));
        let clock = Clock { boot: Time(77) };
        let mut recording = Recording::create(&path, clock).unwrap();
        let mut batch = Batch::default();
        batch.push(&[5; 90]);
        batch.push(&[6; 100]);
        recording.write(&batch).unwrap();
        recording.finish().unwrap();
        let mut seen = Vec::new();
        let played = replay(&path, |record, with| seen.push((record.len(), with))).unwrap();
        assert_eq!((played, seen), (2, vec![(90, clock), (100, clock)]));
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(matches!(
            replay(&path, |_, _| ()),
            Err(CaptureError::Damaged { records: 1, .. })
        ));
        std::fs::write(&path, b"something else, of some length").unwrap();
        assert!(matches!(
            replay(&path, |_, _| ()),
            Err(CaptureError::Foreign { .. })
        ));
        std::fs::remove_file(&path).unwrap();
    }
}
