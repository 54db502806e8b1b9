//! Kubernetes' view of the pods of this node: service account, owner, labels, digests of images.
//!
//! Asks nobody itself: a thread follows the API server, and [`Pods::take_news`] takes in what it told. Bounds: [`PODS`]
//! are remembered, those that are gone for [`MEMORY`]; where there is no room, those go first, and then new ones are
//! refused and counted. [`NEWS`] wait.

mod model;
mod owners;
mod watch;

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    io,
    sync::mpsc::{Receiver, sync_channel},
    thread,
    time::{Duration, Instant},
};

use kube::runtime::watcher::DefaultBackoff;

pub(super) use self::model::Told;
use self::watch::News;
pub(crate) use self::watch::probe;
use crate::config::Kubernetes;

/// Pods remembered.
const PODS: usize = 2_048;
/// News that wait to be taken.
const NEWS: usize = 1_024;
/// How long a pod that is gone is remembered: as long as its processes are.
const MEMORY: Duration = Duration::from_secs(120);

/// The pods of this node, as the API server tells them.
#[derive(Default)]
pub(crate) struct Pods {
    /// By uid, as cgroups name it.
    known: HashMap<String, Known>,
    /// Those that are gone, the oldest first.
    gone: VecDeque<(Instant, String)>,
    news: Option<Receiver<News>>,
    state: State,
    /// Counts lists, to find what is in none any more.
    list: u64,
    refused: u64,
}

/// Whether the API server is heard.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum State {
    /// Nobody asks it.
    #[default]
    Off,
    /// It is being asked for the first time.
    Asked,
    /// Changes are told as they come.
    Heard,
    /// It cannot be heard.
    Lost,
}

struct Known {
    told: Told,
    /// The list it was in last, or the one before it changed last.
    list: u64,
    /// Since when it is gone.
    gone: Option<Instant>,
}

impl Pods {
    /// Starts to follow the pods of this node, where the configuration asks for it.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn start(settings: &Kubernetes) -> io::Result<Self> {
        if settings.credentials().is_none() {
            return Ok(Self::default());
        }
        let (node, by) = settings.node();
        tracing::info!(
            node,
            by,
            "the API server is asked for the pods of this node"
        );
        Self::follow(settings.clone(), node, DefaultBackoff::default())
    }

    fn follow(
        settings: Kubernetes,
        node: String,
        delays: impl Iterator<Item = Duration> + Send + 'static,
    ) -> io::Result<Self> {
        let (teller, news) = sync_channel(NEWS);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        thread::Builder::new()
            .name("pods".to_owned())
            .spawn(move || runtime.block_on(watch::follow(&settings, &node, &teller, delays)))?;
        Ok(Self {
            news: Some(news),
            state: State::Asked,
            ..Self::default()
        })
    }

    /// Takes in what was told; gives the uids of the pods of which something else is known now.
    pub(super) fn take_news(&mut self, now: Instant) -> BTreeSet<String> {
        let mut changed = BTreeSet::new();
        while let Some(news) = self.news.as_ref().and_then(|news| news.try_recv().ok()) {
            changed.extend(self.take(news, now));
        }
        while let Some((since, uid)) = self
            .gone
            .pop_front_if(|(since, _)| now.duration_since(*since) > MEMORY)
        {
            self.forget(since, &uid);
        }
        changed
    }

    /// What is known of a pod.
    pub(super) fn get(&self, uid: &str) -> Option<&Told> {
        self.known.get(uid).map(|known| &known.told)
    }

    /// Whether more may be told of a pod in a moment.
    pub(super) fn is_awaited(&self, uid: &str) -> bool {
        match self.state {
            State::Asked | State::Heard => self.get(uid).is_none_or(|told| told.is_asking),
            State::Off | State::Lost => false,
        }
    }

    /// Number of pods remembered.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether the API server is heard.
    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Pods for which there was no room.
    pub(crate) fn refused(&self) -> u64 {
        self.refused
    }

    fn take(&mut self, news: News, now: Instant) -> Option<String> {
        match news {
            News::Begun => self.list += 1,
            News::Pod(told) => return self.insert(*told),
            News::Owner(uid, name) => {
                let told = &mut self.known.get_mut(&uid)?.told;
                told.is_asking = false;
                told.owner = name.or(told.owner.take());
                return Some(uid);
            }
            News::Gone(uid) => self.leave(uid, now),
            News::Listed => {
                self.state = State::Heard;
                let list = self.list;
                let left = self.known.iter().filter(|(_, known)| known.list != list);
                let left: Vec<String> = left.map(|(uid, _)| uid.clone()).collect();
                for uid in left {
                    self.leave(uid, now);
                }
            }
            News::Lost => self.state = State::Lost,
        }
        None
    }

    fn insert(&mut self, mut told: Told) -> Option<String> {
        let uid = told.uid.clone();
        if let Some(known) = self.known.get_mut(&uid) {
            if told.is_asking {
                // Who made its owner does not change: known from another connection, perhaps.
                told.owner = known.told.owner.take();
            }
            known.list = self.list;
            known.gone = None;
            known.told = told;
            return Some(uid);
        }
        while self.known.len() >= PODS {
            let Some((since, oldest)) = self.gone.pop_front() else {
                self.refused += 1;
                if self.refused.is_power_of_two() {
                    tracing::warn!(
                        refused = self.refused,
                        "this node has more pods than are remembered: what only the API server knows of some is null"
                    );
                }
                return None;
            };
            self.forget(since, &oldest);
        }
        let known = Known {
            told,
            list: self.list,
            gone: None,
        };
        self.known.insert(uid.clone(), known);
        Some(uid)
    }

    fn leave(&mut self, uid: String, now: Instant) {
        if let Some(known) = self.known.get_mut(&uid)
            && known.gone.is_none()
        {
            known.gone = Some(now);
            known.told.is_asking = false;
            self.gone.push_back((now, uid));
        }
    }

    /// Forgets a pod, unless it came back since.
    fn forget(&mut self, since: Instant, uid: &str) {
        if self
            .known
            .get(uid)
            .is_some_and(|known| known.gone == Some(since))
        {
            self.known.remove(uid);
        }
    }
}

#[cfg(test)]
mod tests;
