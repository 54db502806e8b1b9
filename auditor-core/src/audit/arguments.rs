//! Hides secrets among the arguments of a process: values of headers, options and variables that are named like one.
//!
//! Looks at names, not at values: a secret that stands alone is not known here.

use std::borrow::Cow;

/// What stands for a hidden value.
const HIDDEN: &str = "***";
/// Parts of a name that speak of a secret, in lower case, without `-` and `_`.
const SECRET: [&str; 11] = [
    "token",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "apikey",
    "authorization",
    "credential",
    "cookie",
    "accesskey",
    "sessionid",
];
/// Schemes of credentials (RFC 9110, section 11.1), in lower case.
const SCHEMES: [&str; 3] = ["bearer ", "basic ", "dpop "];

/// The arguments of a process, without the secrets among them.
#[must_use]
pub fn hide_secrets(arguments: Vec<String>) -> Vec<String> {
    let mut is_value_of_secret = false;
    let hide = |argument: String| {
        let hidden = if std::mem::take(&mut is_value_of_secret) && !argument.starts_with('-') {
            HIDDEN.to_owned()
        } else {
            hide(&argument).into_owned()
        };
        let is_option = argument.starts_with('-') && !argument.contains(['=', ' ']);
        // `--token-file x` names a place.
        is_value_of_secret = is_option && is_secret(&argument) && !names_place(&argument);
        hidden
    };
    arguments.into_iter().map(hide).collect()
}

fn hide(argument: &str) -> Cow<'_, str> {
    if let Some(at) = argument.find([':', '=']) {
        let (name, value) = (argument.get(..at), argument.get(at + 1..));
        if let (Some(name), Some(value)) = (name, value)
            && is_name(name)
            && is_secret(name)
            && !names_place(name)
            && !value.is_empty()
        {
            let (kept, _) = argument.split_at(at + 1);
            let space = if value.starts_with(' ') { " " } else { "" };
            return Cow::Owned(format!("{kept}{space}{HIDDEN}"));
        }
    }
    // ASCII letters alone change, so that positions stay.
    let lower = argument.to_ascii_lowercase();
    let scheme = SCHEMES.iter().filter_map(|scheme| {
        let at = lower.find(scheme)?;
        Some(at + scheme.len())
    });
    match scheme.min() {
        Some(end) if end < argument.len() => {
            let kept = argument.get(..end).unwrap_or_default();
            Cow::Owned(format!("{kept}{HIDDEN}"))
        }
        _ => Cow::Borrowed(argument),
    }
}

/// Whether this may name a header, an option or a variable.
fn is_name(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !text.is_empty() && text.len() <= 64 && text.chars().all(is_part)
}

fn is_secret(name: &str) -> bool {
    let letters = name.chars().filter(|c| !matches!(c, '-' | '_' | '.'));
    let plain: String = letters.map(|c| c.to_ascii_lowercase()).collect();
    SECRET.iter().any(|word| plain.contains(word))
}

/// Whether a name speaks of where a secret is, not of the secret.
fn names_place(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    ["file", "path", "dir", "url", "endpoint"]
        .iter()
        .any(|place| lower.ends_with(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(arguments: &[&str]) -> Vec<String> {
        hide_secrets(arguments.iter().map(|one| (*one).to_owned()).collect())
    }

    #[test]
    fn values_of_secret_names_are_hidden() {
        for (before, after) in [
            ("Authorization: Bearer abc", "Authorization: ***"),
            ("authorization:abc", "authorization:***"),
            ("Mcp-Session-Id: 1234", "Mcp-Session-Id: ***"),
            ("X-API-Key: 1234", "X-API-Key: ***"),
            ("--api-key=abc", "--api-key=***"),
            ("GITHUB_TOKEN=ghp_abc", "GITHUB_TOKEN=***"),
            ("say bearer abc def", "say bearer ***"),
        ] {
            assert_eq!(hidden(&[before]), [after]);
        }
        assert_eq!(
            hidden(&["run", "--token", "abc", "--password", "x", "file"]),
            ["run", "--token", "***", "--password", "***", "file"]
        );
    }

    #[test]
    fn other_arguments_stay() {
        let plain = [
            "--token-file",
            "/run/token",
            "--url=https://host/token=1",
            "Content-Type: application/json",
            "tokenize",
            "--secret",
            "--verbose",
            "",
            "bearer ",
        ];
        assert_eq!(hidden(&plain), plain);
    }
}
