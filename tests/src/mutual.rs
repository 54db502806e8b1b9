//! Certificates that clients and servers show in TLS 1.2: what events say of them, held against the `openssl` command.
//!
//! Starts a daemon of its own, which knows one of two authorities.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{
    Arguments,
    certificates::{Certificates, run},
    event::Event,
    identity::{Setup, fresh, script, told},
    process::{Running, free_port, wait_for},
    session::listening,
    speaker,
    suite::{self, Named},
};

type Test = Named<fn(&Site) -> Result<()>>;

const TESTS: [Test; 3] = [
    ("certificates_of_python_over_tls_1_2", sdk),
    ("certificates_name_their_ends", named),
    ("certificates_of_a_stranger_name_nobody", stranger),
];
/// How long the event of a call may take, where it comes.
const PATIENCE: Duration = Duration::from_secs(3);
/// What the client's certificate says, as `openssl` is told it.
const SUBJECT: &str = "/C=DE/O=Shop, Inc./CN=agent";
const ID: &str = "spiffe://example.org/agent";

/// A server that asks for certificates, and the daemon.
struct Site {
    setup: Setup,
    /// Certificates of the server and of its clients.
    made: PathBuf,
    /// Runs as long as the tests.
    _server: Running,
    url: String,
}

/// Runs the tests, says how each ended, and gives the number of those that failed.
pub(crate) fn check(auditor: &Path, arguments: &Arguments, limit: Duration) -> usize {
    if arguments.without.iter().any(|word| word == "python") {
        return 0;
    }
    let folder = arguments.folder.join("mutual");
    let start = || Site::start(auditor, &folder, limit);
    suite::run(
        &TESTS,
        arguments.only.as_deref(),
        start,
        |(_, test), site| test(site),
    )
}

impl Site {
    fn start(auditor: &Path, folder: &Path, limit: Duration) -> Result<Self> {
        let folder = fresh(folder)?;
        let own = Certificates::make(&folder.join("own"))?;
        let other = Certificates::make(&folder.join("other"))?;
        let made = own.folder().to_owned();
        for (name, by) in [("agent", &own), ("stranger", &other)] {
            client(&made, name, by.folder())?;
        }
        let trusted = [&own, &other].map(|one| fs::read_to_string(one.authority()));
        let [one, another] = trusted;
        fs::write(made.join("clients.pem"), one? + &another?)?;
        let authority = own.authority();
        let config = format!(
            "[[identity.authorities]]\ncertificates = {authority:?}\ntrust_domain = \"example.org\"\n\
             [[identity.authorities]]\ncertificates = {authority:?}\n"
        );
        let log = folder.join("mutual.log");
        let setup = Setup::with(auditor, folder, &config, limit)?;
        let port = free_port()?;
        let mut server = script("mutual.py")?;
        server.args(["server", &port.to_string()]).arg(&made);
        Ok(Self {
            _server: listening(&mut server, &log, port, limit)?,
            setup,
            made,
            url: format!("https://127.0.0.1:{port}/mcp"),
        })
    }

    /// The event of a call by a client, which is made until it is heard: a program may end before its library has probes.
    fn call(&self, method: &str, client: impl Fn() -> Result<Command>) -> Result<Event> {
        wait_for(&format!("a heard {method}"), self.setup.limit, || {
            let pid = speaker::listen(client()?.stdin(Stdio::null()))?;
            let heard = wait_for(method, PATIENCE, || {
                let mut events = self.setup.daemon.events().of(&[pid])?.into_iter();
                let is_it = |event: &Event| {
                    event.stage == "final" && event.interaction.method.as_deref() == Some(method)
                };
                Ok(events.find(is_it))
            });
            Ok(heard.ok())
        })
    }

    /// The event of a call by curl with this certificate.
    fn curl(&self, name: &str) -> Result<Event> {
        self.call("tools/list", || Ok(self.curl_command(name)))
    }

    fn curl_command(&self, name: &str) -> Command {
        let body = r#"{"jsonrpc":"2.0","id":7,"method":"tools/list"}"#;
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--data", body, "--header"]);
        curl.args(["Content-Type: application/json", "--header"]);
        curl.args(["Accept: application/json, text/event-stream", "--cacert"]);
        curl.arg(self.made.join("ca.pem"));
        curl.arg("--cert")
            .arg(self.made.join(format!("{name}.pem")));
        curl.arg("--key").arg(self.made.join(format!("{name}.key")));
        curl.arg(&self.url);
        curl
    }

    /// What is wrong with what an event says of an end's certificate, by what `openssl` says of it.
    fn compare(&self, event: &Event, end: &str, name: &str) -> Result<()> {
        let shown = told(event, &format!("certificates/{end}"));
        let shown = shown.filter(|shown| !shown.is_null());
        let shown =
            shown.with_context(|| format!("no certificate of the {end}: {}", event.json))?;
        let mut openssl = Command::new("openssl");
        openssl.args(["x509", "-noout", "-nameopt", "RFC2253", "-subject"]);
        openssl.args(["-issuer", "-serial", "-startdate", "-enddate", "-in"]);
        let output = openssl
            .arg(self.made.join(format!("{name}.pem")))
            .output()?;
        let text = String::from_utf8(output.stdout)?;
        let line = |key: &str| {
            let mut lines = text.lines();
            lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        };
        let said = |key: &str| shown.get(key).and_then(Value::as_str);
        for key in ["subject", "issuer"] {
            ensure!(said(key) == line(key), "{key}: {shown}, not {text}");
        }
        let serial = line("serial").unwrap_or_default().to_lowercase();
        let told = said("serial").unwrap_or_default();
        // A positive number is told with its sign.
        let is_same = told.trim_start_matches('0') == serial.trim_start_matches('0');
        ensure!(is_same && !serial.is_empty(), "{shown}, not {text}");
        for (key, at) in [("notBefore", "not_before"), ("notAfter", "not_after")] {
            let date = line(key).unwrap_or_default();
            let date = Command::new("date").args(["+%s", "-d", date]).output()?;
            let date = String::from_utf8(date.stdout)?;
            let seconds = shown.get(at).and_then(Value::as_u64);
            ensure!(seconds == date.trim().parse().ok(), "{shown}, not {text}");
        }
        ensure!(said("hash").is_some_and(|hash| hash.len() == 64), "{shown}");
        Ok(())
    }
}

/// Makes the certificate of a client, signed by the authority in `by`.
pub(crate) fn client(folder: &Path, name: &str, by: &Path) -> Result<()> {
    let extensions = format!(
        "subjectAltName = URI:{ID}, DNS:agent.example.org\nbasicConstraints = critical, CA:FALSE\n\
         keyUsage = critical, digitalSignature\nextendedKeyUsage = clientAuth\n"
    );
    fs::write(folder.join("client.ext"), extensions)?;
    let file = |end: &str| format!("{name}.{end}");
    let mut request = Command::new("openssl");
    request.args("req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes".split(' '));
    request.args(["-subj", SUBJECT, "-keyout", &file("key")]);
    run(request.args(["-out", &file("csr")]).current_dir(folder))?;
    let mut sign = Command::new("openssl");
    sign.args("x509 -req -days 2 -CAcreateserial -extfile client.ext -in".split(' '));
    sign.args([&file("csr"), "-out", &file("pem"), "-CA"]);
    sign.arg(by.join("ca.pem"))
        .arg("-CAkey")
        .arg(by.join("ca.key"));
    run(sign.current_dir(folder))
}

fn text<'a>(event: &'a Event, at: &str) -> Option<&'a str> {
    told(event, at)?.as_str()
}

/// Both ends are Python's: what they showed is in the event of the call, and names them only where that is proven.
fn sdk(site: &Site) -> Result<()> {
    let event = site.call("tools/call", || {
        let mut client = script("mutual.py")?;
        client
            .args(["client", &site.url])
            .arg(&site.made)
            .arg("agent");
        Ok(client)
    })?;
    site.compare(&event, "client", "agent")?;
    site.compare(&event, "server", "server")?;
    let spiffe_id = text(&event, "certificates/client/spiffe_id");
    ensure!(spiffe_id == Some(ID), "{}", event.json);
    for end in ["client", "server"] {
        let verdict = text(&event, &format!("certificates/{end}/verdict"));
        ensure!(verdict == Some("valid"), "{}", event.json);
        let is_proven = text(&event, "binding/certainty") == Some("proven");
        let is_named = text(&event, &format!("identity/{end}/method")) == Some("certificate");
        ensure!(is_named == is_proven, "{}", event.json);
    }
    Ok(())
}

/// curl's session is proven to be its connection's: both ends are who their certificates say.
fn named(site: &Site) -> Result<()> {
    let event = site.curl("agent")?;
    site.compare(&event, "client", "agent")?;
    site.compare(&event, "server", "server")?;
    for (end, subject) in [("client", ID), ("server", "certificate:CN=localhost")] {
        let of = |at: &str| text(&event, &format!("identity/{end}/{at}"));
        let told = (of("subject"), of("method"), of("assurance"));
        let expected = (Some(subject), Some("certificate"), Some("A3"));
        ensure!(told == expected, "{told:?} in {}", event.json);
    }
    let again = site.curl("agent")?;
    let hash = "certificates/client/hash";
    ensure!(text(&again, hash) == text(&event, hash), "{}", again.json);
    let server = text(&event, "certificates/server/hash");
    ensure!(text(&event, hash) != server, "{}", event.json);
    Ok(())
}

/// The server trusts another authority that the auditor does not know.
fn stranger(site: &Site) -> Result<()> {
    let event = site.curl("stranger")?;
    site.compare(&event, "client", "stranger")?;
    let verdict = text(&event, "certificates/client/verdict");
    ensure!(verdict == Some("unknown_authority"), "{}", event.json);
    let assurance = text(&event, "identity/client/assurance");
    ensure!(assurance == Some("A2"), "{}", event.json);
    Ok(())
}
