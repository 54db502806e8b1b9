//! Who is at each end: tokens that another implementation signed, and credentials and sessions in the wrong hands.
//!
//! Starts a daemon of its own, which knows the issuer of the tokens.

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
    daemon::Daemon,
    event::Event,
    process::{Running, free_port, wait_for},
    programs::{Sdk, Transport, python, source},
    session::listening,
    speaker,
    suite::{self, Named},
};

type Test = Named<fn(&Setup) -> Result<()>>;

const TESTS: [Test; 4] = [
    ("identity_tokens_are_verified", tokens),
    ("identity_shared_token_is_found", shared_token),
    ("identity_hijacked_session_is_found", hijacked_session),
    ("identity_replaced_program_is_found", replaced_program),
];

/// A daemon with a configuration of its own, and a server.
pub(crate) struct Setup {
    pub(crate) daemon: Daemon,
    pub(crate) folder: PathBuf,
    /// Runs as long as the tests.
    _server: Running,
    pub(crate) url: String,
    pub(crate) limit: Duration,
}

/// Runs the tests, says how each ended, and gives the number of those that failed.
pub(crate) fn check(auditor: &Path, arguments: &Arguments, limit: Duration) -> usize {
    if arguments.without.iter().any(|word| word == "python") {
        return 0;
    }
    let folder = arguments.folder.join("identity");
    let start = || Setup::start(auditor, &folder, limit);
    suite::run(
        &TESTS,
        arguments.only.as_deref(),
        start,
        |(_, test), setup| test(setup),
    )
}

/// The findings about what this test has started, in words; `None` where there are none.
pub(crate) fn findings(daemon: &Daemon) -> Result<Option<String>> {
    let own = u64::from(std::process::id());
    let is_own = |json: &Value| {
        let evidences = json.get("evidences").and_then(Value::as_array);
        let of_evidence = evidences.into_iter().flatten().filter_map(|evidence| {
            let ancestry = evidence.pointer("/process/ancestry")?;
            ancestry.as_array()
        });
        // Those of class 2006 have an actor instead.
        let actor = json.pointer("/actor/process/ancestry");
        let of_actor = actor.and_then(Value::as_array);
        let mut ancestors = of_evidence.chain(of_actor);
        ancestors.any(|list| {
            let mut pids = list.iter().filter_map(|one| one.get("pid")?.as_u64());
            pids.any(|pid| pid == own)
        })
    };
    let events = daemon.events().all()?;
    let total = events.len();
    let found: Vec<String> = events
        .into_iter()
        .filter(|event| event.interaction.kind == "finding" && is_own(&event.json))
        .filter(|event| !is_provoked(&event.json))
        .map(|event| event.json.to_string())
        .collect();
    println!("{total} events, {} findings", found.len());
    Ok((!found.is_empty()).then(|| found.join("\n    ")))
}

/// Whether a finding is what a test asks for, or less than high: rules tell first uses and the like, too.
fn is_provoked(json: &Value) -> bool {
    let mcp = &json["unmapped"]["mcp"];
    let is_rule = mcp["finding"] == "rule";
    is_rule && (mcp["target"] == "peek" || json["severity_id"].as_u64() < Some(4))
}

impl Setup {
    fn start(auditor: &Path, folder: &Path, limit: Duration) -> Result<Self> {
        let folder = fresh(folder)?;
        make_tokens(&folder, "")?;
        let keys = folder.join("keys.json");
        let issuer = format!(
            "[[identity.issuers]]\nissuer = \"https://issuer.test\"\nkeys = {keys:?}\naudience = [\"mcp\"]\n"
        );
        Self::with(auditor, folder, &issuer, limit)
    }

    /// Starts the daemon with this configuration, and a server.
    pub(crate) fn with(
        auditor: &Path,
        folder: PathBuf,
        config: &str,
        limit: Duration,
    ) -> Result<Self> {
        let path = folder.join("config.toml");
        fs::write(&path, config)?;
        let daemon = Daemon::start(
            auditor,
            &folder.join("daemon"),
            &["--config", &path.to_string_lossy()],
            limit,
        )?;
        let port = free_port()?;
        let mut server = Sdk::Python1.server(Transport::Http, port)?;
        let server = listening(&mut server, &folder.join("server.log"), port, limit)?;
        Ok(Self {
            daemon,
            folder,
            _server: server,
            url: format!("http://127.0.0.1:{port}/mcp"),
            limit,
        })
    }

    /// A client that shows a token, and the id of its session.
    pub(crate) fn client(&self, token: &str) -> Result<(Running, String)> {
        let mut command = script("bearer.py")?;
        command.arg(&self.url).arg(self.folder.join(token));
        let mut client = Running::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let output = client.child().stdout.take().context("no output")?;
        let mut session = String::new();
        BufReader::new(output).read_line(&mut session)?;
        ensure!(!session.trim().is_empty(), "the client began no session");
        Ok((client, session.trim().to_owned()))
    }

    /// A call by curl with a header of its own; gives its process id.
    pub(crate) fn curl(&self, id: u32, header: &str) -> Result<u32> {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list"}}"#);
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--data", &body, "--header"]);
        curl.args(["Content-Type: application/json", "--header"]);
        curl.args(["Accept: application/json, text/event-stream", "--header"]);
        curl.args([header, &self.url]);
        speaker::listen(curl.stdin(Stdio::null()))
    }

    /// The event of a client's call, once it is there.
    pub(crate) fn call_of(&self, pid: u32, method: &str) -> Result<Event> {
        wait_for(&format!("{method} of {pid}"), self.limit, || {
            let mut events = self.daemon.events().of(&[pid])?.into_iter();
            Ok(events.find(|event| {
                event.interaction.method.as_deref() == Some(method) && event.stage == "final"
            }))
        })
    }

    /// The finding that names a process as the second, once it is there.
    pub(crate) fn finding_of(&self, kind: &str, pid: u32) -> Result<Value> {
        wait_for(&format!("{kind} of {pid}"), self.limit, || {
            let events = self.daemon.events().all()?.into_iter();
            let mut found = events.map(|event| event.json).filter(|json| {
                let told = |at: &str| json.pointer(&format!("/unmapped/mcp/{at}")).cloned();
                told("finding") == Some(kind.into()) && told("second/pid") == Some(pid.into())
            });
            Ok(found.next())
        })
    }
}

/// A new folder, by its whole path.
pub(crate) fn fresh(folder: &Path) -> Result<PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    Ok(fs::canonicalize(folder)?)
}

/// Makes an issuer and its tokens, with ids of keys that end with `suffix`.
pub(crate) fn make_tokens(folder: &Path, suffix: &str) -> Result<()> {
    let made = script("tokens.py")?.arg(folder).arg(suffix).status()?;
    ensure!(made.success(), "no tokens were made: {made}");
    Ok(())
}

pub(crate) fn script(name: &str) -> Result<Command> {
    let mut command = Command::new(python(Sdk::Python1)?);
    command.arg(source("python").join(name));
    Ok(command)
}

/// What is in `unmapped.mcp` of an event.
pub(crate) fn told<'a>(event: &'a Event, at: &str) -> Option<&'a Value> {
    event.json.pointer(&format!("/unmapped/mcp/{at}"))
}

/// Valid tokens of two kinds of keys name their bearer; others do not.
fn tokens(setup: &Setup) -> Result<()> {
    for (token, verdict, subject) in [
        ("valid.jwt", "valid", Some("spiffe://test/agent")),
        ("valid-ec.jwt", "valid", Some("ec-agent")),
        ("expired.jwt", "expired", None),
        ("forged.jwt", "bad_signature", None),
    ] {
        let (client, _) = setup.client(token)?;
        let event = setup.call_of(client.pid(), "tools/call")?;
        let text = |at: &str| told(&event, at).and_then(Value::as_str);
        ensure!(
            text("credential/verdict") == Some(verdict),
            "{token}: {}",
            event.json
        );
        ensure!(
            text("credential/claims/actors/0") == Some("gateway")
                && text("credential/claims/kubernetes/pod_uid") == Some("u-1"),
            "{token}: {}",
            event.json
        );
        let named = text("identity/client/subject").unwrap_or_default();
        let assurance = text("identity/client/assurance");
        match subject {
            Some(subject) => ensure!(
                named == subject && assurance == Some("A3"),
                "{token}: {}",
                event.json
            ),
            None => ensure!(
                named.starts_with("exe:sha256:") && assurance == Some("A2"),
                "{token}: {}",
                event.json
            ),
        }
        ensure!(
            text("identity/server/assurance") == Some("A2"),
            "{token}: {}",
            event.json
        );
        let secret = fs::read_to_string(setup.folder.join(token))?;
        ensure!(
            !event.json.to_string().contains(&secret),
            "the token is in the event"
        );
    }
    Ok(())
}

/// A token is copied: another program shows it.
fn shared_token(setup: &Setup) -> Result<()> {
    let (client, _) = setup.client("valid.jwt")?;
    setup.call_of(client.pid(), "tools/call")?;
    let token = fs::read_to_string(setup.folder.join("valid.jwt"))?;
    let thief = setup.curl(71, &format!("Authorization: Bearer {token}"))?;
    let finding = setup.finding_of("shared_credential", thief)?;
    let first = finding
        .pointer("/unmapped/mcp/first/exe")
        .and_then(Value::as_str);
    ensure!(first.is_some_and(|exe| exe.contains("python")), "{finding}");
    Ok(())
}

/// The id of a session is copied: another process names it.
fn hijacked_session(setup: &Setup) -> Result<()> {
    let (client, session) = setup.client("valid-ec.jwt")?;
    setup.call_of(client.pid(), "tools/call")?;
    let thief = setup.curl(72, &format!("Mcp-Session-Id: {session}"))?;
    let finding = setup.finding_of("hijacked_session", thief)?;
    let first = finding.pointer("/unmapped/mcp/first/pid");
    ensure!(first == Some(&client.pid().into()), "{finding}");
    ensure!(
        !finding.to_string().contains(&session),
        "the session's id is in the finding"
    );
    Ok(())
}

/// A server answers, executes another program, and answers again.
fn replaced_program(setup: &Setup) -> Result<()> {
    const FIRST: &str = r#"
read -r line; printf '{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}\n'
exec "$0" -c 'input(); print("{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"tools\":[]}}", flush=True); input()'
"#;
    let mut command = Command::new("bash");
    command.args(["-c", FIRST]).arg(python(Sdk::Python1)?);
    let mut server = Running::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
    let mut input = server.child().stdin.take().context("no input")?;
    let output = server.child().stdout.take().context("no output")?;
    let mut output = BufReader::new(output);
    for id in [1, 2] {
        let request = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"tools/list\"}}\n");
        std::io::Write::write_all(&mut input, request.as_bytes())?;
        let mut line = String::new();
        output.read_line(&mut line)?;
        ensure!(line.contains("result"), "answer {id}: `{line}`");
        if id == 1 {
            // The first answer is told while the first program is still known for it.
            setup.call_of(server.pid(), "tools/list")?;
        }
    }
    let finding = setup.finding_of("replaced_program", server.pid())?;
    let exe = |end: &str| {
        let exe = finding.pointer(&format!("/unmapped/mcp/{end}/exe"));
        exe.and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    ensure!(
        exe("first").contains("bash") && exe("second").contains("python"),
        "{finding}"
    );
    Ok(())
}
