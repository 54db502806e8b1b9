//! Containers and pods: what a process runs in, found out aside as soon as its cgroup is made.
//!
//! The daemon asks and goes on; answers come by [`Containers::take_answers`]. What sources there are is one file each.
//! Bounds: [`CONTAINERS`] are remembered, the oldest go first; [`ANSWERS`] wait.

mod bundle;
mod containerd;
mod cri;
mod gate;
mod grpc;
mod http;
mod layers;
pub(super) mod oci;
mod path;
mod source;
mod storage;

use std::{
    collections::{HashMap, VecDeque},
    io,
    sync::{
        Arc,
        mpsc::{Receiver, sync_channel},
    },
    time::{Duration, Instant},
};

use auditor_core::{
    audit::{Container, Pod, Workload},
    key::ProcessKey,
};

pub(crate) use self::layers::Layers;
use self::{
    http::Engine,
    source::{Desk, Patience, Source},
};
use super::pods::{Pods, Told};
use crate::config;

/// Containers remembered.
const CONTAINERS: usize = 4_096;
/// Answers that wait to be taken.
const ANSWERS: usize = 1_024;
/// How long after a container was met the API server may tell of its pod before events stop waiting for that.
const NEW: Duration = Duration::from_secs(1);
/// What is on disk comes soon or not at all.
const DISK: Patience = Patience {
    delays: &[
        Duration::from_millis(5),
        Duration::from_millis(25),
        Duration::from_millis(100),
        Duration::from_secs(1),
        Duration::from_secs(10),
    ],
    soon: 3,
};

/// A runtime knows what it started.
const SOCKETS: Patience = Patience {
    delays: &[
        Duration::from_millis(100),
        Duration::from_secs(1),
        Duration::from_secs(10),
    ],
    soon: 1,
};

/// What is known of the containers of this host.
#[derive(Default)]
pub(crate) struct Containers {
    /// By the path of their cgroup.
    known: HashMap<Arc<str>, Known>,
    order: VecDeque<Arc<str>>,
    desks: Vec<Desk>,
    answers: Option<Receiver<Answer>>,
    /// What Kubernetes' API server tells.
    pods: Pods,
    forgotten: u64,
    unasked: u64,
}

/// What is asked about a container.
#[derive(Clone, Debug)]
struct Query {
    /// Path of its cgroup.
    path: Arc<str>,
    /// Its id, where the path shows it.
    id: Option<String>,
    /// The process that made the cgroup.
    maker: Option<ProcessKey>,
    /// What runs it, by the path.
    runtime: Option<&'static str>,
}

/// What a source knows of a container.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Found {
    container: Container,
    pod: Option<Pod>,
    layers: Layers,
}

/// What comes back from the threads.
struct Answer {
    /// Who answers.
    desk: u8,
    path: Arc<str>,
    found: Option<Found>,
    /// Whether more is to come in a moment.
    is_waiting: bool,
}

/// One container, as far as known.
struct Known {
    /// What is known; its container's id is empty while only the path speaks for it.
    found: Found,
    /// What the API server told of its pod.
    told: Option<Told>,
    /// Desks that have not answered yet, a bit each.
    waiting: u8,
    met: Instant,
    /// The same for processes that run, and for those that had ended before it was complete.
    workload: Arc<Workload>,
    late: Arc<Workload>,
}

impl Containers {
    /// Starts the threads.
    ///
    /// # Errors
    /// When one cannot be started.
    pub(crate) fn start(config: &config::Containers) -> io::Result<Self> {
        let (teller, answers) = sync_channel(ANSWERS);
        let bundles = bundle::Bundles::new(config.clone());
        let desks = vec![
            Desk::start(
                (0, "containers"),
                vec![Box::new(bundles)],
                DISK,
                teller.clone(),
            )?,
            Desk::start((1, "runtimes"), runtimes(config), SOCKETS, teller)?,
        ];
        Ok(Self {
            desks,
            answers: Some(answers),
            ..Self::default()
        })
    }

    /// Has it know what Kubernetes' API server tells of pods.
    pub(crate) fn set_pods(&mut self, pods: Pods) {
        self.pods = pods;
    }

    /// What Kubernetes' API server tells of pods.
    pub(crate) fn pods(&self) -> &Pods {
        &self.pods
    }

    /// Has what is in a cgroup found out, as soon as it was made.
    pub(crate) fn handle_cgroup(&mut self, cgroup: &str, maker: ProcessKey) {
        match path::place(cgroup) {
            // Below a container there are cgroups that it made itself.
            Some(place) if place.path != cgroup => {}
            Some(place) => drop(self.learn(&place, Some(maker))),
            None if self.desks.is_empty() || !path::may_be_container(cgroup) => {}
            None => self.ask(cgroup, Found::default(), None, Some(maker)),
        }
    }

    /// The container that a cgroup is in or below of, by the path of the container's own cgroup. What is not known of it
    /// is asked for.
    pub(crate) fn of(&mut self, cgroup: &str) -> Option<Arc<str>> {
        if let Some(place) = path::place(cgroup) {
            return Some(self.learn(&place, None));
        }
        if self.desks.is_empty() || cgroup == "/" {
            return None;
        }
        let mut above = cgroup;
        while !above.is_empty() {
            match self.known.get_key_value(above) {
                Some((path, known)) if !known.found.container.id.is_empty() => {
                    return Some(Arc::clone(path));
                }
                _ => above = above.rsplit_once('/').map_or("", |(above, _)| above),
            }
        }
        if !path::may_be_container(cgroup) {
            return None;
        }
        if !self.known.contains_key(cgroup) {
            self.ask(cgroup, Found::default(), None, None);
        }
        self.known
            .get_key_value(cgroup)
            .map(|(path, _)| Arc::clone(path))
    }

    /// What is known of a container; `is_late` when it is for a process that has ended.
    pub(crate) fn workload(&self, path: &str, is_late: bool) -> Option<Arc<Workload>> {
        let known = self.known.get(path)?;
        if known.found.container.id.is_empty() {
            return None;
        }
        Some(Arc::clone(if is_late {
            &known.late
        } else {
            &known.workload
        }))
    }

    /// What the root file system of a container is made of.
    pub(crate) fn layers(&self, path: &str) -> Layers {
        let known = self.known.get(path);
        known
            .map(|known| known.found.layers.clone())
            .unwrap_or_default()
    }

    /// Whether more will be known of a container in a moment.
    pub(crate) fn is_learning(&self, path: &str) -> bool {
        self.known.get(path).is_some_and(|known| {
            let is_awaited = |pod: &Pod| self.pods.is_awaited(&pod.uid);
            let is_pod_due = || known.met.elapsed() < NEW && known.pod().is_some_and(is_awaited);
            known.waiting != 0 || is_pod_due()
        })
    }

    /// Takes in what was found out; gives the containers of which more is known now.
    pub(crate) fn take_answers(&mut self) -> Vec<Arc<str>> {
        let mut changed = Vec::new();
        while let Some(answer) = self
            .answers
            .as_ref()
            .and_then(|answers| answers.try_recv().ok())
        {
            let Some(known) = self.known.get_mut(&answer.path) else {
                continue;
            };
            known.waiting &= !(u8::from(!answer.is_waiting) << answer.desk);
            if known.complete(answer.found, &self.pods) {
                changed.push(answer.path);
            }
        }
        let told = self.pods.take_news(Instant::now());
        if told.is_empty() {
            return changed;
        }
        for (path, known) in &mut self.known {
            let is_told = known.pod().is_some_and(|pod| told.contains(&pod.uid));
            if is_told && known.hear(&self.pods) {
                changed.push(Arc::clone(path));
            }
        }
        changed
    }

    /// Number of containers remembered.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// Containers that were forgotten to make room, and questions for which there was none.
    pub(crate) fn lost(&self) -> (u64, u64) {
        (self.forgotten, self.unasked)
    }

    /// Makes sure that a container is known as far as its path tells, and asked for.
    fn learn(&mut self, place: &path::Place<'_>, maker: Option<ProcessKey>) -> Arc<str> {
        if let Some((path, _)) = self.known.get_key_value(place.path) {
            return Arc::clone(path);
        }
        let found = Found {
            container: Container {
                id: place.container.to_owned(),
                runtime: place.runtime.map(str::to_owned),
                ..Container::default()
            },
            pod: place.pod().map(|uid| Pod {
                uid,
                source: Some("cgroup"),
                ..Pod::default()
            }),
            layers: Layers::default(),
        };
        self.ask(place.path, found, place.runtime, maker);
        Arc::from(place.path)
    }

    /// Remembers a container, and asks all desks about it.
    fn ask(
        &mut self,
        path: &str,
        found: Found,
        runtime: Option<&'static str>,
        maker: Option<ProcessKey>,
    ) {
        if self.known.contains_key(path) {
            return;
        }
        while self.known.len() >= CONTAINERS {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            self.known.remove(&oldest);
            self.forgotten += 1;
        }
        let path: Arc<str> = Arc::from(path);
        let query = Query {
            path: Arc::clone(&path),
            id: Some(found.container.id.clone()).filter(|id| !id.is_empty()),
            maker,
            runtime,
        };
        let mut known = Known::of(found, &self.pods);
        for (number, desk) in self.desks.iter().enumerate() {
            if desk.ask(query.clone()) {
                known.waiting |= 1 << number;
            } else {
                self.unasked += 1;
            }
        }
        self.known.insert(Arc::clone(&path), known);
        self.order.push_back(path);
    }
}

/// The runtimes' sockets.
fn runtimes(config: &config::Containers) -> Vec<Box<dyn Source>> {
    let mut sources: Vec<Box<dyn Source>> = Vec::new();
    for socket in &config.containerd_sockets {
        sources.push(Box::new(containerd::Containerd::new(socket.clone())));
    }
    for socket in &config.cri_sockets {
        sources.push(Box::new(cri::Cri::new(socket.clone())));
    }
    for socket in &config.docker_sockets {
        sources.push(Box::new(http::Api::new(Engine::Docker, socket.clone())));
    }
    for socket in &config.podman_sockets {
        sources.push(Box::new(http::Api::new(Engine::Podman, socket.clone())));
    }
    sources
}

impl Query {
    /// The last name of the path, without what systemd and runtimes put around an id.
    fn name(&self) -> &str {
        let last = || self.path.rsplit('/').next().unwrap_or_default();
        self.id.as_deref().unwrap_or_else(last)
    }
}

impl Known {
    fn of(found: Found, pods: &Pods) -> Self {
        let mut known = Self {
            found,
            told: None,
            waiting: 0,
            met: Instant::now(),
            workload: Arc::default(),
            late: Arc::default(),
        };
        known.told = known.pod().and_then(|pod| pods.get(&pod.uid)).cloned();
        known.refresh();
        known
    }

    /// The pod, as the path or a runtime tells it.
    fn pod(&self) -> Option<&Pod> {
        self.found.pod.as_ref()
    }

    /// Takes in what was found; false when that is nothing new.
    fn complete(&mut self, found: Option<Found>, pods: &Pods) -> bool {
        let before = self.found.clone();
        self.found.complete(found);
        if before == self.found {
            return false;
        }
        self.told = self
            .pod()
            .and_then(|pod| pods.get(&pod.uid))
            .cloned()
            .or(self.told.take());
        self.refresh();
        true
    }

    /// Takes in what the API server told; false when that is nothing new.
    fn hear(&mut self, pods: &Pods) -> bool {
        let told = self.pod().and_then(|pod| pods.get(&pod.uid)).cloned();
        if told.is_none() || told == self.told {
            return false;
        }
        self.told = told;
        let before = Arc::clone(&self.workload);
        self.refresh();
        before != self.workload
    }

    fn refresh(&mut self) {
        let was_disputed = is_disputed(&self.workload);
        let mut workload = Workload {
            container: Some(self.found.container.clone()),
            pod: self.found.pod.clone(),
            is_late: false,
        };
        if let Some(told) = &self.told {
            told.complete(&mut workload);
        }
        if is_disputed(&workload) && !was_disputed {
            tracing::warn!(
                container = self.found.container.id,
                "runtime and API server name its pod differently: the runtime's names are kept"
            );
        }
        self.late = Arc::new(Workload {
            is_late: true,
            ..workload.clone()
        });
        self.workload = Arc::new(workload);
    }
}

impl Found {
    /// Fills in what another source knows and this one does not; what the path shows stays.
    fn complete(&mut self, other: Option<Self>) {
        let Some(Self {
            container,
            pod,
            layers,
        }) = other
        else {
            return;
        };
        if self.layers == Layers::default() {
            self.layers = layers;
        }
        let own = &mut self.container;
        if own.id.is_empty() {
            own.id = container.id;
        }
        let mut is_more = fill(&mut own.runtime, container.runtime);
        is_more |= fill(&mut own.name, container.name);
        is_more |= fill(&mut own.image, container.image);
        is_more |= fill(&mut own.image_digest, container.image_digest);
        is_more |= merge(&mut own.labels, container.labels);
        if (is_more || own.source.is_none()) && container.source.is_some() {
            own.source = container.source;
        }
        let Some(pod) = pod else { return };
        let Some(own) = &mut self.pod else {
            self.pod = Some(pod);
            return;
        };
        if own.uid != pod.uid {
            return;
        }
        let mut is_more = fill(&mut own.name, pod.name);
        is_more |= fill(&mut own.namespace, pod.namespace);
        is_more |= fill(&mut own.service_account, pod.service_account);
        is_more |= fill(&mut own.node, pod.node);
        is_more |= fill(&mut own.owner, pod.owner);
        is_more |= merge(&mut own.labels, pod.labels);
        if is_more {
            own.source = pod.source;
        }
    }
}

fn is_disputed(workload: &Workload) -> bool {
    workload.pod.as_ref().is_some_and(|pod| pod.is_disputed)
}

/// Fills an empty place; true when it was filled.
fn fill<T>(place: &mut Option<T>, with: Option<T>) -> bool {
    let is_more = place.is_none() && with.is_some();
    if is_more {
        *place = with;
    }
    is_more
}

/// Adds labels of names that are not there; true when there were any.
fn merge(labels: &mut Vec<(String, String)>, more: Vec<(String, String)>) -> bool {
    let before = labels.len();
    for (name, value) in more {
        if !labels.iter().any(|(known, _)| *known == name) {
            labels.push((name, value));
        }
    }
    let is_more = labels.len() > before;
    if is_more {
        *labels = oci::labels(std::mem::take(labels));
    }
    is_more
}

#[cfg(test)]
mod tests;
