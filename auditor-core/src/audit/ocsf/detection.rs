//! Writes what a rule says as OCSF 1.8.0 `detection_finding` (class 2004), or as `data_security_finding` (class 2006)
//! where the rule is about data that leaves.

use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    Device, Metadata, Product, Profiles, device,
    who::{OcsfProcess, process},
};
use crate::audit::{
    detected::DetectionEvent,
    event::Party,
    hex::List,
    unmapped::{Anomalies, DifferenceView, IdentityView, differences},
};

impl DetectionEvent {
    /// Appends the finding as one line of JSON, without the line's end.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        // Writing to memory cannot fail, and no map here has keys that are not strings.
        let _ = serde_json::to_writer(out, &Finding::of(self));
    }
}

#[derive(Serialize)]
struct Finding<'a> {
    metadata: Metadata<'a, String>,
    time: u64,
    category_uid: u32,
    category_name: &'static str,
    class_uid: u32,
    class_name: &'static str,
    activity_id: u8,
    activity_name: &'static str,
    type_uid: u32,
    severity_id: u8,
    severity: &'static str,
    status_id: u8,
    status: &'static str,
    is_alert: bool,
    finding_info: Info<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    evidences: Vec<Evidence<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<Evidence<'a>>,
    device: Device<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cloud: Option<&'a RawValue>,
    unmapped: Unmapped<'a>,
}

#[derive(Serialize)]
struct Info<'a> {
    uid: String,
    title: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    desc: Option<&'a str>,
    types: Vec<&'static str>,
    created_time: u64,
    analytic: Analytic<'a>,
    related_events: Vec<Related>,
    related_events_count: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attacks: Vec<Attack>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tag<'a>>,
}

#[derive(Serialize)]
struct Analytic<'a> {
    name: &'a str,
    uid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    type_id: u8,
    r#type: &'static str,
}

#[derive(Serialize)]
struct Related {
    uid: String,
}

#[derive(Serialize)]
struct Attack {
    technique: Technique,
}

#[derive(Serialize)]
struct Technique {
    uid: String,
}

#[derive(Serialize)]
struct Tag<'a> {
    name: &'static str,
    values: Vec<&'a str>,
}

#[derive(Serialize)]
struct Evidence<'a> {
    process: OcsfProcess<'a>,
}

#[derive(Serialize)]
struct Unmapped<'a> {
    mcp: Mcp<'a>,
}

#[derive(Serialize)]
struct Mcp<'a> {
    kind: &'static str,
    stage: &'static str,
    finding: &'a str,
    rule: Rule<'a>,
    event: String,
    method: Option<&'a str>,
    target: Option<&'a str>,
    client: Identified<'a>,
    server: Identified<'a>,
    anomalies: List<Anomalies<'a>>,
    differences: Vec<DifferenceView<'a>>,
    correlation: Option<Correlation<'a>>,
    suppressed: u32,
    environment: Option<&'a RawValue>,
    time_ns: u64,
}

#[derive(Serialize)]
struct Rule<'a> {
    id: &'a str,
    level: &'static str,
    tags: &'a [String],
    false_positives: &'a [String],
}

#[derive(Serialize)]
struct Identified<'a> {
    pid: Option<u32>,
    exe: Option<&'a str>,
    container: Option<&'a str>,
    identity: Option<IdentityView<'a>>,
}

#[derive(Serialize)]
struct Correlation<'a> {
    value: f64,
    seconds: u64,
    group: Vec<Group<'a>>,
}

#[derive(Serialize)]
struct Group<'a> {
    field: &'a str,
    value: &'a str,
}

impl<'a> Finding<'a> {
    fn of(told: &'a DetectionEvent) -> Self {
        let event = &*told.event;
        let rule = &*told.hit.rule;
        let settings = &*event.settings;
        let environment = event.environment.as_deref();
        let cloud = environment.and_then(|one| one.cloud.as_deref());
        let parties = [&event.client, &event.server];
        let processes = || {
            parties
                .into_iter()
                .filter_map(|party| Some((party, party.process.as_deref()?)))
        };
        let is_contained = processes().any(|(_, one)| one.container.is_some());
        let evidence = |(party, one): (&'a Party, &'a crate::audit::Process)| Evidence {
            process: process(one.key, party.actor.map(|actor| actor.tid), Some(one)),
        };
        let (class_uid, class_name) = if rule.is_about_data {
            (2006, "Data Security Finding")
        } else {
            (2004, "Detection Finding")
        };
        let (severity_id, severity) = told.severity();
        let (events, count) = told.events();
        Self {
            metadata: Metadata {
                version: "1.8.0",
                product: Product::of(settings),
                profiles: Profiles {
                    is_contained,
                    is_traced: false,
                    is_in_cloud: cloud.is_some(),
                    is_classified: false,
                    is_authorized: false,
                },
                uid: told.uid(),
                sequence: told.sequence,
                logged_time: told.logged.millis(),
            },
            time: event.time().millis(),
            category_uid: 2,
            category_name: "Findings",
            class_uid,
            class_name,
            activity_id: 1,
            activity_name: "Create",
            type_uid: class_uid * 100 + 1,
            severity_id,
            severity,
            status_id: 1,
            status: "New",
            is_alert: severity_id >= 3,
            finding_info: Info {
                uid: told.uid(),
                title: &rule.title,
                desc: rule.description.as_deref(),
                types: event.anomalies.iter().map(|one| one.kind.name()).collect(),
                created_time: told.logged.millis(),
                analytic: Analytic {
                    name: &rule.title,
                    uid: &rule.id,
                    version: rule.version.as_deref(),
                    type_id: 1,
                    r#type: "Rule",
                },
                related_events: events.into_iter().map(|uid| Related { uid }).collect(),
                related_events_count: count,
                attacks: attacks(&rule.tags),
                tags: tags(&rule.tags),
            },
            evidences: if rule.is_about_data {
                Vec::new()
            } else {
                processes().map(evidence).collect()
            },
            actor: processes()
                .next()
                .filter(|_| rule.is_about_data)
                .map(evidence),
            device: device(settings, environment),
            cloud,
            unmapped: Unmapped {
                mcp: Mcp {
                    kind: "finding",
                    stage: "final",
                    finding: "rule",
                    rule: Rule {
                        id: &rule.id,
                        level: rule.level.name(),
                        tags: &rule.tags,
                        false_positives: &rule.false_positives,
                    },
                    event: event.uid(),
                    method: event.interaction.method.as_deref(),
                    target: event.interaction.target.as_deref(),
                    client: identified(&event.client, event.client_identity.as_ref()),
                    server: identified(&event.server, event.server_identity.as_ref()),
                    anomalies: Anomalies::of(event),
                    differences: differences(event),
                    correlation: told.hit.correlated.as_ref().map(|found| Correlation {
                        value: found.value,
                        seconds: found.seconds,
                        group: found
                            .group
                            .iter()
                            .map(|(field, value)| Group { field, value })
                            .collect(),
                    }),
                    suppressed: told.hit.suppressed,
                    environment: environment.map(|one| &*one.mcp),
                    time_ns: event.time().0,
                },
            },
        }
    }
}

fn identified<'a>(
    party: &'a Party,
    identity: Option<&'a crate::identity::Identity>,
) -> Identified<'a> {
    let process = party.process.as_deref();
    Identified {
        pid: party.actor.map(|actor| actor.process.pid),
        exe: process.and_then(|one| one.exe.as_deref()),
        container: process.and_then(|one| one.container.as_deref()),
        identity: identity.map(IdentityView::of),
    }
}

/// Techniques of MITRE ATLAS and ATT&CK, by the rule's tags.
fn attacks(tags: &[String]) -> Vec<Attack> {
    let of = |tag: &String| {
        let (space, name) = tag.split_once('.')?;
        let is_technique = match space {
            "atlas" => name.starts_with("aml.t"),
            "attack" => name
                .strip_prefix('t')
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())),
            _ => false,
        };
        is_technique.then(|| Attack {
            technique: Technique {
                uid: name.to_uppercase(),
            },
        })
    };
    tags.iter().filter_map(of).collect()
}

/// Risks of OWASP's MCP Top 10, by the rule's tags.
fn tags(tags: &[String]) -> Vec<Tag<'_>> {
    let values: Vec<_> = tags
        .iter()
        .filter_map(|tag| tag.strip_prefix("owasp-mcp."))
        .collect();
    if values.is_empty() {
        return Vec::new();
    }
    vec![Tag {
        name: "owasp_mcp_top_10",
        values,
    }]
}
