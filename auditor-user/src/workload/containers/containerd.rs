//! Containers by containerd's own API: also those that are not Kubernetes'.
//!
//! The messages are the members that matter here of `containerd.services.{namespaces,containers,images}.v1`.
//! Bound: [`NAMESPACES`] are asked.

use std::{collections::HashMap, path::PathBuf};

use auditor_core::audit::{Container, Pod};

use super::{
    Found, Query,
    grpc::{Client, Silence},
    oci::{self, Config},
    source::{Find, Source},
};

/// Namespaces that are asked.
const NAMESPACES: usize = 16;

#[derive(Clone, PartialEq, prost::Message)]
struct ListNamespaces {}

#[derive(Clone, PartialEq, prost::Message)]
struct Namespaces {
    #[prost(message, repeated, tag = "1")]
    namespaces: Vec<Namespace>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Namespace {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Get {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct GotContainer {
    #[prost(message, optional, tag = "1")]
    container: Option<Task>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Task {
    #[prost(map = "string, string", tag = "2")]
    labels: HashMap<String, String>,
    #[prost(string, tag = "3")]
    image: String,
    #[prost(message, optional, tag = "5")]
    spec: Option<Any>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Any {
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct GotImage {
    #[prost(message, optional, tag = "1")]
    image: Option<Image>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Image {
    #[prost(message, optional, tag = "3")]
    target: Option<Descriptor>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Descriptor {
    #[prost(string, tag = "2")]
    digest: String,
}

/// One containerd.
pub(super) struct Containerd {
    client: Client,
}

impl Containerd {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self {
            client: Client::new(socket),
        }
    }

    fn ask(&mut self, query: &Query) -> Result<Option<Found>, Silence> {
        let method = "/containerd.services.namespaces.v1.Namespaces/List";
        let Namespaces { namespaces } = self.client.ask(method, ListNamespaces {}, None)?;
        for namespace in namespaces.into_iter().take(NAMESPACES) {
            let get = Get {
                id: query.name().to_owned(),
            };
            let method = "/containerd.services.containers.v1.Containers/Get";
            let task = match self.client.ask(method, get, Some(&namespace.name)) {
                Ok(GotContainer { container }) => container,
                Err(Silence::Unknown) => None,
                Err(Silence::Unreachable) => return Err(Silence::Unreachable),
            };
            let Some(task) = task else { continue };
            let config = task
                .spec
                .as_ref()
                .and_then(|spec| Config::parse(&spec.value))
                .unwrap_or_default();
            // A name is one namespace's: the cgroup tells which is meant.
            if query.id.is_none() && config.is_of(&query.path) != Some(true) {
                continue;
            }
            return Ok(Some(self.found(query, task, &config, &namespace.name)));
        }
        Ok(None)
    }

    fn found(&mut self, query: &Query, task: Task, config: &Config, namespace: &str) -> Found {
        let get = Get {
            id: task.image.clone(),
        };
        let method = "/containerd.services.images.v1.Images/Get";
        let image: Option<GotImage> = self.client.ask(method, get, Some(namespace)).ok();
        let target = image.and_then(|got| got.image?.target);
        let mut found = config.found(query.name());
        let labels = oci::labels(task.labels);
        let label = |name: &str| {
            labels
                .iter()
                .find(|(own, _)| own == name)
                .map(|(_, value)| value.clone())
        };
        let told = Found {
            pod: label("io.kubernetes.pod.uid").map(|uid| Pod {
                uid,
                name: label("io.kubernetes.pod.name"),
                namespace: label("io.kubernetes.pod.namespace"),
                source: Some("runtime"),
                ..Pod::default()
            }),
            container: Container {
                id: query.name().to_owned(),
                runtime: Some("containerd".to_owned()),
                image: Some(task.image).filter(|image| !image.is_empty()),
                image_digest: target.map(|target| target.digest),
                labels,
                source: Some("runtime"),
                ..Container::default()
            },
            ..Found::default()
        };
        found.complete(Some(told));
        found.container.source = Some("runtime");
        found
    }
}

impl Source for Containerd {
    fn find(&mut self, query: &Query) -> Find {
        if !matches!(query.runtime, None | Some("containerd")) {
            return Find::Unknown;
        }
        match self.ask(query) {
            Ok(Some(found)) => Find::Known(Box::new(found)),
            Ok(None) | Err(Silence::Unknown) => Find::Unknown,
            Err(Silence::Unreachable) => Find::Unreachable,
        }
    }
}
