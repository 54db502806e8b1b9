//! What calls touch: published servers with databases, files and repositories are asked, and the events must name it.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::{
    Arguments,
    daemon::Daemon,
    event::Event,
    postgres::Postgres,
    process::{Running, descendants, wait_for},
    programs::{Sdk, node_package, python_program},
};

/// A call, and what its event must say: `kind name operation` of each thing beside the tool, and OCSF's activity.
pub(crate) struct Call {
    pub(crate) tool: &'static str,
    pub(crate) arguments: Value,
    pub(crate) things: Vec<String>,
    pub(crate) activity: &'static str,
}

/// A server, the calls that it gets, and the database that it needs.
type Play = (Command, Vec<Call>, Option<Postgres>);

/// A server with its calls.
struct Case {
    name: &'static str,
    without: &'static str,
    play: fn(&Path) -> Result<Play>,
}

const CASES: [Case; 5] = [
    Case {
        name: "touched_tables_sqlite",
        without: "python",
        play: sqlite,
    },
    Case {
        name: "touched_tables_postgres",
        without: "typescript",
        play: postgres,
    },
    Case {
        name: "touched_files_filesystem",
        without: "typescript",
        play: filesystem,
    },
    Case {
        name: "touched_repository_git",
        without: "python",
        play: git,
    },
    Case {
        name: "touched_url_fetch",
        without: "python",
        play: fetch,
    },
];

/// What must not be in an event: it is the content of a call.
const CANARY: &str = "canary-4711-content";

/// Plays them; for each its name, and what is wrong if anything is.
pub(crate) fn check(
    daemon: &Daemon,
    arguments: &Arguments,
    limit: Duration,
) -> Vec<(String, Option<String>)> {
    let is_wanted = |case: &&Case| {
        let only = arguments.only.as_ref();
        only.is_none_or(|only| case.name.contains(only.as_str()))
            && !arguments
                .without
                .iter()
                .any(|one| one == "python" || one == case.without)
    };
    let played = CASES.iter().filter(is_wanted).map(|case| {
        let result = play(case, daemon, &arguments.folder, limit);
        (
            case.name.to_owned(),
            result.err().map(|error| format!("{error:#}")),
        )
    });
    played.collect()
}

fn play(case: &Case, daemon: &Daemon, folder: &Path, limit: Duration) -> Result<()> {
    let folder = folder.join(case.name);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let folder = folder.canonicalize()?;
    let (server, calls, _database) = (case.play)(&folder)?;
    let events = run(&server, &calls, daemon, &folder, limit)?;
    for (call, event) in calls.iter().zip(&events) {
        judge(call, event).with_context(|| format!("{}: {}", call.tool, event.json))?;
    }
    Ok(())
}

/// Has a client of the SDK make the calls, one after the other; gives their events.
pub(crate) fn run(
    server: &Command,
    calls: &[Call],
    daemon: &Daemon,
    folder: &Path,
    limit: Duration,
) -> Result<Vec<Event>> {
    let steps = calls
        .iter()
        .map(|call| json!({"do": "call_tool", "name": call.tool, "arguments": call.arguments}));
    play_steps(server, steps.collect(), calls.len(), daemon, folder, limit)
}

/// Has a client of the SDK ask for the tools, then take steps in which it makes so many calls; gives their events.
pub(crate) fn play_steps(
    server: &Command,
    mut steps: Vec<Value>,
    calls: usize,
    daemon: &Daemon,
    folder: &Path,
    limit: Duration,
) -> Result<Vec<Event>> {
    steps.insert(0, json!({"do": "list_tools"}));
    let scenario = folder.join("scenario.json");
    fs::write(&scenario, Value::from(steps).to_string())?;
    let log = folder.join("truth.jsonl");
    let mut client = Sdk::Python2.client()?;
    client
        .arg("--truth")
        .arg(&log)
        .arg("--scenario")
        .arg(scenario);
    client
        .arg("--")
        .arg(server.get_program())
        .args(server.get_args());
    client.stdin(Stdio::piped()).stdout(Stdio::null());
    client.stderr(File::create(folder.join("client.log"))?);
    let client = Running::start(&mut client)?;
    wait_for("the client's calls", limit, || {
        let truth = fs::read_to_string(&log).unwrap_or_default();
        Ok(truth.contains("\"done\": true").then_some(()))
    })?;
    let mut pids = descendants(client.pid());
    pids.push(client.pid());
    wait_for("the events of the calls", limit, || {
        let events = daemon.events().of(&pids)?.into_iter();
        let is_call = |event: &Event| {
            event.stage == "final"
                && event.interaction.kind == "request"
                && event.interaction.method.as_deref() == Some("tools/call")
        };
        let mut events: Vec<_> = events.filter(is_call).collect();
        events.sort_by_key(|event| {
            event
                .json
                .pointer("/unmapped/mcp/time_ns")
                .and_then(Value::as_u64)
        });
        Ok((events.len() == calls).then_some(events))
    })
}

fn judge(call: &Call, event: &Event) -> Result<()> {
    let at = |place: &str| {
        event
            .json
            .pointer(place)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    ensure!(
        event.interaction.target.as_deref() == Some(call.tool),
        "another tool"
    );
    let things = event
        .json
        .pointer("/unmapped/mcp/resources")
        .and_then(Value::as_array);
    let named = |thing: &Value| {
        let part = |name: &str| {
            thing
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or("-")
                .to_owned()
        };
        format!("{} {} {}", part("kind"), part("name"), part("operation"))
    };
    let found: Vec<String> = things
        .context("no resources")?
        .iter()
        .skip(1)
        .map(named)
        .collect();
    ensure!(
        found == call.things,
        "touched {found:?} instead of {:?}",
        call.things
    );
    ensure!(
        at("/activity_name") == call.activity,
        "{} instead of {}",
        at("/activity_name"),
        call.activity
    );
    let hints = event.json.pointer("/unmapped/mcp/tool/definition_sha256");
    ensure!(
        hints.is_some_and(Value::is_string),
        "its definition was not heard"
    );
    ensure!(
        !event.json.to_string().contains(CANARY),
        "content in the event"
    );
    Ok(())
}

fn sqlite(folder: &Path) -> Result<Play> {
    let mut server = python_program(Sdk::Python1, "mcp-server-sqlite")?;
    server.arg("--db-path").arg(folder.join("shop.db"));
    let call = |tool, query: String, things: &[&str], activity| Call {
        tool,
        arguments: json!({"query": query}),
        things: things.iter().map(|one| (*one).to_owned()).collect(),
        activity,
    };
    let calls = vec![
        call(
            "create_table",
            "CREATE TABLE customers (id INTEGER, name TEXT)".into(),
            &["table customers ddl"],
            "Other",
        ),
        call(
            "write_query",
            format!("INSERT INTO customers VALUES (1, '{CANARY}')"),
            &["table customers insert"],
            "Create",
        ),
        call(
            "read_query",
            format!(
                "SELECT c.name FROM customers c JOIN customers d ON c.id = d.id WHERE d.name = '{CANARY}'"
            ),
            &["table customers select"],
            "Read",
        ),
        call(
            "read_query",
            "WITH x AS (SELECT * FROM customers) SELECT * FROM x".into(),
            &["table customers select"],
            "Read",
        ),
        call(
            "write_query",
            format!("UPDATE customers SET name = '{CANARY}'"),
            &["table customers update"],
            "Update",
        ),
        call(
            "write_query",
            "DELETE FROM customers".into(),
            &["table customers delete"],
            "Delete",
        ),
        call("read_query", "no SQL at all".into(), &[], "Other"),
    ];
    Ok((server, calls, None))
}

fn postgres(_folder: &Path) -> Result<Play> {
    let database = Postgres::start(Duration::from_secs(60))?;
    database.execute(&format!(
        "CREATE SCHEMA crm; CREATE TABLE crm.customers (name TEXT); INSERT INTO crm.customers VALUES ('{CANARY}')"
    ))?;
    let mut server = node_package("@modelcontextprotocol/server-postgres/dist/index.js")?;
    server.arg(database.url());
    let call = |sql: String, things: &[&str], activity| Call {
        tool: "query",
        arguments: json!({"sql": sql}),
        things: things.iter().map(|one| (*one).to_owned()).collect(),
        activity,
    };
    let calls = vec![
        call(
            format!("SELECT name FROM crm.customers WHERE name = '{CANARY}'"),
            &["table crm.customers select"],
            "Read",
        ),
        call(
            "SELECT t.table_name FROM information_schema.tables t, LATERAL (SELECT 1) x".into(),
            &["table information_schema.tables select"],
            "Read",
        ),
        // The server lets nothing be changed: what is declared counts.
        call(
            format!("INSERT INTO crm.customers VALUES ($${CANARY}$$) RETURNING name"),
            &["table crm.customers insert"],
            "Create",
        ),
    ];
    Ok((server, calls, Some(database)))
}

fn filesystem(folder: &Path) -> Result<Play> {
    let mut server = node_package("@modelcontextprotocol/server-filesystem/dist/index.js")?;
    server.arg(folder);
    let path = |name: &str| folder.join(name).display().to_string();
    let call = |tool, arguments, things: Vec<String>, activity| Call {
        tool,
        arguments,
        things,
        activity,
    };
    let (one, two) = (path("one.txt"), path("two.txt"));
    let calls = vec![
        call(
            "write_file",
            json!({"path": one, "content": CANARY}),
            vec![format!("file {one} write")],
            "Update",
        ),
        call(
            "read_text_file",
            json!({"path": path("./sub/../one.txt")}),
            vec![format!("file {one} read")],
            "Read",
        ),
        call(
            "move_file",
            json!({"source": one, "destination": two}),
            vec![format!("file {one} delete"), format!("file {two} write")],
            "Delete",
        ),
        call(
            "read_multiple_files",
            json!({"paths": [two, one]}),
            vec![format!("file {two} read"), format!("file {one} read")],
            "Read",
        ),
        call(
            "list_directory",
            json!({"path": folder}),
            vec![format!("directory {} read", folder.display())],
            "Read",
        ),
    ];
    Ok((server, calls, None))
}

fn git(folder: &Path) -> Result<Play> {
    let mut make = Command::new("git");
    make.args(["init", "--quiet"]).arg(folder);
    ensure!(make.status()?.success(), "cannot make a repository");
    fs::write(folder.join("a.txt"), CANARY)?;
    let server = python_program(Sdk::Python2, "mcp-server-git")?;
    let repository = folder.display().to_string();
    let calls = vec![
        Call {
            tool: "git_status",
            arguments: json!({"repo_path": repository}),
            things: vec![format!("repository {repository} read")],
            activity: "Read",
        },
        Call {
            tool: "git_add",
            arguments: json!({"repo_path": repository, "files": ["a.txt"]}),
            things: vec![
                format!("repository {repository} write"),
                "file a.txt read".to_owned(),
            ],
            activity: "Update",
        },
    ];
    Ok((server, calls, None))
}

/// The server is asked for a place that nobody listens at: what is declared counts.
fn fetch(_folder: &Path) -> Result<Play> {
    let mut server = python_program(Sdk::Python2, "mcp-server-fetch")?;
    server.arg("--ignore-robots-txt");
    let call = Call {
        tool: "fetch",
        arguments: json!({"url": format!("http://127.0.0.1:9/items/4711?token={CANARY}")}),
        things: vec!["url http://127.0.0.1:9/items/{id} read".to_owned()],
        activity: "Read",
    };
    Ok((server, vec![call], None))
}
