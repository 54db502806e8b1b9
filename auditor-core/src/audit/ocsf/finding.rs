//! Writes a finding as OCSF 1.8.0 `detection_finding` (class 2004).

use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    Device, Metadata, Product, Profiles, device,
    who::{OcsfProcess, process},
};
use crate::{
    audit::{finding::FindingEvent, unmapped::IdentityView},
    identity::Use,
};

impl FindingEvent {
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
    finding_info: Info,
    evidences: Vec<Evidence<'a>>,
    device: Device<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cloud: Option<&'a RawValue>,
    unmapped: Unmapped<'a>,
}

#[derive(Serialize)]
struct Info {
    uid: String,
    title: &'static str,
    desc: &'static str,
    types: [&'static str; 1],
    created_time: u64,
    analytic: Analytic,
}

#[derive(Serialize)]
struct Analytic {
    name: &'static str,
    uid: &'static str,
    type_id: u8,
    r#type: &'static str,
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
    finding: &'static str,
    secret_hash: Option<&'a str>,
    policies: Vec<&'a str>,
    first: Option<Involved<'a>>,
    second: Involved<'a>,
    environment: Option<&'a RawValue>,
    time_ns: u64,
}

/// Who is involved, by which interaction.
#[derive(Serialize)]
struct Involved<'a> {
    event: String,
    time_ns: u64,
    pid: u32,
    start_time: u64,
    exe: Option<&'a str>,
    container: Option<&'a str>,
    identity: Option<IdentityView<'a>>,
}

impl<'a> Finding<'a> {
    fn of(event: &'a FindingEvent) -> Self {
        let finding = &event.finding;
        let settings = &*event.settings;
        let users = || finding.first.iter().chain([&finding.second]);
        let contained = users().any(|one| one.process.container.is_some());
        let time = finding.second.time;
        let environment = event.environment.as_deref();
        let cloud = environment.and_then(|one| one.cloud.as_deref());
        Self {
            metadata: Metadata {
                version: "1.8.0",
                product: Product::of(settings),
                profiles: Profiles {
                    is_contained: contained,
                    is_traced: false,
                    is_in_cloud: cloud.is_some(),
                    is_classified: false,
                    is_authorized: false,
                },
                uid: event.uid(),
                sequence: event.sequence,
                logged_time: event.logged.millis(),
            },
            time: time.millis(),
            category_uid: 2,
            category_name: "Findings",
            class_uid: 2004,
            class_name: "Detection Finding",
            activity_id: 1,
            activity_name: "Create",
            type_uid: 200_401,
            severity_id: 4,
            severity: "High",
            status_id: 1,
            status: "New",
            is_alert: true,
            finding_info: Info {
                uid: event.uid(),
                title: event.title(),
                desc: event.description(),
                types: [event.code()],
                created_time: event.logged.millis(),
                analytic: Analytic {
                    name: event.code(),
                    uid: event.code(),
                    type_id: 1,
                    r#type: "Rule",
                },
            },
            evidences: users()
                .map(|one| Evidence {
                    process: process(one.process.key, None, Some(&one.process)),
                })
                .collect(),
            device: device(settings, environment),
            cloud,
            unmapped: Unmapped {
                mcp: Mcp {
                    kind: "finding",
                    stage: "final",
                    finding: event.code(),
                    secret_hash: finding.secret.as_deref(),
                    policies: finding.policies.iter().map(|id| &**id).collect(),
                    first: finding.first.as_ref().map(|one| involved(event, one)),
                    second: involved(event, &finding.second),
                    environment: environment.map(|one| &*one.mcp),
                    time_ns: time.0,
                },
            },
        }
    }
}

fn involved<'a>(event: &FindingEvent, user: &'a Use) -> Involved<'a> {
    let process = &*user.process;
    Involved {
        event: format!("{}-{}", event.settings.run, user.interaction.0),
        time_ns: user.time.0,
        pid: process.key.pid,
        start_time: process.key.start,
        exe: process.exe.as_deref(),
        container: process.container.as_deref(),
        identity: user.identity.as_ref().map(IdentityView::of),
    }
}
