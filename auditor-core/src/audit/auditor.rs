//! Makes the audit event of an interaction: who was on either side, and who saw it.
//!
//! Asks the [`World`] once for each message of the interaction, when the event is made, for the
//! reader of a message may be known later than the message. Holds its settings, a sequence number,
//! the keyed hashes of the last [`HASHES`] session ids, and what [`Hops`] and [`Chains`] remember.

use std::{collections::HashMap, sync::Arc};

use auditor_detect::{Judge, Unreadable};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{
    chain::{Basis, Certainty, Chain, Chains},
    content::{Contents, Names, Privacy},
    decision::Policy,
    deeds::{Deeds, Role},
    detected::DetectionEvent,
    detection::{Detection, DetectionCounts},
    disagreement::Disagreements,
    environment::{Environment, Rendered},
    event::{AuditEvent, End, PartName, Party, Shown, Witness},
    finding::FindingEvent,
    hops::{Hop, Hops, Leg},
    observed::Observed,
    settings::Settings,
    workflow::{Origin, Origins},
    world::{Seen, World},
};
use crate::{
    identity::{
        Authority, Certificates, Conduct, Credential, Credentials, Gateways, Hijacks, Identity,
        Issuers, Keys, Purpose, Use,
    },
    key::{Actor, ChannelId, ProcessKey, Side, Time},
    mcp::{Direction, Interaction, Kind, Part, Peer, Progress, Stage},
    stream::{Binding, Channel, ChannelKind},
    tls::Unheard,
    wire::Gap,
};

/// Keyed hashes remembered; beyond it all are computed anew.
const HASHES: usize = 1024;
/// Characters of a session id below which two servers may give the same.
const SESSION_ID: usize = 16;

/// Makes audit events.
pub struct Auditor {
    settings: Arc<Settings>,
    environment: Option<Arc<Rendered>>,
    policy: Option<Box<dyn Policy>>,
    sequence: u64,
    hashes: HashMap<String, Arc<str>>,
    hops: Hops,
    chains: Chains,
    deeds: Deeds,
    origins: Origins,
    contents: Contents,
    credentials: Credentials,
    certificates: Certificates,
    hijacks: Hijacks,
    disagreements: Disagreements,
    findings: u64,
    detection: Detection,
    detections: u64,
}

impl Auditor {
    /// Creates the stage.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings: Arc::new(settings),
            environment: None,
            policy: None,
            sequence: 0,
            hashes: HashMap::new(),
            hops: Hops::default(),
            chains: Chains::default(),
            deeds: Deeds::default(),
            origins: Origins::default(),
            contents: Contents::default(),
            credentials: Credentials::default(),
            certificates: Certificates::default(),
            hijacks: Hijacks::default(),
            disagreements: Disagreements::default(),
            findings: 0,
            detection: Detection::default(),
            detections: 0,
        }
    }

    /// Takes where the host stands by now, for the events from here on.
    pub fn set_environment(&mut self, environment: &Environment) {
        self.environment = Rendered::of(environment).map(Arc::new);
    }

    /// Takes what is known of the names of things, for the events from here on.
    pub fn set_names(&mut self, names: Arc<Names>) {
        self.contents.set_names(names);
    }

    /// Takes what decides, for the interactions from here on.
    pub fn set_policy(&mut self, policy: Option<Box<dyn Policy>>) {
        self.policy = policy;
    }

    /// Takes what evaluates rules, for the interactions from here on.
    pub fn set_judge(&mut self, judge: Option<Box<dyn Judge>>) {
        self.detection.set_judge(judge);
    }

    /// What detection learned, for the next run.
    pub fn keep_detection(&self) -> Vec<u8> {
        self.detection.keep()
    }

    /// Takes up what [`keep_detection`](Self::keep_detection) gave.
    ///
    /// # Errors
    /// When it is something else; nothing is taken up then.
    pub fn take_up_detection(&mut self, kept: &[u8]) -> Result<(), Unreadable> {
        self.detection.take_up(kept)
    }

    /// What detection holds and lost.
    pub fn detection_counts(&self) -> DetectionCounts {
        self.detection.counts()
    }

    /// The next rule that events met, told at `now`; to be asked after each event.
    #[must_use]
    pub fn poll_detection(&mut self, now: Time) -> Option<DetectionEvent> {
        let (event, hit) = self.detection.poll()?;
        self.sequence += 1;
        self.detections += 1;
        Some(DetectionEvent {
            event,
            sequence: self.sequence,
            number: self.detections,
            logged: now,
            hit,
        })
    }

    /// Takes what classifies contents, and what hides them.
    pub fn set_privacy(&mut self, privacy: Arc<Privacy>) {
        self.contents.set_privacy(privacy);
    }

    /// Takes the issuers whose tokens can be proven.
    pub fn set_issuers(&mut self, issuers: Issuers) {
        self.credentials.set_issuers(issuers);
    }

    /// Takes the authorities whose certificates are trusted.
    pub fn set_authorities(&mut self, authorities: Vec<Authority>) {
        self.certificates.set_authorities(authorities);
    }

    /// Takes the keys of an issuer, by its place among them.
    pub fn set_keys(&mut self, issuer: usize, keys: Keys) {
        self.credentials.set_keys(issuer, keys);
    }

    /// The next issuer of which a token named a key that is not known, by its place.
    #[must_use]
    pub fn poll_wanted_keys(&mut self) -> Option<usize> {
        self.credentials.poll_wanted_keys()
    }

    /// Takes the programs that may use what their clients gave them.
    pub fn set_gateways(&mut self, gateways: Gateways) {
        self.hijacks.set_gateways(gateways);
    }

    /// The next finding, told at `now`; to be asked after each event.
    #[must_use]
    pub fn poll_finding(&mut self, now: Time) -> Option<FindingEvent> {
        let found = self.hijacks.poll().or_else(|| self.disagreements.poll());
        let finding = found?;
        self.sequence += 1;
        self.findings += 1;
        Some(FindingEvent {
            settings: Arc::clone(&self.settings),
            environment: self.environment.clone(),
            sequence: self.sequence,
            number: self.findings,
            logged: now,
            finding,
        })
    }

    /// Notes that a request was asked or answered, before its interaction comes.
    pub fn handle_progress(&mut self, progress: Progress, now: Time) {
        self.chains.handle_progress(progress, now);
    }

    /// What processes that serve MCP did, as the kernel tells it.
    pub(crate) fn deeds(&mut self) -> &mut Deeds {
        &mut self.deeds
    }

    /// The next process of which it is known now whether it serves MCP.
    #[must_use]
    pub fn poll_role(&mut self) -> Option<(ProcessKey, Role)> {
        self.deeds.poll_role()
    }

    /// Makes the event of an interaction. `now` is the time it is logged at.
    pub fn audit(
        &mut self,
        mut interaction: Interaction,
        world: &impl World,
        now: Time,
    ) -> AuditEvent {
        self.sequence += 1;
        let part = interaction
            .gap
            .as_ref()
            .filter(|_| interaction.unheard.is_none());
        let gap = part.map(|gap| seen_around(gap, world));
        let request = interaction
            .request
            .as_ref()
            .map(|part| seen(part, world))
            .or(gap);
        let response = interaction.response.as_ref().map(|part| seen(part, world));
        let (asked, answered) = (request.unwrap_or_default(), response.unwrap_or_default());
        let (asker, answerer) = speakers(&interaction, (asked, answered), world);
        let unheard = interaction.unheard.as_deref();
        let asker = asker.or_else(|| unheard?.client);
        let answerer = answerer.or_else(|| unheard?.server);
        let hop = self.link(&interaction, asker, answerer, now);
        let chain = match interaction.kind {
            Kind::Request => {
                let ends = (asker, answerer);
                Some(self.chains.place_request(interaction.id, ends, world))
            }
            Kind::Notification => Some(self.chains.place_notification(&interaction, asker, world)),
            Kind::UnpairedResponse | Kind::Gap => None,
        };
        // After the chain was sought: who answers the others is known by then.
        let activity = self.deeds.attach(&interaction, answerer, &self.chains, now);
        let credential = self.credential(&interaction, now);
        let [client_shown, server_shown] = self.shown(&interaction, world, now);
        let origin = self.origin(
            &interaction,
            (asker, answerer),
            chain,
            credential.as_deref(),
            world,
        );
        let asked_at = interaction.request.as_ref().map(|part| part.first);
        let answered_at = interaction.response.as_ref().map(|part| part.first);
        let asker = party(asker, asked_at.or(answered_at).unwrap_or(now), world);
        // When it read the request is not known: it may run another program since that was written.
        let answerer = party(answerer, answered_at.unwrap_or(now), world);
        let (client, server) = match interaction.direction {
            Direction::ClientToServer => (asker, answerer),
            Direction::ServerToClient => (answerer, asker),
        };
        let mut witnesses = Vec::with_capacity(4);
        for (name, part, seen) in [
            (PartName::Request, &interaction.request, asked),
            (PartName::Response, &interaction.response, answered),
        ] {
            let Some(part) = part else { continue };
            for (end, actor) in [(End::Write, seen.writer), (End::Read, seen.reader)] {
                witnesses.extend(actor.map(|actor| Witness {
                    part: name,
                    end,
                    channel: part.channel,
                    actor,
                }));
            }
        }
        let channel = interaction
            .request
            .as_ref()
            .or(interaction.response.as_ref());
        let channel = channel
            .map(|part| part.channel)
            .or_else(|| interaction.gap.as_ref().map(|gap| gap.channel))
            .and_then(|id| world.channel(id))
            .or_else(|| interaction.unheard.as_deref().map(connection));
        let session_hash = interaction
            .session
            .mcp_session_id
            .as_deref()
            .map(|id| self.hash(id));
        let session = Arc::clone(&interaction.session);
        let identity = |party: &Party,
                        credential: Option<&Credential>,
                        shown: &Option<Shown>,
                        info: &Option<Peer>| {
            let certificate = shown.as_ref().filter(|shown| shown.is_proven);
            let certificate = certificate.map(|shown| &*shown.certificate);
            let process = party.process.as_deref();
            Identity::of(process, credential, certificate, info.is_some())
        };
        let content = self.contents.read(&interaction, &server);
        let observed = Observed::of(&interaction);
        let listed = Detection::listed(&interaction);
        let level = self.settings.level;
        self.contents.hide(&mut interaction, &content, level);
        let (mut client, mut server) = (client, server);
        self.contents
            .hide_around(&mut interaction, [&mut client, &mut server]);
        let mut event = AuditEvent {
            settings: Arc::clone(&self.settings),
            environment: self.environment.clone(),
            sequence: self.sequence,
            logged: now,
            client_identity: identity(
                &client,
                credential.as_deref(),
                &client_shown,
                &session.client_info,
            ),
            server_identity: identity(&server, None, &server_shown, &session.server_info),
            credential,
            client_certificate: client_shown,
            server_certificate: server_shown,
            client,
            server,
            witnesses,
            channel,
            session_hash,
            hop,
            chain,
            origin,
            content,
            observed,
            activity,
            decision: None,
            anomalies: Vec::new(),
            interaction,
        };
        self.deeds.note_ends(&event);
        self.contents.finish_activity(&mut event);
        event.decision = self
            .policy
            .as_mut()
            .and_then(|policy| policy.decide(&event.question()?));
        self.disagreements.handle(&event);
        self.watch_for_hijacks(&event);
        self.detection
            .handle(&mut event, listed.as_deref(), self.contents.privacy());
        event
    }

    /// The workflow of an interaction, by who asked it and what led to it.
    fn origin(
        &mut self,
        interaction: &Interaction,
        (asker, answerer): (Option<Actor>, Option<Actor>),
        chain: Option<Chain>,
        credential: Option<&Credential>,
        world: &impl World,
    ) -> Option<Origin> {
        let client = match interaction.direction {
            Direction::ClientToServer => asker,
            Direction::ServerToClient => answerer,
        };
        if let (Some(credential), Some(client)) = (credential, client)
            && let Some(process) = world.process(client.process)
            && let Some(workflow) = &process.workflow
        {
            self.origins
                .handle_credential(credential, client.process, workflow);
        }
        let above = self.chains.askers_above(chain?.parent);
        self.origins.of(asker.into_iter().chain(above), world)
    }

    /// What the client showed with its request, or with its answer to the server's.
    fn credential(&mut self, interaction: &Interaction, now: Time) -> Option<Arc<Credential>> {
        let part = match interaction.direction {
            Direction::ClientToServer => interaction.request.as_ref(),
            Direction::ServerToClient => interaction.response.as_ref(),
        };
        let secret = part?.http.as_ref()?.credential.as_ref()?;
        let key = &self.settings.key;
        Some(
            self.credentials
                .read(secret, now, |text| keyed_hash(key, text)),
        )
    }

    /// The certificates that client and server showed on the connection of an interaction.
    fn shown(
        &mut self,
        interaction: &Interaction,
        world: &impl World,
        now: Time,
    ) -> [Option<Shown>; 2] {
        let Some((channel, client, time)) = connection_of(interaction) else {
            return [None, None];
        };
        let binding = world.channel(channel).and_then(|channel| channel.tls);
        let is_proven = matches!(binding, Some(Binding::Object | Binding::Call));
        let ends = [(client, Purpose::Client), (client.other(), Purpose::Server)];
        ends.map(|(side, purpose)| {
            let chain = world.certificates(channel, side, time)?;
            let key = &self.settings.key;
            let certificate = self
                .certificates
                .read(&chain, purpose, now, |print| keyed_hash(key, print));
            Some(Shown {
                certificate,
                is_proven,
            })
        })
    }

    /// Compares who uses a credential, a session or a process with who did before.
    fn watch_for_hijacks(&mut self, event: &AuditEvent) {
        let interaction = &event.interaction;
        if interaction.kind == Kind::Gap {
            return;
        }
        let by = |party: &Party, identity: &Option<Identity>| {
            party.process.as_ref().map(|process| Use {
                time: event.time(),
                interaction: interaction.id,
                process: Arc::clone(process),
                identity: identity.clone(),
            })
        };
        let name = interaction.session.mcp_session_id.as_ref();
        let is_telling = name.is_some_and(|name| name.len() >= SESSION_ID);
        let session = event.session_hash.as_ref().filter(|_| is_telling);
        if let Some(server) = by(&event.server, &event.server_identity) {
            self.hijacks.handle_server(&server, session);
        }
        let is_passed_on = event.hop.is_some_and(|hop| hop.previous.is_some())
            || event.chain.is_some_and(|chain| {
                chain.basis == Basis::SameMessage && chain.certainty == Some(Certainty::Proven)
            });
        if let Some(client) = by(&event.client, &event.client_identity) {
            self.hijacks.handle_client(Conduct {
                by: client,
                credential: event.credential.as_deref(),
                certificate: event
                    .client_certificate
                    .as_ref()
                    .filter(|shown| shown.is_proven)
                    .map(|shown| &*shown.certificate),
                session,
                is_passed_on,
            });
        }
    }

    /// The hops before and behind an interaction that is over.
    fn link(
        &mut self,
        interaction: &Interaction,
        asker: Option<Actor>,
        answerer: Option<Actor>,
        now: Time,
    ) -> Option<Hop> {
        let request = interaction.request.as_ref()?;
        if interaction.stage != Stage::Final {
            return None;
        }
        self.hops.link(Leg {
            id: interaction.id,
            kind: interaction.kind,
            request: request.sha256,
            asker: asker.map(|actor| actor.process),
            answerer: answerer.map(|actor| actor.process),
            from: request.first,
            to: interaction.response.as_ref().map_or(now, |part| part.time),
        })
    }

    /// The keyed hash that stands for a secret.
    fn hash(&mut self, secret: &str) -> Arc<str> {
        if let Some(hash) = self.hashes.get(secret) {
            return Arc::clone(hash);
        }
        let hash = keyed_hash(&self.settings.key, secret);
        if self.hashes.len() >= HASHES {
            self.hashes.clear();
        }
        self.hashes.insert(secret.to_owned(), Arc::clone(&hash));
        hash
    }
}

/// HMAC-SHA-256 in hexadecimal digits.
fn keyed_hash(key: &[u8; 32], secret: &str) -> Arc<str> {
    // A key of any length is one for HMAC.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return "".into();
    };
    mac.update(secret.as_bytes());
    hex::encode(mac.finalize().into_bytes()).into()
}

/// The channel of an interaction, its client's side, and when something moved there.
fn connection_of(interaction: &Interaction) -> Option<(ChannelId, Side, Time)> {
    if let Some(unheard) = &interaction.unheard {
        return Some((unheard.channel, unheard.client_side, unheard.begun));
    }
    let request = interaction.request.as_ref();
    let asked = request.map(|part| (part, part.from));
    let response = interaction.response.as_ref();
    let (part, asker) = asked.or_else(|| Some((response?, response?.from.other())))?;
    let client = match interaction.direction {
        Direction::ClientToServer => asker,
        Direction::ServerToClient => asker.other(),
    };
    Some((part.channel, client, part.first))
}

/// A TLS connection whose channel may be forgotten by now.
fn connection(unheard: &Unheard) -> Arc<Channel> {
    Arc::new(Channel {
        id: unheard.channel,
        kind: ChannelKind::Tcp,
        inode: None,
        peer_inode: None,
        socket: unheard.socket,
        tls: None,
    })
}

/// Whether one end of an interaction is on this host, and nobody is known there yet.
pub(crate) fn has_stranger(interaction: &Interaction, world: &impl World) -> bool {
    let seen = |part: &Option<Part>| part.as_ref().map(|part| seen(part, world));
    let (request, response) = (seen(&interaction.request), seen(&interaction.response));
    let parts = [request, response];
    let is_local = parts.into_iter().flatten().any(|seen| seen.local);
    let moved = (request.unwrap_or_default(), response.unwrap_or_default());
    let (asker, answerer) = speakers(interaction, moved, world);
    is_local && (asker.is_none() || answerer.is_none())
}

/// Who asks and who answers, by who moved the request and the response.
fn speakers(
    interaction: &Interaction,
    (asked, answered): (Seen, Seen),
    world: &impl World,
) -> (Option<Actor>, Option<Actor>) {
    let only = |part: &Option<Part>| {
        part.as_ref()
            .map(|part| world.only_seen(part.channel, part.from))
            .unwrap_or_default()
    };
    let (asks, answers) = (only(&interaction.request), only(&interaction.response));
    let asker = asked.writer.or(answered.reader);
    let asker = asker.or(asks.writer).or(answers.reader);
    let reader = || reader_before(interaction.request.as_ref()?, world);
    let answerer = answered.writer.or(asked.reader).or_else(reader);
    let answerer = answerer.or(answers.writer).or(asks.reader);
    (asker, answerer)
}

/// Who read the byte before a message, for a message that was not read yet: its session has one reader.
fn reader_before(part: &Part, world: &impl World) -> Option<Actor> {
    let before = 0..part.range.start;
    (!before.is_empty())
        .then(|| world.seen(part.channel, part.from, &before).reader)
        .flatten()
}

/// Who moved the bytes of a gap; of those of whom nothing is known, who moved the byte before, or all others.
fn seen_around(gap: &Gap, world: &impl World) -> Seen {
    let inside = world.seen(gap.channel, gap.from, &gap.range);
    let before = world.seen(gap.channel, gap.from, &(0..gap.range.start));
    let only = world.only_seen(gap.channel, gap.from);
    Seen {
        writer: inside.writer.or(before.writer).or(only.writer),
        reader: inside.reader.or(before.reader).or(only.reader),
        local: inside.local,
    }
}

/// Who moved a message, as far as known by now.
fn seen(part: &Part, world: &impl World) -> Seen {
    let now = world.seen(part.channel, part.from, &part.range);
    Seen {
        writer: part.writer.or(now.writer),
        reader: part.reader.or(now.reader),
        local: now.local,
    }
}

/// Who moved a message, as it was then.
fn party(actor: Option<Actor>, time: Time, world: &impl World) -> Party {
    Party {
        actor,
        process: actor.and_then(|actor| world.process_at(actor.process, time)),
    }
}

#[cfg(test)]
#[path = "certificates_tests.rs"]
mod certificates_tests;
