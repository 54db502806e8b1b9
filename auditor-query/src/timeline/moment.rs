//! What one entry tells, as moments of a timeline.

use serde_json::Value;

use super::entry::Entry;
use crate::output::harmless;

/// Deeds of one call that are shown one by one.
const DEEDS: usize = 12;

/// One line of a timeline, with what it led to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moment {
    /// What it is: `workflow`, `process`, `call`, `resource`, `data`, `program`, `file`, `connection`, `difference`,
    /// `anomaly`, `finding`, `gap`, `auditor`.
    pub(crate) what: &'static str,
    /// When, in nanoseconds since the Unix epoch; unknown for what happened while a call was open.
    pub(crate) time_ns: Option<i64>,
    /// For people.
    pub(crate) text: String,
    /// What it is about, by itself: a path, a table, an address, a tool.
    pub(crate) name: Option<String>,
    /// How far it is proven, where that is a question.
    pub(crate) certainty: Option<String>,
    /// The event that says so.
    pub(crate) uid: String,
    /// Its index in the log.
    pub(crate) index: u64,
    /// What it led to.
    pub(crate) children: Vec<Moment>,
}

impl Moment {
    fn of(entry: &Entry, what: &'static str, text: String) -> Self {
        Self {
            what,
            text,
            uid: entry.uid().to_owned(),
            index: entry.index,
            ..Self::default()
        }
    }

    fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    fn certain(mut self, of: &Value) -> Self {
        self.certainty = text(of, "certainty").map(str::to_owned);
        self
    }

    fn at(mut self, time_ns: i64) -> Self {
        self.time_ns = Some(time_ns);
        self
    }
}

fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name)?.as_str()
}

/// The last part of a path.
fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A side of an interaction by the best name that is known.
pub(super) fn who(entry: &Entry, side: &str) -> String {
    let subject = entry.mcp(&format!("/identity/{side}/subject"));
    let subject = subject.or_else(|| entry.mcp(&format!("/{side}/identity/subject")));
    let pid = entry.value(&format!("/{side}/pid")).and_then(Value::as_u64);
    let script = entry.mcp(&format!("/{side}/program/script"));
    let program = script
        .or_else(|| entry.mcp(&format!("/{side}/exe")))
        .map(base);
    // A hash says less to people than what it is the hash of.
    let subject = subject.filter(|subject| !subject.starts_with("exe:"));
    let name = subject.or(program).unwrap_or("unknown");
    match pid {
        Some(pid) => format!("{name}[{pid}]"),
        None => name.to_owned(),
    }
}

/// The workflow that an interaction's chain began in.
pub(super) fn workflow(entry: &Entry) -> Option<Moment> {
    let told = ["/chain/workflow", "/client/workflow"]
        .iter()
        .find_map(|pointer| entry.value(pointer))?;
    let words = ["system", "repository", "workflow"]
        .iter()
        .filter_map(|name| text(told, name));
    let mut name = words.collect::<Vec<_>>().join(" ");
    if let Some(run) = text(told, "run") {
        name += &format!(" #{run}");
    }
    if let Some(job) = text(told, "job") {
        name += &format!(", job {job}");
    }
    let by = text(told, "actor").map_or_else(String::new, |actor| format!(", by {actor}"));
    let moment = Moment::of(entry, "workflow", harmless(&format!("workflow {name}{by}")));
    Some(moment.named(&name).certain(told))
}

/// The birth of the process at a side; `boot_ns` is when the host booted.
pub(super) fn process(entry: &Entry, side: &str, boot_ns: Option<i64>) -> Option<Moment> {
    let told = entry.value(&format!("/{side}"))?;
    let pid = told.get("pid")?.as_u64()?;
    let mut line = format!("process {pid} {}", text(told, "exe").map_or("?", base));
    if let Some(words) = told.get("cmdline").and_then(Value::as_array) {
        let words: Vec<&str> = words.iter().skip(1).filter_map(Value::as_str).collect();
        line += &format!(" {}", words.join(" "));
    }
    let workload = |pointer: &str| entry.mcp(&format!("/{side}/workload{pointer}"));
    if let Some(pod) = workload("/pod/name") {
        line += &format!(", pod {}/{pod}", workload("/pod/namespace").unwrap_or("?"));
    } else if let Some(container) = workload("/container/name").or_else(|| text(told, "container"))
    {
        line += &format!(", container {container}");
    }
    if let Some(image) = workload("/container/image") {
        line += &format!(", image {image}");
    }
    let identity = |name: &str| entry.mcp(&format!("/identity/{side}/{name}"));
    if let (Some(subject), Some(assurance)) = (identity("subject"), identity("assurance")) {
        line += &format!(", is {subject} ({assurance})");
    }
    let parent = told
        .get("lineage")
        .and_then(Value::as_array)
        .and_then(|all| all.first());
    if let Some(parent) = parent.and_then(|parent| text(parent, "exe")) {
        line += &format!(", started by {}", base(parent));
    }
    let name = text(told, "exe").unwrap_or_default();
    let mut moment = Moment::of(entry, "process", harmless(&line)).named(name);
    let start = told.get("start_time").and_then(Value::as_i64);
    moment.time_ns = start
        .zip(boot_ns)
        .map(|(start, boot)| start.saturating_add(boot));
    Some(moment)
}

/// What an entry itself is.
pub(super) fn main(entry: &Entry) -> Moment {
    match entry.class() {
        "finding" => finding(entry),
        "lifecycle" => auditor(entry),
        _ => interaction(entry),
    }
}

fn interaction(entry: &Entry) -> Moment {
    let (client, server) = (who(entry, "client"), who(entry, "server"));
    let is_back = entry.mcp("/direction") == Some("server_to_client");
    let (from, to) = if is_back {
        (server, client)
    } else {
        (client, server)
    };
    if entry.mcp("/kind") == Some("gap") {
        let cause = entry.mcp("/gap/cause").unwrap_or("unknown");
        let bytes = entry
            .value("/gap/bytes_lost")
            .map_or_else(|| "?".to_owned(), Value::to_string);
        let line = format!("gap between {from} and {to}: {bytes} bytes were not heard ({cause})");
        return Moment::of(entry, "gap", harmless(&line)).at(entry.time_ns());
    }
    let method = entry.mcp("/method").unwrap_or("answer without a request");
    let target = entry
        .mcp("/target")
        .map_or_else(String::new, |target| format!(" {target}"));
    let mut line = format!("{method}{target}: {from} -> {to}");
    if let Some(outcome) = entry.mcp("/outcome") {
        line += &format!(", {outcome}");
    }
    if let Some(rows) = entry.value("/result/rows") {
        line += &format!(", {rows} rows");
    }
    if let Some(decision) = entry.mcp("/decision/evaluated/decision") {
        line += &format!(", policy: {decision}");
    }
    let chain = entry
        .value("/chain")
        .filter(|chain| text(chain, "parent").is_some());
    if let Some((basis, certainty)) =
        chain.and_then(|chain| text(chain, "basis").zip(text(chain, "certainty")))
    {
        line += &format!(" [{basis}, {certainty}]");
    }
    let name = entry
        .mcp("/target")
        .or_else(|| entry.mcp("/method"))
        .unwrap_or_default();
    let mut moment = Moment::of(entry, "call", harmless(&line))
        .named(name)
        .at(entry.time_ns());
    if let Some(chain) = chain {
        moment = moment.certain(chain);
    }
    moment.children = parts(entry);
    moment
}

/// What an interaction touched, and what was done for it.
fn parts(entry: &Entry) -> Vec<Moment> {
    let mut all = Vec::new();
    let is_thing = |one: &&Value| text(one, "kind") != Some("tool");
    for one in entry.list("/resources").iter().filter(is_thing) {
        let [kind, name, operation] =
            ["kind", "name", "operation"].map(|name| text(one, name).unwrap_or("?"));
        let level = one.pointer("/sensitivity/level").and_then(Value::as_str);
        let level = level.map_or_else(String::new, |level| format!(" ({level})"));
        let operation = if operation == "unknown" {
            "names"
        } else {
            operation
        };
        let line = format!("{operation} {kind} {name}{level}");
        all.push(Moment::of(entry, "resource", harmless(&line)).named(name));
    }
    for one in entry.list("/classifications") {
        let [class, part, place] =
            ["class", "part", "place"].map(|name| text(one, name).unwrap_or("?"));
        let count = one.get("count").and_then(Value::as_u64).unwrap_or(1);
        let line = format!("the {part} holds {count} x {class} at {place}");
        all.push(Moment::of(entry, "data", harmless(&line)).named(class));
    }
    deeds(entry, &mut all);
    for one in entry.list("/differences") {
        let kind = text(one, "kind").unwrap_or("?");
        let line = format!("not as declared: {kind}");
        all.push(Moment::of(entry, "difference", harmless(&line)).named(kind));
    }
    for one in entry.list("/anomalies") {
        let kind = text(one, "kind").unwrap_or("?");
        let subject =
            text(one, "subject").map_or_else(String::new, |subject| format!(": {subject}"));
        let line = format!("out of the ordinary: {kind}{subject}");
        all.push(Moment::of(entry, "anomaly", harmless(&line)).named(kind));
    }
    all
}

/// What the server's process did while the call was open.
fn deeds(entry: &Entry, all: &mut Vec<Moment>) {
    let begun = all.len();
    for one in entry.list("/observed/programs") {
        let path = text(one, "path").unwrap_or("?");
        all.push(
            Moment::of(entry, "program", harmless(&format!("started {path}")))
                .named(path)
                .certain(one),
        );
    }
    for one in entry.list("/observed/connections") {
        let address = text(one, "address")
            .or_else(|| text(one, "path"))
            .unwrap_or("?");
        let port = one
            .get("port")
            .and_then(Value::as_u64)
            .map_or_else(String::new, |port| format!(" port {port}"));
        let http = one
            .get("http")
            .and_then(|http| text(http, "host").zip(text(http, "path")));
        let http = http.map_or_else(String::new, |(host, path)| format!(", {host}{path}"));
        let line = format!("connected to {address}{port}{http}");
        all.push(
            Moment::of(entry, "connection", harmless(&line))
                .named(address)
                .certain(one),
        );
    }
    for one in entry.list("/observed/files") {
        let [path, access] = ["path", "access"].map(|name| text(one, name).unwrap_or("?"));
        let line = format!("opened {path} ({access})");
        all.push(
            Moment::of(entry, "file", harmless(&line))
                .named(path)
                .certain(one),
        );
    }
    let further = all.len().saturating_sub(begun + DEEDS);
    if further > 0 {
        all.truncate(begun + DEEDS);
        all.push(Moment::of(
            entry,
            "file",
            format!("{further} more: see the event"),
        ));
    }
}

fn finding(entry: &Entry) -> Moment {
    let title = entry.text("/finding_info/title").unwrap_or("finding");
    // What a rule found is of the rule's kind.
    let kind = entry.mcp("/finding").filter(|kind| *kind != "rule");
    let kind = kind.or_else(|| entry.text("/finding_info/types/0"));
    let kind = kind.unwrap_or_default();
    let severity = entry.text("/severity").unwrap_or("?");
    let line = format!("FINDING {kind} ({severity}): {title}");
    Moment::of(entry, "finding", harmless(&line))
        .named(kind)
        .at(entry.time_ns())
}

fn auditor(entry: &Entry) -> Moment {
    let what = entry.mcp("/lifecycle/what").unwrap_or("?");
    let events = entry
        .value("/lifecycle/events")
        .map_or_else(String::new, |events| format!(", {events} events"));
    let line = format!("the auditor: {what}{events}");
    Moment::of(entry, "auditor", harmless(&line))
        .named(what)
        .at(entry.time_ns())
}
