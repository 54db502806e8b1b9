//! What the wire shows of an authorization: that the server refused, or answered, and what was asked of a person.
//!
//! Reads codes and a few telling words only. A server that refuses in other words is taken to have failed.

use auditor_json::Value;

use crate::mcp::{Failure, Interaction, Outcome, Part, Stage};

/// Bytes of an error's text that are looked at.
const TEXT: usize = 1024;
/// Words by which servers refuse, in small letters.
const REFUSALS: [&str; 12] = [
    "permission denied",
    "access denied",
    "not authorized",
    "not authorised",
    "unauthorized",
    "unauthenticated",
    "forbidden",
    "insufficient scope",
    "insufficient_scope",
    "not permitted",
    "outside allowed director",
    "requires authentication",
];
/// JSON-RPC codes that servers use for a missing or insufficient authorization.
const CODES: [i64; 3] = [-32_001, -32_003, -32_401];

/// What the wire shows of an authorization.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Observed {
    /// Whether it was granted.
    pub verdict: Verdict,
    /// What shows that: `http_status`, `json_rpc_error`, `tool_error`, `elicitation`, `answered`.
    pub basis: &'static str,
    /// The HTTP status or the JSON-RPC code.
    pub code: Option<i64>,
    /// What the server asks for instead (`WWW-Authenticate`).
    pub challenge: Option<Challenge>,
}

/// What became of an authorization.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// The server did what it was asked, or a person agreed.
    Allowed,
    /// It refused, or a person did.
    Denied,
}

impl Verdict {
    /// Its name in events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
        }
    }
}

impl Observed {
    /// Reads it off an interaction whose bodies are there. `None` where nothing is shown.
    pub(super) fn of(interaction: &Interaction) -> Option<Self> {
        if interaction.stage == Stage::Open {
            return None;
        }
        let (verdict, basis, code) = read(interaction)?;
        let told = interaction.response.as_ref();
        let head = told.and_then(|part| part.http.as_ref());
        let head = head.or(interaction.answer_head.as_ref());
        let challenge = head.and_then(|head| head.challenge.as_deref());
        Some(Self {
            verdict,
            basis,
            code,
            challenge: challenge.and_then(Challenge::read),
        })
    }
}

/// A challenge (RFC 9110, section 11.6.1), as far as OAuth uses it (RFC 6750, section 3).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Challenge {
    /// The scheme, in small letters.
    pub scheme: String,
    /// `error`: `invalid_token`, `insufficient_scope` ...
    pub error: Option<String>,
    /// `scope`: what would be needed.
    pub scope: Option<String>,
}

impl Challenge {
    /// Reads the first challenge of a header; values of more than 256 bytes are left out.
    fn read(text: &str) -> Option<Self> {
        let (scheme, mut rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let is_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if scheme.is_empty() || scheme.len() > 32 || !scheme.chars().all(is_token) {
            return None;
        }
        let mut challenge = Self {
            scheme: scheme.to_ascii_lowercase(),
            ..Self::default()
        };
        while let Some((name, behind)) = rest.split_once('=') {
            let (value, after) = match behind.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
                None => behind.split_once(',').unwrap_or((behind, "")),
            };
            let value = (value.len() <= 256).then(|| value.to_owned());
            match name.trim_matches([' ', ',']) {
                "error" => challenge.error = value,
                "scope" => challenge.scope = value,
                _ => {}
            }
            rest = after;
        }
        Some(challenge)
    }
}

fn read(interaction: &Interaction) -> Option<(Verdict, &'static str, Option<i64>)> {
    let response = interaction.response.as_ref();
    let status = match &interaction.outcome {
        Outcome::Failure(Failure::Http(status)) => Some(*status),
        _ => response.and_then(|part| Some(part.http.as_ref()?.status)),
    };
    if let Some(status @ (401 | 403)) = status {
        return Some((Verdict::Denied, "http_status", Some(status.into())));
    }
    match &interaction.outcome {
        Outcome::Failure(Failure::Error { code, message }) => {
            let is_refusal = CODES.contains(code) || refuses(message);
            is_refusal.then_some((Verdict::Denied, "json_rpc_error", Some(*code)))
        }
        Outcome::Failure(Failure::Tool) => {
            let text = response.and_then(first_text)?;
            refuses(&text).then_some((Verdict::Denied, "tool_error", None))
        }
        Outcome::Success if interaction.method.as_deref() == Some("elicitation/create") => {
            let verdict = match action(response?)?.as_str() {
                "accept" => Verdict::Allowed,
                "decline" | "cancel" => Verdict::Denied,
                _ => return None,
            };
            Some((verdict, "elicitation", None))
        }
        Outcome::Success => Some((Verdict::Allowed, "answered", None)),
        _ => None,
    }
}

fn refuses(text: &str) -> bool {
    let end = (0..=text.len().min(TEXT))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    let text = text.get(..end.unwrap_or(0)).unwrap_or_default();
    let text = text.to_lowercase();
    REFUSALS.iter().any(|words| text.contains(words))
}

/// The text of a tool's error.
fn first_text(part: &Part) -> Option<String> {
    let content = result(part)?.member(b"content")?;
    let mut items = content.elements()?;
    items.find_map(|item| item.member(b"text")?.string().map(Into::into))
}

/// What a person answered.
fn action(part: &Part) -> Option<String> {
    Some(result(part)?.member(b"action")?.string()?.into_owned())
}

fn result(part: &Part) -> Option<Value<'_>> {
    let (message, _) = Value::first(part.body.as_deref()?)?;
    message.member(b"result")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::{audit::tests::call, wire::HttpHead};

    fn observed(
        outcome: Outcome,
        method: &str,
        body: &'static str,
    ) -> Option<(Verdict, &'static str)> {
        let mut interaction = call();
        interaction.method = Some(method.into());
        interaction.outcome = outcome;
        interaction.response.as_mut()?.body = Some(Bytes::from_static(body.as_bytes()));
        Observed::of(&interaction).map(|observed| (observed.verdict, observed.basis))
    }

    #[test]
    fn refusals_are_told_from_other_failures() {
        let tool = |body| observed(Outcome::Failure(Failure::Tool), "tools/call", body);
        assert_eq!(
            tool(
                r#"{"result":{"content":[{"type":"text","text":"Access denied - path outside allowed directories"}],"isError":true}}"#
            ),
            Some((Verdict::Denied, "tool_error"))
        );
        assert_eq!(
            tool(
                r#"{"result":{"content":[{"type":"text","text":"no such table"}],"isError":true}}"#
            ),
            None
        );
        let error = |code, message: &str| {
            let message = message.to_owned();
            observed(
                Outcome::Failure(Failure::Error { code, message }),
                "tools/call",
                "{}",
            )
        };
        assert_eq!(
            error(-32_003, "x"),
            Some((Verdict::Denied, "json_rpc_error"))
        );
        assert_eq!(
            error(-32_000, "Forbidden"),
            Some((Verdict::Denied, "json_rpc_error"))
        );
        assert_eq!(error(-32_602, "Invalid params"), None);
        assert_eq!(
            observed(Outcome::Failure(Failure::Http(403)), "tools/call", "{}"),
            Some((Verdict::Denied, "http_status"))
        );
    }

    #[test]
    fn answers_and_consents_are_told() {
        assert_eq!(
            observed(Outcome::Success, "tools/call", "{}"),
            Some((Verdict::Allowed, "answered"))
        );
        let asked = |body| observed(Outcome::Success, "elicitation/create", body);
        assert_eq!(
            asked(r#"{"result":{"action":"decline"}}"#),
            Some((Verdict::Denied, "elicitation"))
        );
        assert_eq!(
            asked(r#"{"result":{"action":"accept"}}"#),
            Some((Verdict::Allowed, "elicitation"))
        );
    }

    #[test]
    fn a_refusal_without_a_message_shows_its_challenge() {
        let head = HttpHead {
            status: 401,
            challenge: Some("Bearer error=\"invalid_token\"".to_owned()),
            ..HttpHead::default()
        };
        let mut interaction = call();
        interaction.response = None;
        interaction.answer_head = Some(Arc::new(head));
        interaction.outcome = Outcome::Failure(Failure::Http(401));
        let observed = Observed::of(&interaction).unwrap();
        let challenge = observed.challenge.unwrap();
        assert_eq!(challenge.error.as_deref(), Some("invalid_token"));
    }

    #[test]
    fn a_challenge_is_read_as_far_as_oauth_uses_it() {
        let text = r#"Bearer error="insufficient_scope", scope="files:read files:write", resource_metadata="https://e.com/x?a=b""#;
        let challenge = Challenge::read(text).unwrap();
        assert_eq!(challenge.scheme, "bearer");
        assert_eq!(challenge.error.as_deref(), Some("insufficient_scope"));
        assert_eq!(challenge.scope.as_deref(), Some("files:read files:write"));
        assert_eq!(Challenge::read("Basic realm=x").unwrap().scheme, "basic");
        assert_eq!(Challenge::read(""), None);
    }
}
