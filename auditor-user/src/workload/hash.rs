//! SHA-256 of executables, computed aside, once per file.
//!
//! A file is known by device, inode, size and time of change; what is hashed is what the kernel ran, or nothing.
//! Bounds: [`QUEUE`] files wait, [`KNOWN`] are remembered, larger ones than [`SIZE`] are left out.

use std::{
    collections::HashMap,
    fs::File,
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};

use sha2::{Digest as _, Sha256};

/// Files that wait to be hashed.
const QUEUE: usize = 4_096;
/// Hashes remembered.
const KNOWN: usize = 16_384;
/// Largest file that is hashed, in bytes.
const SIZE: u64 = 2 << 30;

/// Which file.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct FileId {
    /// Device, as the kernel numbers it (`major << 20 | minor`).
    pub(super) device: u32,
    pub(super) inode: u64,
    pub(super) size: u64,
    /// Time of change, in seconds.
    pub(super) ctime: u64,
}

/// Where a program may be found.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// The process that runs it.
    pub(super) pid: u32,
    /// Its parent, which shows the same files when the process is gone.
    pub(super) parent: u32,
    /// Path of the program, as the process sees it.
    pub(super) path: Option<String>,
}

/// Hashes files in a thread of its own.
pub(crate) struct Hasher {
    known: HashMap<FileId, Option<[u8; 32]>>,
    wanted: SyncSender<(FileId, Place)>,
    done: Receiver<(FileId, Option<[u8; 32]>)>,
}

impl FileId {
    /// Of an open file.
    pub(super) fn of(file: &File) -> Option<Self> {
        let metadata = file.metadata().ok()?;
        let (major, minor) = (
            nix::sys::stat::major(metadata.dev()),
            nix::sys::stat::minor(metadata.dev()),
        );
        Some(Self {
            device: (major << 20 | minor) as u32,
            inode: metadata.ino(),
            size: metadata.size(),
            ctime: u64::try_from(metadata.ctime()).unwrap_or(0),
        })
    }
}

impl Hasher {
    /// Starts the thread.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start() -> std::io::Result<Self> {
        let (wanted, files) = sync_channel::<(FileId, Place)>(QUEUE);
        let (finished, done) = sync_channel(QUEUE);
        thread::Builder::new()
            .name("hasher".to_owned())
            .spawn(move || {
                for (id, place) in files {
                    if finished.send((id, hash(id, &place))).is_err() {
                        break;
                    }
                }
            })?;
        Ok(Self {
            known: HashMap::new(),
            wanted,
            done,
        })
    }

    /// The hash of a file if it is known; else it is wanted from now on.
    ///
    /// The file is opened through the process that runs it, or by its path once that process is gone.
    pub(super) fn get(&mut self, id: FileId, place: Place) -> Option<[u8; 32]> {
        if let Some(known) = self.known.get(&id) {
            return *known;
        }
        if self.known.len() < KNOWN && self.wanted.try_send((id, place)).is_ok() {
            self.known.insert(id, None);
        }
        None
    }

    /// Whether the hash of a file is being computed.
    pub(super) fn is_wanted(&self, id: FileId) -> bool {
        self.known.get(&id) == Some(&None)
    }

    /// Hashes that were finished since the last call.
    pub(super) fn finished(&mut self) -> Vec<(FileId, [u8; 32])> {
        let mut finished = Vec::new();
        while let Ok((id, hash)) = self.done.try_recv() {
            match hash {
                Some(hash) => {
                    self.known.insert(id, Some(hash));
                    finished.push((id, hash));
                }
                // The file could not be had: another process may still show it.
                None => {
                    self.known.remove(&id);
                }
            }
        }
        finished
    }
}

/// Hashes the file if it is the one that is meant.
fn hash(id: FileId, place: &Place) -> Option<[u8; 32]> {
    let path = place.path.as_deref();
    let candidates = [
        Some(format!("/proc/{}/exe", place.pid)),
        path.map(|path| format!("/proc/{}/root{path}", place.parent)),
        path.map(str::to_owned),
    ];
    let mut file = candidates.into_iter().flatten().find_map(|path| {
        let file = File::open(path).ok()?;
        let found = FileId::of(&file)?;
        // A file system over others may show another device than the kernel's own structures.
        (FileId {
            device: id.device,
            ..found
        } == id)
            .then_some(file)
    })?;
    if id.size > SIZE {
        return None;
    }
    let mut sha256 = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer).ok()? {
            0 => return Some(sha256.finalize().into()),
            len => sha256.update(buffer.get(..len)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_program_is_hashed_through_its_process() {
        let file = File::open("/proc/self/exe").unwrap();
        let id = FileId::of(&file).unwrap();
        let place = Place {
            pid: std::process::id(),
            ..Place::default()
        };
        let got = hash(id, &place).unwrap();
        let whole = std::fs::read("/proc/self/exe").unwrap();
        assert_eq!(got, <[u8; 32]>::from(Sha256::digest(whole)));
    }

    #[test]
    fn the_program_of_a_process_that_is_gone_is_hashed_through_its_parent() {
        let path = std::fs::read_link("/proc/self/exe").unwrap();
        let place = Place {
            pid: 0,
            parent: std::process::id(),
            path: path.to_str().map(str::to_owned),
        };
        let id = FileId::of(&File::open(&path).unwrap()).unwrap();
        assert!(hash(id, &place).is_some());
    }

    #[test]
    fn another_file_in_the_same_place_is_not_hashed() {
        let file = File::open("/proc/self/exe").unwrap();
        let id = FileId {
            size: 1,
            ..FileId::of(&file).unwrap()
        };
        let place = Place {
            pid: std::process::id(),
            path: Some("/proc/self/exe".to_owned()),
            ..Place::default()
        };
        assert_eq!(hash(id, &place), None);
    }
}
