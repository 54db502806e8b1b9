//! An event as a question to the policy: who, what, on what, under which circumstances. Borrows, and guesses nothing.

use std::borrow::Cow;

use auditor_content::Report;

use super::{
    decision::{Context, Peer, Principal, Question, Thing},
    environment::Facts,
    event::{AuditEvent, Party},
    unmapped,
};
use crate::{
    identity::{Assurance, Identity},
    mcp::{Direction, Stage},
};

impl AuditEvent {
    /// What the policy is asked; `None` for what has no method.
    pub(super) fn question(&self) -> Option<Question<'_>> {
        let interaction = &self.interaction;
        let method = interaction.method.as_deref()?;
        let session = &*interaction.session;
        let client = (&self.client, &self.client_identity, &session.client_info);
        let server = (&self.server, &self.server_identity, &session.server_info);
        let (asker, asked) = match interaction.direction {
            Direction::ClientToServer => (client, server),
            Direction::ServerToClient => (server, client),
        };
        let things = self.content.declared.resources.iter().skip(1);
        Some(Question {
            method: Cow::Borrowed(method),
            direction: interaction.direction,
            target: text(interaction.target.as_deref()),
            principal: principal(asker.0, asker.1.as_ref()),
            peer: Peer {
                name: text(asked.2.as_ref().map(|info| info.name.as_str())),
                subject: text(asked.1.as_ref().and_then(|one| one.subject.as_deref())),
                assurance: asked.1.as_ref().map_or(0, assurance),
                verified: asked.1.as_ref().is_some_and(|one| one.is_verified),
            },
            things: things
                .map(|thing| Thing {
                    kind: Cow::Borrowed(thing.kind.name()),
                    name: Cow::Borrowed(&thing.name),
                    sensitivity: thing.sensitivity.as_ref().map(|one| one.level.number()),
                    operation: Some(Cow::Borrowed(thing.operation.name())),
                })
                .collect(),
            context: self.circumstances(),
        })
    }

    fn circumstances(&self) -> Context<'_> {
        let interaction = &self.interaction;
        let bytes = |part: &Option<crate::mcp::Part>| part.as_ref().map(|part| part.bytes);
        let none = Facts::default();
        let facts = self.environment.as_deref().map_or(&none, |one| &one.facts);
        let is_encrypted = self
            .channel
            .as_ref()
            .is_some_and(|channel| channel.tls.is_some());
        let mut context = Context {
            request_bytes: bytes(&interaction.request),
            response_bytes: bytes(&interaction.response),
            request_classes: self.content.request.as_ref().map(classes),
            response_classes: self.content.response.as_ref().map(classes),
            time_ms: self.time().millis(),
            chain_depth: self.chain.map_or(0, |chain| chain.depth),
            is_open: interaction.stage == Stage::Open,
            transport: text(Some(unmapped::transport(interaction.session.transport))),
            encrypted: is_encrypted,
            ..Context::default()
        };
        context.cluster = owned(&facts.cluster);
        context.node = owned(&facts.node);
        context.cloud = owned(&facts.cloud);
        context.lockdown = owned(&facts.lockdown);
        context.secure_boot = facts.is_secure_boot;
        context
    }
}

fn principal<'a>(party: &'a Party, identity: Option<&'a Identity>) -> Principal<'a> {
    let process = party.process.as_deref();
    let workload = process.and_then(|process| process.workload.as_deref());
    let pod = workload.and_then(|workload| workload.pod.as_ref());
    let container = workload.and_then(|workload| workload.container.as_ref());
    let workflow = process.and_then(|process| process.workflow.as_deref());
    let sha256 = process.and_then(|process| process.exe_sha256);
    Principal {
        subject: text(identity.and_then(|one| one.subject.as_deref())),
        method: text(identity.map(|one| one.method.code())),
        assurance: identity.map_or(0, assurance),
        verified: identity.is_some_and(|one| one.is_verified),
        pod: text(pod.and_then(|pod| pod.name.as_deref())),
        namespace: text(pod.and_then(|pod| pod.namespace.as_deref())),
        service_account: text(pod.and_then(|pod| pod.service_account.as_deref())),
        image: text(container.and_then(|one| one.image.as_deref())),
        exe: text(process.and_then(|process| process.exe.as_deref())),
        exe_sha256: sha256.map(|hash| Cow::Owned(hex::encode(hash))),
        uid: process.and_then(|process| process.uid),
        repository: text(workflow.and_then(|one| one.repository.as_deref())),
    }
}

fn assurance(identity: &Identity) -> u8 {
    match identity.assurance {
        Assurance::A1 => 1,
        Assurance::A2 => 2,
        Assurance::A3 => 3,
        Assurance::A4 => 4,
    }
}

fn classes(report: &Report) -> Vec<Cow<'_, str>> {
    let names = report.classes().into_iter();
    names.map(|class| Cow::Borrowed(&*class.name)).collect()
}

fn text(text: Option<&str>) -> Option<Cow<'_, str>> {
    text.map(Cow::Borrowed)
}

fn owned<'a>(text: &Option<String>) -> Option<Cow<'a, str>> {
    text.clone().map(Cow::Owned)
}
