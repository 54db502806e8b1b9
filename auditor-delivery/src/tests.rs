//! Runners with receivers that fail: nothing is lost, nothing comes out of order, and what is left out is told.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{Arc, Mutex},
    time::Duration,
};

use auditor_ledger::{Follower, Log, Tail};
use tokio::{sync::watch, task::LocalSet};

use crate::{
    Origin,
    backlog::Backlog,
    counters::Counters,
    cursor::{self, Cursor},
    event::Event,
    fact::Fact,
    runner::Runner,
    settings::Settings,
    sink::{Failure, Sink, Taken},
};

/// What a receiver got, and how it answers.
#[derive(Default)]
struct World {
    got: Vec<Event>,
    /// What it answers before it takes anything.
    answers: Vec<Failure>,
    is_dead: bool,
    poison: Option<&'static str>,
}

#[derive(Clone, Default)]
struct Fake(Rc<RefCell<World>>);

impl Sink for Fake {
    async fn deliver(&mut self, events: &[Event]) -> Result<Taken, Failure> {
        let mut world = self.0.borrow_mut();
        if world.is_dead {
            return Err(Failure::again("dead"));
        }
        if let Some(failure) = world.answers.pop() {
            // It had half of them.
            world.got.extend_from_slice(&events[..events.len() / 2]);
            return Err(failure);
        }
        if let Some(poison) = world.poison
            && events.iter().any(|event| event.head.uid == poison)
        {
            return Err(Failure::Rejected("it is too much".to_owned()));
        }
        world.got.extend_from_slice(events);
        Ok(Taken::All)
    }

    fn reset(&mut self) {}
}

impl Fake {
    /// The uids that arrived, without checkpoints and each once.
    fn uids(&self) -> Vec<String> {
        let mut uids: Vec<String> = Vec::new();
        for event in &self.0.borrow().got {
            if event.index.is_some() && !uids.contains(&event.head.uid) {
                uids.push(event.head.uid.clone());
            }
        }
        uids
    }

    fn checkpoints(&self) -> usize {
        let world = self.0.borrow();
        world
            .got
            .iter()
            .filter(|event| event.index.is_none())
            .count()
    }
}

/// A log with a runner beside it.
struct Bench {
    folder: tempfile::TempDir,
    log: Log,
    count: u64,
    tail: watch::Sender<Arc<Tail>>,
    facts: Arc<Mutex<Vec<Fact>>>,
    counters: Arc<Counters>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (log, _) = Log::open(
            &folder.path().join("log"),
            &folder.path().join("keys"),
            "log",
            0,
        )
        .unwrap();
        let (tail, _) = watch::channel(Arc::new(log.tail()));
        Self {
            folder,
            log,
            count: 0,
            tail,
            facts: Arc::default(),
            counters: Arc::default(),
        }
    }

    fn append(&mut self, events: u64) {
        for _ in 0..events {
            let event = crate::event::tests::event(self.count, &format!("r-{}", self.count));
            self.log.append(event.bytes).unwrap();
            self.count += 1;
        }
        self.log.commit().unwrap();
        self.tail.send_replace(Arc::new(self.log.tail()));
    }

    fn runner(&self, sink: Fake, words: &str) -> Runner<Fake> {
        let text = format!("name = 'a'\n{words}\n[jsonl]\npath = '/x'");
        let path = cursor::path(self.folder.path(), "a");
        let new = Cursor {
            log: "key".to_owned(),
            backlog: Backlog::new(0),
            untold: Vec::new(),
        };
        let facts = Arc::clone(&self.facts);
        Runner {
            sink,
            settings: toml::from_str::<Settings>(&text).unwrap(),
            origin: Origin::testing(),
            follower: Follower::new(&self.folder.path().join("log")),
            tail: self.tail.subscribe(),
            counters: Arc::clone(&self.counters),
            tell: Arc::new(move |fact| {
                facts.lock().unwrap().push(fact.clone());
                true
            }),
            cursor: cursor::read(&path).unwrap().unwrap_or(new),
            path,
        }
    }

    /// Runs until something is so, then stops the runner.
    async fn run(&mut self, fake: &Fake, words: &str, mut steps: impl AsyncFnMut(&mut Self)) {
        let runner = self.runner(fake.clone(), words);
        let (stop, stopped) = watch::channel(false);
        let task = tokio::task::spawn_local(runner.run(stopped));
        steps(self).await;
        stop.send_replace(true);
        task.await.unwrap();
    }
}

fn names(count: u64) -> Vec<String> {
    (0..count).map(|index| format!("r-{index}")).collect()
}

async fn until(mut is_so: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it does not come");
}

fn local(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(LocalSet::new().run_until(work));
}

#[test]
fn all_arrive_in_order_whatever_the_receiver_does() {
    local(async {
        let mut bench = Bench::new();
        let fake = Fake::default();
        let again = || Failure::Again {
            why: "busy".to_owned(),
            after: Some(Duration::from_secs(3)),
        };
        fake.0.borrow_mut().answers = vec![Failure::again("no"), again(), Failure::again("no")];
        bench
            .run(&fake, "batch_events = 100", async |bench| {
                for part in [1, 300, 5, 700] {
                    bench.append(part);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                until(|| fake.uids().len() == 1_006).await;
            })
            .await;
        assert_eq!(fake.uids(), names(1_006));
        assert!(fake.checkpoints() >= 1);
        let counts = bench.counters.counts(0);
        assert_eq!((counts.failures, counts.waiting, counts.shed), (3, 0, 0));
        // It goes on where it was.
        let again = Fake::default();
        bench
            .run(&again, "", async |bench| {
                bench.append(3);
                until(|| again.uids().len() == 3).await;
            })
            .await;
        assert_eq!(again.uids(), ["r-1006", "r-1007", "r-1008"]);
    });
}

#[test]
fn where_a_sink_begins_is_kept_at_once() {
    local(async {
        let mut bench = Bench::new();
        bench.append(3);
        let runner = bench.runner(Fake::default(), "");
        let path = runner.path.clone();
        let (_stop, stopped) = watch::channel(false);
        let task = tokio::task::spawn_local(runner.run(stopped));
        until(|| path.exists()).await;
        // As a kill would.
        task.abort();
        assert!(cursor::read(&path).unwrap().is_some());
    });
}

#[test]
fn one_that_is_refused_holds_up_no_other() {
    local(async {
        let mut bench = Bench::new();
        let fake = Fake::default();
        fake.0.borrow_mut().poison = Some("r-333");
        bench
            .run(&fake, "", async |bench| {
                bench.append(500);
                until(|| fake.uids().len() == 499).await;
            })
            .await;
        let mut expected = names(500);
        expected.remove(333);
        assert_eq!(fake.uids(), expected);
        assert_eq!(bench.counters.counts(0).refused, 1);
        let refused = Fact::Refused {
            sink: "a".to_owned(),
            events: 1,
            uids: vec!["r-333".to_owned()],
            why: "it is too much".to_owned(),
        };
        assert_eq!(*bench.facts.lock().unwrap(), [refused]);
    });
}

/// The entries that are left out while a receiver is dead, one run of them; all others arrive.
fn shed(words: &str) -> (u64, u64) {
    let left_out = Rc::new(RefCell::new((0, 0)));
    let told = Rc::clone(&left_out);
    local(async move {
        let mut bench = Bench::new();
        let fake = Fake::default();
        fake.0.borrow_mut().is_dead = true;
        bench
            .run(&fake, words, async |bench| {
                for _ in 0..30 {
                    bench.append(100);
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                fake.0.borrow_mut().is_dead = false;
                tokio::time::sleep(Duration::from_secs(60)).await;
                bench.append(1);
                until(|| fake.uids().contains(&"r-3000".to_owned())).await;
            })
            .await;
        let facts = bench.facts.lock().unwrap().clone();
        let mut shed = facts.iter().map(|fact| match fact {
            Fact::Shed { first, end, .. } => (*first, *end),
            _ => panic!("{fact:?}"),
        });
        let mut all = shed.next().unwrap();
        for (first, end) in shed {
            assert_eq!(first, all.1, "{facts:?}");
            all.1 = end;
        }
        let arrived: Vec<String> = (0..3_001)
            .filter(|index| !(all.0..all.1).contains(index))
            .map(|index| format!("r-{index}"))
            .collect();
        assert!(fake.uids() == arrived, "not all others, or not in order");
        assert_eq!(bench.counters.counts(0).shed, all.1 - all.0);
        *told.borrow_mut() = all;
    });
    Rc::try_unwrap(left_out).unwrap().into_inner()
}

#[test]
fn the_oldest_make_room_and_that_is_told() {
    let (first, end) = shed("backlog = 1000\nwhen_full = 'drop_oldest'");
    assert!(
        first == 0 && (1_900..2_100).contains(&end),
        "{first}..{end}"
    );
}

#[test]
fn the_newest_are_left_out_and_that_is_told() {
    let (first, end) = shed("backlog = 1000\nwhen_full = 'drop_newest'");
    assert_eq!((first, end), (1_000, 3_000));
}

#[test]
fn a_filter_moves_on_over_what_it_leaves_out() {
    local(async {
        let mut bench = Bench::new();
        let fake = Fake::default();
        bench
            .run(&fake, "detections_only = true", async |bench| {
                bench.append(600);
                until(|| bench.counters.counts(0).waiting == 0 && fake.checkpoints() > 0).await;
            })
            .await;
        assert_eq!(fake.uids(), Vec::<String>::new());
        let kept = cursor::read(&cursor::path(bench.folder.path(), "a")).unwrap();
        assert_eq!(kept.map(|cursor| cursor.backlog.next()), Some(600));
    });
}
