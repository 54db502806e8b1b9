//! An entry of the log on its way, with what sinks ask of it.

use serde::Deserialize;

/// What is sent: an entry of the log, or a checkpoint of it.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// Its index in the log; checkpoints have none.
    pub(crate) index: Option<u64>,
    /// OCSF, as JSON on one line.
    pub(crate) bytes: Vec<u8>,
    pub(crate) head: Head,
}

/// What sinks sort, filter and name events by.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Head {
    /// `metadata.uid`.
    pub(crate) uid: String,
    /// `class_uid`.
    pub(crate) class: u32,
    /// `severity_id`.
    pub(crate) severity: u8,
    /// `time`, in milliseconds since the epoch.
    pub(crate) time_ms: u64,
    /// It tells of an interaction that is not over, under the uid that its end will have, too.
    pub(crate) is_open: bool,
    /// Who asked, as far as that is known.
    pub(crate) identity: Option<String>,
}

impl Event {
    /// An entry of the log.
    pub(crate) fn of(index: u64, bytes: Vec<u8>) -> Self {
        let head = Head::read(&bytes, index);
        Self {
            index: Some(index),
            bytes,
            head,
        }
    }

    /// What it is known by where everything has a name of its own: an interaction is told twice under one uid.
    pub(crate) fn key(&self) -> String {
        let Head { uid, is_open, .. } = &self.head;
        if *is_open {
            format!("{uid}:open")
        } else {
            uid.clone()
        }
    }
}

impl Head {
    fn read(bytes: &[u8], index: u64) -> Self {
        let read: Wire = serde_json::from_slice(bytes).unwrap_or_default();
        let mcp = read.unmapped.mcp;
        let client = mcp.client.unwrap_or_default();
        let identity = mcp.identity.and_then(|one| one.client).or(client.identity);
        let subject = identity.and_then(|one| one.subject);
        Self {
            uid: read
                .metadata
                .uid
                .unwrap_or_else(|| format!("entry-{index}")),
            class: read.class_uid,
            severity: read.severity_id,
            time_ms: read.time,
            is_open: mcp.stage.as_deref() == Some("open"),
            identity: subject.or(client.cgroup).or(client.container),
        }
    }
}

// The parts of an event that are read.

#[derive(Default, Deserialize)]
#[serde(default)]
struct Wire {
    metadata: Metadata,
    class_uid: u32,
    severity_id: u8,
    time: u64,
    unmapped: Unmapped,
}

#[derive(Default, Deserialize)]
struct Metadata {
    uid: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Unmapped {
    mcp: Mcp,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Mcp {
    stage: Option<String>,
    identity: Option<Identities>,
    client: Option<Side>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Side {
    cgroup: Option<String>,
    container: Option<String>,
    identity: Option<Identity>,
}

#[derive(Deserialize)]
struct Identities {
    client: Option<Identity>,
}

#[derive(Deserialize)]
struct Identity {
    subject: Option<String>,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An event with a uid.
    pub(crate) fn event(index: u64, uid: &str) -> Event {
        let text = serde_json::json!({
            "metadata": {"uid": uid},
            "class_uid": 6003,
            "severity_id": 1,
            "time": 1_700_000_000_000_u64 + index,
            "unmapped": {"mcp": {"stage": "final"}},
        });
        Event::of(index, text.to_string().into_bytes())
    }

    #[test]
    fn what_an_event_is_sorted_by_is_read() {
        let text = br#"{"metadata":{"uid":"r-1","version":"1.8.0"},"class_uid":6003,"severity_id":2,"time":17,
            "unmapped":{"mcp":{"stage":"open","client":{"cgroup":"/a"},"identity":{"client":{"subject":"spiffe://x/y"},"server":null}}}}"#;
        let event = Event::of(4, text.to_vec());
        let expected = Head {
            uid: "r-1".to_owned(),
            class: 6_003,
            severity: 2,
            time_ms: 17,
            is_open: true,
            identity: Some("spiffe://x/y".to_owned()),
        };
        assert_eq!(event.head, expected);
        assert_eq!(event.key(), "r-1:open");
        let finding = br#"{"metadata":{"uid":"r-2"},"unmapped":{"mcp":{"client":{"identity":{"subject":null},"container":"c1"}}}}"#;
        let finding = Event::of(5, finding.to_vec());
        assert_eq!(finding.head.identity.as_deref(), Some("c1"));
        assert_eq!(Event::of(6, b"{".to_vec()).head.uid, "entry-6");
    }
}
