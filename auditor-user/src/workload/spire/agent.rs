//! SPIRE's agent, at its admin socket: `spire.api.agent.delegatedidentity.v1.DelegatedIdentity`.
//!
//! The messages are the members that matter here. Only tokens (JWT-SVIDs) are asked for, and counted only where a key of the
//! agent's bundles signed them. Bounds: [`PATIENCE`] for each step, [`ANSWER`] bytes, [`IDS`] ids of a process.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use auditor_core::{
    identity::{Attestation, BadSvid, Bundles},
    key::Time,
};
use tokio::time::timeout;
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use super::{AGAIN, Told, UNREACHABLE};
use crate::config;

/// Time for a step.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of an answer.
const ANSWER: usize = 4 << 20;
/// Ids that are kept of one process.
const IDS: usize = 16;
/// After how long bundles are asked for again.
const BUNDLES: Duration = Duration::from_secs(60);

/// What the agent says where the trouble is with one process only.
const ABOUT_ONE: &str = "workload attestation failed";

const FETCH: &str = "/spire.api.agent.delegatedidentity.v1.DelegatedIdentity/FetchJWTSVIDs";
const SUBSCRIBE: &str =
    "/spire.api.agent.delegatedidentity.v1.DelegatedIdentity/SubscribeToJWTBundles";

/// `FetchJWTSVIDsRequest`.
#[derive(Clone, PartialEq, prost::Message)]
struct Fetch {
    #[prost(string, repeated, tag = "1")]
    audience: Vec<String>,
    #[prost(int32, tag = "3")]
    pid: i32,
}

/// `FetchJWTSVIDsResponse`.
#[derive(Clone, PartialEq, prost::Message)]
struct Fetched {
    #[prost(message, repeated, tag = "1")]
    svids: Vec<Svid>,
}

/// `spire.api.types.JWTSVID`.
#[derive(Clone, PartialEq, prost::Message)]
struct Svid {
    #[prost(string, tag = "1")]
    token: String,
}

/// `SubscribeToJWTBundlesRequest`.
#[derive(Clone, PartialEq, prost::Message)]
struct Subscribe {}

/// `SubscribeToJWTBundlesResponse`.
#[derive(Clone, PartialEq, prost::Message)]
struct Subscribed {
    #[prost(map = "string, bytes", tag = "1")]
    bundles: HashMap<String, Vec<u8>>,
}

/// One agent.
pub(super) struct Agent {
    config: config::Spire,
    connection: Option<Channel>,
    bundles: Bundles,
    /// When the bundles were told.
    told: Option<Instant>,
    /// Whether it answered last, for the log; none at the beginning.
    is_answering: Option<bool>,
}

impl Agent {
    pub(super) fn new(config: config::Spire) -> Self {
        Self {
            config,
            connection: None,
            bundles: Bundles::default(),
            told: None,
            is_answering: None,
        }
    }

    /// Who a process is at `now`.
    ///
    /// # Errors
    /// When the agent does not say, with the time after which it is to be asked again.
    pub(super) async fn ask(&mut self, pid: u32, now: Time) -> Result<Told, Duration> {
        let is_old = self.connection.is_some();
        let mut answer = self.attest(pid, now).await;
        if is_old && matches!(&answer, Err(status) if status.code() == Code::Unavailable) {
            // It may have been started again.
            self.connection = None;
            answer = self.attest(pid, now).await;
        }
        self.tell(answer.as_ref().err());
        answer.map_err(|status| {
            self.connection = None;
            // Who takes long to be attested must not keep others waiting.
            match status.code() {
                Code::DeadlineExceeded => AGAIN,
                _ => UNREACHABLE,
            }
        })
    }

    /// Says once that it does not answer, and once that it does.
    fn tell(&mut self, error: Option<&Status>) {
        if let Some(status) = error.filter(|status| status.message() == ABOUT_ONE) {
            tracing::debug!(%status, "SPIRE's agent cannot attest a process");
            return;
        }
        let is_answering = Some(error.is_none());
        if std::mem::replace(&mut self.is_answering, is_answering) == is_answering {
            return;
        }
        let socket = self.config.socket.display();
        match error {
            None => tracing::info!(%socket, "SPIRE's agent says who processes are"),
            Some(status) if status.code() == Code::PermissionDenied => tracing::warn!(
                %socket,
                "SPIRE's agent refuses: this program must be registered, and its id be among `authorized_delegates`: {}",
                status.message()
            ),
            Some(status) => tracing::warn!(
                %socket,
                "SPIRE's agent does not answer, processes are named by what the kernel knows: {}",
                status.message()
            ),
        }
    }

    async fn attest(&mut self, pid: u32, now: Time) -> Result<Told, Status> {
        let pid = i32::try_from(pid).map_err(|_| Status::invalid_argument("no pid"))?;
        let fetch = Fetch {
            audience: self.config.audience.clone(),
            pid,
        };
        let channel = self.channel().await?;
        if self.told.is_none_or(|told| told.elapsed() > BUNDLES) {
            self.renew_bundles().await?;
        }
        let asked = async {
            let mut grpc = ready(channel).await?;
            let path = PathAndQuery::from_static(FETCH);
            grpc.unary(Request::new(fetch), path, ProstCodec::default())
                .await
        };
        let answer: Fetched = match in_time(asked).await {
            Ok(answer) => answer.into_inner(),
            // It has just told the bundles: what it refuses is to name the process, which is registered as nobody.
            Err(status) if status.code() == Code::PermissionDenied => return Ok(None),
            Err(status) => return Err(status),
        };
        let (mut ids, mut expires) = (Vec::new(), Time(u64::MAX));
        for svid in answer.svids.iter().take(IDS) {
            let mut proven = self.bundles.verify(&svid.token, &self.config.audience, now);
            if proven == Err(BadSvid::UnknownKey) {
                self.renew_bundles().await?;
                proven = self.bundles.verify(&svid.token, &self.config.audience, now);
            }
            match proven {
                Ok((id, until)) => {
                    expires = expires.min(until);
                    ids.push(id);
                }
                Err(error) => {
                    tracing::warn!(pid, "a JWT-SVID of SPIRE's agent proves nothing: {error}")
                }
            }
        }
        Ok((!ids.is_empty()).then(|| Arc::new(Attestation { ids, expires })))
    }

    /// Asks for the keys of all trust domains: the first message of what could be a subscription.
    async fn renew_bundles(&mut self) -> Result<(), Status> {
        let channel = self.channel().await?;
        let asked = async {
            let mut grpc = ready(channel).await?;
            let path = PathAndQuery::from_static(SUBSCRIBE);
            let codec = ProstCodec::default();
            let answer = grpc
                .server_streaming(Request::new(Subscribe {}), path, codec)
                .await?;
            answer.into_inner().message().await
        };
        let first: Option<Subscribed> = in_time(asked).await?;
        let first = first.ok_or_else(|| Status::unavailable("it tells no bundles"))?;
        let mut bundles = Bundles::default();
        for (domain, keys) in first.bundles {
            if let Err(error) = bundles.insert(&domain, &keys) {
                tracing::warn!(domain, "a bundle of SPIRE's agent is left out: {error}");
            }
        }
        (self.bundles, self.told) = (bundles, Some(Instant::now()));
        Ok(())
    }

    async fn channel(&mut self) -> Result<Channel, Status> {
        if let Some(channel) = &self.connection {
            return Ok(channel.clone());
        }
        let unavailable = |error: tonic::transport::Error| Status::unavailable(error.to_string());
        let address = format!("unix://{}", self.config.socket.display());
        let endpoint = Endpoint::from_shared(address).map_err(unavailable)?;
        let connecting = async { endpoint.connect().await.map_err(unavailable) };
        let channel = in_time(connecting).await?;
        self.connection = Some(channel.clone());
        // Another agent may have other keys.
        self.told = None;
        Ok(channel)
    }
}

async fn ready(channel: Channel) -> Result<Grpc<Channel>, Status> {
    let mut grpc = Grpc::new(channel).max_decoding_message_size(ANSWER);
    let ready = grpc.ready().await;
    ready.map_err(|error| Status::unavailable(error.to_string()))?;
    Ok(grpc)
}

async fn in_time<T>(asked: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    let answer = timeout(PATIENCE, asked).await;
    answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")))
}
