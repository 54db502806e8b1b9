//! Asks a container runtime by gRPC over its Unix socket: one question at a time, with a limit for each.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use prost::Message;
use tokio::runtime::Runtime;
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    metadata::AsciiMetadataValue,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use super::gate::Gate;

/// Time for an answer, connecting included.
const PATIENCE: Duration = Duration::from_secs(1);
/// Bytes of an answer.
const ANSWER: usize = 4 << 20;

/// A runtime's socket.
pub(super) struct Client {
    socket: PathBuf,
    gate: Gate,
    /// Made at the first question.
    connection: Option<(Runtime, Channel)>,
}

/// Why there is no answer.
pub(super) enum Silence {
    /// The runtime knows no such thing, or no such question.
    Unknown,
    /// It cannot be asked now.
    Unreachable,
}

impl Client {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self {
            socket,
            gate: Gate::default(),
            connection: None,
        }
    }

    /// Asks one question, in a namespace of containerd where that is given.
    pub(super) fn ask<Q, A>(
        &mut self,
        method: &'static str,
        question: Q,
        namespace: Option<&str>,
    ) -> Result<A, Silence>
    where
        Q: Message + Clone + Default + 'static,
        A: Message + Default + 'static,
    {
        if !self.gate.is_open(Instant::now()) {
            return Err(Silence::Unreachable);
        }
        let is_old = self.connection.is_some();
        let mut answer = self.try_ask(method, question.clone(), namespace);
        if is_old && matches!(&answer, Err(status) if status.code() == Code::Unavailable) {
            // The runtime may have been started again.
            self.connection = None;
            answer = self.try_ask(method, question, namespace);
        }
        let silence = answer.as_ref().err().map(|status| match status.code() {
            Code::NotFound | Code::InvalidArgument | Code::Unimplemented | Code::Unknown => {
                Silence::Unknown
            }
            _ => Silence::Unreachable,
        });
        if let (Err(status), Some(Silence::Unreachable)) = (&answer, &silence) {
            tracing::debug!(%status, socket = %self.socket.display(), "a container runtime does not answer");
            // The next question begins anew.
            self.connection = None;
        }
        self.gate.note(
            !matches!(silence, Some(Silence::Unreachable)),
            Instant::now(),
        );
        answer.map_err(|_| silence.unwrap_or(Silence::Unreachable))
    }

    fn try_ask<Q, A>(
        &mut self,
        method: &'static str,
        question: Q,
        namespace: Option<&str>,
    ) -> Result<A, Status>
    where
        Q: Message + Clone + Default + 'static,
        A: Message + Default + 'static,
    {
        let (runtime, channel) = match self.connection.take() {
            Some(connection) => connection,
            None => connect(&self.socket)?,
        };
        let mut request = Request::new(question);
        if let Some(namespace) = namespace.and_then(|name| AsciiMetadataValue::try_from(name).ok())
        {
            request
                .metadata_mut()
                .insert("containerd-namespace", namespace);
        }
        let mut grpc = Grpc::new(channel.clone()).max_decoding_message_size(ANSWER);
        let asked = async {
            grpc.ready()
                .await
                .map_err(|error| Status::unavailable(error.to_string()))?;
            grpc.unary(
                request,
                PathAndQuery::from_static(method),
                ProstCodec::default(),
            )
            .await
        };
        let answer = runtime.block_on(async { tokio::time::timeout(PATIENCE, asked).await });
        self.connection = Some((runtime, channel));
        match answer {
            Ok(answer) => answer.map(tonic::Response::into_inner),
            Err(_) => Err(Status::deadline_exceeded("no answer in time")),
        }
    }
}

fn connect(socket: &std::path::Path) -> Result<(Runtime, Channel), Status> {
    let fail = |error: &dyn std::fmt::Display| Status::unavailable(error.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| fail(&error))?;
    let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display()))
        .map_err(|error| fail(&error))?;
    let endpoint = endpoint.connect_timeout(PATIENCE);
    let channel =
        runtime.block_on(async { tokio::time::timeout(PATIENCE, endpoint.connect()).await });
    let channel = channel
        .map_err(|error| fail(&error))?
        .map_err(|error| fail(&error))?;
    Ok((runtime, channel))
}
