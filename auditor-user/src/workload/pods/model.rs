//! A pod as the API server tells it: the members that matter here, and what they add to what a runtime told.
//!
//! Values only; talks to nobody. Bounds: [`CONTAINERS`] containers of a pod, [`TEXT`] bytes of a text, labels as for
//! containers.

use auditor_core::audit::{Container, Pod, Workload};
use kube::{
    ResourceExt as _,
    api::{ApiResource, Object},
};
use serde::Deserialize;

use super::owners::{Above, Maker};
use crate::workload::containers::oci;

/// Containers of a pod whose images are kept.
const CONTAINERS: usize = 64;
/// Bytes of a name, an id or a time; what is longer is left out.
const TEXT: usize = 512;
/// Where the API server tells the uid that the kubelet knows a pod of its own by.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// A pod of the API, without what is not looked at.
pub(super) type Listed = Object<Spec, Status>;

/// What a pod is to be.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Spec {
    service_account_name: Option<String>,
    node_name: Option<String>,
}

/// What became of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Status {
    start_time: Option<String>,
    container_statuses: Vec<ContainerStatus>,
    init_container_statuses: Vec<ContainerStatus>,
    ephemeral_container_statuses: Vec<ContainerStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ContainerStatus {
    #[serde(rename = "containerID")]
    container_id: Option<String>,
    #[serde(rename = "imageID")]
    image_id: Option<String>,
}

/// What is kept of a pod.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(in crate::workload) struct Told {
    /// Its uid, as its node's cgroups have it.
    pub(super) uid: String,
    pub(super) name: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) service_account: Option<String>,
    pub(super) node: Option<String>,
    /// What made it: kind and name.
    pub(super) owner: Option<(String, String)>,
    pub(super) labels: Vec<(String, String)>,
    /// When its node took it over, as the API server writes times (RFC 3339).
    pub(super) started: Option<String>,
    /// Ids of its containers, with the digests of their images.
    pub(super) images: Vec<(String, String)>,
    /// Whether what made its owner is being asked for.
    pub(super) is_asking: bool,
}

/// The resource that [`Listed`] is.
pub(super) fn resource() -> ApiResource {
    ApiResource::erase::<k8s_openapi::api::core::v1::Pod>(&())
}

impl Told {
    /// What is kept of a pod, and who made its owner, where that is to be asked; `None` for one without a uid.
    pub(super) fn of(pod: Listed) -> Option<(Self, Option<Maker>)> {
        let text =
            |text: Option<String>| text.filter(|text| !text.is_empty() && text.len() <= TEXT);
        let mirror = pod.annotations().get(MIRROR).cloned();
        let uid = text(mirror).or_else(|| text(pod.metadata.uid.clone()))?;
        let name = text(pod.metadata.name.clone());
        let namespace = text(pod.metadata.namespace.clone());
        let above = Above::of(&pod.metadata);
        let maker = above
            .as_ref()
            .zip(namespace.as_deref())
            .and_then(|(above, namespace)| above.maker(namespace));
        let status = pod.status.unwrap_or_default();
        let containers = [
            status.container_statuses,
            status.init_container_statuses,
            status.ephemeral_container_statuses,
        ];
        let images = containers.into_iter().flatten().filter_map(|container| {
            let id = text(container.container_id)?;
            let (_, id) = id.split_once("://")?;
            let digest = oci::digest(&text(container.image_id)?)?;
            Some((id.to_owned(), digest))
        });
        let told = Self {
            uid,
            name,
            namespace,
            service_account: text(pod.spec.service_account_name),
            node: text(pod.spec.node_name),
            owner: above.map(Above::into_name),
            labels: oci::labels(pod.metadata.labels.unwrap_or_default()),
            started: text(status.start_time),
            images: images.take(CONTAINERS).collect(),
            is_asking: false,
        };
        Some((told, maker))
    }

    /// Adds to what a runtime told of a container and its pod. Where the two name the pod differently, the runtime's
    /// names stay and the pod is marked.
    pub(in crate::workload) fn complete(&self, workload: &mut Workload) {
        let Some(pod) = workload.pod.as_mut().filter(|pod| pod.uid == self.uid) else {
            return;
        };
        let differs = |own: &Option<String>, told: &Option<String>| matches!((own, told), (Some(own), Some(told)) if own != told);
        let is_disputed =
            differs(&pod.name, &self.name) || differs(&pod.namespace, &self.namespace);
        let told = Pod {
            uid: self.uid.clone(),
            name: self.name.clone(),
            namespace: self.namespace.clone(),
            service_account: self.service_account.clone(),
            node: self.node.clone(),
            owner: self.owner.clone(),
            labels: self.labels.clone(),
            started: self.started.clone(),
            is_disputed,
            source: Some("api_server"),
        };
        *pod = if is_disputed {
            Pod {
                name: pod.name.take(),
                namespace: pod.namespace.take(),
                labels: std::mem::take(&mut pod.labels),
                ..told
            }
        } else {
            told
        };
        if let Some(container) = &mut workload.container {
            self.complete_image(container);
        }
    }

    fn complete_image(&self, container: &mut Container) {
        let image = self.images.iter().find(|(id, _)| *id == container.id);
        if let (None, Some((_, digest))) = (&container.image_digest, image) {
            container.image_digest = Some(digest.clone());
            container.source = Some("api_server");
        }
    }
}
