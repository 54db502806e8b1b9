//! A question as Cedar has it: entities and context as JSON, and the part of it that a policy set reads as a key.
//!
//! Both are written by one walk over the attributes ([`Walk`]), so that they cannot differ. Bounds: [`TEXT`] bytes of a
//! text, [`THINGS`], [`CLASSES`], [`REQUEST`] bytes in all; what is beyond is refused, never cut.

use std::{borrow::Cow, collections::BTreeSet};

use auditor_core::{audit::decision::Question, mcp::Direction};

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    actions::Actions,
    walk::{Key, Reads, Record, Walk},
};

/// Longest text of a question, in bytes.
pub const TEXT: usize = 4 << 10;
/// Most things of a question.
pub const THINGS: usize = 64;
/// Most classes of a request or a response.
pub const CLASSES: usize = 128;
/// Longest request in the words of Cedar, in bytes of JSON.
pub const REQUEST: usize = 64 << 10;

/// Why a question is not asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TooLarge {
    /// One of its texts is too long.
    #[error("a text of {0} bytes, over the limit of {TEXT}")]
    Text(usize),
    /// It touches too much.
    #[error("{0} things, over the limit of {THINGS}")]
    Things(usize),
    /// Too many classes were found.
    #[error("{0} classes, over the limit of {CLASSES}")]
    Classes(usize),
    /// All in all it is too long.
    #[error("a request of {0} bytes, over the limit of {REQUEST}")]
    Request(usize),
}

/// A question with what follows from it.
pub(crate) struct Prepared<'a> {
    question: &'a Question<'a>,
    /// The action's id.
    pub(crate) action: &'a str,
    groups: &'a [String],
    resource_type: &'static str,
    request_classes: Option<BTreeSet<&'a str>>,
    response_classes: Option<BTreeSet<&'a str>>,
    kinds: BTreeSet<&'a str>,
    operations: BTreeSet<&'a str>,
}

impl<'a> Prepared<'a> {
    /// # Errors
    /// When the question is beyond a bound.
    pub(crate) fn new(question: &'a Question<'a>, actions: &'a Actions) -> Result<Self, TooLarge> {
        let (context, things) = (&question.context, &question.things);
        if things.len() > THINGS {
            return Err(TooLarge::Things(things.len()));
        }
        for classes in [&context.request_classes, &context.response_classes] {
            let count = classes.as_ref().map_or(0, Vec::len);
            if count > CLASSES {
                return Err(TooLarge::Classes(count));
            }
        }
        if let Some(length) = longest(question).filter(|length| *length > TEXT) {
            return Err(TooLarge::Text(length));
        }
        let from_server = question.direction == Direction::ServerToClient;
        let (action, groups, resource_type) = actions.of(&question.method, from_server);
        Ok(Self {
            question,
            action,
            groups,
            resource_type,
            request_classes: context.request_classes.as_deref().map(with_families),
            response_classes: context.response_classes.as_deref().map(with_families),
            kinds: things.iter().map(|thing| &*thing.kind).collect(),
            operations: things
                .iter()
                .filter_map(|thing| thing.operation.as_deref())
                .flat_map(|operation| [operation, family(operation)])
                .collect(),
        })
    }

    /// Walks over all attributes of principal, resource and context.
    pub(crate) fn walk(&self, walk: &mut dyn Walk) {
        walk.record("principal", &|walk| self.principal(walk));
        walk.record("resource", &|walk| self.resource(walk));
        walk.record("context", &|walk| self.context(walk));
    }

    fn principal(&self, walk: &mut dyn Walk) {
        let one = &self.question.principal;
        walk.text("subject", one.subject.as_deref());
        walk.text("method", one.method.as_deref());
        walk.long("assurance", Some(one.assurance.into()));
        walk.bool("verified", Some(one.verified));
        walk.text("pod", one.pod.as_deref());
        walk.text("namespace", one.namespace.as_deref());
        walk.text("service_account", one.service_account.as_deref());
        walk.text("image", one.image.as_deref());
        walk.text("exe", one.exe.as_deref());
        walk.text("exe_sha256", one.exe_sha256.as_deref());
        walk.long("uid", one.uid.map(i64::from));
        walk.text("repository", one.repository.as_deref());
    }

    fn resource(&self, walk: &mut dyn Walk) {
        let target = self.question.target.as_deref();
        let is = |kinds: &[&str]| target.filter(|_| kinds.contains(&self.resource_type));
        walk.text("name", is(&["Tool", "Prompt"]));
        walk.text("uri", is(&["Resource"]));
        walk.record("peer", &|walk| {
            let peer = &self.question.peer;
            walk.text("name", peer.name.as_deref());
            walk.text("subject", peer.subject.as_deref());
            walk.long("assurance", Some(peer.assurance.into()));
            walk.bool("verified", Some(peer.verified));
        });
    }

    fn context(&self, walk: &mut dyn Walk) {
        let (question, one) = (self.question, &self.question.context);
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let levels = || question.things.iter().map(|thing| thing.sensitivity);
        let seconds = one.time_ms / 1_000;
        walk.text("method", Some(&question.method));
        walk.text("direction", Some(direction(question.direction)));
        walk.long("request_bytes", one.request_bytes.map(number));
        walk.long("response_bytes", one.response_bytes.map(number));
        walk.set("request_classes", self.request_classes.as_ref());
        walk.set("response_classes", self.response_classes.as_ref());
        walk.set("kinds", Some(&self.kinds));
        walk.set("operations", Some(&self.operations));
        walk.long("sensitivity", levels().flatten().max().map(i64::from));
        walk.bool("unclassified", Some(levels().any(|level| level.is_none())));
        walk.long("hour", Some(number(seconds / 3_600 % 24)));
        // The epoch was a Thursday.
        walk.long("weekday", Some(number((seconds / 86_400 + 3) % 7 + 1)));
        walk.long("time_ms", Some(number(one.time_ms)));
        walk.text("cluster", one.cluster.as_deref());
        walk.text("node", one.node.as_deref());
        walk.text("cloud", one.cloud.as_deref());
        walk.text("lockdown", one.lockdown.as_deref());
        walk.bool("secure_boot", one.secure_boot);
        walk.long("chain_depth", Some(one.chain_depth.into()));
        walk.bool("is_open", Some(one.is_open));
        walk.text("transport", one.transport.as_deref());
        walk.bool("encrypted", Some(one.encrypted));
    }

    /// The principal's id.
    fn principal_id(&self) -> &str {
        let subject = self.question.principal.subject.as_deref();
        subject.unwrap_or("unknown")
    }

    /// The places that the principal is in.
    fn principal_parents(&self) -> impl Iterator<Item = (&'static str, Cow<'_, str>)> {
        let one = &self.question.principal;
        let namespace = one.namespace.as_deref();
        let account = namespace.zip(one.service_account.as_deref());
        let account = account.map(|(space, name)| Cow::from(format!("{space}/{name}")));
        [
            ("Namespace", namespace.map(Cow::from)),
            ("ServiceAccount", account),
            ("Image", one.image.as_deref().map(Cow::from)),
            ("Repository", one.repository.as_deref().map(Cow::from)),
        ]
        .into_iter()
        .filter_map(|(kind, id)| Some((kind, id?)))
    }

    fn peer_id(&self) -> Cow<'_, str> {
        let peer = &self.question.peer;
        match (&peer.subject, &peer.name) {
            (Some(subject), _) => Cow::from(&**subject),
            (None, Some(name)) => Cow::from(format!("claimed:{name}")),
            (None, None) => Cow::from("unknown"),
        }
    }

    fn is_target(&self) -> bool {
        !matches!(self.resource_type, "Server" | "Client")
    }

    /// The resource's id.
    fn resource_id(&self) -> Cow<'_, str> {
        if self.is_target() {
            Cow::from(self.question.target.as_deref().unwrap_or("unknown"))
        } else {
            self.peer_id()
        }
    }

    /// What the resource is in: its server, and what is touched.
    fn resource_parents(&self) -> impl Iterator<Item = (&'static str, Cow<'_, str>)> {
        let server = self.is_target().then(|| ("Server", self.peer_id()));
        let things = self.question.things.iter().filter(|_| self.is_target());
        let things: BTreeSet<_> = things
            .map(|thing| format!("{}:{}", thing.kind, thing.name))
            .collect();
        let things = things.into_iter().map(|id| ("Data", Cow::from(id)));
        server.into_iter().chain(things)
    }

    /// The request in the words of Cedar: principal, action, resource, context, entities.
    ///
    /// # Errors
    /// When it is beyond the bound.
    pub(crate) fn json(&self) -> Result<Box<RawValue>, TooLarge> {
        let id = self.resource_id();
        let principal = Uid::new("Workload", self.principal_id());
        let action = Uid::new("Action", self.action);
        let resource = Uid::new(self.resource_type, &*id);
        let groups = self.groups.iter().map(|id| ("Action", Cow::from(&**id)));
        let words = Words {
            principal,
            action,
            resource,
            context: Record(|walk: &mut dyn Walk| self.context(walk)),
            entities: (
                Entity {
                    uid: principal,
                    attrs: Record(|walk: &mut dyn Walk| self.principal(walk)),
                    parents: parents(self.principal_parents()),
                },
                Entity {
                    uid: resource,
                    attrs: Record(|walk: &mut dyn Walk| self.resource(walk)),
                    parents: parents(self.resource_parents()),
                },
                Entity {
                    uid: action,
                    attrs: Record(|_: &mut dyn Walk| {}),
                    parents: parents(groups),
                },
            ),
        };
        // Texts, numbers and truths under names: there is nothing that could not be written.
        let json = serde_json::value::to_raw_value(&words).unwrap_or_default();
        if json.get().len() > REQUEST {
            return Err(TooLarge::Request(json.get().len()));
        }
        Ok(json)
    }

    /// What of the question a policy set reads: two questions with the same key get the same answer.
    pub(crate) fn key(&self, reads: Reads) -> Vec<u8> {
        let mut key = Key::new(reads);
        key.part(self.principal_id().as_bytes());
        for (kind, id) in self.principal_parents() {
            key.part(kind.as_bytes());
            key.part(id.as_bytes());
        }
        key.part(self.action.as_bytes());
        key.part(self.resource_type.as_bytes());
        key.part(self.resource_id().as_bytes());
        for (kind, id) in self.resource_parents() {
            key.part(kind.as_bytes());
            key.part(id.as_bytes());
        }
        self.walk(&mut key);
        key.out
    }
}

/// A request in the words of Cedar.
#[derive(Serialize)]
struct Words<'a, C, E> {
    principal: Uid<'a>,
    action: Uid<'a>,
    resource: Uid<'a>,
    context: C,
    entities: E,
}

#[derive(Serialize)]
struct Entity<'a, A> {
    uid: Uid<'a>,
    attrs: A,
    parents: Vec<Uid<'a, Cow<'a, str>>>,
}

/// What an entity is called.
#[derive(Clone, Copy, Serialize)]
struct Uid<'a, I = &'a str> {
    #[serde(rename = "type")]
    kind: &'a str,
    id: I,
}

impl<'a, I> Uid<'a, I> {
    fn new(kind: &'a str, id: I) -> Self {
        Self { kind, id }
    }
}

fn parents<'a>(
    all: impl Iterator<Item = (&'static str, Cow<'a, str>)>,
) -> Vec<Uid<'a, Cow<'a, str>>> {
    all.map(|(kind, id)| Uid::new(kind, id)).collect()
}

fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::ClientToServer => "client_to_server",
        Direction::ServerToClient => "server_to_client",
    }
}

/// `read` or `write` for an operation that is one of them; else itself.
fn family(operation: &str) -> &str {
    match operation {
        "select" => "read",
        "insert" | "update" | "delete" | "ddl" => "write",
        other => other,
    }
}

/// Classes with all that is above them.
fn with_families<'a>(classes: &'a [Cow<'_, str>]) -> BTreeSet<&'a str> {
    let all = classes.iter().flat_map(|class| {
        let ends = class.match_indices('.').map(|(at, _)| at).take(8);
        ends.chain([class.len()]).filter_map(|end| class.get(..end))
    });
    all.collect()
}

/// Bytes of the longest text.
fn longest(question: &Question<'_>) -> Option<usize> {
    let (who, peer, context) = (&question.principal, &question.peer, &question.context);
    let texts = [
        &question.target,
        &who.subject,
        &who.method,
        &who.pod,
        &who.namespace,
        &who.service_account,
        &who.image,
        &who.exe,
        &who.exe_sha256,
        &who.repository,
        &peer.name,
        &peer.subject,
        &context.cluster,
        &context.node,
        &context.cloud,
        &context.lockdown,
        &context.transport,
    ];
    let classes = [&context.request_classes, &context.response_classes];
    let things = question.things.iter();
    texts
        .into_iter()
        .flatten()
        .chain([&question.method])
        .chain(classes.into_iter().flatten().flatten())
        .chain(things.flat_map(|thing| {
            [&thing.kind, &thing.name]
                .into_iter()
                .chain(&thing.operation)
        }))
        .map(|text| text.len())
        .max()
}
