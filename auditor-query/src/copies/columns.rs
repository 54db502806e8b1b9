//! The columns of the copies: three tables, joined by `log_index`. Their names are a contract: docs/search.md lists them.

use std::{borrow::Cow, sync::Arc};

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::event::{Class, Event, Mcp, Resource, Side, Text, Workflow};

/// The entry's index in the log: the first column of each table.
pub(crate) const LOG_INDEX: &str = "log_index";

/// What a table's rows are made of.
pub(crate) trait Table: 'static {
    /// One row's.
    type Row<'e>;
    /// Its columns, after [`LOG_INDEX`].
    const COLUMNS: &'static [Column<Self>];
    /// Its name in queries, and in the names of files.
    const NAME: &'static str;

    /// Its schema.
    fn schema() -> SchemaRef {
        let index = Field::new(LOG_INDEX, DataType::Int64, false);
        let fields = Self::COLUMNS.iter().map(Column::field);
        Arc::new(Schema::new(
            std::iter::once(index).chain(fields).collect::<Vec<_>>(),
        ))
    }
}

/// How a column is filled.
pub(crate) enum Read<T: Table + ?Sized> {
    /// A text.
    Text(for<'e> fn(&'e T::Row<'e>) -> Option<Cow<'e, str>>),
    /// A whole number.
    Long(for<'e> fn(&'e T::Row<'e>) -> Option<i64>),
    /// UTC milliseconds.
    Time(for<'e> fn(&'e T::Row<'e>) -> Option<i64>),
    /// A truth value.
    Truth(for<'e> fn(&'e T::Row<'e>) -> Option<bool>),
}

/// A column.
pub(crate) struct Column<T: Table + ?Sized> {
    /// Its name.
    pub(crate) name: &'static str,
    /// What fills it.
    pub(crate) read: Read<T>,
}

impl<T: Table + ?Sized> Column<T> {
    fn field(&self) -> Field {
        let kind = match self.read {
            Read::Text(_) => DataType::Utf8View,
            Read::Long(_) => DataType::Int64,
            Read::Time(_) => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            Read::Truth(_) => DataType::Boolean,
        };
        Field::new(self.name, kind, true)
    }
}

/// One row an entry.
pub(crate) struct Events;

/// One row for each thing that an interaction touches.
pub(crate) struct Resources;

/// One row for each kind of data that was found in a message.
pub(crate) struct Classes;

/// A part of an event, with the event.
pub(crate) struct Part<'e, T> {
    /// The event.
    pub(crate) event: &'e Event<'e>,
    /// The part.
    pub(crate) part: &'e T,
}

type Told<'t> = Option<Cow<'t, str>>;

fn text<'t>(text: &'t Option<Text<'_>>) -> Told<'t> {
    text.as_deref().map(Cow::Borrowed)
}

fn joined<'t>(texts: impl Iterator<Item = Cow<'t, str>>) -> Told<'t> {
    let mut all: Vec<_> = texts.collect();
    all.dedup();
    match all.len() {
        0 => None,
        1 => all.pop(),
        _ => Some(Cow::Owned(all.join(", "))),
    }
}

impl<'a> Event<'a> {
    fn mcp(&self) -> Option<&Mcp<'a>> {
        self.unmapped.as_ref()?.mcp.as_ref()
    }

    /// A side; of a finding about two, the client is who it was found at.
    fn side(&self, is_client: bool) -> Option<&Side<'a>> {
        let mcp = self.mcp()?;
        if is_client {
            mcp.client.as_ref().or(mcp.second.as_ref())
        } else {
            mcp.server.as_ref()
        }
    }

    /// `interaction`, `finding` or `lifecycle`.
    fn class(&self) -> Option<&'static str> {
        Some(match self.class_uid? {
            6003 => "interaction",
            2004 | 2006 => "finding",
            6002 => "lifecycle",
            _ => return None,
        })
    }

    /// The workflow that the chain began in, or else the client's own.
    fn workflow(&self) -> Option<&Workflow<'a>> {
        let mcp = self.mcp()?;
        let chain = mcp.chain.as_ref().and_then(|chain| chain.workflow.as_ref());
        chain.or_else(|| mcp.client.as_ref()?.workflow.as_ref())
    }
}

impl Workflow<'_> {
    /// `github acme/app deploy #42 build`.
    fn line(&self) -> Told<'_> {
        let run = self.run.as_deref().map(|run| format!("#{run}"));
        let parts = [&self.system, &self.repository, &self.workflow];
        let mut words: Vec<&str> = parts.into_iter().flatten().map(|text| &**text).collect();
        words.extend(run.as_deref());
        words.extend(self.job.as_deref());
        (!words.is_empty()).then(|| Cow::Owned(words.join(" ")))
    }
}

impl Resource<'_> {
    /// Whether it is the tool that is called, which has a column of its own in `events`.
    pub(super) fn is_tool(&self) -> bool {
        self.kind.as_deref() == Some("tool")
    }

    /// `table main.customers`, with the level in brackets where there is one.
    fn line(&self) -> Cow<'_, str> {
        let kind = self.kind.as_deref().unwrap_or("?");
        let name = self.name.as_deref().unwrap_or("?");
        let level = self
            .sensitivity
            .as_ref()
            .and_then(|one| one.level.as_deref());
        Cow::Owned(match level {
            Some(level) => format!("{kind} {name} ({level})"),
            None => format!("{kind} {name}"),
        })
    }
}

/// A text of the part under `unmapped.mcp`.
macro_rules! mcp {
    ($($path:ident).+) => {
        Read::Text(|event| {
            let at = event.mcp()?;
            mcp!(@ at, $($path).+)
        })
    };
    (@ $at:ident, $last:ident) => { text(&$at.$last) };
    (@ $at:ident, $next:ident . $($rest:ident).+) => {{
        let at = $at.$next.as_ref()?;
        mcp!(@ at, $($rest).+)
    }};
}

/// A text of one side.
macro_rules! side {
    ($is_client:literal, $($path:ident).+) => {
        Read::Text(|event| {
            let at = event.side($is_client)?;
            mcp!(@ at, $($path).+)
        })
    };
}

macro_rules! columns {
    ($($name:literal: $read:expr,)*) => { &[$(Column { name: $name, read: $read },)*] };
}

impl Table for Events {
    type Row<'e> = Event<'e>;
    const NAME: &'static str = "events";
    const COLUMNS: &'static [Column<Self>] = columns! {
        "time": Read::Time(|event| event.time),
        "uid": Read::Text(|event| text(&event.metadata.as_ref()?.uid)),
        "class": Read::Text(|event| event.class().map(Cow::Borrowed)),
        "kind": mcp!(kind),
        "stage": mcp!(stage),
        "direction": mcp!(direction),
        "method": mcp!(method),
        "request_id": mcp!(id),
        "target": mcp!(target),
        "tool": Read::Text(|event| {
            let mcp = event.mcp()?;
            (mcp.method.as_deref() == Some("tools/call")).then(|| text(&mcp.target)).flatten()
        }),
        "outcome": mcp!(outcome),
        "status_code": Read::Text(|event| text(&event.status_code)),
        "observed_decision": Read::Text(|event| text(&event.mcp()?.decision.as_ref()?.observed.as_ref()?.decision)),
        "evaluated_decision": Read::Text(|event| text(&event.mcp()?.decision.as_ref()?.evaluated.as_ref()?.decision)),
        "policies": Read::Text(|event| {
            let evaluated = event.mcp()?.decision.as_ref()?.evaluated.as_ref()?;
            joined(evaluated.policies.iter().filter_map(|policy| text(&policy.id)))
        }),
        "duration_ms": Read::Long(|event| event.duration),
        "time_ns": Read::Long(|event| event.mcp()?.time_ns),
        "end_time_ns": Read::Long(|event| event.mcp()?.end_time_ns),
        "identity": Read::Text(|event| {
            let mcp = event.mcp()?;
            let told = mcp.identity.as_ref().and_then(|both| both.client.as_ref());
            text(&told.or_else(|| event.side(true)?.identity.as_ref())?.subject)
        }),
        "assurance": Read::Text(|event| text(&event.mcp()?.identity.as_ref()?.client.as_ref()?.assurance)),
        "verified": Read::Truth(|event| event.mcp()?.identity.as_ref()?.client.as_ref()?.verified),
        "client_name": mcp!(client_info.name),
        "client_pid": Read::Long(|event| event.side(true)?.pid),
        "client_start": Read::Long(|event| event.side(true)?.start_time),
        "client_exe": side!(true, exe),
        "client_script": side!(true, program.script),
        "client_package": side!(true, program.package),
        "client_uid": Read::Long(|event| event.side(true)?.uid),
        "client_cgroup": side!(true, cgroup),
        "client_container": side!(true, container),
        "client_container_name": side!(true, workload.container.name),
        "client_image": side!(true, workload.container.image),
        "client_image_digest": side!(true, workload.container.image_digest),
        "client_pod_uid": side!(true, pod),
        "client_pod": side!(true, workload.pod.name),
        "client_namespace": side!(true, workload.pod.namespace),
        "client_service_account": side!(true, workload.pod.service_account),
        "server_identity": Read::Text(|event| {
            let mcp = event.mcp()?;
            let told = mcp.identity.as_ref().and_then(|both| both.server.as_ref());
            text(&told.or_else(|| mcp.server.as_ref()?.identity.as_ref())?.subject)
        }),
        "server_assurance": Read::Text(|event| text(&event.mcp()?.identity.as_ref()?.server.as_ref()?.assurance)),
        "server": mcp!(server_info.name),
        "server_version": mcp!(server_info.version),
        "server_pid": Read::Long(|event| event.side(false)?.pid),
        "server_start": Read::Long(|event| event.side(false)?.start_time),
        "server_exe": side!(false, exe),
        "server_script": side!(false, program.script),
        "server_package": side!(false, program.package),
        "server_container": side!(false, container),
        "server_container_name": side!(false, workload.container.name),
        "server_image": side!(false, workload.container.image),
        "server_image_digest": side!(false, workload.container.image_digest),
        "server_pod": side!(false, workload.pod.name),
        "server_namespace": side!(false, workload.pod.namespace),
        "workflow": Read::Text(|event| event.workflow()?.line()),
        "workflow_run": Read::Text(|event| text(&event.workflow()?.run)),
        "transport": mcp!(transport),
        "encrypted": Read::Truth(|event| event.mcp()?.encrypted),
        "session": mcp!(session),
        "session_hash": mcp!(session_id_hash),
        "token_hash": Read::Text(|event| {
            let mcp = event.mcp()?;
            let shown = mcp.credential.as_ref().and_then(|one| one.hash.as_ref());
            shown.or(mcp.secret_hash.as_ref()).map(|hash| Cow::Borrowed(&**hash))
        }),
        "community_id": mcp!(flow.community_id),
        "chain": mcp!(chain.id),
        "chain_parent": mcp!(chain.parent),
        "chain_depth": Read::Long(|event| event.mcp()?.chain.as_ref()?.depth),
        "chain_certainty": mcp!(chain.certainty),
        "call": mcp!(hop.call),
        "request_bytes": Read::Long(|event| event.mcp()?.request.as_ref()?.bytes),
        "response_bytes": Read::Long(|event| event.mcp()?.response.as_ref()?.bytes),
        "response_items": Read::Long(|event| event.mcp()?.response.as_ref()?.item_count),
        "rows": Read::Long(|event| event.mcp()?.result.as_ref()?.rows),
        "query_type": Read::Text(|event| text(&event.mcp()?.query.as_ref()?.r#type)),
        "sensitivity": mcp!(sensitivity),
        "resources": Read::Text(|event| {
            let things = event.mcp()?.resources.iter().filter(|one| !one.is_tool());
            joined(things.map(Resource::line))
        }),
        "classes": Read::Text(|event| {
            joined(event.mcp()?.classifications.iter().filter_map(|class| text(&class.class)))
        }),
        "anomalies": Read::Text(|event| joined(event.mcp()?.anomalies.iter().filter_map(|one| text(&one.kind)))),
        "differences": Read::Text(|event| joined(event.mcp()?.differences.iter().filter_map(|one| text(&one.kind)))),
        "finding": Read::Text(|event| match event.mcp()?.finding.as_deref()? {
                // What a rule found is of the rule's kind.
                "rule" => text(event.finding_info.as_ref()?.types.first()?),
                finding => Some(Cow::Borrowed(finding)),
            }),
        "title": Read::Text(|event| text(&event.finding_info.as_ref()?.title)),
        "severity": Read::Text(|event| text(&event.severity)),
        "about": Read::Text(|event| {
            let mcp = event.mcp().filter(|mcp| mcp.finding.is_some())?;
            let involved = [&mcp.first, &mcp.second].into_iter().flatten();
            let single = involved.map(|one| &one.event).chain([&mcp.event]).flatten();
            let related = event.finding_info.as_ref().map_or(&[][..], |info| &info.related_events);
            let related = related.iter().filter_map(|one| one.uid.as_ref());
            let mut uids: Vec<&str> = single.chain(related).map(|uid| &**uid).collect();
            uids.sort_unstable();
            uids.dedup();
            joined(uids.into_iter().map(Cow::Borrowed))
        }),
        "occasion": mcp!(lifecycle.what),
        "gap_cause": mcp!(gap.cause),
        "gap_bytes": Read::Long(|event| event.mcp()?.gap.as_ref()?.bytes_lost),
        "host": Read::Text(|event| text(&event.device.as_ref()?.hostname)),
    };
}

impl Table for Resources {
    type Row<'e> = Part<'e, Resource<'e>>;
    const NAME: &'static str = "resources";
    const COLUMNS: &'static [Column<Self>] = columns! {
        "time": Read::Time(|of| of.event.time),
        "kind": Read::Text(|of| text(&of.part.kind)),
        "name": Read::Text(|of| text(&of.part.name)),
        "namespace": Read::Text(|of| text(&of.part.namespace)),
        "operation": Read::Text(|of| text(&of.part.operation)),
        "level": Read::Text(|of| text(&of.part.sensitivity.as_ref()?.level)),
    };
}

impl Table for Classes {
    type Row<'e> = Part<'e, Class<'e>>;
    const NAME: &'static str = "classes";
    const COLUMNS: &'static [Column<Self>] = columns! {
        "time": Read::Time(|of| of.event.time),
        "part": Read::Text(|of| text(&of.part.part)),
        "class": Read::Text(|of| text(&of.part.class)),
        "level": Read::Text(|of| text(&of.part.level)),
        "place": Read::Text(|of| text(&of.part.place)),
        "count": Read::Long(|of| of.part.count),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn undocumented<T: Table>() -> Vec<&'static str> {
        const DOCS: &str = include_str!("../../../docs/search.md");
        let names = T::COLUMNS.iter().map(|column| column.name);
        names
            .filter(|name| !DOCS.contains(&format!("`{name}`")))
            .collect()
    }

    #[test]
    fn every_column_is_documented() {
        assert_eq!(undocumented::<Events>(), [""; 0]);
        assert_eq!(undocumented::<Resources>(), [""; 0]);
        assert_eq!(undocumented::<Classes>(), [""; 0]);
    }
}
