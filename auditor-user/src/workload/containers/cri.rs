//! Containers by the Container Runtime Interface of Kubernetes, which CRI-O speaks.
//!
//! The messages are the members that matter here of `runtime.v1.RuntimeService`.

use std::{collections::HashMap, path::PathBuf};

use auditor_core::audit::{Container, Pod};

use super::{
    Found, Query,
    grpc::{Client, Silence},
    oci,
    source::{Find, Source},
};

#[derive(Clone, PartialEq, prost::Message)]
struct Ask {
    #[prost(string, tag = "1")]
    container_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Answer {
    #[prost(message, optional, tag = "1")]
    status: Option<Status>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(message, optional, tag = "2")]
    metadata: Option<Metadata>,
    #[prost(message, optional, tag = "8")]
    image: Option<Image>,
    #[prost(string, tag = "9")]
    image_ref: String,
    #[prost(map = "string, string", tag = "12")]
    labels: HashMap<String, String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Metadata {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Image {
    #[prost(string, tag = "1")]
    image: String,
    #[prost(string, tag = "18")]
    user_specified_image: String,
}

/// One runtime.
pub(super) struct Cri {
    client: Client,
}

impl Cri {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self {
            client: Client::new(socket),
        }
    }
}

impl Source for Cri {
    fn find(&mut self, query: &Query) -> Find {
        let Some(id) = query
            .id
            .clone()
            .filter(|_| matches!(query.runtime, None | Some("cri-o")))
        else {
            return Find::Unknown;
        };
        let ask = Ask {
            container_id: id.clone(),
        };
        match self
            .client
            .ask("/runtime.v1.RuntimeService/ContainerStatus", ask, None)
        {
            Ok(Answer {
                status: Some(status),
            }) => Find::Known(Box::new(found(id, status))),
            Ok(Answer { status: None }) | Err(Silence::Unknown) => Find::Unknown,
            Err(Silence::Unreachable) => Find::Unreachable,
        }
    }
}

fn found(id: String, status: Status) -> Found {
    let text = |text: String| Some(text).filter(|text| !text.is_empty());
    let labels = oci::labels(status.labels);
    let label = |name: &str| {
        labels
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| value.clone())
    };
    let pod = label("io.kubernetes.pod.uid").map(|uid| Pod {
        uid,
        name: label("io.kubernetes.pod.name"),
        namespace: label("io.kubernetes.pod.namespace"),
        source: Some("runtime"),
        ..Pod::default()
    });
    let container = Container {
        id,
        name: status.metadata.and_then(|metadata| text(metadata.name)),
        image: status
            .image
            .and_then(|image| text(image.user_specified_image).or_else(|| text(image.image))),
        image_digest: oci::digest(&status.image_ref),
        labels,
        source: Some("runtime"),
        ..Container::default()
    };
    Found {
        container,
        pod,
        ..Found::default()
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    /// Bytes of the wire format by hand: a field's key, a length, the bytes.
    fn field(number: u32, bytes: &[u8]) -> Vec<u8> {
        let mut wire = Vec::new();
        prost::encoding::encode_varint(u64::from(number << 3 | 2), &mut wire);
        prost::encoding::encode_varint(bytes.len() as u64, &mut wire);
        wire.extend(bytes);
        wire
    }

    #[test]
    fn a_status_names_container_image_and_pod() {
        let digest = format!("sha256:{}", "7".repeat(64));
        let label = |name: &str, value: &str| {
            field(
                12,
                &[field(1, name.as_bytes()), field(2, value.as_bytes())].concat(),
            )
        };
        let status = [
            field(1, b"ID"),
            field(2, &field(1, b"server")),
            field(8, &field(1, b"quay.io/team/server:2")),
            field(9, format!("quay.io/team/server@{digest}").as_bytes()),
            label("io.kubernetes.pod.uid", "uid"),
            label("io.kubernetes.pod.name", "server-0"),
        ];
        let answer = Answer::decode(&*field(1, &status.concat())).unwrap();
        let found = found("ID".to_owned(), answer.status.unwrap());
        assert_eq!(found.container.name.as_deref(), Some("server"));
        assert_eq!(
            found.container.image.as_deref(),
            Some("quay.io/team/server:2")
        );
        assert_eq!(found.container.image_digest, Some(digest));
        let pod = found.pod.unwrap();
        assert_eq!(
            (pod.uid.as_str(), pod.name.as_deref()),
            ("uid", Some("server-0"))
        );
    }
}
