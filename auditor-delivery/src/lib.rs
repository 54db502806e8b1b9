//! Brings what is in the log to where it is looked at: files, syslog, brokers, SIEMs, object stores.
//!
//! The log itself is what waits: each sink has a cursor into it, so that an event is written once however many sinks there
//! are, is never sent before it is durable, and outlives the daemon. All sinks run on one thread of their own, each by
//! itself: one that is dead holds up neither capture nor another. Bounds are a sink's own: what may wait is counted in
//! entries ([`Settings`]), what is in memory is one batch.

mod backlog;
mod checkpoint;
mod counters;
mod cursor;
mod event;
mod fact;
mod filter;
mod http;
mod runner;
mod settings;
mod sink;
#[cfg(test)]
mod tests;
mod tls;
mod witnesses;

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
    thread,
};

use auditor_ledger::{Follower, Tail};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinHandle, LocalSet},
};

use self::{
    backlog::Backlog,
    counters::{Counters, Witnessed},
    cursor::Cursor,
    runner::{Runner, now_ms},
    settings::Begin,
    sink::AnySink,
    witnesses::Rounds,
};
pub use self::{
    counters::Counts,
    fact::{Fact, Why},
    settings::{Invalid, Settings},
    tls::Tls,
    witnesses::Witnesses,
};

/// Has the log say a fact; tells whether it took it.
pub type Tell = Arc<dyn Fn(&Fact) -> bool + Send + Sync>;

/// Where events come from, as receivers are told.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The host's name.
    pub hostname: String,
    /// What the host is known by; unlike its name it is no other's.
    pub node: String,
    /// The auditor's version.
    pub version: String,
}

/// Where the log is, and who writes it.
pub struct Source {
    /// The log's folder.
    pub log: PathBuf,
    /// The folder of its private keys.
    pub keys: PathBuf,
    /// The verifier key of its first start: another log is another key.
    pub key: String,
    /// Its end, whenever it moves.
    pub tail: watch::Receiver<Arc<Tail>>,
}

/// Why delivery cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Settings cannot be meant.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A file or folder cannot be used.
    #[error("cannot use {path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Sinks that run.
pub struct Delivery {
    orders: mpsc::UnboundedSender<Vec<Settings>>,
    stop: watch::Sender<bool>,
    counters: AllCounters,
    witnessed: Arc<Witnessed>,
    thread: thread::JoinHandle<()>,
}

impl Delivery {
    /// Starts sinks, and who asks witnesses, on a thread of their own; `spool` is the folder where each sink keeps how far it
    /// got.
    ///
    /// # Errors
    /// When settings cannot be meant, or the folder or the thread cannot be had.
    pub fn start(
        spool: &Path,
        source: Source,
        sinks: Vec<Settings>,
        witnesses: Option<Witnesses>,
        origin: Origin,
        tell: Tell,
    ) -> Result<Self, Error> {
        Settings::check_all(&sinks)?;
        witnesses.as_ref().map_or(Ok(()), Witnesses::check)?;
        let unusable = |source| Error::Io {
            path: spool.to_owned(),
            source,
        };
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(spool).map_err(unusable)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(unusable)?;
        let (stop, stopped) = watch::channel(false);
        let (orders, mut ordered) = mpsc::unbounded_channel();
        let counters = AllCounters::default();
        let witnessed = Arc::default();
        let rounds = witnesses.map(|settings| Rounds {
            settings,
            log: source.log.clone(),
            keys: source.keys.clone(),
            tail: source.tail.clone(),
            counters: Arc::clone(&witnessed),
            tell: Arc::clone(&tell),
        });
        let mut crew = Crew {
            spool: spool.to_owned(),
            source,
            origin: Arc::new(origin),
            tell,
            counters: Arc::clone(&counters),
            running: Vec::new(),
        };
        let named = thread::Builder::new().name("delivery".to_owned());
        let thread = named
            .spawn(move || {
                let work = async move {
                    crew.employ(sinks).await;
                    let asking =
                        rounds.map(|rounds| tokio::task::spawn_local(rounds.run(stopped.clone())));
                    let mut stopped = stopped;
                    loop {
                        tokio::select! {
                            order = ordered.recv() => match order {
                                Some(sinks) => crew.employ(sinks).await,
                                None => break,
                            },
                            _ = stopped.changed() => break,
                        }
                    }
                    crew.employ(Vec::new()).await;
                    if let Some(asking) = asking {
                        let _ = asking.await;
                    }
                };
                runtime.block_on(LocalSet::new().run_until(work));
                // A write that hangs is not waited for.
                runtime.shutdown_background();
            })
            .map_err(unusable)?;
        Ok(Self {
            orders,
            stop,
            counters,
            witnessed,
            thread,
        })
    }

    /// Has other sinks run; those whose settings are the same go on.
    ///
    /// # Errors
    /// When settings cannot be meant: all stays as it is.
    pub fn reload(&self, sinks: Vec<Settings>) -> Result<(), Error> {
        Settings::check_all(&sinks)?;
        // It ends with this, and not before.
        let _ = self.orders.send(sinks);
        Ok(())
    }

    /// What was counted, by the names of sinks.
    pub fn counts(&self) -> Vec<(String, Counts)> {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now_ms();
        let counted = counters.iter();
        counted
            .map(|(name, counters)| (name.clone(), counters.counts(now)))
            .collect()
    }

    /// Entries of the checkpoint that witnesses signed last, and questions that they did not answer with a signature.
    pub fn witnessed(&self) -> (u64, u64) {
        let Witnessed { entries, failures } = &*self.witnessed;
        (entries.load(Relaxed), failures.load(Relaxed))
    }

    /// Sends what can be sent within some seconds, and ends. The log must have been closed before.
    pub fn stop(self) {
        let _ = self.stop.send(true);
        if self.thread.join().is_err() {
            tracing::error!("the thread that delivers events ended by itself");
        }
    }
}

/// The counters of all sinks, by their names.
type AllCounters = Arc<Mutex<Vec<(String, Arc<Counters>)>>>;

/// Sinks that run, on their thread.
struct Crew {
    spool: PathBuf,
    source: Source,
    origin: Arc<Origin>,
    tell: Tell,
    counters: AllCounters,
    running: Vec<Running>,
}

struct Running {
    settings: Settings,
    counters: Arc<Counters>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Crew {
    /// Ends those that are not wanted any more, and starts those that are new.
    async fn employ(&mut self, sinks: Vec<Settings>) {
        let (stay, leave): (Vec<_>, Vec<_>) = self
            .running
            .drain(..)
            .partition(|one| sinks.contains(&one.settings));
        self.running = stay;
        for one in &leave {
            let _ = one.stop.send(true);
        }
        for one in leave {
            if one.task.await.is_err() {
                let sink = one.settings.name;
                tracing::error!(sink, "what delivers events ended by itself");
            }
        }
        for settings in sinks {
            if !self.running.iter().any(|one| one.settings == settings) {
                self.start(settings);
            }
        }
        let counters = self.running.iter();
        let counters = counters.map(|one| (one.settings.name.clone(), Arc::clone(&one.counters)));
        *self.counters.lock().unwrap_or_else(PoisonError::into_inner) = counters.collect();
    }

    fn start(&mut self, settings: Settings) {
        let Some(sink) = AnySink::new(&settings, &self.origin) else {
            return;
        };
        let path = cursor::path(&self.spool, &settings.name);
        let counters = Arc::default();
        let (stop, stopped) = watch::channel(false);
        let runner = Runner {
            sink,
            cursor: self.cursor(&settings, &path),
            path,
            settings: settings.clone(),
            origin: Arc::clone(&self.origin),
            follower: Follower::new(&self.source.log),
            tail: self.source.tail.clone(),
            counters: Arc::clone(&counters),
            tell: Arc::clone(&self.tell),
        };
        tracing::info!(
            sink = settings.name,
            from = runner.cursor.backlog.next(),
            "events are delivered"
        );
        self.running.push(Running {
            settings,
            counters,
            stop,
            task: tokio::task::spawn_local(runner.run(stopped)),
        });
    }

    /// Where a sink goes on, or begins.
    fn cursor(&self, settings: &Settings, path: &Path) -> Cursor {
        let begin = match settings.begin {
            Begin::Now => self.source.tail.borrow().size,
            Begin::Oldest => 0,
        };
        let new = |next| Cursor {
            log: self.source.key.clone(),
            backlog: Backlog::new(next),
            untold: Vec::new(),
        };
        match cursor::read(path) {
            Ok(Some(cursor)) if cursor.log == self.source.key => cursor,
            // All of the new log came after what it had.
            Ok(Some(_)) => new(0),
            Ok(None) if path.exists() => {
                tracing::error!(
                    "{} does not say how far its sink got: the whole log is sent again",
                    path.display()
                );
                new(0)
            }
            Ok(None) => new(begin),
            Err(error) => {
                let path = path.display();
                tracing::error!("cannot read {path}, the whole log is sent again: {error}");
                new(0)
            }
        }
    }
}

#[cfg(test)]
impl Origin {
    /// Of nowhere.
    pub(crate) fn testing() -> Arc<Self> {
        Arc::new(Self {
            hostname: "host".to_owned(),
            node: "node".to_owned(),
            version: "0".to_owned(),
        })
    }
}
