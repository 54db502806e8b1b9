//! The audit event: an interaction with all that is known about its two sides.
//!
//! A value; how it is written is in [`super::ocsf`] and [`super::pretty`].

use std::sync::Arc;

use auditor_detect::Anomaly;

use super::{
    activity::Activity, chain::Chain, content::Content, decision::Decision, environment::Rendered,
    hops::Hop, observed::Observed, settings::Settings, workflow::Origin, world::Process,
};
use crate::{
    identity::{Certificate, Credential, Identity},
    key::{Actor, ChannelId, Time},
    mcp::{Interaction, InteractionId, Kind, Stage},
    stream::Channel,
};

/// One audit event.
#[derive(Clone)]
pub struct AuditEvent {
    /// What it was made with.
    pub(super) settings: Arc<Settings>,
    /// Where the host stands, as events show it.
    pub(super) environment: Option<Arc<Rendered>>,
    /// Number of the event within this run, from 1.
    pub sequence: u64,
    /// When it was made.
    pub logged: Time,
    /// What happened.
    pub interaction: Interaction,
    /// The side that is the MCP client.
    pub client: Party,
    /// The side that is the MCP server.
    pub server: Party,
    /// Who the client is.
    pub client_identity: Option<Identity>,
    /// Who the server is.
    pub server_identity: Option<Identity>,
    /// What the client showed.
    pub credential: Option<Arc<Credential>>,
    /// The certificate that the client showed in the handshake of TLS.
    pub client_certificate: Option<Shown>,
    /// The certificate that the server showed.
    pub server_certificate: Option<Shown>,
    /// Who was seen moving the messages.
    pub witnesses: Vec<Witness>,
    /// The channel of the request (else of the answer, else of the gap).
    pub channel: Option<Arc<Channel>>,
    /// Keyed hash of the MCP session id.
    pub session_hash: Option<Arc<str>>,
    /// The hops before and behind this one, where a proxy passed its message on.
    pub hop: Option<Hop>,
    /// Which interaction led to it. `None` for gaps and stray answers.
    pub chain: Option<Chain>,
    /// The workflow that its chain began in.
    pub origin: Option<Origin>,
    /// What its content says.
    pub content: Content,
    /// What the wire shows of an authorization.
    pub observed: Option<Observed>,
    /// What the server did meanwhile. `None` where its process was not followed.
    pub activity: Option<Activity>,
    /// What our policy says of it.
    pub decision: Option<Arc<Decision>>,
    /// What is out of the ordinary.
    pub anomalies: Vec<Anomaly>,
}

/// One side of an interaction, as far as known.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Party {
    /// The thread that was seen.
    pub actor: Option<Actor>,
    /// Its process.
    pub process: Option<Arc<Process>>,
}

/// A certificate that one side showed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Shown {
    /// The certificate.
    pub certificate: Arc<Certificate>,
    /// Whether it is proven that the messages moved on the connection on which it was shown; else that is inferred, or the
    /// messages were not heard.
    pub is_proven: bool,
}

/// Somebody who was seen moving a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Witness {
    /// Which message.
    pub part: PartName,
    /// At which end.
    pub end: End,
    /// On which channel.
    pub channel: ChannelId,
    /// Who.
    pub actor: Actor,
}

/// The messages of an interaction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PartName {
    /// The request or notification.
    Request,
    /// The answer.
    Response,
}

/// The ends of a channel at which bytes are seen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// Where they were written.
    Write,
    /// Where they were read.
    Read,
}

impl AuditEvent {
    /// Unique for an interaction; the same in its open and its final report.
    pub fn uid(&self) -> String {
        self.uid_of(self.interaction.id)
    }

    /// [`uid`](Self::uid) of another interaction of the same run.
    pub(super) fn uid_of(&self, interaction: InteractionId) -> String {
        format!("{}-{}", self.settings.run, interaction.0)
    }

    /// When the interaction began.
    pub fn time(&self) -> Time {
        let interaction = &self.interaction;
        let part = interaction
            .request
            .as_ref()
            .or(interaction.response.as_ref());
        part.map(|part| part.first)
            .or_else(|| interaction.gap.as_ref().map(|gap| gap.time))
            .unwrap_or(self.logged)
    }

    /// When it was over: the last byte of its last message. `None` while it is open.
    pub fn end_time(&self) -> Option<Time> {
        let interaction = &self.interaction;
        if interaction.stage == Stage::Open {
            return None;
        }
        let answered = interaction.response.as_ref().map(|part| part.time);
        match interaction.kind {
            Kind::Request => answered,
            Kind::Notification => interaction.request.as_ref().map(|part| part.time),
            Kind::UnpairedResponse => answered,
            Kind::Gap => None,
        }
    }
}
