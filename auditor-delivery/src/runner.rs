//! Brings the log to one sink: reads, filters, sends, waits, tries again, and remembers how far it got.
//!
//! An entry is sent once it is durable in the log, in the log's order, one batch after the other; after a failure from the
//! first that the receiver is not known to have. Bounds: one batch, and [`UNTOLD`] facts that the log was not told.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use auditor_ledger::{Error as LogError, Follower, Tail};
use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::{sync::watch, time::timeout};

use crate::{
    Origin, Tell,
    backlog::Shed,
    checkpoint,
    counters::Counters,
    cursor::{self, Cursor},
    event::Event,
    fact::{Fact, NAMES, Why},
    settings::Settings,
    sink::{Failure, Sink, Taken},
};

/// The first pause after a failure, and the longest without what chance adds, which may double it.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(15));
/// How often the cursor is written while it moves.
const SAVE: Duration = Duration::from_secs(1);
/// How long the last entries are waited for when the daemon stops.
const STOP: Duration = Duration::from_secs(5);
/// How long to wait for an entry that cannot be read.
const UNREADABLE: Duration = Duration::from_secs(1);
/// Facts that wait for the log.
const UNTOLD: usize = 64;

/// What all sinks are given.
pub(crate) struct Runner<S> {
    pub(crate) sink: S,
    pub(crate) settings: Settings,
    pub(crate) origin: Arc<Origin>,
    pub(crate) follower: Follower,
    pub(crate) tail: watch::Receiver<Arc<Tail>>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) tell: Tell,
    pub(crate) path: PathBuf,
    pub(crate) cursor: Cursor,
}

/// What is sent together.
struct Batch {
    events: Vec<Event>,
    /// The index behind the last that was read, those included that the sink does not want.
    next: u64,
    /// The size of the log that a checkpoint among them signs.
    checkpoint: Option<u64>,
}

/// How a run stands.
struct State {
    /// The first entry that was not given to the sink.
    position: u64,
    /// Events of a batch at most: fewer while one that is refused is looked for.
    limit: usize,
    pauses: ExponentialBackoff,
    failures: u64,
    /// How often the log could not be read.
    unread: u64,
    /// The size of the log that was signed for the sink last, and when.
    signed: (u64, Option<Instant>),
    saved: Instant,
    is_moved: bool,
    refused: Option<Fact>,
}

impl<S: Sink> Runner<S> {
    /// Runs until told to stop.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut state = State {
            position: self.cursor.backlog.next(),
            limit: self.most(),
            pauses: pauses(),
            failures: 0,
            unread: 0,
            signed: (0, None),
            saved: Instant::now(),
            is_moved: false,
            refused: None,
        };
        // Where it begins must outlive a crash in its first second.
        self.save(&mut state);
        let mut deadline = None;
        loop {
            let tail = Arc::clone(&self.tail.borrow_and_update());
            if deadline.is_none() && *stop.borrow() {
                deadline = Some(Instant::now() + STOP);
            }
            // What is left out from now on could not be told any more.
            if deadline.is_none() {
                self.make_room(&tail, &mut state);
            }
            let batch = self.fill(&tail, &mut state, deadline.is_some());
            let is_idle = batch.events.is_empty() && batch.next == state.position;
            let sent = self.send(batch, &mut state).await;
            self.acknowledge(&tail, &mut state);
            self.save_if_due(&mut state);
            if deadline.is_some_and(|at| sent.is_err() || is_idle || at <= Instant::now()) {
                break;
            }
            let wait = match sent {
                Err(pause) => pause,
                Ok(()) if !is_idle => continue,
                Ok(()) => self.next_timeout(&state),
            };
            tokio::select! {
                changed = self.tail.changed(), if sent.is_ok() => if changed.is_err() {
                    // The log is not written any more.
                    deadline = deadline.or(Some(Instant::now()));
                },
                _ = stop.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.end(&mut state).await;
    }

    fn most(&self) -> usize {
        self.settings.batch_events.unwrap_or(self.sink.batch())
    }

    /// Leaves out what is too much or is kept no more.
    fn make_room(&mut self, tail: &Tail, state: &mut State) {
        let backlog = &mut self.cursor.backlog;
        let gone = backlog.handle_retention(tail.first);
        let limit = self.settings.backlog;
        let too_much = backlog.handle_size(tail.size, limit, self.settings.when_full);
        let left_out = backlog.leaving_out(tail.size);
        self.counters.leaving_out.store(left_out, Relaxed);
        for (shed, why) in [(gone, Why::Retention), (too_much, Why::Backlog)] {
            if let Some(shed) = shed {
                self.note_shed(shed, why);
                state.is_moved = true;
            }
        }
        state.position = state.position.max(self.cursor.backlog.next());
    }

    fn note_shed(&mut self, shed: Shed, why: Why) {
        let entries = shed.end - shed.start;
        self.counters.shed.fetch_add(entries, Relaxed);
        let sink = self.settings.name.clone();
        tracing::error!(
            sink,
            entries,
            first = shed.start,
            ?why,
            "entries of the log are not sent"
        );
        self.say(Fact::Shed {
            sink,
            first: shed.start,
            end: shed.end,
            why,
        });
    }

    /// Tells the log, or keeps what is to be told.
    fn say(&mut self, fact: Fact) {
        if self.cursor.untold.len() < UNTOLD {
            self.cursor.untold.push(fact);
        }
        self.cursor.untold.retain(|fact| !(self.tell)(fact));
    }

    /// Reads what is to be sent next; with the last of it a checkpoint is sent, however short the time since the one before.
    fn fill(&self, tail: &Tail, state: &mut State, is_ending: bool) -> Batch {
        let mut batch = Batch {
            events: Vec::new(),
            next: state.position,
            checkpoint: None,
        };
        let backlog = &self.cursor.backlog;
        let mut bytes = 0;
        'bundles: while let Some(from) = backlog.from(batch.next, tail.size) {
            let until = backlog.until(from, tail.size);
            let entries = match self.follower.entries(tail, from) {
                Ok(entries) => entries,
                Err(error) => {
                    // A bundle that is not written yet, or is kept no more, is nothing to speak of.
                    if !matches!(error, LogError::Missing(_) | LogError::Retired(..)) {
                        state.unread += 1;
                        if state.unread.is_power_of_two() {
                            let (sink, times) = (&self.settings.name, state.unread);
                            tracing::error!(sink, times, "the log cannot be read: {error}");
                        }
                    }
                    break;
                }
            };
            for entry in entries {
                if entry.index >= until {
                    break;
                }
                let is_full = batch.events.len() >= state.limit
                    || (bytes + entry.bytes.len() > self.settings.batch_bytes && bytes > 0);
                if is_full {
                    break 'bundles;
                }
                batch.next = entry.index + 1;
                let event = Event::of(entry.index, entry.bytes);
                if self.settings.wants(&event.head) {
                    bytes += event.bytes.len();
                    batch.events.push(event);
                }
            }
        }
        let (signed, at) = state.signed;
        let pause = Duration::from_secs(self.settings.checkpoint_seconds.into());
        let is_due = is_ending || at.is_none_or(|at| at.elapsed() >= pause);
        let is_whole = backlog.from(batch.next, tail.size).is_none();
        if is_whole && is_due && tail.size > signed && batch.events.len() < state.limit {
            batch
                .events
                .push(checkpoint::event(tail, &self.origin, now_ms()));
            batch.checkpoint = Some(tail.size);
        }
        batch
    }

    /// Sends a batch, or does what else is due. After a failure gives the pause to make.
    async fn send(&mut self, batch: Batch, state: &mut State) -> Result<(), Duration> {
        let patience = self.sink.patience();
        if batch.events.is_empty() {
            state.is_moved |= batch.next != state.position;
            state.position = batch.next;
            if self
                .sink
                .poll_timeout()
                .is_none_or(|due| due > Instant::now())
            {
                return Ok(());
            }
            let done = timeout(patience, self.sink.handle_timeout()).await;
            let done = done.unwrap_or_else(|_| Err(Failure::again("it takes too long")));
            return done.map_err(|failure| self.note_failure(failure, state));
        }
        if let Some(first) = batch.events.first() {
            let is_first = self.counters.oldest_ms.load(Relaxed) == 0;
            if is_first {
                self.counters.oldest_ms.store(first.head.time_ms, Relaxed);
            }
        }
        let sent = timeout(patience, self.sink.deliver(&batch.events)).await;
        let sent = sent.unwrap_or_else(|_| Err(Failure::again("it takes too long")));
        let refused = match sent {
            Ok(Taken::All | Taken::Held) => Vec::new(),
            Ok(Taken::But(refused)) => refused,
            Err(Failure::Rejected(why)) if batch.events.len() == 1 => vec![(0, why)],
            Err(Failure::Rejected(why)) => {
                tracing::debug!(sink = self.settings.name, why, "a smaller batch is tried");
                state.limit = batch.events.len() / 2;
                return Ok(());
            }
            Err(failure) => return Err(self.note_failure(failure, state)),
        };
        self.note_success(state);
        let delivered = batch.events.len().saturating_sub(refused.len());
        self.counters.delivered.fetch_add(delivered as u64, Relaxed);
        self.note_refused(&batch, &refused, state);
        state.position = batch.next;
        state.is_moved = true;
        state.limit = (state.limit * 2).clamp(1, self.most());
        if let Some(size) = batch.checkpoint {
            state.signed = (size, Some(Instant::now()));
        }
        Ok(())
    }

    fn note_success(&mut self, state: &mut State) {
        if state.failures > 0 {
            let (sink, failures) = (&self.settings.name, state.failures);
            tracing::info!(sink, failures, "events are delivered again");
        }
        state.failures = 0;
        state.pauses = pauses();
        self.counters.is_down.store(false, Relaxed);
    }

    /// Notes a failure; gives the pause to make.
    fn note_failure(&mut self, failure: Failure, state: &mut State) -> Duration {
        let (why, after) = match failure {
            Failure::Again { why, after } => (why, after),
            Failure::Rejected(why) => (why, None),
        };
        state.failures += 1;
        self.counters.failures.fetch_add(1, Relaxed);
        self.counters.is_down.store(true, Relaxed);
        if state.failures.is_power_of_two() {
            let (sink, failures) = (&self.settings.name, state.failures);
            tracing::warn!(
                sink,
                failures,
                "events are not delivered, which is tried again: {why}"
            );
        }
        // What the sink held may be lost: all that it is not known to have is sent again.
        self.sink.reset();
        state.position = self.cursor.backlog.next();
        state.signed.0 = 0;
        let pause = state.pauses.next().unwrap_or(PAUSES.1);
        after.map_or(pause, |after| after.max(pause))
    }

    /// Counts events that the receiver refuses for good, and has the log say so.
    fn note_refused(&mut self, batch: &Batch, refused: &[(usize, String)], state: &mut State) {
        let Some((_, first)) = refused.first() else {
            if let Some(fact) = state.refused.take() {
                self.say(fact);
            }
            return;
        };
        self.counters
            .refused
            .fetch_add(refused.len() as u64, Relaxed);
        let (sink, count) = (&self.settings.name, refused.len());
        tracing::error!(sink, count, "the receiver refuses events: {first}");
        // Many that follow each other are one fact.
        let fact = state.refused.get_or_insert_with(|| Fact::Refused {
            sink: sink.clone(),
            events: 0,
            uids: Vec::new(),
            why: first.clone(),
        });
        if let Fact::Refused { events, uids, .. } = fact {
            *events += refused.len() as u64;
            let named = refused.iter().filter_map(|(at, _)| batch.events.get(*at));
            let room = NAMES.saturating_sub(uids.len());
            uids.extend(named.take(room).map(|event| event.head.uid.clone()));
        }
    }

    /// Takes note of what the receiver has by now.
    fn acknowledge(&mut self, tail: &Tail, state: &mut State) {
        let is_held = self.sink.poll_timeout().is_some();
        let durable = self.sink.durable(Instant::now());
        let reached = if is_held {
            durable.map(|durable| durable.min(state.position))
        } else {
            Some(state.position)
        };
        let before = self.cursor.backlog.next();
        self.cursor.backlog.handle_sent(reached.unwrap_or_default());
        state.is_moved |= self.cursor.backlog.next() != before;
        let waiting = self.cursor.backlog.waiting(tail.size);
        self.counters.waiting.store(waiting, Relaxed);
        if waiting == 0 || self.cursor.backlog.next() != before {
            // The next batch says how old the oldest is.
            self.counters.oldest_ms.store(0, Relaxed);
        }
    }

    fn save_if_due(&mut self, state: &mut State) {
        if state.is_moved && state.saved.elapsed() >= SAVE {
            self.save(state);
        }
    }

    fn save(&mut self, state: &mut State) {
        state.saved = Instant::now();
        state.is_moved = false;
        if let Err(error) = cursor::write(&self.path, &self.cursor) {
            let path = self.path.display();
            tracing::warn!("how far a sink got is not kept in {path}: {error}");
        }
    }

    /// How long nothing is to be done unless the log grows.
    fn next_timeout(&self, state: &State) -> Duration {
        let mut wait = Duration::from_secs(3_600);
        if let Some(due) = self.sink.poll_timeout() {
            wait = wait.min(due.saturating_duration_since(Instant::now()));
        }
        if state.is_moved {
            wait = wait.min(SAVE.saturating_sub(state.saved.elapsed()));
        }
        let tail = self.tail.borrow();
        let is_unread = self
            .cursor
            .backlog
            .from(state.position, tail.size)
            .is_some();
        if is_unread {
            wait = wait.min(UNREADABLE);
        }
        if tail.size > state.signed.0
            && let Some(at) = state.signed.1
        {
            let pause = Duration::from_secs(self.settings.checkpoint_seconds.into());
            wait = wait.min(pause.saturating_sub(at.elapsed()));
        }
        wait.max(Duration::from_millis(1))
    }

    async fn end(&mut self, state: &mut State) {
        if state.failures == 0 {
            match timeout(STOP, self.sink.finish()).await {
                Ok(Ok(())) => {}
                Ok(Err(Failure::Again { why, .. } | Failure::Rejected(why))) => {
                    tracing::warn!(
                        sink = self.settings.name,
                        "the last events are sent again: {why}"
                    );
                }
                Err(_) => {
                    tracing::warn!(sink = self.settings.name, "the last events are sent again");
                }
            }
            let tail = Arc::clone(&self.tail.borrow());
            self.acknowledge(&tail, state);
        }
        if let Some(fact) = state.refused.take() {
            self.say(fact);
        }
        self.save(state);
    }
}

fn pauses() -> ExponentialBackoff {
    let (first, longest) = PAUSES;
    ExponentialBuilder::default()
        .with_min_delay(first)
        .with_max_delay(longest)
        .without_max_times()
        .with_jitter()
        .build()
}

pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
