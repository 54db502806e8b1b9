//! SPIRE, server and agent: who a process is by its pid, and tokens that go-spiffe fetched.
//!
//! The agent attests by the path of the program: the client in Go is registered, programs in Python are not.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{
    Arguments,
    event::Event,
    identity::{Setup, fresh, make_tokens, told},
    process::{Running, free_port, wait_for},
    programs::spire as program,
    session::listening,
    suite::{self, Named},
};

type Test = Named<fn(&mut Spire, &Path, Duration) -> Result<()>>;

const TESTS: [Test; 2] = [
    ("spire_agent_attests_clients_by_pid", attested),
    ("spire_tokens_of_go_spiffe_are_verified", tokens),
];

/// Who the client in Go is registered as.
const CLIENT: &str = "spiffe://example.org/client";
/// Who the daemon is registered as.
const AUDITOR: &str = "spiffe://example.org/auditor";
/// The agent, by a name that its token gives it.
const NODE: &str = "spiffe://example.org/node";

/// A server of SPIRE with its agent.
struct Spire {
    folder: PathBuf,
    limit: Duration,
    _server: Running,
    agent: Running,
}

/// Runs the tests, says how each ended, and gives the number of those that failed.
pub(crate) fn check(auditor: &Path, arguments: &Arguments, limit: Duration) -> usize {
    let is_without = |name: &str| arguments.without.iter().any(|word| word == name);
    if is_without("spire") || is_without("python") {
        return 0;
    }
    let folder = arguments.folder.join("spire");
    let start = || Spire::start(&folder, auditor, limit);
    suite::run(
        &TESTS,
        arguments.only.as_deref(),
        start,
        |(_, test), spire| test(spire, auditor, limit),
    )
}

impl Spire {
    fn start(folder: &Path, auditor: &Path, limit: Duration) -> Result<Self> {
        let folder = fresh(folder)?;
        let port = free_port()?;
        let at = folder.display();
        fs::write(
            folder.join("server.conf"),
            format!(
                r#"server {{
    bind_address = "127.0.0.1"
    bind_port = "{port}"
    socket_path = "{at}/server.sock"
    trust_domain = "example.org"
    data_dir = "{at}"
}}
plugins {{
    DataStore "sql" {{
        plugin_data {{
            database_type = "sqlite3"
            connection_string = "{at}/server.sqlite3"
        }}
    }}
    NodeAttestor "join_token" {{ plugin_data {{}} }}
    KeyManager "memory" {{ plugin_data {{}} }}
}}
"#
            ),
        )?;
        fs::write(
            folder.join("agent.conf"),
            format!(
                r#"agent {{
    data_dir = "{at}/agent"
    server_address = "127.0.0.1"
    server_port = "{port}"
    socket_path = "{at}/public/api.sock"
    admin_socket_path = "{at}/private/admin.sock"
    authorized_delegates = ["{AUDITOR}"]
    trust_bundle_path = "{at}/bundle.pem"
    trust_domain = "example.org"
}}
plugins {{
    NodeAttestor "join_token" {{ plugin_data {{}} }}
    KeyManager "disk" {{ plugin_data {{ directory = "{at}/agent" }} }}
    WorkloadAttestor "unix" {{ plugin_data {{ discover_workload_path = true }} }}
}}
"#
            ),
        )?;
        let mut server = Command::new(program("spire-server")?);
        server
            .arg("run")
            .arg("-config")
            .arg(folder.join("server.conf"));
        let server = listening(&mut server, &folder.join("server.log"), port, limit)?;
        let bundle = wait_for("the server's bundle", limit, || {
            Ok(command(&folder, &["bundle", "show"]).ok())
        })?;
        fs::write(folder.join("bundle.pem"), bundle)?;
        let bundle = command(&folder, &["bundle", "show", "-format", "spiffe"])?;
        fs::write(folder.join("bundle.json"), bundle)?;
        let token = command(&folder, &["token", "generate", "-spiffeID", NODE])?;
        let token = token.trim().strip_prefix("Token: ").context("no token")?;
        let client = program("bearer")?;
        for (id, path) in [(CLIENT, &*client), (AUDITOR, auditor)] {
            let path = fs::canonicalize(path)?;
            let selector = format!("unix:path:{}", path.display());
            let entry = [
                "entry",
                "create",
                "-parentID",
                NODE,
                "-spiffeID",
                id,
                "-selector",
            ];
            command(&folder, &[&entry[..], &[&*selector]].concat())?;
        }
        let agent = agent(&folder, Some(token), limit)?;
        Ok(Self {
            folder,
            limit,
            _server: server,
            agent,
        })
    }

    /// A client in Go that fetches a token, shows it, and stays; and the event of its call.
    fn client(&self, setup: &Setup) -> Result<(Running, Event)> {
        // The agent learns of new entries after a while; until then it gives no token.
        let client = wait_for("a client with a token", self.limit, || {
            let mut command = Command::new(program("bearer")?);
            command.arg(self.folder.join("public/api.sock"));
            command.args([&*setup.url, "mcp"]);
            let mut client = Running::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
            let output = client.child().stdout.take().context("no output")?;
            let mut id = String::new();
            BufReader::new(output).read_line(&mut id)?;
            Ok((id.trim() == CLIENT).then_some(client))
        })?;
        let event = setup.call_of(client.pid(), "tools/call")?;
        Ok((client, event))
    }

    /// A client that the agent attests; the first answers may come later than an event waits.
    fn attested_client(&self, setup: &Setup) -> Result<Event> {
        wait_for("a client that is attested", self.limit, || {
            let (_client, event) = self.client(setup)?;
            let is_attested = told(&event, "identity/client/assurance") == Some(&"A4".into());
            Ok(is_attested.then_some(event))
        })
    }
}

/// Has the server's command line do something.
fn command(folder: &Path, words: &[&str]) -> Result<String> {
    let mut command = Command::new(program("spire-server")?);
    let parts = words
        .iter()
        .take_while(|word| !word.starts_with('-'))
        .count();
    let (verbs, flags) = words.split_at(parts);
    command
        .args(verbs)
        .arg("-socketPath")
        .arg(folder.join("server.sock"));
    let output = command.args(flags).output()?;
    ensure!(
        output.status.success(),
        "{words:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// Starts the agent; a token is needed the first time.
fn agent(folder: &Path, token: Option<&str>, limit: Duration) -> Result<Running> {
    let path = folder.join("agent.log");
    let log = fs::File::create(&path)?;
    let mut command = Command::new(program("spire-agent")?);
    command
        .arg("run")
        .arg("-config")
        .arg(folder.join("agent.conf"));
    command.args(token.iter().flat_map(|token| ["-joinToken", token]));
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    let mut agent = Running::start(&mut command)?;
    let socket = folder.join("public/api.sock");
    wait_for("the agent", limit, || {
        ensure!(
            agent.ended()?.is_none(),
            "it ended: {}",
            fs::read_to_string(&path)?
        );
        let mut healthy = Command::new(program("spire-agent")?);
        healthy.args(["healthcheck", "-socketPath"]).arg(&socket);
        Ok(healthy.output()?.status.success().then_some(()))
    })?;
    Ok(agent)
}

/// The client that is registered is attested, others are what the kernel knows; so they are while the agent is gone.
fn attested(spire: &mut Spire, auditor: &Path, limit: Duration) -> Result<()> {
    let folder = fresh(&spire.folder.join("attested"))?;
    make_tokens(&folder, "")?;
    let socket = spire.folder.join("private/admin.sock");
    let config = format!("[identity.spire]\nsocket = {socket:?}\n");
    let setup = Setup::with(auditor, folder, &config, limit)?;
    let named = |event: &Event, end: &str| {
        let text = |what: &str| {
            let value = told(event, &format!("identity/{end}/{what}"));
            value.and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        (text("subject"), text("method"), text("assurance"))
    };
    let event = spire.attested_client(&setup)?;
    let is = |what: (&str, &str, &str)| (what.0.to_owned(), what.1.to_owned(), what.2.to_owned());
    ensure!(
        named(&event, "client") == is((CLIENT, "spire", "A4")),
        "{}",
        event.json
    );
    ensure!(
        told(&event, "identity/client/verified") == Some(&true.into()),
        "{}",
        event.json
    );
    let contradictions = told(&event, "identity/client/contradictions");
    ensure!(
        contradictions == Some(&Value::Array(Vec::new())),
        "{}",
        event.json
    );
    let observed = |setup: &Setup| {
        let (client, _) = setup.client("valid.jwt")?;
        let event = setup.call_of(client.pid(), "tools/call")?;
        for end in ["client", "server"] {
            let (_, method, assurance) = named(&event, end);
            let is_observed = (&*method, &*assurance) == ("executable", "A2");
            ensure!(is_observed, "{end}: {}", event.json);
        }
        Ok(())
    };
    observed(&setup)?;
    let answers = "SPIRE's agent says who processes are";
    setup.daemon.wait_for_log(answers, 0, limit)?;
    spire.agent.signal("KILL")?;
    spire.agent.wait(limit)?;
    let before = setup.daemon.log().lines().count();
    observed(&setup)?;
    setup
        .daemon
        .wait_for_log("SPIRE's agent does not answer", before, limit)?;
    spire.agent = agent(&spire.folder, None, limit)?;
    let before = setup.daemon.log().lines().count();
    spire.attested_client(&setup)?;
    setup.daemon.wait_for_log(answers, before, limit)
}

/// A token that go-spiffe fetched is verified by the bundle of its trust domain.
fn tokens(spire: &mut Spire, auditor: &Path, limit: Duration) -> Result<()> {
    let folder = fresh(&spire.folder.join("tokens"))?;
    let keys = spire.folder.join("bundle.json");
    let config = format!(
        "[[identity.issuers]]\ntrust_domain = \"example.org\"\nkeys = {keys:?}\naudience = [\"mcp\"]\n"
    );
    let setup = Setup::with(auditor, folder, &config, limit)?;
    let (_client, event) = spire.client(&setup)?;
    let text = |at: &str| told(&event, at).and_then(Value::as_str);
    ensure!(
        text("credential/verdict") == Some("valid"),
        "{}",
        event.json
    );
    ensure!(
        text("identity/client/subject") == Some(CLIENT),
        "{}",
        event.json
    );
    ensure!(
        text("identity/client/method") == Some("token"),
        "{}",
        event.json
    );
    ensure!(
        text("identity/client/assurance") == Some("A3"),
        "{}",
        event.json
    );
    Ok(())
}
