//! What the copies take out of an entry of the log. Everything may be missing.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, de::Visitor};

/// A text, borrowed from the entry where it has no escapes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Text<'a>(Cow<'a, str>);

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;

        impl<'de> Visitor<'de> for Texts {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Texts)
    }
}

/// An entry: an interaction, a finding, or what happened to the auditor.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Event<'a> {
    #[serde(borrow)]
    pub(crate) metadata: Option<Metadata<'a>>,
    pub(crate) time: Option<i64>,
    pub(crate) class_uid: Option<u32>,
    #[serde(borrow)]
    pub(crate) severity: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) status_code: Option<Text<'a>>,
    pub(crate) duration: Option<i64>,
    #[serde(borrow)]
    pub(crate) device: Option<Device<'a>>,
    #[serde(borrow)]
    pub(crate) finding_info: Option<FindingInfo<'a>>,
    #[serde(borrow)]
    pub(crate) unmapped: Option<Unmapped<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Metadata<'a> {
    #[serde(borrow)]
    pub(crate) uid: Option<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Device<'a> {
    #[serde(borrow)]
    pub(crate) hostname: Option<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct FindingInfo<'a> {
    #[serde(borrow)]
    pub(crate) title: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) types: Vec<Option<Text<'a>>>,
    #[serde(borrow)]
    pub(crate) related_events: Vec<Related<'a>>,
    #[serde(borrow)]
    pub(crate) analytic: Option<Analytic<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Related<'a> {
    #[serde(borrow)]
    pub(crate) uid: Option<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Analytic<'a> {
    #[serde(borrow)]
    pub(crate) uid: Option<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Unmapped<'a> {
    #[serde(borrow)]
    pub(crate) mcp: Option<Mcp<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Mcp<'a> {
    #[serde(borrow)]
    pub(crate) kind: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) stage: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) direction: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) method: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) target: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) transport: Option<Text<'a>>,
    pub(crate) encrypted: Option<bool>,
    #[serde(borrow)]
    pub(crate) flow: Option<Flow<'a>>,
    #[serde(borrow)]
    pub(crate) session: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) session_id_hash: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) client: Option<Side<'a>>,
    #[serde(borrow)]
    pub(crate) server: Option<Side<'a>>,
    #[serde(borrow)]
    pub(crate) identity: Option<Identities<'a>>,
    #[serde(borrow)]
    pub(crate) credential: Option<Credential<'a>>,
    #[serde(borrow)]
    pub(crate) client_info: Option<Info<'a>>,
    #[serde(borrow)]
    pub(crate) server_info: Option<Info<'a>>,
    pub(crate) request: Option<Message>,
    pub(crate) response: Option<Message>,
    #[serde(borrow)]
    pub(crate) resources: Vec<Resource<'a>>,
    #[serde(borrow)]
    pub(crate) sensitivity: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) query: Option<Query<'a>>,
    pub(crate) result: Option<Returned>,
    #[serde(borrow)]
    pub(crate) classifications: Vec<Class<'a>>,
    #[serde(borrow)]
    pub(crate) decision: Option<Decision<'a>>,
    #[serde(borrow)]
    pub(crate) anomalies: Vec<Named<'a>>,
    #[serde(borrow)]
    pub(crate) differences: Vec<Named<'a>>,
    #[serde(borrow)]
    pub(crate) outcome: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) hop: Option<Hop<'a>>,
    #[serde(borrow)]
    pub(crate) chain: Option<Chain<'a>>,
    pub(crate) time_ns: Option<i64>,
    pub(crate) end_time_ns: Option<i64>,
    #[serde(borrow)]
    pub(crate) gap: Option<Gap<'a>>,
    #[serde(borrow)]
    pub(crate) finding: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) event: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) first: Option<Side<'a>>,
    #[serde(borrow)]
    pub(crate) second: Option<Side<'a>>,
    #[serde(borrow)]
    pub(crate) secret_hash: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) lifecycle: Option<Lifecycle<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Flow<'a> {
    #[serde(borrow)]
    pub(crate) community_id: Option<Text<'a>>,
}

/// A side of an interaction, or who is involved in a finding and by which event.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Side<'a> {
    #[serde(borrow)]
    pub(crate) event: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) identity: Option<Identity<'a>>,
    pub(crate) pid: Option<i64>,
    pub(crate) start_time: Option<i64>,
    #[serde(borrow)]
    pub(crate) exe: Option<Text<'a>>,
    pub(crate) uid: Option<i64>,
    #[serde(borrow)]
    pub(crate) cgroup: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) container: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) pod: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) workload: Option<Workload<'a>>,
    #[serde(borrow)]
    pub(crate) program: Option<Program<'a>>,
    #[serde(borrow)]
    pub(crate) workflow: Option<Workflow<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Workload<'a> {
    #[serde(borrow)]
    pub(crate) container: Option<Container<'a>>,
    #[serde(borrow)]
    pub(crate) pod: Option<Pod<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Container<'a> {
    #[serde(borrow)]
    pub(crate) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) image: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) image_digest: Option<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Pod<'a> {
    #[serde(borrow)]
    pub(crate) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) namespace: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) service_account: Option<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Program<'a> {
    #[serde(borrow)]
    pub(crate) script: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) package: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) version: Option<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Workflow<'a> {
    #[serde(borrow)]
    pub(crate) system: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) repository: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) workflow: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) run: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) job: Option<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Identities<'a> {
    #[serde(borrow)]
    pub(crate) client: Option<Identity<'a>>,
    #[serde(borrow)]
    pub(crate) server: Option<Identity<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Identity<'a> {
    #[serde(borrow)]
    pub(crate) subject: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) assurance: Option<Text<'a>>,
    pub(crate) verified: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Credential<'a> {
    #[serde(borrow)]
    pub(crate) hash: Option<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Info<'a> {
    #[serde(borrow)]
    pub(crate) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) version: Option<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Message {
    pub(crate) bytes: Option<i64>,
    pub(crate) item_count: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Resource<'a> {
    #[serde(borrow)]
    pub(crate) kind: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) namespace: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) operation: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) sensitivity: Option<Sensitivity<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Sensitivity<'a> {
    #[serde(borrow)]
    pub(crate) level: Option<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Query<'a> {
    #[serde(borrow)]
    pub(crate) r#type: Option<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Returned {
    pub(crate) rows: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Class<'a> {
    #[serde(borrow)]
    pub(crate) part: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) class: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) level: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) place: Option<Text<'a>>,
    pub(crate) count: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Decision<'a> {
    #[serde(borrow)]
    pub(crate) observed: Option<Decided<'a>>,
    #[serde(borrow)]
    pub(crate) evaluated: Option<Decided<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Decided<'a> {
    #[serde(borrow)]
    pub(crate) decision: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) policies: Vec<Policy<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Policy<'a> {
    #[serde(borrow)]
    pub(crate) id: Option<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Named<'a> {
    #[serde(borrow)]
    pub(crate) kind: Option<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Hop<'a> {
    #[serde(borrow)]
    pub(crate) call: Option<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Chain<'a> {
    #[serde(borrow)]
    pub(crate) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) parent: Option<Text<'a>>,
    pub(crate) depth: Option<i64>,
    #[serde(borrow)]
    pub(crate) certainty: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) workflow: Option<Workflow<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Gap<'a> {
    #[serde(borrow)]
    pub(crate) cause: Option<Text<'a>>,
    pub(crate) bytes_lost: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Lifecycle<'a> {
    #[serde(borrow)]
    pub(crate) what: Option<Text<'a>>,
}
