//! Fetches the keys of issuers on a thread of its own, and again as time passes or a token names one that is not known.
//!
//! Only addresses that are configured are asked. Bounds: an issuer is asked at most every [`AGAIN`] for a token's sake, and
//! after failures later each time, up to [`DELAYS`]; [`QUEUE`] wishes wait, more of them are the same wish.

use std::{
    path::Path,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use auditor_core::identity::Keys;

use super::{client::Client, store::Store};
use crate::config::KeySource;

/// Wishes that wait.
const QUEUE: usize = 64;
/// The shortest time between two questions, where a token names a key that is not known.
const AGAIN: Duration = Duration::from_secs(10);
/// The shortest time for which keys are used, whatever the server says.
const SHORTEST: Duration = Duration::from_secs(60);
/// How long a server is left alone after the first failure, and at most.
const DELAYS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// Fetches keys. Ends its thread when it is dropped.
pub(super) struct Fetcher {
    wishes: SyncSender<usize>,
    answers: Receiver<(usize, Keys)>,
}

/// One issuer whose keys are fetched.
struct Source {
    config: KeySource,
    client: Client,
    store: Option<Store>,
    /// When it is asked next, and the earliest that a wish may have it asked.
    next: Instant,
    earliest: Instant,
    /// When its keys were fetched, as far as known.
    fetched: Option<Instant>,
    /// How long it is left alone after the next failure; none while it answers.
    delay: Option<Duration>,
}

impl Fetcher {
    /// Takes the keys that are known from the last run, and starts the thread.
    ///
    /// # Errors
    /// When certificates cannot be read, or the thread cannot be started.
    pub(super) fn start(sources: Vec<KeySource>, data_dir: Option<&Path>) -> Result<Self> {
        let (wishes, wanted) = sync_channel(QUEUE);
        // Each source leaves the keys of the last run before anybody listens.
        let (teller, answers) = sync_channel(QUEUE + sources.len());
        let mut started = Vec::new();
        for config in sources {
            let mut source = Source::new(config, data_dir)?;
            if let Some(keys) = source.remember() {
                teller
                    .send((source.config.issuer, keys))
                    .context("nobody listens")?;
            }
            started.push(source);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.context("cannot start what fetches keys")?;
        thread::Builder::new()
            .name("keys".to_owned())
            .spawn(move || {
                while wait(&mut started, &wanted) {
                    for source in started.iter_mut().filter(|source| source.is_due()) {
                        let keys = runtime.block_on(source.fetch());
                        let keys = keys.map(|keys| (source.config.issuer, keys));
                        if keys.is_some_and(|keys| teller.send(keys).is_err()) {
                            return;
                        }
                    }
                }
            })
            .context("cannot start the thread that fetches keys")?;
        Ok(Self { wishes, answers })
    }

    /// Has the keys of an issuer fetched soon; one whose keys are not fetched is left alone.
    pub(super) fn want(&self, issuer: usize) {
        // A full queue holds the same wishes.
        let _ = self.wishes.try_send(issuer);
    }

    /// The keys that were fetched since the last call.
    pub(super) fn take_answers(&self) -> impl Iterator<Item = (usize, Keys)> {
        self.answers.try_iter()
    }
}

/// Waits until an issuer is due; false when nobody listens any more.
fn wait(sources: &mut [Source], wanted: &Receiver<usize>) -> bool {
    let due = sources.iter().map(|source| source.next).min();
    let left = due.map(|due| due.saturating_duration_since(Instant::now()));
    match wanted.recv_timeout(left.unwrap_or(DELAYS.1)) {
        Ok(issuer) => {
            let mut named = sources.iter_mut();
            if let Some(source) = named.find(|source| source.config.issuer == issuer) {
                source.next = source.next.min(source.earliest);
            }
            true
        }
        Err(RecvTimeoutError::Timeout) => true,
        Err(RecvTimeoutError::Disconnected) => false,
    }
}

impl Source {
    fn new(config: KeySource, data_dir: Option<&Path>) -> Result<Self> {
        let now = Instant::now();
        Ok(Self {
            client: Client::new(config.authorities.as_deref())
                .with_context(|| format!("keys_ca of issuer {}", config.name))?,
            store: data_dir.map(|data_dir| Store::new(data_dir, &config.url.to_string())),
            config,
            next: now,
            earliest: now,
            fetched: None,
            delay: None,
        })
    }

    /// The keys of the last run.
    fn remember(&mut self) -> Option<Keys> {
        match self.store.as_ref()?.read() {
            Ok(known) => {
                let (keys, age) = known?;
                self.fetched = Instant::now().checked_sub(age);
                tracing::info!(
                    issuer = self.config.name,
                    keys = keys.len(),
                    age_seconds = age.as_secs(),
                    "keys of the last run"
                );
                Some(keys)
            }
            Err(error) => {
                tracing::warn!(
                    issuer = self.config.name,
                    "keys of the last run are left out: {error:#}"
                );
                None
            }
        }
    }

    fn is_due(&self) -> bool {
        self.next <= Instant::now()
    }

    /// Asks once; what is due next depends on the answer.
    async fn fetch(&mut self) -> Option<Keys> {
        let answer = self.client.fetch(&self.config.url).await;
        let now = Instant::now();
        let issuer = &self.config.name;
        match answer {
            Ok(answer) => {
                let keys = answer.keys;
                tracing::info!(
                    issuer,
                    keys = keys.len(),
                    left_out = keys.left_out(),
                    "keys fetched"
                );
                if let Some(store) = &self.store
                    && let Err(error) = store.write(&answer.text)
                {
                    tracing::warn!(issuer, "keys are not kept for the next start: {error:#}");
                }
                self.next = now + use_for(answer.max_age, self.config.refresh);
                self.earliest = now + AGAIN;
                (self.fetched, self.delay) = (Some(now), None);
                Some(keys)
            }
            Err(error) => {
                let age_seconds = self
                    .fetched
                    .map(|fetched| now.duration_since(fetched).as_secs());
                let delay = self.delay.unwrap_or(DELAYS.0);
                if self.delay.is_none() {
                    tracing::warn!(issuer, url = %self.config.url, age_seconds, "keys cannot be fetched, the last known stay in use: {error:#}");
                } else {
                    tracing::debug!(issuer, age_seconds, "keys cannot be fetched: {error:#}");
                }
                (self.next, self.earliest) = (now + delay, now + delay);
                self.delay = Some((delay * 2).min(DELAYS.1));
                None
            }
        }
    }
}

/// For how long keys are used: as configured, or less where the server says so.
fn use_for(max_age: Option<Duration>, refresh: Duration) -> Duration {
    max_age.unwrap_or(refresh).max(SHORTEST).min(refresh)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_may_shorten_the_use_of_keys_within_bounds() {
        let seconds = Duration::from_secs;
        assert_eq!(use_for(None, seconds(3600)), seconds(3600));
        assert_eq!(use_for(Some(seconds(300)), seconds(3600)), seconds(300));
        assert_eq!(use_for(Some(seconds(1)), seconds(3600)), seconds(60));
        assert_eq!(use_for(Some(seconds(9000)), seconds(3600)), seconds(3600));
    }
}
