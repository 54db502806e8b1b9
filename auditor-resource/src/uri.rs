//! What a URI names: a file, a table, an object, else a place on the web; without user, query and ids.

use url::Url;

use crate::resource::Kind;

/// Longest text that is looked at, in bytes.
const TEXT: usize = 4 << 10;
/// Longest name, in bytes.
pub(crate) const NAME: usize = 2 << 10;
/// Keys of a query that are told.
const KEYS: usize = 32;
const KEY: usize = 64;

/// What a URI names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Named {
    /// What it is.
    pub(crate) kind: Kind,
    /// Its name.
    pub(crate) name: String,
    /// What the name belongs to.
    pub(crate) namespace: Option<String>,
    /// Keys of the query.
    pub(crate) parts: Vec<String>,
}

/// Reads a URI with a scheme that names things outside of MCP; `None` for any other text.
pub(crate) fn read(text: &str) -> Option<Named> {
    if text.len() > TEXT || !text.contains("://") {
        return None;
    }
    let url = Url::parse(text.trim()).ok()?;
    let named = |kind, name: String, namespace| {
        Some(Named {
            kind,
            name,
            namespace,
            parts: Vec::new(),
        })
    };
    let host = url.host_str().filter(|host| !host.is_empty());
    let path = url.path();
    match url.scheme() {
        "file" => {
            let path = percent_decoded(path);
            let kind = if path.ends_with('/') {
                Kind::Directory
            } else {
                Kind::File
            };
            named(kind, canonical(&path)?, host.map(Into::into))
        }
        "http" | "https" | "ws" | "wss" | "ftp" | "ftps" | "sftp" | "git" | "ssh" => Some(Named {
            kind: Kind::Url,
            name: template(&url)?,
            namespace: None,
            parts: query_keys(&url),
        }),
        scheme @ ("s3" | "gs" | "az" | "abfs" | "abfss" | "wasbs") => {
            let key = percent_decoded(path.trim_start_matches('/'));
            let bucket = host?.to_owned();
            if key.is_empty() {
                named(Kind::Bucket, bucket, Some(scheme.into()))
            } else {
                named(
                    Kind::Object,
                    bounded(format!("{bucket}/{key}"))?,
                    Some(scheme.into()),
                )
            }
        }
        scheme @ ("postgres" | "postgresql" | "mysql" | "mariadb" | "mssql" | "mongodb"
        | "mongodb+srv" | "sqlite" | "redis" | "rediss" | "clickhouse" | "snowflake") => {
            let place = host.map(|host| match url.port() {
                Some(port) => format!("{scheme}://{host}:{port}"),
                None => format!("{scheme}://{host}"),
            });
            let name = percent_decoded(path.trim_matches('/'));
            let name = if name.is_empty() {
                host.unwrap_or(scheme).to_owned()
            } else {
                name
            };
            named(Kind::Database, bounded(name)?, place)
        }
        scheme @ ("amqp" | "amqps" | "kafka" | "mqtt" | "mqtts" | "nats" | "sqs") => {
            let name = percent_decoded(path.trim_start_matches('/'));
            named(
                Kind::Queue,
                bounded(name)?,
                host.map(|host| format!("{scheme}://{host}")),
            )
        }
        _ => None,
    }
}

/// A text that is a URI as the resource of an MCP server: without user and query.
pub(crate) fn shown(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let shown = match text.split_once("://") {
        // What stands before an `@` in the authority may be a password.
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}{path}")
        }
        None => text.to_owned(),
    };
    cut(shown)
}

/// A path without `.`, `..` and doubled slashes, as text: links are not followed. `None` where it is too long or empty.
pub(crate) fn canonical(path: &str) -> Option<String> {
    if path.is_empty() || path.contains('\0') {
        return None;
    }
    let is_absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if is_absolute => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    bounded(match (is_absolute, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".into(),
        (false, false) => joined,
    })
}

fn template(url: &Url) -> Option<String> {
    let mut text = format!("{}://{}", url.scheme(), url.host_str()?);
    if let Some(port) = url.port() {
        text.push_str(&format!(":{port}"));
    }
    for segment in url.path().split('/').skip(1) {
        text.push('/');
        text.push_str(if is_id(segment) { "{id}" } else { segment });
    }
    bounded(text)
}

/// Whether a segment of a path names one of many, or may be a key: numbers, UUIDs, long mixtures of letters and digits.
fn is_id(segment: &str) -> bool {
    let digits = segment.bytes().filter(u8::is_ascii_digit).count();
    let is_number = !segment.is_empty() && digits == segment.len();
    let is_hex = segment.len() >= 8
        && segment
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    is_number || (is_hex && digits > 0) || (segment.len() >= 16 && digits > 0) || segment.len() > 64
}

fn query_keys(url: &Url) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    for (key, _) in url.query_pairs() {
        let is_new = !keys.iter().any(|known| *known == key);
        if is_new && keys.len() < KEYS && !key.is_empty() && key.len() <= KEY {
            keys.push(key.into_owned());
        }
    }
    keys
}

fn percent_decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

fn bounded(name: String) -> Option<String> {
    (!name.is_empty() && name.len() <= NAME).then_some(name)
}

/// Cuts a text to the longest name.
pub(crate) fn cut(mut text: String) -> String {
    if text.len() > NAME {
        let end = (0..=NAME).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, kind: Kind, name: &str, namespace: Option<&str>) {
        let named = read(text).unwrap();
        assert_eq!(
            (named.kind, named.name.as_str(), named.namespace.as_deref()),
            (kind, name, namespace),
            "{text}"
        );
    }

    #[test]
    fn uris_are_told_by_what_they_name() {
        check("file:///srv/a%20b/../c.txt", Kind::File, "/srv/c.txt", None);
        check(
            "s3://data/2026/x.csv",
            Kind::Object,
            "data/2026/x.csv",
            Some("s3"),
        );
        check("gs://data", Kind::Bucket, "data", Some("gs"));
        check(
            "postgres://u:secret@db:5433/crm",
            Kind::Database,
            "crm",
            Some("postgres://db:5433"),
        );
        check(
            "https://u:p@api.example.com:8443/v1/users/4711/keys?api_key=x&a=1",
            Kind::Url,
            "https://api.example.com:8443/v1/users/{id}/keys",
            None,
        );
        check("amqp://u:p@mq/jobs", Kind::Queue, "jobs", Some("amqp://mq"));
        assert_eq!(
            read("https://e.com/?api_key=x&a=1&a=2").unwrap().parts,
            ["api_key", "a"]
        );
        for other in [
            "",
            "hello",
            "memo://insights",
            "http://",
            "c:\\x",
            "see https://e.com for more",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn keys_and_ids_in_paths_are_left_out() {
        for (path, shown) in [
            ("/a/sk-live-0123456789abcdef/b", "/a/{id}/b"),
            ("/o/123e4567-e89b-12d3-a456-426614174000", "/o/{id}"),
            (
                "/repos/octo/hello-world/pulls/42",
                "/repos/octo/hello-world/pulls/{id}",
            ),
        ] {
            let named = read(&format!("https://e.com{path}")).unwrap();
            assert_eq!(named.name, format!("https://e.com{shown}"));
        }
    }

    #[test]
    fn paths_are_made_canonical_as_text() {
        for (path, shown) in [
            ("/a/./b//c/../d", "/a/b/d"),
            ("/../../etc/passwd", "/etc/passwd"),
            ("../x", "../x"),
            ("a/..", "."),
            ("/", "/"),
        ] {
            assert_eq!(canonical(path).as_deref(), Some(shown), "{path}");
        }
        assert_eq!(canonical("a\0b"), None);
        assert_eq!(canonical(&"a/".repeat(2000)), None);
    }

    #[test]
    fn what_is_secret_in_the_uri_of_a_resource_is_not_shown() {
        assert_eq!(
            shown("postgres://u:p@db/users/schema?x=1"),
            "postgres://db/users/schema"
        );
        assert_eq!(shown("memo://insights#x"), "memo://insights");
    }
}
