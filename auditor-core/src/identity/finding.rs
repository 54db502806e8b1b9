//! What is found of who does what: a kind, and who is involved by which interaction. Types only.

use std::sync::Arc;

use super::grade::Identity;
use crate::{audit::Process, key::Time, mcp::InteractionId};

/// Something that was found.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What.
    pub kind: FindingKind,
    /// Keyed hash of the credential or session; `None` where a program was replaced.
    pub secret: Option<Arc<str>>,
    /// Who used it first, or the process before its program was replaced; `None` where a token tells whose it
    /// is, and nobody else was seen to show it before.
    pub first: Option<Use>,
    /// Who uses it now.
    pub second: Use,
    /// The policies that determined what the server did not heed.
    pub policies: Vec<Arc<str>>,
}

/// Kinds of findings.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum FindingKind {
    /// Two workloads showed one credential.
    SharedCredential,
    /// A token was shown outside the pod, namespace or service account it is bound to.
    MisplacedToken,
    /// A session id came from a process that had not begun the session.
    HijackedSession,
    /// A process that spoke MCP runs another program now.
    ReplacedProgram,
    /// The server did what the policy forbids.
    ForbiddenAndDone,
    /// The server refused what the policy permits.
    PermittedAndRefused,
}

/// Who used something, and in which interaction.
#[derive(Clone, Debug)]
pub struct Use {
    /// When.
    pub time: Time,
    /// The interaction.
    pub interaction: InteractionId,
    /// The process.
    pub process: Arc<Process>,
    /// Who that is.
    pub identity: Option<Identity>,
}
