//! What is asked for: a pid, a container, a pod or an event, told apart by how it is written.

use std::{convert::Infallible, str::FromStr};

use super::subject::Subject;

/// What is asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Query {
    /// Processes with this pid, in the root namespace.
    Pid(u32),
    /// A container, by its id, the beginning of that, or its name.
    Container(String),
    /// A pod, by its uid, its name, or `namespace/name`.
    Pod(String),
    /// An event or a finding, by its `metadata.uid`.
    Event(String),
    /// A container or a pod.
    Any(String),
}

impl FromStr for Query {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let is = |kind: &str| text.strip_prefix(kind).map(str::to_owned);
        Ok(if let Some(id) = is("container:") {
            Self::Container(id)
        } else if let Some(name) = is("pod:") {
            Self::Pod(name)
        } else if let Some(uid) = is("event:") {
            Self::Event(uid)
        } else if let Ok(pid) = text.strip_prefix("pid:").unwrap_or(text).parse() {
            Self::Pid(pid)
        } else if is_event(text) {
            Self::Event(text.to_owned())
        } else {
            Self::Any(text.to_owned())
        })
    }
}

impl Query {
    /// Whether a workload is what was asked for.
    pub(super) fn is(&self, subject: &Subject) -> bool {
        match self {
            Self::Pid(pid) => subject.pid == *pid,
            Self::Container(text) => subject.is_in_container(text),
            Self::Pod(text) => subject.is_in_pod(text),
            Self::Any(text) => subject.is_in_container(text) || subject.is_in_pod(text),
            Self::Event(_) => false,
        }
    }

    /// Bytes that every line of the trail has that may tell of it.
    pub(super) fn needle(&self) -> String {
        match self {
            Self::Pid(pid) => format!("\"pid\":{pid},"),
            Self::Event(uid) => format!("\"{uid}\""),
            Self::Pod(text) | Self::Any(text) => {
                text.rsplit('/').next().unwrap_or_default().to_owned()
            }
            Self::Container(text) => text.clone(),
        }
    }
}

/// Whether a text is written like `metadata.uid`: boot, run and number.
fn is_event(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let is_hex = |part: &str, length| {
        part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let [boot, run, rest, number] = parts[..] else {
        return false;
    };
    let number = number.strip_prefix('f').unwrap_or(number);
    is_hex(boot, 8) && is_hex(run, 8) && is_hex(rest, 4) && number.parse::<u64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_told_apart_by_how_it_is_written() {
        let query = |text: &str| -> Query { text.parse().unwrap() };
        assert_eq!(query("4711"), Query::Pid(4711));
        assert_eq!(query("pid:1"), Query::Pid(1));
        let event = "0a1b2c3d-01234567-89ab-42";
        assert_eq!(query(event), Query::Event(event.into()));
        let finding = "0a1b2c3d-01234567-89ab-f1";
        assert_eq!(query(finding), Query::Event(finding.into()));
        let pod = "5f7a3c1e-1111-2222-3333-444455556666";
        assert_eq!(query(pod), Query::Any(pod.into()));
        assert_eq!(query("container:12"), Query::Container("12".into()));
        assert_eq!(query("pod:shop/agent"), Query::Pod("shop/agent".into()));
        assert_eq!(query("99999999999"), Query::Any("99999999999".into()));
    }
}
