//! An event as rules see it: fields by name, borrowed, made only when they are asked for.

/// The fields that rules may name: those of the written event. In lists of objects a field is the list of its values.
pub const FIELDS: [&str; 65] = [
    "class_uid",
    "activity_id",
    "activity_name",
    "status_id",
    "status_code",
    "metadata.uid",
    "unmapped.mcp.kind",
    "unmapped.mcp.stage",
    "unmapped.mcp.direction",
    "unmapped.mcp.method",
    "unmapped.mcp.target",
    "unmapped.mcp.protocol_version",
    "unmapped.mcp.transport",
    "unmapped.mcp.encrypted",
    "unmapped.mcp.outcome",
    "unmapped.mcp.session_id_hash",
    "unmapped.mcp.batch",
    "unmapped.mcp.sensitivity",
    "unmapped.mcp.client.pid",
    "unmapped.mcp.client.exe",
    "unmapped.mcp.client.uid",
    "unmapped.mcp.client.container",
    "unmapped.mcp.client.pod",
    "unmapped.mcp.client_info.name",
    "unmapped.mcp.server.pid",
    "unmapped.mcp.server.exe",
    "unmapped.mcp.server.uid",
    "unmapped.mcp.server.container",
    "unmapped.mcp.server.pod",
    "unmapped.mcp.server_info.name",
    "unmapped.mcp.identity.client.subject",
    "unmapped.mcp.identity.client.method",
    "unmapped.mcp.identity.client.assurance",
    "unmapped.mcp.identity.client.verified",
    "unmapped.mcp.identity.client.contradictions",
    "unmapped.mcp.identity.server.subject",
    "unmapped.mcp.identity.server.method",
    "unmapped.mcp.identity.server.assurance",
    "unmapped.mcp.identity.server.verified",
    "unmapped.mcp.request.bytes",
    "unmapped.mcp.request.arg_keys",
    "unmapped.mcp.request.truncated",
    "unmapped.mcp.response.bytes",
    "unmapped.mcp.response.item_count",
    "unmapped.mcp.response.truncated",
    "unmapped.mcp.resources.kind",
    "unmapped.mcp.resources.name",
    "unmapped.mcp.resources.operation",
    "unmapped.mcp.query.type",
    "unmapped.mcp.classifications.class",
    "unmapped.mcp.classifications.part",
    "unmapped.mcp.decision.observed.decision",
    "unmapped.mcp.decision.observed.basis",
    "unmapped.mcp.decision.observed.code",
    "unmapped.mcp.decision.evaluated.decision",
    "unmapped.mcp.chain.depth",
    "unmapped.mcp.gap.cause",
    "unmapped.mcp.gap.bytes_lost",
    "unmapped.mcp.observed.programs.path",
    "unmapped.mcp.observed.files.path",
    "unmapped.mcp.observed.connections.address",
    "unmapped.mcp.differences.kind",
    "unmapped.mcp.anomalies.kind",
    "unmapped.mcp.anomalies.subject",
    "unmapped.mcp.anomalies.signs.signs",
];

/// A value of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Field<'a> {
    /// A text; at most 1 KiB of it counts.
    Text(std::borrow::Cow<'a, str>),
    /// A number.
    Number(i64),
    /// True or false.
    Flag(bool),
    /// Several values; a rule is met where one of them meets it.
    List(Vec<Field<'a>>),
    /// Not known.
    Null,
}

impl<'a> From<&'a str> for Field<'a> {
    fn from(text: &'a str) -> Self {
        let cut = text.floor_char_boundary(1024);
        Self::Text(text.get(..cut).unwrap_or_default().into())
    }
}

impl From<bool> for Field<'_> {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<u64> for Field<'_> {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl<'a, T: Into<Field<'a>>> From<Option<T>> for Field<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<'a, T: Into<Field<'a>>> FromIterator<T> for Field<'a> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }
}

/// An event, field by field.
pub trait View {
    /// One of [`FIELDS`]; `None` for other names.
    fn field(&self, path: &str) -> Option<Field<'_>>;
}
