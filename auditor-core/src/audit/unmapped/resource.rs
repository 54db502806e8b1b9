//! What an interaction touches, as `unmapped.mcp` shows it.

use auditor_resource::{Resource, Returned, sql::Sql};
use serde::Serialize;

use crate::audit::{content::Content, hex::Hex, tools::Tool};

#[derive(Serialize)]
pub(super) struct ResourceView<'a> {
    kind: &'static str,
    name: &'a str,
    namespace: Option<&'a str>,
    operation: &'static str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    parts: &'a [String],
    place: &'a str,
    basis: &'static str,
    sensitivity: Option<SensitivityView<'a>>,
}

#[derive(Serialize)]
struct SensitivityView<'a> {
    level: &'static str,
    tags: &'a [String],
    by: &'a str,
}

/// What the statement with the most reach does.
#[derive(Serialize)]
pub(super) struct QueryView<'a> {
    r#type: &'static str,
    statements: u32,
    place: &'a str,
    columns: &'a [String],
    runs_program: bool,
}

#[derive(Serialize)]
pub(super) struct ResultView<'a> {
    rows: Option<u64>,
    items: Vec<ItemView>,
    links: &'a [String],
    links_left_out: u64,
}

#[derive(Serialize)]
struct ItemView {
    r#type: &'static str,
    count: u64,
    bytes: u64,
}

/// What a server said of its tool.
#[derive(Serialize)]
pub(super) struct ToolView {
    definition_sha256: Hex,
    read_only: Option<bool>,
    destructive: Option<bool>,
    open_world: Option<bool>,
}

pub(super) fn resources(content: &Content) -> Vec<ResourceView<'_>> {
    content
        .declared
        .resources
        .iter()
        .map(ResourceView::of)
        .collect()
}

impl<'a> ResourceView<'a> {
    fn of(resource: &'a Resource) -> Self {
        Self {
            kind: resource.kind.name(),
            name: &resource.name,
            namespace: resource.namespace.as_deref(),
            operation: resource.operation.name(),
            parts: &resource.parts,
            place: &resource.place,
            basis: resource.basis.name(),
            sensitivity: resource.sensitivity.as_ref().map(|one| SensitivityView {
                level: one.level.name(),
                tags: &one.tags,
                by: &one.by,
            }),
        }
    }
}

impl<'a> QueryView<'a> {
    pub(super) fn of((place, sql): &'a (String, Sql)) -> Self {
        Self {
            r#type: sql.query_type.name(),
            statements: sql.statements,
            place,
            columns: &sql.columns,
            runs_program: sql.runs_program,
        }
    }
}

impl<'a> ResultView<'a> {
    pub(super) fn of(returned: &'a Returned) -> Self {
        let item = |one: &auditor_resource::Item| ItemView {
            r#type: one.kind,
            count: one.count,
            bytes: one.bytes,
        };
        Self {
            rows: returned.rows,
            items: returned.types.iter().map(item).collect(),
            links: &returned.links,
            links_left_out: returned.links_left_out,
        }
    }
}

impl ToolView {
    pub(super) fn of(tool: &Tool) -> Self {
        Self {
            definition_sha256: Hex(tool.definition),
            read_only: tool.read_only,
            destructive: tool.destructive,
            open_world: tool.open_world,
        }
    }
}
