//! Containers by the HTTP API of Docker and podman, over their Unix sockets.
//!
//! One request a connection, in HTTP/1.0, so that the answer is whole when the socket closes. Bounds: [`PATIENCE`] for
//! each step, [`ANSWER`] bytes.

use std::{
    collections::BTreeMap,
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::{Duration, Instant},
};

use auditor_core::audit::Container;
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    Found, Query,
    gate::Gate,
    oci,
    source::{Find, Source},
};

/// Time for connecting, and for each read.
const PATIENCE: Duration = Duration::from_secs(1);
/// Bytes of an answer.
const ANSWER: u64 = 4 << 20;

/// Whose API it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Engine {
    Docker,
    Podman,
}

/// One engine's socket.
pub(super) struct Api {
    engine: Engine,
    socket: PathBuf,
    gate: Gate,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: String,
    name: Option<String>,
    /// The image's id.
    image: Option<String>,
    /// Podman's own.
    image_name: Option<String>,
    image_digest: Option<String>,
    config: Option<Settings>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Settings {
    image: Option<String>,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    repo_digests: Option<Vec<String>>,
}

impl Engine {
    fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }
}

impl Api {
    pub(super) fn new(engine: Engine, socket: PathBuf) -> Self {
        Self {
            engine,
            socket,
            gate: Gate::default(),
        }
    }

    fn inspect(&self, id: &str) -> io::Result<Option<Found>> {
        let path = match self.engine {
            Engine::Docker => format!("/containers/{id}/json"),
            Engine::Podman => format!("/v4.0.0/libpod/containers/{id}/json"),
        };
        let Some(inspected) = self
            .get::<Inspected>(&path)?
            .filter(|inspected| inspected.id == id)
        else {
            return Ok(None);
        };
        let image = inspected.image.filter(|_| self.engine == Engine::Docker);
        let repo = match image {
            Some(image) => self.get::<Image>(&format!("/images/{image}/json"))?,
            None => None,
        };
        let repo =
            repo.and_then(|image| image.repo_digests?.first().and_then(|one| oci::digest(one)));
        let config = inspected.config;
        let (name, labels) = config
            .map(|config| (config.image, config.labels))
            .unwrap_or_default();
        let container = Container {
            id: inspected.id,
            runtime: Some(self.engine.name().to_owned()),
            name: inspected
                .name
                .map(|name| name.trim_start_matches('/').to_owned()),
            image: inspected
                .image_name
                .or(name)
                .filter(|name| !name.is_empty()),
            image_digest: inspected
                .image_digest
                .filter(|digest| !digest.is_empty())
                .or(repo),
            labels: oci::labels(labels.unwrap_or_default()),
            source: Some("runtime"),
        };
        Ok(Some(Found {
            container,
            ..Found::default()
        }))
    }

    /// Asks for JSON; `None` when there is no such thing.
    fn get<T: DeserializeOwned>(&self, path: &str) -> io::Result<Option<T>> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.take(ANSWER).read_to_end(&mut answer)?;
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Response::new(&mut headers);
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, "no HTTP");
        let Ok(httparse::Status::Complete(len)) = head.parse(&answer) else {
            return Err(wrong());
        };
        match head.code {
            Some(200) => {
                let body = answer.get(len..).unwrap_or_default();
                serde_json::from_slice(body).map(Some).map_err(|_| wrong())
            }
            Some(404) => Ok(None),
            _ => Err(wrong()),
        }
    }
}

impl Source for Api {
    fn find(&mut self, query: &Query) -> Find {
        if query.runtime != Some(self.engine.name()) {
            return Find::Unknown;
        }
        let Some(id) = query.id.as_deref() else {
            return Find::Unknown;
        };
        if !self.gate.is_open(Instant::now()) {
            return Find::Unreachable;
        }
        let found = self.inspect(id);
        self.gate.note(found.is_ok(), Instant::now());
        match found {
            Ok(Some(found)) => Find::Known(Box::new(found)),
            Ok(None) => Find::Unknown,
            Err(error) => {
                tracing::debug!(%error, socket = %self.socket.display(), "a container runtime does not answer");
                Find::Unreachable
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixListener, sync::Arc, thread};

    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn query() -> Query {
        Query {
            path: Arc::from(format!("/docker/{ID}")),
            id: Some(ID.to_owned()),
            maker: None,
            runtime: Some("docker"),
        }
    }

    fn socket(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("mcp-auditor-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        path
    }

    #[test]
    fn docker_tells_of_a_container_and_of_its_images_digest() {
        let path = socket("docker");
        let listener = UnixListener::bind(&path).unwrap();
        let digest = format!("sha256:{}", "7".repeat(64));
        let answers = [
            format!(
                r#"{{"Id":"{ID}","Name":"/web","Image":"sha256:1","Config":{{"Image":"team/web:2","Labels":{{"a":"b"}}}}}}"#
            ),
            format!(r#"{{"RepoDigests":["team/web@{digest}"]}}"#),
        ];
        let server = thread::spawn(move || {
            answers.map(|answer| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 512];
                let len = stream.read(&mut request).unwrap();
                write!(stream, "HTTP/1.0 200 OK\r\n\r\n{answer}").unwrap();
                String::from_utf8_lossy(&request[..len])
                    .lines()
                    .next()
                    .map(str::to_owned)
            })
        });
        let mut api = Api::new(Engine::Docker, path.clone());
        let Find::Known(found) = api.find(&query()) else {
            panic!("not found");
        };
        let asked = server.join().unwrap();
        assert_eq!(
            asked[0].as_deref(),
            Some(&*format!("GET /containers/{ID}/json HTTP/1.0"))
        );
        assert_eq!(found.container.name.as_deref(), Some("web"));
        assert_eq!(found.container.image.as_deref(), Some("team/web:2"));
        assert_eq!(found.container.image_digest, Some(digest));
        assert_eq!(found.container.labels, [("a".to_owned(), "b".to_owned())]);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_socket_that_hangs_is_given_up_and_left_alone() {
        let path = socket("hang");
        let _listener = UnixListener::bind(&path).unwrap();
        let mut api = Api::new(Engine::Docker, path.clone());
        let began = Instant::now();
        assert!(matches!(api.find(&query()), Find::Unreachable));
        assert!(began.elapsed() < PATIENCE * 3);
        let began = Instant::now();
        assert!(matches!(api.find(&query()), Find::Unreachable));
        assert!(began.elapsed() < PATIENCE / 4);
        std::fs::remove_file(path).unwrap();
    }
}
