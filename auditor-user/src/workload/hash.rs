//! SHA-256 of executables, computed aside, once per file.
//!
//! A file is known by device, inode, size and time of change; what is hashed is what the kernel ran, or nothing. A file
//! for which an event waits goes before all others, also before the rest of one that is being read.
//! Bounds: [`QUEUE`] files wait, [`KNOWN`] are remembered, larger ones than [`SIZE`] are left out.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    fs::File,
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};

use sha2::{Digest as _, Sha256};

use super::containers::Layers;

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
    /// What its root is made of, which shows the same files when both are gone.
    pub(super) layers: Layers,
}

type Wanted = (FileId, Place);
type Done = (FileId, Option<[u8; 32]>);

/// Hashes files in a thread of its own.
pub(crate) struct Hasher {
    known: HashMap<FileId, Option<[u8; 32]>>,
    wanted: SyncSender<Wanted>,
    urgent: SyncSender<Wanted>,
    /// Those that were said to be urgent.
    hurried: RefCell<HashSet<FileId>>,
    done: Receiver<Done>,
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
        let (wanted, files) = sync_channel::<Wanted>(QUEUE);
        let (urgent, first) = sync_channel::<Wanted>(QUEUE);
        let (finished, done) = sync_channel(QUEUE);
        let mut worker = Worker {
            urgent: first,
            finished,
            hurried: HashSet::new(),
        };
        thread::Builder::new()
            .name("hasher".to_owned())
            .spawn(move || {
                for (id, place) in files {
                    if !worker.work(id, &place) {
                        break;
                    }
                }
            })?;
        Ok(Self {
            known: HashMap::new(),
            wanted,
            urgent,
            hurried: RefCell::default(),
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

    /// Has a file that is wanted hashed before all others, for somebody waits for it.
    pub(super) fn hurry(&self, id: FileId, place: Place) {
        let mut hurried = self.hurried.borrow_mut();
        if hurried.len() < QUEUE && hurried.insert(id) {
            // Where there is no room it is hashed in its turn.
            let _ = self.urgent.try_send((id, place));
        }
    }

    /// Hashes that were finished since the last call.
    pub(super) fn finished(&mut self) -> Vec<(FileId, [u8; 32])> {
        let mut finished = Vec::new();
        while let Ok((id, hash)) = self.done.try_recv() {
            self.hurried.get_mut().remove(&id);
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

/// What the thread works with.
struct Worker {
    urgent: Receiver<Wanted>,
    finished: SyncSender<Done>,
    /// Hashed before their turn.
    hurried: HashSet<FileId>,
}

impl Worker {
    /// Hashes one file, and those that are urgent before it; false when nobody listens any more.
    fn work(&mut self, id: FileId, place: &Place) -> bool {
        let mut is_heard = self.hurry(None);
        if self.hurried.remove(&id) {
            return is_heard;
        }
        let hash = hash(id, place, || is_heard &= self.hurry(Some(id)));
        is_heard && self.finished.send((id, hash)).is_ok()
    }

    /// Hashes what is urgent, but for the file that is being hashed.
    fn hurry(&mut self, current: Option<FileId>) -> bool {
        while let Ok((id, place)) = self.urgent.try_recv() {
            if current == Some(id) {
                continue;
            }
            if self.hurried.len() < KNOWN {
                self.hurried.insert(id);
            }
            if self.finished.send((id, hash(id, &place, || ()))).is_err() {
                return false;
            }
        }
        true
    }
}

/// Hashes the file if it is the one that is meant; `pause` is called now and then.
fn hash(id: FileId, place: &Place, mut pause: impl FnMut()) -> Option<[u8; 32]> {
    let path = place.path.as_deref();
    let layers = || place.layers.open(path?).filter(|file| is_meant(id, file));
    let candidates = [
        Some(format!("/proc/{}/exe", place.pid)),
        path.map(|path| format!("/proc/{}/root{path}", place.parent)),
        path.map(str::to_owned),
    ];
    let file = candidates
        .into_iter()
        .flatten()
        .find_map(|path| File::open(path).ok().filter(|file| is_meant(id, file)));
    let mut file = file.or_else(layers)?;
    if id.size > SIZE {
        return None;
    }
    let mut sha256 = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        pause();
        match file.read(&mut buffer).ok()? {
            0 => return Some(sha256.finalize().into()),
            len => sha256.update(buffer.get(..len)?),
        }
    }
}

/// Whether a file is the one that is meant.
fn is_meant(id: FileId, file: &File) -> bool {
    // A file system over others may show another device than the kernel's own structures.
    FileId::of(file).is_some_and(|found| {
        FileId {
            device: id.device,
            ..found
        } == id
    })
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
        let got = hash(id, &place, || ()).unwrap();
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
            ..Place::default()
        };
        let id = FileId::of(&File::open(&path).unwrap()).unwrap();
        assert!(hash(id, &place, || ()).is_some());
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
        assert_eq!(hash(id, &place, || ()), None);
    }

    #[test]
    fn a_file_for_which_somebody_waits_goes_before_the_rest_of_another() {
        let (urgent, first) = sync_channel(1);
        let (finished, done) = sync_channel(4);
        let mut worker = Worker {
            urgent: first,
            finished,
            hurried: HashSet::new(),
        };
        let own = File::open("/proc/self/exe").unwrap();
        let other = File::open("/bin/sh").unwrap();
        let place = |path: &str| Place {
            path: std::fs::canonicalize(path)
                .unwrap()
                .to_str()
                .map(str::to_owned),
            ..Place::default()
        };
        let (own, other) = (FileId::of(&own).unwrap(), FileId::of(&other).unwrap());
        urgent.send((other, place("/bin/sh"))).unwrap();
        assert!(worker.work(own, &place("/proc/self/exe")));
        assert!(worker.work(other, &place("/bin/sh")));
        let told: Vec<_> = done
            .try_iter()
            .map(|(id, hash)| (id, hash.is_some()))
            .collect();
        assert_eq!(told, [(other, true), (own, true)]);
    }
}
