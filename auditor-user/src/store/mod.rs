//! Keeps every event in the tamper-evident log of this node, on a thread of its own: a disk that is slow delays no capture.
//!
//! Bounds: [`QUEUE`] bytes wait for the thread. What finds no room is counted, and said by an entry once there is room.

mod lifecycle;
mod retention;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use auditor_core::audit::Device;
use auditor_ledger::{ENTRY, Log};

pub(crate) use self::lifecycle::Occasion;
use self::{lifecycle::Lifecycle, retention::Retention};
use crate::config::Ledger;

/// Most bytes that wait for the thread.
const QUEUE: u64 = 64 << 20;
/// Longest time between an entry and the commit that makes it durable.
const DELAY: Duration = Duration::from_secs(1);
/// Entries that are committed at once when nothing else comes.
const BATCH: usize = 256;
/// How often old entries are looked for.
const RETENTION: Duration = Duration::from_secs(3_600);

/// The log of this node.
pub(crate) struct Store {
    sender: Sender<Message>,
    shared: Arc<Shared>,
    thread: thread::JoinHandle<()>,
}

/// What the thread is told.
enum Message {
    Event(Vec<u8>),
    Occasion(Occasion),
    Stop,
}

/// What both threads count.
#[derive(Default)]
struct Shared {
    /// Bytes that wait for the thread.
    waiting: AtomicU64,
    /// Events that found no room.
    lost: AtomicU64,
    /// Entries that are durable.
    durable: AtomicU64,
    /// Commits that failed.
    failed: AtomicU64,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Counts {
    /// Entries that are durable.
    pub(crate) durable: u64,
    /// Events that found no room.
    pub(crate) lost: u64,
    /// Commits that failed.
    pub(crate) failed: u64,
}

/// The folder of the log below a data directory.
pub(crate) fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("log")
}

impl Store {
    /// Opens the log below a data directory and says in it that the auditor starts.
    ///
    /// # Errors
    /// When the log cannot be written, or is not as it was written.
    pub(crate) fn start(data_dir: &Path, config: &Ledger, device: &Device) -> Result<Self> {
        let origin = format!("mcp-auditor/{}", node(device));
        let now = now_ms();
        let (log, opened) = Log::open(&folder(data_dir), &data_dir.join("keys"), &origin, now)
            .context("the log of events cannot be opened")?;
        if opened.is_new {
            tracing::info!(
                key = opened.link.key,
                "a new log begins; who is to verify it keeps this key elsewhere"
            );
        } else {
            tracing::info!(entries = opened.size, "the log goes on");
        }
        let (sender, receiver) = channel();
        let shared = Arc::new(Shared::default());
        let mut keeper = Keeper {
            lifecycle: Lifecycle::new(device, &opened.link.key),
            retention: Retention::new(data_dir, config),
            log,
            shared: Arc::clone(&shared),
            told_lost: 0,
            oldest: None,
            retained: None,
        };
        keeper.note(&Occasion::Start {
            torn_bytes: opened.torn_bytes,
            last_ms: opened.last_ms,
            key: opened.link.key,
        });
        keeper.commit();
        let thread = thread::Builder::new().name("store".to_owned());
        let thread = thread
            .spawn(move || keeper.run(&receiver))
            .context("cannot start the thread that keeps events")?;
        Ok(Self {
            sender,
            shared,
            thread,
        })
    }

    /// Hands over an event.
    pub(crate) fn keep(&self, event: &[u8]) {
        let bytes = event.len() as u64;
        if self.shared.waiting.load(Ordering::Relaxed) + bytes > QUEUE {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.shared.waiting.fetch_add(bytes, Ordering::Relaxed);
        self.send(Message::Event(event.to_vec()));
    }

    /// Says in the log what happened to the auditor itself.
    pub(crate) fn note(&self, occasion: Occasion) {
        self.send(Message::Occasion(occasion));
    }

    fn send(&self, message: Message) {
        if self.sender.send(message).is_err() {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was counted.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            durable: self.shared.durable.load(Ordering::Relaxed),
            lost: self.shared.lost.load(Ordering::Relaxed),
            failed: self.shared.failed.load(Ordering::Relaxed),
        }
    }

    /// Says that the auditor stops, and waits until all is durable.
    pub(crate) fn stop(self) -> Counts {
        self.send(Message::Stop);
        let Self { thread, shared, .. } = self;
        if thread.join().is_err() {
            tracing::error!("the thread that keeps events ended by itself");
        }
        Counts {
            durable: shared.durable.load(Ordering::Relaxed),
            lost: shared.lost.load(Ordering::Relaxed),
            failed: shared.failed.load(Ordering::Relaxed),
        }
    }
}

/// The thread's side.
struct Keeper {
    log: Log,
    lifecycle: Lifecycle,
    retention: Retention,
    shared: Arc<Shared>,
    /// Lost events that an entry says.
    told_lost: u64,
    /// When the oldest entry that is not durable came.
    oldest: Option<Instant>,
    /// When old entries were looked for last.
    retained: Option<Instant>,
}

impl Keeper {
    fn run(mut self, receiver: &Receiver<Message>) {
        loop {
            let wait = self
                .oldest
                .map_or(DELAY, |oldest| DELAY.saturating_sub(oldest.elapsed()));
            match receiver.recv_timeout(wait) {
                Ok(Message::Event(event)) => {
                    let bytes = event.len() as u64;
                    self.append(event);
                    self.shared.waiting.fetch_sub(bytes, Ordering::Relaxed);
                }
                Ok(Message::Occasion(occasion)) => self.note(&occasion),
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let is_late = self.oldest.is_some_and(|oldest| oldest.elapsed() >= DELAY);
            if is_late || self.log.pending() >= BATCH {
                self.commit();
            }
            if self.retained.is_none_or(|at| at.elapsed() >= RETENTION) {
                self.retained = Some(Instant::now());
                self.retire();
            }
        }
        self.note(&Occasion::Stop);
        self.commit();
        if let Err(error) = self.log.close() {
            tracing::error!("the log could not be closed, which loses nothing: {error}");
        }
    }

    fn append(&mut self, entry: Vec<u8>) {
        if entry.len() > ENTRY {
            let digest = Occasion::large(&entry);
            return self.note(&digest);
        }
        match self.log.append(entry) {
            Ok(_) => {
                self.oldest.get_or_insert_with(Instant::now);
            }
            Err(error) => {
                let lost = self.shared.lost.fetch_add(1, Ordering::Relaxed) + 1;
                if lost.is_power_of_two() {
                    tracing::error!(lost, "an event is not kept: {error}");
                }
            }
        }
    }

    fn note(&mut self, occasion: &Occasion) {
        let entry = self.lifecycle.entry(occasion, now_ms());
        self.append(entry);
    }

    /// Makes all durable; what cannot be is tried again.
    fn commit(&mut self) {
        let lost = self.shared.lost.load(Ordering::Relaxed);
        if lost > self.told_lost {
            let entry = self.lifecycle.entry(
                &Occasion::Loss {
                    events: lost - self.told_lost,
                },
                now_ms(),
            );
            // Where there is no room for this either it is said later.
            if self.log.append(entry).is_ok() {
                self.told_lost = lost;
            }
        }
        match self.log.commit() {
            Ok(commit) => {
                self.shared.durable.store(commit.size, Ordering::Relaxed);
                self.oldest = None;
            }
            Err(error) => {
                let failed = self.shared.failed.fetch_add(1, Ordering::Relaxed) + 1;
                if failed.is_power_of_two() {
                    tracing::error!(failed, "events are not durable yet: {error}");
                }
                self.oldest = Some(Instant::now());
            }
        }
    }

    fn retire(&mut self) {
        match self.retention.retire(&mut self.log, now_ms()) {
            Ok(None) => {}
            Ok(Some(first)) => self.note(&Occasion::Retention { first }),
            Err(error) => tracing::warn!("old entries cannot be removed: {error}"),
        }
    }
}

/// What the log of a host is called.
fn node(device: &Device) -> String {
    let name = device.uid.as_deref().unwrap_or(&device.hostname);
    let name: String = name
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || "-._".contains(*c))
        .take(64)
        .collect();
    if name.is_empty() {
        "host".to_owned()
    } else {
        name
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
