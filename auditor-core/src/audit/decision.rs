//! What the audit stage asks a policy about an interaction, and what it gets back.
//!
//! Plain values: no language of policies is known here. Nothing in a question is content: sizes, classes and names only.
//! Whoever answers bounds what it takes ([`Question`]) and what it gives ([`Evaluated`]).

use std::{borrow::Cow, sync::Arc};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::mcp::Direction;

type Text<'a> = Option<Cow<'a, str>>;

/// Decides upon interactions. Answers from memory: it never blocks and does no I/O.
pub trait Policy: Send {
    /// What the policy says of an interaction; `None` where there is no policy.
    fn decide(&mut self, question: &Question<'_>) -> Option<Arc<Decision>>;
}

/// An interaction, as far as policies may look at it. What is absent is not known, and never guessed.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Question<'a> {
    /// The method: `tools/call`.
    pub method: Cow<'a, str>,
    /// Who asked whom.
    pub direction: Direction,
    /// Name of the tool or prompt, URI of the resource.
    pub target: Text<'a>,
    /// Who asks.
    pub principal: Principal<'a>,
    /// Who is asked.
    pub peer: Peer<'a>,
    /// What is touched behind the target.
    pub things: Vec<Thing<'a>>,
    /// What else is known.
    pub context: Context<'a>,
}

/// The workload that asks.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Principal<'a> {
    /// Its name, as its identity was established.
    pub subject: Text<'a>,
    /// How that was established: `spire`, `token`, `pod`, `container`, `executable`, `claim`.
    pub method: Text<'a>,
    /// How far it is proven: 1 to 4 for A1 to A4, 0 where nothing is known.
    pub assurance: u8,
    /// Whether a signature was verified.
    pub verified: bool,
    /// Name of its pod.
    pub pod: Text<'a>,
    /// Kubernetes namespace.
    pub namespace: Text<'a>,
    /// Kubernetes service account.
    pub service_account: Text<'a>,
    /// Image of its container, as it was asked for.
    pub image: Text<'a>,
    /// Path of its executable.
    pub exe: Text<'a>,
    /// SHA-256 of its executable, in hexadecimal digits.
    pub exe_sha256: Text<'a>,
    /// Its user.
    pub uid: Option<u32>,
    /// Repository of the workflow that it works for.
    pub repository: Text<'a>,
}

/// The party that is asked.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Peer<'a> {
    /// What it calls itself (`serverInfo`, `clientInfo`).
    pub name: Text<'a>,
    /// Its name, as its identity was established.
    pub subject: Text<'a>,
    /// How far that is proven: 1 to 4 for A1 to A4, 0 where nothing is known.
    pub assurance: u8,
    /// Whether a signature was verified.
    pub verified: bool,
}

/// A table, file, endpoint ... that is touched.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Thing<'a> {
    /// What it is: `table`, `file`, `url`.
    pub kind: Cow<'a, str>,
    /// Its name.
    pub name: Cow<'a, str>,
    /// 0 public, 1 internal, 2 confidential, 3 restricted.
    pub sensitivity: Option<u8>,
    /// What is done with it: `select`, `insert`, `update`, `delete`, `ddl`, `read`, `write`.
    pub operation: Text<'a>,
}

/// The circumstances.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Context<'a> {
    /// Bytes of the request.
    pub request_bytes: Option<u64>,
    /// Bytes of the response.
    pub response_bytes: Option<u64>,
    /// Classes found in the request: `secret.github_token`; `None` where it was not looked at.
    pub request_classes: Option<Vec<Cow<'a, str>>>,
    /// Classes found in the response; `None` where it was not looked at.
    pub response_classes: Option<Vec<Cow<'a, str>>>,
    /// When it began, milliseconds since the Unix epoch. Hour and weekday (UTC) follow from it.
    pub time_ms: u64,
    /// The cluster.
    pub cluster: Text<'a>,
    /// The node.
    pub node: Text<'a>,
    /// Who runs the cloud.
    pub cloud: Text<'a>,
    /// Lockdown of the kernel: `none`, `integrity`, `confidentiality`.
    pub lockdown: Text<'a>,
    /// Whether the host was booted securely.
    pub secure_boot: Option<bool>,
    /// How many interactions led to this one.
    pub chain_depth: u8,
    /// Whether it is not over yet.
    pub is_open: bool,
    /// What carries it: `stdio`, `http`.
    pub transport: Text<'a>,
    /// Whether it is encrypted on the way.
    pub encrypted: bool,
}

/// What a policy said of one interaction.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The answer; interactions that are alike share one.
    pub evaluated: Arc<Evaluated>,
    /// What it was evaluated for, in the words of the policy's language, so that others can evaluate it again.
    /// `None` where it is beyond the bound.
    pub request: Option<Box<RawValue>>,
}

/// The answer of a policy set, with what it rests on.
#[derive(Clone, Debug, Default)]
pub struct Evaluated {
    /// Yes, no, or why not.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// The policies that determined it; for `no_policy_permits` those that would permit it and whose conditions do not
    /// hold. Sorted by id.
    pub policies: Vec<Determining>,
    /// Policies beyond the bound.
    pub policies_left_out: usize,
    /// What these policies read, and its values.
    pub conditions: Vec<Condition>,
    /// Conditions beyond the bound.
    pub conditions_left_out: usize,
    /// Policies that failed, and why; those count as if they were not there.
    pub errors: Vec<String>,
    /// SHA-256 of the policies' text, in hexadecimal digits.
    pub policy_set: Arc<str>,
}

/// What was decided.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Outcome {
    /// A policy permits it and none forbids it.
    Allow,
    /// A policy forbids it, or none permits it.
    Deny,
    /// It could not be evaluated.
    #[default]
    NotEvaluated,
}

/// Why something was decided.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Reason {
    /// The policies that determined it permit it.
    Permitted,
    /// They forbid it.
    Forbidden,
    /// No policy permits it.
    NoPolicyPermits,
    /// The question is beyond a bound, or the request cannot be read.
    #[default]
    Error,
}

/// A policy that had a say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Determining {
    /// Its `@id`, else its file and its number there, from 0.
    pub id: Arc<str>,
    /// Whether it permits (else it forbids).
    pub permits: bool,
    /// What it says of itself (`@description`).
    pub description: Option<Arc<str>>,
}

/// An attribute that a policy read.
#[derive(Clone, Debug)]
pub struct Condition {
    /// The policy.
    pub policy: Arc<str>,
    /// The attribute: `context.request_bytes`.
    pub attribute: Arc<str>,
    /// Its value as JSON; `null` where it is absent.
    pub value: Box<RawValue>,
}

impl Outcome {
    /// Its name in events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::NotEvaluated => "not_evaluated",
        }
    }
}

impl Reason {
    /// Its name in events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Permitted => "permitted",
            Self::Forbidden => "forbidden",
            Self::NoPolicyPermits => "no_policy_permits",
            Self::Error => "error",
        }
    }
}
