//! A file of lines, rotated when it is long.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use tokio::task::JoinHandle;

use super::{Failure, Sink, Taken};
use crate::event::Event;

/// `[sinks.jsonl]`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Jsonl {
    /// The file.
    pub(crate) path: PathBuf,
    /// Bytes beyond which it is moved away and begun anew.
    #[serde(default = "rotate_bytes")]
    pub(crate) rotate_bytes: u64,
    /// Files that were moved away and are kept: `path.1` is the newest of them.
    #[serde(default = "keep")]
    pub(crate) keep: u32,
}

fn rotate_bytes() -> u64 {
    100 << 20
}

fn keep() -> u32 {
    10
}

/// Writes lines, and has them on the disk before it says so.
pub(crate) struct Writer {
    settings: Jsonl,
    /// What is being written, on a thread of its own: a disk that is slow holds up no other sink.
    write: Option<JoinHandle<io::Result<()>>>,
}

impl Writer {
    pub(crate) fn new(settings: &Jsonl) -> Self {
        Self {
            settings: settings.clone(),
            write: None,
        }
    }
}

impl Sink for Writer {
    async fn deliver(&mut self, events: &[Event]) -> Result<Taken, Failure> {
        // One that took too long goes on nevertheless.
        if let Some(before) = &mut self.write {
            let _ = before.await;
            self.write = None;
        }
        let bytes = events.iter().map(|event| event.bytes.len() + 1).sum();
        let mut lines = Vec::with_capacity(bytes);
        for event in events {
            lines.extend_from_slice(&event.bytes);
            lines.push(b'\n');
        }
        let settings = self.settings.clone();
        let write = tokio::task::spawn_blocking(move || append(&settings, &lines));
        let written = self.write.insert(write).await;
        self.write = None;
        let path = self.settings.path.display();
        match written {
            Ok(Ok(())) => Ok(Taken::All),
            Ok(Err(error)) => Err(Failure::again(format!("cannot write {path}: {error}"))),
            Err(error) => Err(Failure::again(format!("writing {path} ended: {error}"))),
        }
    }

    fn reset(&mut self) {}
}

/// Adds lines to the file, which is opened anew each time: others may have moved it away.
fn append(settings: &Jsonl, lines: &[u8]) -> io::Result<()> {
    let path = &settings.path;
    let mut file = open(path)?;
    let length = file.metadata()?.len();
    if length > 0 && length + lines.len() as u64 > settings.rotate_bytes {
        drop(file);
        rotate(settings)?;
        file = open(path)?;
    }
    let at = whole_lines(&file)?;
    // A crash, or a full disk, left half a line: what it was is sent again.
    file.set_len(at)?;
    file.seek(SeekFrom::Start(at))?;
    if let Err(error) = file.write_all(lines) {
        let _ = file.set_len(at);
        return Err(error);
    }
    file.sync_data()
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    options.mode(0o640).open(path)
}

/// The length of a file without the line at its end that is not whole.
fn whole_lines(file: &File) -> io::Result<u64> {
    let mut end = file.metadata()?.size();
    let mut chunk = [0; 4096];
    while end > 0 {
        let from = end.saturating_sub(chunk.len() as u64);
        let length = usize::try_from(end - from).unwrap_or(chunk.len());
        let read = chunk.get_mut(..length).unwrap_or_default();
        file.read_exact_at(read, from)?;
        if let Some(at) = read.iter().rposition(|byte| *byte == b'\n') {
            return Ok(from + at as u64 + 1);
        }
        end = from;
    }
    Ok(0)
}

/// Moves the files on by one number, and the last away.
fn rotate(settings: &Jsonl) -> io::Result<()> {
    let numbered = |number: u32| {
        let mut name = settings.path.clone().into_os_string();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    if settings.keep == 0 {
        return fs::remove_file(&settings.path);
    }
    for number in (1..settings.keep).rev() {
        match fs::rename(numbered(number), numbered(number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(&settings.path, numbered(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::tests::event;

    fn settings(folder: &Path) -> Jsonl {
        Jsonl {
            path: folder.join("events.jsonl"),
            rotate_bytes: 1_000,
            keep: 2,
        }
    }

    #[tokio::test]
    async fn lines_are_added_and_files_move_on() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        let mut writer = Writer::new(&settings);
        for index in 0..20 {
            let taken = writer.deliver(&[event(index, &format!("r-{index}"))]).await;
            assert_eq!(taken, Ok(Taken::All));
        }
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        let all = [
            read("events.jsonl.2"),
            read("events.jsonl.1"),
            read("events.jsonl"),
        ];
        assert!(!folder.path().join("events.jsonl.3").exists());
        let all = all.concat();
        assert!(all.lines().count() >= 10);
        assert!(all.lines().last().unwrap().contains("\"r-19\""));
        for (index, line) in all.lines().rev().enumerate() {
            assert!(line.contains(&format!("\"r-{}\"", 19 - index)), "{line}");
        }
    }

    #[tokio::test]
    async fn half_a_line_is_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        fs::write(&settings.path, "{\"a\":1}\n{\"b\":").unwrap();
        let mut writer = Writer::new(&settings);
        writer.deliver(&[event(0, "r-0")]).await.unwrap();
        let text = fs::read_to_string(&settings.path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.len() == 2 && lines[0] == "{\"a\":1}", "{text}");
        assert!(lines[1].contains("r-0"), "{text}");
        fs::write(&settings.path, "x".repeat(9_000)).unwrap();
        assert_eq!(
            whole_lines(&File::open(&settings.path).unwrap()).unwrap(),
            0
        );
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_written_is_named() {
        let mut writer = Writer::new(&settings(Path::new("/nonexistent")));
        let failed = writer.deliver(&[event(0, "r-0")]).await;
        assert!(matches!(failed, Err(Failure::Again { why, .. }) if why.contains("/nonexistent/")));
    }
}
