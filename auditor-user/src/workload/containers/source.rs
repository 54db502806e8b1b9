//! Who can tell of a container, and the threads on which they are asked.
//!
//! Reading disks and talking to runtimes may take long or never end: nobody who waits here is waited for elsewhere.
//! Bounds: [`QUEUE`] questions for each desk wait, [`LATER`] are asked again.

use std::{
    io,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    thread,
    time::{Duration, Instant},
};

use super::{Answer, Found, Query};

/// Questions that wait.
const QUEUE: usize = 4_096;
/// Questions that are asked again later.
const LATER: usize = 1_024;
/// When one is asked again whose source was out of reach, and how often.
const UNREACHABLE: (Duration, usize) = (Duration::from_secs(10), 30);

/// Somebody who may know of containers.
pub(super) trait Source: Send {
    /// Tells what is known of a container now. May block, within a bound of its own.
    fn find(&mut self, query: &Query) -> Find;
}

/// What a source knows.
pub(super) enum Find {
    /// This.
    Known(Box<Found>),
    /// It has no such container, at least not yet.
    Unknown,
    /// It cannot be asked now.
    Unreachable,
}

/// A thread that asks some sources.
pub(super) struct Desk {
    queries: SyncSender<Query>,
}

/// When a question that nobody could answer is asked again.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// After how long, each time.
    pub(super) delays: &'static [Duration],
    /// For how many of them an event may wait.
    pub(super) soon: usize,
}

/// A question that is asked again.
struct Later {
    due: Instant,
    query: Query,
    asked: usize,
    unreached: usize,
}

impl Desk {
    /// Starts the thread; `number` tells its answers from other desks'.
    pub(super) fn start(
        (number, name): (u8, &str),
        sources: Vec<Box<dyn Source>>,
        patience: Patience,
        answers: SyncSender<Answer>,
    ) -> io::Result<Self> {
        let (queries, waiting) = sync_channel(QUEUE);
        let mut clerk = Clerk {
            number,
            sources,
            patience,
            answers,
            later: Vec::new(),
        };
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || clerk.work(&waiting))?;
        Ok(Self { queries })
    }

    /// Asks; false where too many questions wait.
    pub(super) fn ask(&self, query: Query) -> bool {
        match self.queries.try_send(query) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}

struct Clerk {
    number: u8,
    sources: Vec<Box<dyn Source>>,
    patience: Patience,
    answers: SyncSender<Answer>,
    later: Vec<Later>,
}

impl Clerk {
    /// Answers until nobody asks, or listens, any more.
    fn work(&mut self, queries: &Receiver<Query>) {
        loop {
            let now = Instant::now();
            let due = self.later.iter().map(|later| later.due).min();
            let wait = due.map_or(Duration::from_secs(3_600), |due| {
                due.saturating_duration_since(now)
            });
            let is_heard = match queries.recv_timeout(wait) {
                Ok(query) => self.answer(Later {
                    due: now,
                    query,
                    asked: 0,
                    unreached: 0,
                }),
                Err(RecvTimeoutError::Timeout) => true,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if !(is_heard && self.ask_again()) {
                return;
            }
        }
    }

    fn ask_again(&mut self) -> bool {
        let now = Instant::now();
        let (due, later) = std::mem::take(&mut self.later)
            .into_iter()
            .partition(|later| later.due <= now);
        self.later = later;
        due.into_iter().all(|due| self.answer(due))
    }

    /// Asks the sources once; false when nobody listens any more.
    fn answer(&mut self, mut question: Later) -> bool {
        let mut found: Option<Found> = None;
        let mut is_reached = true;
        for source in &mut self.sources {
            match source.find(&question.query) {
                Find::Known(known) => found.get_or_insert_default().complete(Some(*known)),
                Find::Unknown => {}
                Find::Unreachable => is_reached = false,
            }
        }
        let delay = if found.is_some() {
            None
        } else if is_reached {
            self.patience.delays.get(question.asked).copied()
        } else {
            (question.unreached < UNREACHABLE.1).then_some(UNREACHABLE.0)
        };
        let is_soon = is_reached && delay.is_some() && question.asked < self.patience.soon;
        let has_room = self.later.len() < LATER;
        let answer = Answer {
            desk: self.number,
            path: question.query.path.clone(),
            found,
            is_waiting: is_soon && has_room,
        };
        if let Some(delay) = delay.filter(|_| has_room) {
            question.due = Instant::now() + delay;
            question.asked += usize::from(is_reached);
            question.unreached += usize::from(!is_reached);
            self.later.push(question);
        }
        self.answers.send(answer).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Knows a container when it is asked for the nth time.
    struct Slow(usize);

    impl Source for Slow {
        fn find(&mut self, query: &Query) -> Find {
            self.0 = self.0.saturating_sub(1);
            if self.0 > 0 {
                return Find::Unknown;
            }
            let mut found = Found::default();
            found.container.id = query.name().to_owned();
            Find::Known(Box::new(found))
        }
    }

    fn query() -> Query {
        Query {
            path: Arc::from("/a/b"),
            id: None,
            maker: None,
            runtime: None,
        }
    }

    #[test]
    fn what_is_not_known_yet_is_asked_again() {
        const DELAYS: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(2)];
        let patience = Patience {
            delays: &DELAYS,
            soon: 1,
        };
        let (teller, answers) = sync_channel(8);
        let desk = Desk::start((0, "test"), vec![Box::new(Slow(3))], patience, teller).unwrap();
        assert!(desk.ask(query()));
        let told: Vec<_> = answers.iter().take(3).collect();
        let waiting = told
            .iter()
            .map(|answer| (answer.found.is_some(), answer.is_waiting));
        let waiting: Vec<_> = waiting.collect();
        assert_eq!(waiting, [(false, true), (false, false), (true, false)]);
    }
}
