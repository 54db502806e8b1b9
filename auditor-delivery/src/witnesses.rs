//! Shows the newest checkpoint to witnesses, and keeps what they sign (C2SP tlog-witness).
//!
//! A witness signs only what goes on from what it saw before: with its signature nobody can cut the log or put an older one
//! in its place unnoticed. All are asked at the same time, at most every so many seconds and only when the log has grown.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use auditor_ledger::{
    Reader, Tail,
    witness::{self, Answer, LogKey, Witness},
};
use futures_util::future::join_all;
use hyper::Request;
use serde::Deserialize;
use tokio::{sync::watch, time::timeout};

use crate::{
    Tell,
    counters::Witnessed,
    fact::Fact,
    http::{self, Asker},
    settings::Invalid,
    sink::Failure,
    tls::Tls,
};

/// Time that a witness has for its answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Questions of one round: the first may begin where the witness is not.
const QUESTIONS: usize = 3;

/// `[ledger.witnessed]`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Witnesses {
    /// Shortest time between two rounds, in seconds.
    #[serde(default = "every_seconds")]
    pub(crate) every_seconds: u32,
    /// Whom to trust, and what to show.
    #[serde(default)]
    pub(crate) tls: Tls,
    /// Who is asked.
    pub(crate) by: Vec<By>,
}

/// One witness.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct By {
    /// Its verifier key.
    pub(crate) key: String,
    /// What comes before `/add-checkpoint`.
    pub(crate) url: String,
}

fn every_seconds() -> u32 {
    30
}

impl Witnesses {
    /// Looks at what the types do not say.
    ///
    /// # Errors
    /// When something cannot be meant.
    pub fn check(&self) -> Result<(), Invalid> {
        let invalid = |what: String| Invalid {
            name: "witnessed".to_owned(),
            what,
        };
        if self.by.is_empty() {
            return Err(invalid("there is no witness".to_owned()));
        }
        for one in &self.by {
            Witness::read(&one.key).map_err(|error| invalid(format!("`{}`: {error}", one.key)))?;
            http::checked(&one.url).map_err(invalid)?;
        }
        self.tls.check().map_err(invalid)
    }
}

/// Asks witnesses, round by round.
pub(crate) struct Rounds {
    pub(crate) settings: Witnesses,
    pub(crate) log: PathBuf,
    pub(crate) keys: PathBuf,
    pub(crate) tail: watch::Receiver<Arc<Tail>>,
    pub(crate) counters: Arc<Witnessed>,
    pub(crate) tell: Tell,
}

/// A witness, and what it saw last.
struct Seen {
    witness: Witness,
    url: String,
    size: u64,
    failures: u64,
    is_disputed: bool,
}

impl Rounds {
    /// Runs until told to stop.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut seen: Vec<Seen> = self
            .settings
            .by
            .iter()
            .filter_map(|one| {
                Some(Seen {
                    witness: Witness::read(&one.key).ok()?,
                    url: one.url.clone(),
                    size: 0,
                    failures: 0,
                    is_disputed: false,
                })
            })
            .collect();
        let pause = Duration::from_secs(self.settings.every_seconds.max(1).into());
        while !*stop.borrow() {
            let size = self.tail.borrow_and_update().size;
            if seen.iter().any(|one| one.size < size) {
                self.round(&mut seen).await;
            } else {
                tokio::select! {
                    changed = self.tail.changed() => if changed.is_err() { break },
                    _ = stop.changed() => break,
                }
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stop.changed() => {}
            }
        }
        // What the last entries say, the stop among them, is to be seen, too.
        self.round(&mut seen).await;
    }

    async fn round(&self, seen: &mut [Seen]) {
        let (log, keys) = (self.log.clone(), self.keys.clone());
        let opened = tokio::task::spawn_blocking(move || open(&log, &keys)).await;
        let (reader, key) = match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(why)) => return tracing::error!("witnesses cannot be shown the log: {why}"),
            Err(error) => return tracing::error!("witnesses cannot be shown the log: {error}"),
        };
        let asked = seen.iter_mut().map(|one| self.ask(one, &reader, &key));
        let lines: Vec<String> = join_all(asked).await.into_iter().flatten().collect();
        if lines.is_empty() {
            return;
        }
        let note = format!("{}{}", reader.checkpoint(), lines.concat());
        match witness::keep(&self.log, &note) {
            Ok(()) => self.counters.entries.store(reader.size(), Relaxed),
            Err(error) => tracing::error!("what witnesses signed is not kept: {error}"),
        }
    }

    /// The lines that a witness signs a checkpoint with.
    async fn ask(&self, one: &mut Seen, reader: &Reader, key: &LogKey) -> Option<String> {
        let name = one.witness.name().to_owned();
        for _ in 0..QUESTIONS {
            let asked = timeout(PATIENCE, self.question(one, reader, key)).await;
            let asked = asked.unwrap_or_else(|_| Err("it does not answer".to_owned()));
            match asked {
                Ok(Answer::Signed(lines)) => {
                    let signed = witness::add(reader.checkpoint(), &lines, &one.witness);
                    if let Err(error) = signed {
                        self.note_failure(one, &format!("its signature is none: {error}"));
                        return None;
                    }
                    if one.failures > 0 {
                        tracing::info!(witness = name, "the witness signs again");
                    }
                    (one.size, one.failures) = (reader.size(), 0);
                    return Some(lines);
                }
                Ok(Answer::Knows(size)) if size > reader.size() => {
                    self.dispute(one, &name, size);
                    return None;
                }
                Ok(Answer::Knows(size)) => one.size = size,
                Ok(Answer::Refused(status)) => {
                    if status == 422 {
                        // The proof is right for this log, so what the witness saw was another.
                        self.dispute(one, &name, one.size);
                    }
                    self.note_failure(one, &format!("it answers {status}"));
                    return None;
                }
                Err(why) => {
                    self.note_failure(one, &why);
                    return None;
                }
            }
        }
        self.note_failure(one, "it says another size each time");
        None
    }

    async fn question(&self, one: &Seen, reader: &Reader, key: &LogKey) -> Result<Answer, String> {
        let proof = reader.prove_consistency(one.size);
        let proof = proof.map_err(|error| error.to_string())?;
        let shown = key.sign(reader.checkpoint());
        let shown = shown.map_err(|error| error.to_string())?;
        let body = witness::request(one.size, &proof, &shown);
        let url = format!("{}/add-checkpoint", one.url.trim_end_matches('/'));
        let mut asker = Asker::new(&self.settings.tls);
        let answer = asker.ask(Request::post(url), body.into_bytes()).await;
        let answer = answer.map_err(|failure| match failure {
            Failure::Again { why, .. } | Failure::Rejected(why) => why,
        })?;
        let read = witness::answer(answer.status.as_u16(), &answer.body);
        read.map_err(|error| error.to_string())
    }

    /// A witness saw what is not in this log, or more of it than there is.
    fn dispute(&self, one: &mut Seen, name: &str, size: u64) {
        if one.is_disputed {
            return;
        }
        one.is_disputed = true;
        tracing::error!(
            witness = name,
            size,
            "the witness saw another log under this log's key: this one was cut, or put in its place"
        );
        (self.tell)(&Fact::Disputed {
            witness: name.to_owned(),
            size,
        });
    }

    fn note_failure(&self, one: &mut Seen, why: &str) {
        one.failures += 1;
        self.counters.failures.fetch_add(1, Relaxed);
        if one.failures.is_power_of_two() {
            let (name, failures) = (one.witness.name(), one.failures);
            tracing::warn!(witness = name, failures, "the witness signs nothing: {why}");
        }
    }
}

fn open(log: &Path, keys: &Path) -> Result<(Reader, LogKey), String> {
    let reader = Reader::open(log).map_err(|error| error.to_string())?;
    let key = LogKey::open(log, keys, reader.origin()).map_err(|error| error.to_string())?;
    Ok((reader, key))
}
