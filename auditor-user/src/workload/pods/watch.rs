//! Follows the pods of this node at the API server, in a thread of its own, for as long as somebody listens.
//!
//! Whatever goes wrong, credentials are read again, a connection is made anew and all pods are listed again, later each
//! time up to 30 s. Bounds: [`PAGE`] pods are listed at once; a connection on which nothing comes is given up after
//! [`SILENCE`].

use std::{pin::pin, sync::mpsc::SyncSender, time::Duration};

use futures_util::StreamExt as _;
use kube::{
    Api, Client, Config,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
    runtime::watcher::{self, Event, watcher},
};
use thiserror::Error;

use super::{
    model::{self, Listed, Told},
    owners::{Known, Owners},
};
use crate::config::{Credentials, Kubernetes};

/// Pods listed at once.
const PAGE: u32 = 100;
/// Seconds after which the API server ends a watch, which is then begun anew.
const WATCH: u32 = 60;
/// Time in which something must come.
const SILENCE: Duration = Duration::from_secs(65);
/// Time to connect.
const CONNECT: Duration = Duration::from_secs(5);

/// What the thread tells.
#[derive(Debug)]
pub(super) enum News {
    /// All pods of the node will be told anew.
    Begun,
    /// A pod, in a list or for it changed.
    Pod(Box<Told>),
    /// What made the owner of a pod, or nothing where that is not known.
    Owner(String, Option<(String, String)>),
    /// A pod is gone.
    Gone(String),
    /// All pods of the node were told.
    Listed,
    /// The API server cannot be heard.
    Lost,
}

/// Why the pods cannot be followed.
#[derive(Debug, Error)]
pub(crate) enum WatchError {
    /// The kubeconfig cannot be used.
    #[error("kubeconfig: {0}")]
    Kubeconfig(#[from] KubeconfigError),
    /// This is no pod, or its service account is not there.
    #[error("in the cluster: {0}")]
    InCluster(#[from] kube::config::InClusterError),
    /// No client can be made of the credentials.
    #[error("credentials: {0}")]
    Client(#[source] Box<kube::Error>),
    /// The API server does not answer, or refuses.
    #[error(transparent)]
    Watch(#[from] watcher::Error),
    /// It did not answer in time.
    #[error("no answer in time")]
    Late,
    /// The stream of changes ended.
    #[error("the watch ended")]
    Ended,
    /// Nobody listens any more.
    #[error("nobody listens")]
    Unheard,
}

impl WatchError {
    /// Itself with its causes; most texts hold that of their cause already.
    pub(crate) fn with_causes(&self) -> String {
        let mut told = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(one) = cause {
            let text = one.to_string();
            if !told.contains(&text) {
                told = format!("{told}: {text}");
            }
            cause = one.source();
        }
        told
    }

    /// Whether only the position in the changes was too old.
    fn is_expired(&self) -> bool {
        use watcher::Error::{InitialListFailed, WatchError, WatchFailed, WatchStartFailed};
        let Self::Watch(error) = self else {
            return false;
        };
        match error {
            WatchError(status) => status.code == 410,
            InitialListFailed(error) | WatchStartFailed(error) | WatchFailed(error) => {
                matches!(error, kube::Error::Api(status) if status.code == 410)
            }
            watcher::Error::NoResourceVersion => false,
        }
    }
}

/// Tells of the pods until nobody listens.
pub(super) async fn follow(
    settings: &Kubernetes,
    node: &str,
    news: &SyncSender<News>,
    mut delays: impl Iterator<Item = Duration>,
) {
    let mut log = Log::default();
    loop {
        let error = match client(settings).await {
            Ok(client) => watch(client, node, news, &mut log).await,
            Err(error) => error,
        };
        if matches!(error, WatchError::Unheard) {
            return;
        }
        if error.is_expired() {
            tracing::debug!(%error, "the pods of this node are listed anew");
        } else {
            log.note_loss(&error, node);
            if news.send(News::Lost).is_err() {
                return;
            }
        }
        let Some(delay) = delays.next() else { return };
        tokio::time::sleep(delay).await;
    }
}

/// A client with credentials as they are now.
pub(crate) async fn client(settings: &Kubernetes) -> Result<Client, WatchError> {
    let mut config = match &settings.credentials() {
        Some(Credentials::Kubeconfig(path)) => {
            let file = Kubeconfig::read_from(path)?;
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?
        }
        _ => Config::incluster()?,
    };
    config.connect_timeout = Some(CONNECT);
    config.write_timeout = Some(CONNECT);
    config.read_timeout = Some(SILENCE);
    config.reset_reader_on_write = true;
    // What fails is tried again here, with credentials read anew.
    config.default_retry = false;
    Client::try_from(config).map_err(|error| WatchError::Client(Box::new(error)))
}

/// Asks for one pod of the node: whether the API server can be asked at all.
///
/// # Errors
/// When it cannot, or refuses.
pub(crate) async fn probe(settings: &Kubernetes, node: &str) -> Result<(), WatchError> {
    let asked = async {
        let api: Api<Listed> = Api::all_with(client(settings).await?, &model::resource());
        let fields = format!("spec.nodeName={node}");
        let parameters = kube::api::ListParams::default().fields(&fields).limit(1);
        let listed = api.list(&parameters).await;
        listed.map_err(watcher::Error::InitialListFailed)?;
        Ok(())
    };
    tokio::time::timeout(CONNECT, asked)
        .await
        .unwrap_or(Err(WatchError::Late))
}

/// Tells of the pods until something goes wrong.
async fn watch(client: Client, node: &str, news: &SyncSender<News>, log: &mut Log) -> WatchError {
    let api: Api<Listed> = Api::all_with(client.clone(), &model::resource());
    let settings = watcher::Config::default()
        .fields(&format!("spec.nodeName={node}"))
        .page_size(PAGE)
        .timeout(WATCH);
    let mut changes = pin!(watcher(api, settings));
    let mut owners = Owners::new(client);
    loop {
        let told = tokio::select! {
            change = changes.next() => match change {
                Some(Ok(Event::Init)) => vec![News::Begun],
                Some(Ok(Event::InitApply(pod) | Event::Apply(pod))) => {
                    News::of(pod, &mut owners).into_iter().collect()
                }
                Some(Ok(Event::Delete(pod))) => {
                    let told = Told::of(pod).map(|(told, _)| News::Gone(told.uid));
                    told.into_iter().collect()
                }
                Some(Ok(Event::InitDone)) => {
                    log.note_list(node);
                    vec![News::Listed]
                }
                Some(Err(error)) => return error.into(),
                None => return WatchError::Ended,
            },
            Some((pods, name)) = owners.next(), if owners.is_asking() => {
                pods.into_iter().map(|pod| News::Owner(pod, name.clone())).collect()
            }
        };
        for one in told {
            // Waits while there is no room: the API server keeps what is to come.
            if news.send(one).is_err() {
                return WatchError::Unheard;
            }
        }
    }
}

impl News {
    /// What is told of a pod; who made its owner is asked for.
    fn of(pod: Listed, owners: &mut Owners) -> Option<Self> {
        let (mut told, maker) = Told::of(pod)?;
        match maker.map(|maker| owners.ask(maker, &told.uid)) {
            Some(Known::Already(Some(name))) => told.owner = Some(name),
            Some(Known::Soon) => told.is_asking = true,
            Some(Known::Already(None) | Known::Never) | None => {}
        }
        Some(Self::Pod(Box::new(told)))
    }
}

/// Says once that the API server is lost, and once that it is back.
#[derive(Default)]
struct Log {
    was_heard: bool,
    is_lost: bool,
}

impl Log {
    fn note_loss(&mut self, error: &WatchError, node: &str) {
        let error = error.with_causes();
        if std::mem::replace(&mut self.is_lost, true) {
            tracing::debug!(error, "the API server still cannot be heard");
        } else {
            tracing::warn!(
                node,
                error,
                "the API server cannot be heard: what only it knows of new pods is null until then; `mcp-auditor doctor` tries it"
            );
        }
    }

    fn note_list(&mut self, node: &str) {
        let is_news = self.is_lost || !self.was_heard;
        (self.was_heard, self.is_lost) = (true, false);
        if is_news {
            tracing::info!(node, "the API server tells of the pods of this node");
        }
    }
}
