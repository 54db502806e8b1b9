//! The columns. All may be null; names and types are OCSF 1.8.0's, those under `unmapped.mcp` the auditor's own.

use std::sync::{Arc, LazyLock};

use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};

/// The column with the index of the entry in the log.
pub const LOG_INDEX: &str = "log_index";
/// The column with the entry itself.
pub const RAW_DATA: &str = "raw_data";

const TEXT: DataType = DataType::Utf8;
const LONG: DataType = DataType::Int64;
const INT: DataType = DataType::Int32;
const BOOL: DataType = DataType::Boolean;

fn list(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("element", item, true)))
}

fn object<const N: usize>(members: [(&str, DataType); N]) -> DataType {
    DataType::Struct(fields(members))
}

fn fields<const N: usize>(members: [(&str, DataType); N]) -> Fields {
    let fields = members.map(|(name, kind)| Field::new(name, kind, true));
    Fields::from(fields.to_vec())
}

fn named() -> DataType {
    object([("name", TEXT), ("version", TEXT)])
}

fn file() -> DataType {
    let hashes = object([("algorithm_id", INT), ("value", TEXT)]);
    object([("path", TEXT), ("name", TEXT), ("hashes", list(hashes))])
}

fn container() -> DataType {
    let image = object([("name", TEXT), ("uid", TEXT), ("tag", TEXT)]);
    object([
        ("uid", TEXT),
        ("name", TEXT),
        ("image", image),
        ("pod_uuid", TEXT),
        ("runtime", TEXT),
    ])
}

fn process() -> DataType {
    object([
        ("pid", LONG),
        ("uid", TEXT),
        ("cmd_line", TEXT),
        ("file", file()),
        ("user", object([("uid", TEXT), ("name", TEXT)])),
        ("container", container()),
    ])
}

fn endpoint() -> DataType {
    object([
        ("ip", TEXT),
        ("port", INT),
        ("hostname", TEXT),
        ("container", container()),
    ])
}

fn side() -> DataType {
    object([
        ("pid", LONG),
        ("start_time", LONG),
        ("exe", TEXT),
        ("exe_sha256", TEXT),
        ("uid", LONG),
        ("cgroup", TEXT),
        ("container", TEXT),
        ("pod", TEXT),
    ])
}

fn identity() -> DataType {
    object([
        ("subject", TEXT),
        ("method", TEXT),
        ("assurance", TEXT),
        ("verified", BOOL),
    ])
}

fn message() -> DataType {
    object([
        ("bytes", LONG),
        ("hash", TEXT),
        ("arg_keys", list(TEXT)),
        ("item_count", LONG),
    ])
}

/// What is special to MCP.
fn mcp() -> DataType {
    let resource = object([
        ("kind", TEXT),
        ("name", TEXT),
        ("namespace", TEXT),
        ("operation", TEXT),
        ("sensitivity", object([("level", TEXT)])),
    ]);
    let class = object([
        ("part", TEXT),
        ("class", TEXT),
        ("level", TEXT),
        ("rule", TEXT),
        ("place", TEXT),
        ("count", LONG),
    ]);
    let anomaly = object([("kind", TEXT)]);
    object([
        ("kind", TEXT),
        ("stage", TEXT),
        ("direction", TEXT),
        ("method", TEXT),
        ("id", TEXT),
        ("target", TEXT),
        ("protocol_version", TEXT),
        ("transport", TEXT),
        ("encrypted", BOOL),
        ("channel", TEXT),
        ("session", TEXT),
        ("session_id_hash", TEXT),
        ("flow", object([("community_id", TEXT)])),
        ("client", side()),
        ("server", side()),
        (
            "identity",
            object([("client", identity()), ("server", identity())]),
        ),
        ("credential", object([("scheme", TEXT), ("hash", TEXT)])),
        ("client_info", named()),
        ("server_info", named()),
        ("request", message()),
        ("response", message()),
        ("resources", list(resource)),
        ("sensitivity", TEXT),
        ("classifications", list(class)),
        ("anomalies", list(anomaly)),
        ("outcome", TEXT),
        (
            "hop",
            object([("call", TEXT), ("previous", TEXT), ("next", TEXT)]),
        ),
        ("event", TEXT),
        ("finding", TEXT),
        ("time_ns", LONG),
        ("end_time_ns", LONG),
    ])
}

fn event() -> Fields {
    let product = object([("name", TEXT), ("vendor_name", TEXT), ("version", TEXT)]);
    let metadata = object([
        ("uid", TEXT),
        ("version", TEXT),
        ("sequence", LONG),
        ("logged_time", LONG),
        ("profiles", list(TEXT)),
        ("product", product),
    ]);
    let api = object([
        ("operation", TEXT),
        ("version", TEXT),
        ("service", named()),
        ("request", object([("uid", TEXT)])),
    ]);
    let session = object([("uid", TEXT), ("issuer", TEXT), ("credential_uid", TEXT)]);
    let user = object([("uid", TEXT), ("name", TEXT)]);
    let actor = object([("process", process()), ("session", session), ("user", user)]);
    let resource = object([
        ("uid", TEXT),
        ("name", TEXT),
        ("namespace", TEXT),
        ("type", TEXT),
        ("version", TEXT),
    ]);
    let policy = object([("uid", TEXT), ("name", TEXT), ("version", TEXT)]);
    let authorization = object([("decision", TEXT), ("policy", policy)]);
    let device = object([
        ("hostname", TEXT),
        ("uid", TEXT),
        ("instance_uid", TEXT),
        ("region", TEXT),
        ("type_id", INT),
    ]);
    let account = object([("uid", TEXT), ("name", TEXT)]);
    let cloud = object([("provider", TEXT), ("region", TEXT), ("account", account)]);
    let span = object([("uid", TEXT)]);
    let analytic = object([
        ("uid", TEXT),
        ("name", TEXT),
        ("version", TEXT),
        ("type_id", INT),
    ]);
    let finding = object([
        ("uid", TEXT),
        ("title", TEXT),
        ("desc", TEXT),
        ("types", list(TEXT)),
        ("created_time", LONG),
        ("analytic", analytic),
        ("related_events", list(object([("uid", TEXT)]))),
    ]);
    fields([
        ("metadata", metadata),
        ("time", LONG),
        ("start_time", LONG),
        ("end_time", LONG),
        ("duration", LONG),
        ("category_uid", INT),
        ("category_name", TEXT),
        ("class_uid", INT),
        ("class_name", TEXT),
        ("activity_id", INT),
        ("activity_name", TEXT),
        ("type_uid", LONG),
        ("severity_id", INT),
        ("severity", TEXT),
        ("status_id", INT),
        ("status", TEXT),
        ("status_code", TEXT),
        ("status_detail", TEXT),
        ("action_id", INT),
        ("action", TEXT),
        ("is_alert", BOOL),
        ("actor", actor),
        ("api", api),
        ("src_endpoint", endpoint()),
        ("dst_endpoint", endpoint()),
        ("resources", list(resource)),
        ("authorizations", list(authorization)),
        ("finding_info", finding),
        ("device", device),
        ("cloud", cloud),
        ("trace", object([("uid", TEXT), ("span", span)])),
        ("unmapped", object([("mcp", mcp())])),
    ])
}

/// The columns that are read out of events.
pub(crate) static EVENT: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(Schema::new(event())));

/// All columns.
static ALL: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut all = vec![Field::new(LOG_INDEX, DataType::UInt64, true)];
    all.extend(event().iter().map(|field| Field::clone(field)));
    all.push(Field::new(RAW_DATA, TEXT, false));
    Arc::new(Schema::new(all))
});

/// The columns of every file.
#[must_use]
pub fn schema() -> SchemaRef {
    Arc::clone(&ALL)
}
