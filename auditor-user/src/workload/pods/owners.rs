//! What made the owners of pods: the Deployment above a ReplicaSet, the CronJob above a Job.
//!
//! Asks for the metadata of each owner once in a connection. Bounds: [`OWNERS`] are remembered, the oldest go first;
//! [`AT_ONCE`] are asked for at once, [`PATIENCE`] each, and [`WAITING`] wait.

use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    pin::Pin,
    time::Duration,
};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use k8s_openapi::{
    api::{apps::v1::ReplicaSet, batch::v1::Job},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Api, Client};

/// Owners remembered.
const OWNERS: usize = 2_048;
/// Questions under way.
const AT_ONCE: usize = 8;
/// Owners that wait to be asked for.
const WAITING: usize = 2_048;
/// Time for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a reference to a controller says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Above {
    api_version: String,
    kind: String,
    name: String,
    uid: String,
}

/// An owner that something else may have made.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Maker {
    kind: Kind,
    namespace: String,
    name: String,
    uid: String,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Kind {
    ReplicaSet,
    Job,
}

/// Kind and name of what made an owner; `None` when nothing did, or that is not told.
type Name = Option<(String, String)>;
/// An answer; an error where the question may be asked again.
type Answer = (Maker, Result<Name, ()>);

/// What is known of owners through one connection.
pub(super) struct Owners {
    client: Client,
    known: HashMap<Maker, Name>,
    order: VecDeque<Maker>,
    /// Pods that wait for an owner, by uid.
    pods: HashMap<Maker, Vec<String>>,
    queue: VecDeque<Maker>,
    asked: FuturesUnordered<Pin<Box<dyn Future<Output = Answer>>>>,
}

/// What is known of an owner.
pub(super) enum Known {
    /// This.
    Already(Name),
    /// It is asked for.
    Soon,
    /// There is no room to ask.
    Never,
}

impl Above {
    /// The controller of an object.
    pub(super) fn of(metadata: &ObjectMeta) -> Option<Self> {
        let all = metadata.owner_references.as_ref()?;
        let controller = all.iter().find(|one| one.controller == Some(true))?;
        Some(Self {
            api_version: controller.api_version.clone(),
            kind: controller.kind.clone(),
            name: controller.name.clone(),
            uid: controller.uid.clone(),
        })
    }

    /// The question who made it; only of kinds that are made by others as a rule.
    pub(super) fn maker(&self, namespace: &str) -> Option<Maker> {
        let group = self.api_version.split_once('/').map(|(group, _)| group);
        let kind = match (group, self.kind.as_str()) {
            (Some("apps"), "ReplicaSet") => Kind::ReplicaSet,
            (Some("batch"), "Job") => Kind::Job,
            _ => return None,
        };
        Some(Maker {
            kind,
            namespace: namespace.to_owned(),
            name: self.name.clone(),
            uid: self.uid.clone(),
        })
    }

    pub(super) fn into_name(self) -> (String, String) {
        (self.kind, self.name)
    }
}

impl Owners {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            known: HashMap::new(),
            order: VecDeque::new(),
            pods: HashMap::new(),
            queue: VecDeque::new(),
            asked: FuturesUnordered::new(),
        }
    }

    /// Asks for what made the owner of a pod.
    pub(super) fn ask(&mut self, maker: Maker, pod: &str) -> Known {
        if let Some(name) = self.known.get(&maker) {
            return Known::Already(name.clone());
        }
        if let Some(pods) = self.pods.get_mut(&maker) {
            pods.push(pod.to_owned());
            return Known::Soon;
        }
        if self.queue.len() >= WAITING {
            return Known::Never;
        }
        self.pods.insert(maker.clone(), vec![pod.to_owned()]);
        self.queue.push_back(maker);
        self.begin();
        Known::Soon
    }

    /// Whether an answer is to come.
    pub(super) fn is_asking(&self) -> bool {
        !self.asked.is_empty()
    }

    /// The next answer, with the uids of the pods that wait for it. Only to be called where one is to come.
    pub(super) async fn next(&mut self) -> Option<(Vec<String>, Name)> {
        let (maker, answer) = self.asked.next().await?;
        let pods = self.pods.remove(&maker).unwrap_or_default();
        let name = answer.as_ref().ok().cloned().flatten();
        if let Ok(name) = answer {
            while self.known.len() >= OWNERS {
                let Some(oldest) = self.order.pop_front() else {
                    break;
                };
                self.known.remove(&oldest);
            }
            self.order.push_back(maker.clone());
            self.known.insert(maker, name);
        }
        self.begin();
        Some((pods, name))
    }

    fn begin(&mut self) {
        while self.asked.len() < AT_ONCE
            && let Some(maker) = self.queue.pop_front()
        {
            let client = self.client.clone();
            self.asked.push(Box::pin(async move {
                let found = tokio::time::timeout(PATIENCE, find(client, &maker)).await;
                (maker, found.unwrap_or(Err(())))
            }));
        }
    }
}

/// What made an owner.
async fn find(client: Client, maker: &Maker) -> Result<Name, ()> {
    let namespace = maker.namespace.as_str();
    let metadata = match maker.kind {
        Kind::ReplicaSet => {
            let api: Api<ReplicaSet> = Api::namespaced(client, namespace);
            api.get_metadata(&maker.name)
                .await
                .map(|found| found.metadata)
        }
        Kind::Job => {
            let api: Api<Job> = Api::namespaced(client, namespace);
            api.get_metadata(&maker.name)
                .await
                .map(|found| found.metadata)
        }
    };
    match metadata {
        // Another of that name tells nothing.
        Ok(found) if found.uid.as_deref() != Some(&maker.uid) => Ok(None),
        Ok(found) => Ok(Above::of(&found).map(Above::into_name)),
        Err(kube::Error::Api(status)) if status.code == 403 => {
            tracing::debug!(
                namespace,
                owner = maker.name,
                "the API server does not let what made an owner be asked for"
            );
            Ok(None)
        }
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => {
            tracing::debug!(%error, namespace, owner = maker.name, "what made an owner was not told");
            Err(())
        }
    }
}
