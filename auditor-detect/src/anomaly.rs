//! What is out of the ordinary in an event, as `unmapped.mcp.anomalies[]` shows it. Types only.

use crate::{definition::Change, scan::Found};

/// Something out of the ordinary.
#[derive(Clone, Debug, PartialEq)]
pub struct Anomaly {
    /// What.
    pub kind: Kind,
    /// The tool, prompt or resource that it is about; at most 256 bytes.
    pub subject: Option<String>,
    /// What was observed: bytes, or times a minute.
    pub observed: Option<f64>,
    /// What is usual, in the same unit.
    pub expected: Option<f64>,
    /// How many observations that rests on.
    pub samples: Option<u32>,
    /// The interaction that it is compared with.
    pub previous: Option<u64>,
    /// The other server; at most 256 bytes.
    pub other: Option<String>,
    /// How a definition changed; at most [`Change::MOST`].
    pub changes: Vec<Change>,
    /// Members that changed beyond those.
    pub changes_left_out: u32,
    /// What speaks to the model in a text; at most [`Found::MOST`].
    pub signs: Vec<Found>,
}

/// Kinds of anomalies.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// An identity uses a tool of a server for the first time, though it has used that server for long.
    FirstTool,
    /// The same, of a thing that a call names.
    FirstResource,
    /// A request is far larger than usual for the identity, server and tool.
    LargeRequest,
    /// An answer is.
    LargeResponse,
    /// A tool is called far more often in a minute than usual.
    UnusualRate,
    /// An identity reached sensitive things far more often in a minute than usual.
    SensitiveSpike,
    /// The definition of a tool, prompt or resource changed since it was last seen.
    DefinitionChanged,
    /// Two servers offer one client a tool of the same name.
    ShadowedTool,
    /// The texts of a definition speak to the model.
    HiddenInstructions,
    /// An answer came to a request that nobody asked, in a session that was heard before.
    UnsolicitedResponse,
    /// A request to a server holds a secret.
    SecretSent,
    /// A server's answer holds a secret.
    SecretReturned,
}

impl Kind {
    /// Its name in events.
    pub fn name(self) -> &'static str {
        match self {
            Self::FirstTool => "first_tool",
            Self::FirstResource => "first_resource",
            Self::LargeRequest => "large_request",
            Self::LargeResponse => "large_response",
            Self::UnusualRate => "unusual_rate",
            Self::SensitiveSpike => "sensitive_spike",
            Self::DefinitionChanged => "definition_changed",
            Self::ShadowedTool => "shadowed_tool",
            Self::HiddenInstructions => "hidden_instructions",
            Self::UnsolicitedResponse => "unsolicited_response",
            Self::SecretSent => "secret_sent",
            Self::SecretReturned => "secret_returned",
        }
    }
}

impl Anomaly {
    /// One of which only the kind is known.
    pub fn of(kind: Kind) -> Self {
        Self {
            kind,
            subject: None,
            observed: None,
            expected: None,
            samples: None,
            previous: None,
            other: None,
            changes: Vec::new(),
            changes_left_out: 0,
            signs: Vec::new(),
        }
    }

    /// The same, about something.
    pub(crate) fn about(kind: Kind, subject: &str) -> Self {
        Self {
            subject: Some(cut(subject, 256)),
            ..Self::of(kind)
        }
    }
}

/// The first `limit` bytes of a text, whole characters.
pub(crate) fn cut(text: &str, limit: usize) -> String {
    text.get(..text.floor_char_boundary(limit))
        .unwrap_or_default()
        .to_owned()
}
