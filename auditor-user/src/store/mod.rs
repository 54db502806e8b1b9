//! Keeps every event in the tamper-evident log of this node, on a thread of its own: a disk that is slow delays no capture.
//! What is durable there is delivered to sinks.
//!
//! Bounds: [`QUEUE`] bytes wait for the thread; beyond that capture waits, [`PATIENCE`] at most. What finds no room then is
//! counted, and said by an entry once there is room.

mod lifecycle;
mod retention;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use auditor_core::audit::Device;
use auditor_delivery::{Delivery, Origin, Settings, Source, Tell};
use auditor_ledger::{ENTRY, Log, Pace, Tail};
use tokio::sync::watch;

pub(crate) use self::lifecycle::Occasion;
use self::{lifecycle::Lifecycle, retention::Retention};
use crate::config::Ledger;

/// Most bytes that wait for the thread.
const QUEUE: usize = 16 << 20;
/// Bytes of memory that the queue keeps when it is empty.
const KEPT: usize = 4 << 20;
/// Longest time that the daemon waits for room: capture and the ring of the kernel side have room meanwhile, and a disk that
/// others are busy with may take seconds for a sync.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest time that nothing is looked at.
const IDLE: Duration = Duration::from_secs(60);
/// How often old entries are looked for.
const RETENTION: Duration = Duration::from_secs(3_600);

/// The log of this node.
pub(crate) struct Store {
    shared: Arc<Shared>,
    delivery: Delivery,
    thread: thread::JoinHandle<()>,
}

/// What both threads know.
#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// There is something in the queue that was empty.
    filled: Condvar,
    /// The queue was taken.
    taken: Condvar,
    /// Events that found no room.
    lost: AtomicU64,
    /// Entries that are durable.
    durable: AtomicU64,
    /// Commits that failed.
    failed: AtomicU64,
    /// The thread takes nothing any more.
    is_stopped: AtomicBool,
}

/// What waits for the thread: one piece of memory that is filled anew, for pieces that one thread takes and another gives
/// back are dear.
#[derive(Default)]
struct Queue {
    /// Events, one after the other.
    bytes: Vec<u8>,
    items: Vec<Item>,
    /// Capture waited for room, and there was none.
    is_stuck: bool,
}

enum Item {
    /// An event of so many bytes.
    Event(usize),
    Occasion(Occasion),
    /// The auditor stops; since when it hears nothing, in UTC milliseconds.
    Stop(u64),
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
    /// Opens the log below a data directory, says in it that the auditor starts, and delivers from it. It hears since
    /// `heard_from`, in UTC milliseconds: what the entry says.
    ///
    /// # Errors
    /// When the log cannot be written, or is not as it was written, or sinks cannot be started.
    pub(crate) fn start(
        data_dir: &Path,
        config: &Ledger,
        sinks: Vec<Settings>,
        device: &Device,
        heard_from: u64,
    ) -> Result<Self> {
        let node = node(device);
        let origin = format!("mcp-auditor/{node}");
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
        let shared = Arc::new(Shared::default());
        let (tail, followed) = watch::channel(Arc::new(log.tail()));
        let first = log.chain().links().first();
        let source = Source {
            log: folder(data_dir),
            keys: data_dir.join("keys"),
            key: first.map(|link| link.key.clone()).unwrap_or_default(),
            tail: followed,
        };
        let from = Origin {
            hostname: device.hostname.clone(),
            node,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let delivery = Delivery::start(
            &data_dir.join("spool"),
            source,
            sinks,
            config.witnessed.clone(),
            from,
            tell(&shared),
        )
        .context("events cannot be delivered")?;
        let mut keeper = Keeper {
            lifecycle: Lifecycle::new(device, &opened.link.key),
            retention: Retention::new(data_dir, config),
            log,
            tail,
            shared: Arc::clone(&shared),
            told_lost: 0,
            pace: Pace::default(),
            retained: None,
        };
        let start = Occasion::Start {
            torn_bytes: opened.torn_bytes,
            last_ms: opened.last_ms,
            key: opened.link.key,
        };
        keeper.note_at(&start, heard_from);
        keeper.commit();
        let thread = thread::Builder::new().name("store".to_owned());
        let thread = thread
            .spawn(move || keeper.run())
            .context("cannot start the thread that keeps events")?;
        Ok(Self {
            shared,
            delivery,
            thread,
        })
    }

    /// Hands over an event.
    pub(crate) fn keep(&self, event: &[u8]) {
        self.shared.wait_for_room(event.len());
        let is_room = self.shared.fill(|queue| {
            let is_room = queue.has_room(event.len());
            if is_room {
                queue.bytes.extend(event);
                queue.items.push(Item::Event(event.len()));
            }
            is_room
        });
        if !is_room {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Says in the log what happened to the auditor itself.
    pub(crate) fn note(&self, occasion: Occasion) {
        self.shared
            .fill(|queue| queue.items.push(Item::Occasion(occasion)));
    }

    /// What was counted.
    pub(crate) fn counts(&self) -> Counts {
        self.shared.counts()
    }

    /// What was counted of each sink, by its name.
    pub(crate) fn delivered(&self) -> Vec<(String, auditor_delivery::Counts)> {
        self.delivery.counts()
    }

    /// Entries that witnesses signed, and how often they did not.
    pub(crate) fn witnessed(&self) -> (u64, u64) {
        self.delivery.witnessed()
    }

    /// Has other sinks run.
    ///
    /// # Errors
    /// When their settings cannot be meant: those before go on.
    pub(crate) fn reload(&self, sinks: Vec<Settings>) -> Result<()> {
        Ok(self.delivery.reload(sinks)?)
    }

    /// Says that the auditor stops, and hears nothing since `heard_until` (UTC milliseconds); waits until all is durable, and
    /// some seconds until it is delivered.
    pub(crate) fn stop(self, heard_until: u64) -> Counts {
        self.shared
            .fill(|queue| queue.items.push(Item::Stop(heard_until)));
        if self.thread.join().is_err() {
            tracing::error!("the thread that keeps events ended by itself");
        }
        self.delivery.stop();
        self.shared.counts()
    }
}

impl Queue {
    /// Whether there is room for so many bytes; for one event there always is.
    fn has_room(&self, bytes: usize) -> bool {
        self.bytes.is_empty() || self.bytes.len() + bytes <= QUEUE
    }
}

impl Shared {
    fn wait_for_room(&self, bytes: usize) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        // One who waited in vain does not wait again for each event.
        if queue.has_room(bytes) || queue.is_stuck {
            return;
        }
        let waited = self
            .taken
            .wait_timeout_while(queue, PATIENCE, |queue| !queue.has_room(bytes));
        let (mut queue, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        queue.is_stuck = waited.timed_out();
    }

    /// Puts something into the queue.
    fn fill<T>(&self, fill: impl FnOnce(&mut Queue) -> T) -> T {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = queue.items.is_empty();
        let filled = fill(&mut queue);
        if was_empty {
            self.filled.notify_one();
        }
        filled
    }

    /// Takes what is in the queue, which is `empty` then; waits for something so long.
    fn take(&self, empty: &mut Queue, wait: Duration) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .filled
            .wait_timeout_while(queue, wait, |queue| queue.items.is_empty());
        let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *queue, empty);
        queue.is_stuck = false;
        self.taken.notify_one();
    }

    fn counts(&self) -> Counts {
        Counts {
            durable: self.durable.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }
}

/// The thread's side.
struct Keeper {
    log: Log,
    /// The log's end, for those who follow it.
    tail: watch::Sender<Arc<Tail>>,
    lifecycle: Lifecycle,
    retention: Retention,
    shared: Arc<Shared>,
    /// Lost events that an entry says.
    told_lost: u64,
    pace: Pace,
    /// When old entries were looked for last.
    retained: Option<Instant>,
}

impl Keeper {
    fn run(mut self) {
        let mut taken = Queue::default();
        let mut stops = None;
        while stops.is_none() {
            let due = self.pace.poll_timeout();
            let wait = due.map_or(IDLE, |due| due.saturating_duration_since(Instant::now()));
            self.shared.take(&mut taken, wait);
            let mut bytes = &taken.bytes[..];
            for item in taken.items.drain(..) {
                match item {
                    Item::Event(length) => {
                        let (event, rest) = bytes.split_at_checked(length).unwrap_or_default();
                        bytes = rest;
                        self.append(event.to_vec());
                    }
                    Item::Occasion(occasion) => self.note(&occasion),
                    Item::Stop(heard_until) => stops = Some(heard_until),
                }
                self.commit_when_due();
            }
            taken.bytes.clear();
            taken.bytes.shrink_to(KEPT);
            self.commit_when_due();
            if self.retained.is_none_or(|at| at.elapsed() >= RETENTION) {
                self.retained = Some(Instant::now());
                self.retire();
            }
        }
        // What is said from here on is not in the log of this run.
        self.shared.is_stopped.store(true, Ordering::Relaxed);
        self.note_at(&Occasion::Stop, stops.unwrap_or_else(now_ms));
        self.commit();
        if let Err(error) = self.log.close() {
            tracing::error!("the log could not be closed, which loses nothing: {error}");
        }
    }

    fn commit_when_due(&mut self) {
        let due = self.pace.poll_timeout();
        if due.is_some_and(|due| due <= Instant::now()) {
            self.commit();
        }
    }

    fn append(&mut self, entry: Vec<u8>) {
        if entry.len() > ENTRY {
            let digest = Occasion::large(&entry);
            return self.note(&digest);
        }
        match self.log.append(entry) {
            Ok(_) => {
                self.pace.handle_append(Instant::now());
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
        self.note_at(occasion, now_ms());
    }

    fn note_at(&mut self, occasion: &Occasion, time_ms: u64) {
        let entry = self.lifecycle.entry(occasion, time_ms);
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
                self.pace.handle_commit();
                self.tail.send_replace(Arc::new(self.log.tail()));
            }
            Err(error) => {
                let failed = self.shared.failed.fetch_add(1, Ordering::Relaxed) + 1;
                if failed.is_power_of_two() {
                    tracing::error!(failed, "events are not durable yet: {error}");
                }
                // Once more when the next would be due.
                self.pace = Pace::default();
                self.pace.handle_append(Instant::now());
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

/// Has the log say what sinks do not get.
fn tell(shared: &Arc<Shared>) -> Tell {
    let shared = Arc::clone(shared);
    Arc::new(move |fact| {
        if shared.is_stopped.load(Ordering::Relaxed) {
            return false;
        }
        let occasion = Occasion::Delivery(fact.clone());
        shared.fill(|queue| queue.items.push(Item::Occasion(occasion)));
        true
    })
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

/// Now, in UTC milliseconds.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
