//! What is out of the ordinary in an event, and which rules it meets.
//!
//! Lays [`Anomaly`]s into the event, asks the [`Judge`], and keeps what it said until it is asked for. Bounds: those of
//! `auditor-detect`, [`SESSIONS`] sessions, [`WAITING`] findings that wait.

use std::{collections::VecDeque, sync::Arc};

use auditor_content::Report;
use auditor_detect::{
    Anomaly, Baselines, Call, Definitions, Hit, Judge, Kind as What, Listed, Unreadable,
};
use bytes::Bytes;

use super::{
    content::{Privacy, names},
    event::{AuditEvent, Party},
};
use crate::{
    identity::{Identity, Method},
    mcp::{Direction, Interaction, Kind, Outcome, Stage},
    memory::Memory,
};

/// Sessions of which an answered request is remembered.
const SESSIONS: usize = 16_384;
/// Findings that wait to be asked for.
const WAITING: usize = 256;
/// Classes of secrets told of one event.
const CLASSES: usize = 4;

/// What detection holds and lost.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DetectionCounts {
    /// Findings dropped because too many waited.
    pub dropped: u64,
    /// Entries of what was learned.
    pub held: usize,
    /// Entries forgotten at a bound.
    pub evicted: u64,
}

/// Finds what is out of the ordinary.
#[derive(Default)]
pub(super) struct Detection {
    definitions: Definitions,
    baselines: Baselines,
    sessions: Memory<u64, (), SESSIONS>,
    judge: Option<Box<dyn Judge>>,
    found: VecDeque<(Arc<AuditEvent>, Hit)>,
    /// Findings dropped at the bound.
    dropped: u64,
}

impl Detection {
    pub(super) fn set_judge(&mut self, judge: Option<Box<dyn Judge>>) {
        self.judge = judge;
    }

    /// What was learned, for the next run.
    pub(super) fn keep(&self) -> Vec<u8> {
        auditor_detect::keep(&self.definitions, &self.baselines)
    }

    pub(super) fn take_up(&mut self, kept: &[u8]) -> Result<(), Unreadable> {
        auditor_detect::take_up(kept, &mut self.definitions, &mut self.baselines)
    }

    /// Findings dropped because too many waited; entries of tables held, and forgotten at a bound.
    pub(super) fn counts(&self) -> DetectionCounts {
        let (definitions, baselines) = (
            self.definitions.held_and_evicted(),
            self.baselines.held_and_evicted(),
        );
        DetectionCounts {
            dropped: self.dropped,
            held: definitions.0 + baselines.0,
            evicted: definitions.1 + baselines.1,
        }
    }

    /// The answer of an interaction that says what a server offers; to be asked before contents are hidden.
    pub(super) fn listed(interaction: &Interaction) -> Option<Bytes> {
        let is_list = matches!(
            interaction.method.as_deref()?,
            "tools/list"
                | "prompts/list"
                | "resources/list"
                | "resources/templates/list"
                | "initialize"
        );
        let is_answered =
            interaction.outcome == Outcome::Success && interaction.stage == Stage::Final;
        let answer = interaction
            .response
            .as_ref()
            .filter(|_| is_list && is_answered)?;
        answer.body.clone()
    }

    /// Takes an event; `listed` is what [`listed`](Self::listed) gave. `privacy` hides what is private in names.
    pub(super) fn handle(
        &mut self,
        event: &mut AuditEvent,
        listed: Option<&[u8]>,
        privacy: Option<&Privacy>,
    ) {
        if event.interaction.stage != Stage::Final {
            return;
        }
        let mut found = Vec::new();
        match event.interaction.kind {
            Kind::Request => self.take_call(event, listed, &mut found),
            Kind::UnpairedResponse => {
                let session = event.interaction.session.id;
                if self.sessions.get(&session).is_some() {
                    found.push(Anomaly::of(What::UnsolicitedResponse));
                }
            }
            Kind::Notification | Kind::Gap => {}
        }
        secrets(event, &mut found);
        if let Some(privacy) = privacy {
            found.iter_mut().for_each(|one| hide(one, privacy));
        }
        event.anomalies = found;
        let Some(judge) = &mut self.judge else { return };
        let seconds = i64::try_from(event.time().millis() / 1_000).unwrap_or(i64::MAX);
        let hits = judge.judge(event, seconds);
        if hits.is_empty() {
            return;
        }
        let told = Arc::new(event.clone());
        for hit in hits {
            if self.found.len() < WAITING {
                self.found.push_back((Arc::clone(&told), hit));
            } else {
                self.dropped += 1;
            }
        }
    }

    /// The next rule that an event met, with that event.
    #[must_use]
    pub(super) fn poll(&mut self) -> Option<(Arc<AuditEvent>, Hit)> {
        self.found.pop_front()
    }

    fn take_call(&mut self, event: &AuditEvent, listed: Option<&[u8]>, found: &mut Vec<Anomaly>) {
        let interaction = &event.interaction;
        if interaction.response.is_some() {
            self.sessions.insert(interaction.session.id, ());
        }
        if interaction.direction != Direction::ClientToServer {
            return;
        }
        let Some(method) = interaction.method.as_deref() else {
            return;
        };
        let client = name(&event.client_identity, &event.client);
        let server = server(event);
        if let Some(answer) = listed {
            let names = names(interaction.session.server_info.as_ref(), &event.server);
            let client = offered_to(event);
            let listed = Listed {
                method,
                client: &client,
                server: &server,
                server_name: names.first().map_or("", String::as_str),
                interaction: interaction.id.0,
            };
            found.extend(self.definitions.handle(&listed, answer));
        }
        let bytes = |part: &Option<crate::mcp::Part>| part.as_ref().map_or(0, |part| part.bytes);
        let is_use = matches!(method, "tools/call" | "resources/read" | "prompts/get");
        if !is_use {
            return;
        }
        let succeeded = interaction.outcome == Outcome::Success;
        let level = event.content.level();
        let call = Call {
            identity: client,
            server: &server,
            // What is read is a thing, not a tool.
            tool: interaction
                .target
                .as_deref()
                .filter(|_| method == "tools/call")
                .unwrap_or(method),
            sent: bytes(&interaction.request),
            brought: bytes(&interaction.response),
            is_sensitive: succeeded
                && level.is_some_and(|level| level >= auditor_resource::Level::Confidential),
            time: event.time().0,
        };
        let things = event.content.declared.resources.iter();
        let things = things.skip(usize::from(method == "tools/call"));
        found.extend(
            self.baselines
                .handle(&call, things.map(|thing| thing.name.as_str())),
        );
    }
}

/// Secrets in what goes to the server, and in what comes from it.
fn secrets(event: &AuditEvent, found: &mut Vec<Anomaly>) {
    let content = &event.content;
    let (to_server, from_server) = match event.interaction.direction {
        Direction::ClientToServer => (&content.request, &content.response),
        Direction::ServerToClient => (&content.response, &content.request),
    };
    for (kind, report) in [
        (What::SecretSent, to_server),
        (What::SecretReturned, from_server),
    ] {
        for class in report.iter().flat_map(secret_classes).take(CLASSES) {
            let mut anomaly = Anomaly::of(kind);
            anomaly.subject = Some(class);
            found.push(anomaly);
        }
    }
}

fn secret_classes(report: &Report) -> Vec<String> {
    if report.findings.is_empty() && report.rest.is_empty() {
        return Vec::new();
    }
    let classes = report.classes().into_iter();
    let secrets = classes.filter(|class| class.name.starts_with("secret."));
    secrets.map(|class| class.name.to_string()).collect()
}

/// What tells who is at an end from others: its identity, else its program.
fn name<'a>(identity: &'a Option<Identity>, party: &'a Party) -> &'a str {
    let subject = identity.as_ref().and_then(|one| one.subject.as_deref());
    let process = party.process.as_deref();
    let exe = process.and_then(|process| process.exe.as_deref());
    subject.or(exe).unwrap_or_default()
}

/// To whom a server offers what it lists: an identity that is only a program is shared by all that it runs.
fn offered_to(event: &AuditEvent) -> String {
    let identity = event.client_identity.as_ref();
    let subject = identity.filter(|one| one.method != Method::Executable);
    match (
        subject.and_then(|one| one.subject.as_ref()),
        event.client.actor,
    ) {
        (None, Some(actor)) => format!("{} {}", actor.process.pid, actor.process.start),
        (Some(subject), _) => subject.clone(),
        (None, None) => String::new(),
    }
}

/// What tells a server from others: the names that it goes by, who it is, and where it listens if nothing else is known.
fn server(event: &AuditEvent) -> String {
    let mut server = names(
        event.interaction.session.server_info.as_ref(),
        &event.server,
    )
    .join("\n");
    server.push('\n');
    let who = name(&event.server_identity, &event.server);
    server.push_str(who);
    if who.is_empty()
        && let Some(socket) = event.channel.as_ref().and_then(|channel| channel.socket)
    {
        let address = match event.interaction.session.client_side {
            crate::key::Side::A => socket.b,
            crate::key::Side::B => socket.a,
        };
        server.push_str(&address.to_string());
    }
    server
}

/// Hides what is private in names that a server gave.
fn hide(anomaly: &mut Anomaly, privacy: &Privacy) {
    // Names of classes are ours.
    if !matches!(anomaly.kind, What::SecretSent | What::SecretReturned) {
        anomaly
            .subject
            .iter_mut()
            .for_each(|text| privacy.hide(text));
    }
    anomaly.other.iter_mut().for_each(|text| privacy.hide(text));
    let changed = anomaly.changes.iter_mut().map(|change| &mut change.pointer);
    let pointers = changed.chain(anomaly.signs.iter_mut().map(|found| &mut found.pointer));
    pointers.for_each(|text| privacy.hide(text));
}

#[cfg(test)]
mod tests;
