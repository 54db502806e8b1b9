//! An event as rules see it. Names are those of the written event; see `auditor_detect::FIELDS`.

use auditor_detect::{Field, View};

use super::{
    activity::What,
    event::{AuditEvent, Party},
    ocsf::is_open,
    outcome, unmapped,
};
use crate::{
    identity::{Assurance, Identity},
    mcp::Direction,
};

const MCP: &str = "unmapped.mcp.";

impl View for AuditEvent {
    fn field(&self, path: &str) -> Option<Field<'_>> {
        match path.strip_prefix(MCP) {
            Some(name) => mcp(self, name),
            None => outer(self, path),
        }
    }
}

fn outer<'a>(event: &'a AuditEvent, path: &str) -> Option<Field<'a>> {
    let interaction = &event.interaction;
    Some(match path {
        "class_uid" => 6003_u64.into(),
        "activity_id" | "activity_name" => {
            let (id, name) = outcome::activity(interaction.method.as_deref(), &event.content);
            if path == "activity_id" {
                u64::from(id).into()
            } else {
                name.into()
            }
        }
        "status_id" => u64::from(outcome::status_id(interaction)).into(),
        "status_code" => match outcome::status_code(interaction) {
            Some(code) => Field::Text(code),
            None => Field::Null,
        },
        "metadata.uid" => Field::Text(event.uid().into()),
        _ => return None,
    })
}

fn mcp<'a>(event: &'a AuditEvent, name: &str) -> Option<Field<'a>> {
    let interaction = &event.interaction;
    let session = &*interaction.session;
    if let Some((end, rest)) = name.split_once('.') {
        let (party, identity) = match end {
            "client" => (&event.client, None),
            "server" => (&event.server, None),
            "identity" => match rest.split_once('.')? {
                ("client", rest) => (&event.client, Some((&event.client_identity, rest))),
                ("server", rest) => (&event.server, Some((&event.server_identity, rest))),
                _ => return None,
            },
            "client_info" if rest == "name" => {
                return Some(
                    session
                        .client_info
                        .as_ref()
                        .map(|info| info.name.as_str())
                        .into(),
                );
            }
            "server_info" if rest == "name" => {
                return Some(
                    session
                        .server_info
                        .as_ref()
                        .map(|info| info.name.as_str())
                        .into(),
                );
            }
            _ => return nested(event, end, rest),
        };
        return match identity {
            Some((identity, rest)) => of_identity(identity.as_ref(), rest),
            None => of_party(party, rest),
        };
    }
    Some(match name {
        "kind" => unmapped::kind(interaction.kind).into(),
        "stage" => if is_open(event) { "open" } else { "final" }.into(),
        "direction" => match interaction.direction {
            Direction::ClientToServer => "client_to_server",
            Direction::ServerToClient => "server_to_client",
        }
        .into(),
        "method" => interaction.method.as_deref().into(),
        "target" => interaction.target.as_deref().into(),
        "protocol_version" => interaction.protocol_version.as_deref().into(),
        "transport" => interaction
            .unheard
            .is_none()
            .then(|| unmapped::transport(session.transport))
            .into(),
        "encrypted" => {
            let is_tls = event
                .channel
                .as_ref()
                .is_some_and(|channel| channel.tls.is_some());
            (is_tls || interaction.unheard.is_some()).into()
        }
        "outcome" => outcome::word(interaction, event.observed.as_ref()).into(),
        "session_id_hash" => event.session_hash.as_deref().into(),
        "batch" => interaction.batch.map(u64::from).into(),
        "sensitivity" => event
            .content
            .level()
            .map(auditor_resource::Level::name)
            .into(),
        _ => return None,
    })
}

fn of_party<'a>(party: &'a Party, name: &str) -> Option<Field<'a>> {
    let process = party.process.as_deref();
    Some(match name {
        "pid" => party.actor.map(|actor| u64::from(actor.process.pid)).into(),
        "exe" => process.and_then(|one| one.exe.as_deref()).into(),
        "uid" => process.and_then(|one| one.uid.map(u64::from)).into(),
        "container" => process.and_then(|one| one.container.as_deref()).into(),
        "pod" => {
            let workload = process.and_then(|one| one.workload.as_deref());
            workload
                .and_then(|one| Some(one.pod.as_ref()?.uid.as_str()))
                .into()
        }
        _ => return None,
    })
}

fn of_identity<'a>(identity: Option<&'a Identity>, name: &str) -> Option<Field<'a>> {
    Some(match name {
        "subject" => identity.and_then(|one| one.subject.as_deref()).into(),
        "method" => identity.map(|one| one.method.code()).into(),
        "assurance" => identity
            .map(|one| match one.assurance {
                Assurance::A1 => "A1",
                Assurance::A2 => "A2",
                Assurance::A3 => "A3",
                Assurance::A4 => "A4",
            })
            .into(),
        "verified" => identity.map(|one| one.is_verified).into(),
        "contradictions" => identity
            .iter()
            .flat_map(|one| one.contradictions.iter().copied())
            .collect(),
        _ => return None,
    })
}

fn nested<'a>(event: &'a AuditEvent, outer: &str, name: &str) -> Option<Field<'a>> {
    let interaction = &event.interaction;
    let content = &event.content;
    Some(match (outer, name) {
        ("request", "bytes") => interaction.request.as_ref().map(|part| part.bytes).into(),
        ("request", "arg_keys") => {
            let keys = interaction.request.iter().flat_map(|part| &part.keys);
            keys.map(String::as_str).collect()
        }
        ("request", "truncated") => interaction
            .request
            .as_ref()
            .map(|part| part.truncated)
            .into(),
        ("response", "bytes") => interaction.response.as_ref().map(|part| part.bytes).into(),
        ("response", "item_count") => interaction
            .response
            .as_ref()
            .and_then(|part| part.items)
            .into(),
        ("response", "truncated") => interaction
            .response
            .as_ref()
            .map(|part| part.truncated)
            .into(),
        ("resources", "kind") => {
            let things = content.declared.resources.iter();
            things.map(|thing| thing.kind.name()).collect()
        }
        ("resources", "name") => {
            let things = content.declared.resources.iter();
            things.map(|thing| thing.name.as_str()).collect()
        }
        ("resources", "operation") => {
            let things = content.declared.resources.iter();
            things.map(|thing| thing.operation.name()).collect()
        }
        ("query", "type") => content
            .declared
            .query
            .as_ref()
            .map(|(_, query)| query.query_type.name())
            .into(),
        ("classifications", "class") => {
            let reports = content.request.iter().chain(&content.response);
            reports
                .flat_map(|report| &report.findings)
                .map(|found| &*found.class.name)
                .collect()
        }
        ("classifications", "part") => {
            let parts = [
                ("request", &content.request),
                ("response", &content.response),
            ];
            let found = parts.into_iter().filter(|(_, report)| {
                report
                    .as_ref()
                    .is_some_and(|report| !report.findings.is_empty())
            });
            found.map(|(part, _)| part).collect()
        }
        ("decision", "observed.decision") => {
            event.observed.as_ref().map(|one| one.verdict.name()).into()
        }
        ("decision", "observed.basis") => event.observed.as_ref().map(|one| one.basis).into(),
        ("decision", "observed.code") => match event.observed.as_ref().and_then(|one| one.code) {
            Some(code) => Field::Number(code),
            None => Field::Null,
        },
        ("decision", "evaluated.decision") => event
            .decision
            .as_ref()
            .map(|one| one.evaluated.outcome.name())
            .into(),
        ("chain", "depth") => event.chain.map(|chain| u64::from(chain.depth)).into(),
        ("gap", "cause") => interaction
            .gap
            .as_ref()
            .map(|gap| outcome::gap_cause(gap.cause))
            .into(),
        ("gap", "bytes_lost") => {
            let lost = |gap: &crate::wire::Gap| gap.range.end.saturating_sub(gap.range.start);
            interaction
                .gap
                .as_ref()
                .filter(|_| interaction.unheard.is_none())
                .map(lost)
                .into()
        }
        ("observed", "programs.path") => done(event, |what| match what {
            What::Program { path } => Some(path.as_str().into()),
            _ => None,
        }),
        ("observed", "files.path") => done(event, |what| match what {
            What::File { path, .. } => Some(path.as_str().into()),
            _ => None,
        }),
        ("observed", "connections.address") => done(event, |what| match what {
            What::Connection(noticed) => Some(Field::Text(noticed.address?.to_string().into())),
            _ => None,
        }),
        ("differences", "kind") => {
            let differences = event.activity.iter().flat_map(|one| &one.differences);
            differences.map(|one| one.kind.name()).collect()
        }
        ("anomalies", "kind") => event.anomalies.iter().map(|one| one.kind.name()).collect(),
        ("anomalies", "subject") => {
            let subjects = event
                .anomalies
                .iter()
                .filter_map(|one| one.subject.as_deref());
            subjects.collect()
        }
        ("anomalies", "signs.signs") => {
            let signs = event
                .anomalies
                .iter()
                .flat_map(|one| &one.signs)
                .flat_map(|one| &one.signs);
            signs.map(|sign| sign.name()).collect()
        }
        _ => return None,
    })
}

/// What of the things that the server did is asked for.
fn done<'a>(event: &'a AuditEvent, part: fn(&'a What) -> Option<Field<'a>>) -> Field<'a> {
    let entries = event.activity.iter().flat_map(|one| &one.entries);
    Field::List(entries.filter_map(|entry| part(&entry.what)).collect())
}
