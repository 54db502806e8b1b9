//! What both sides of a comparison are made of: one interaction, as a client saw it or as the
//! auditor reported it.

use std::fmt;

/// One interaction. Two are the same when every field is.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Interaction {
    /// `request`, `notification`, `unpaired_response` or `gap`.
    pub(crate) kind: String,
    /// `client_to_server` or `server_to_client`.
    pub(crate) direction: String,
    /// JSON-RPC method.
    pub(crate) method: Option<String>,
    /// JSON-RPC id as JSON text.
    pub(crate) id: Option<String>,
    /// Tool, URI or prompt.
    pub(crate) target: Option<String>,
    /// How it ended.
    pub(crate) status: Status,
    /// `stdio`, `http` or `sse`.
    pub(crate) transport: String,
    /// Process of the MCP client.
    pub(crate) client: Option<u32>,
    /// Process of the MCP server.
    pub(crate) server: Option<u32>,
}

/// How an interaction ended.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Status {
    /// No answer is due.
    None,
    /// A result.
    Success,
    /// An error, a result that is an error, or no answer at all.
    Failure,
}

/// Methods whose target is compared, and the parameter that names it.
const TARGETS: [(&str, &str); 5] = [
    ("tools/call", "name"),
    ("prompts/get", "name"),
    ("resources/read", "uri"),
    ("resources/subscribe", "uri"),
    ("resources/unsubscribe", "uri"),
];

/// The parameter that names a method's target.
pub(crate) fn target_parameter(method: Option<&str>) -> Option<&'static str> {
    TARGETS
        .iter()
        .find(|(name, _)| Some(*name) == method)
        .map(|(_, parameter)| *parameter)
}

impl fmt::Display for Interaction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |field: &Option<String>| field.clone().unwrap_or_else(|| "-".to_owned());
        let pid = |field: Option<u32>| field.map_or_else(|| "?".to_owned(), |pid| pid.to_string());
        write!(
            formatter,
            "{} {} {} id={} target={} {:?} over {} client={} server={}",
            self.kind,
            self.direction,
            text(&self.method),
            text(&self.id),
            text(&self.target),
            self.status,
            self.transport,
            pid(self.client),
            pid(self.server),
        )
    }
}
