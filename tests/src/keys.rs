//! Keys of issuers that are fetched, from `openssl s_server`; and the configuration that is read again.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::{
    Arguments,
    certificates::Certificates,
    identity::{Setup, fresh, make_tokens, told},
    process::{Running, free_port, wait_for},
    session::listening,
    suite::{self, Named},
};

type Test = Named<fn(Place<'_>) -> Result<()>>;

const TESTS: [Test; 3] = [
    ("keys_by_url_follow_a_rotation", rotation),
    (
        "keys_by_url_of_bad_servers_leave_the_others_alone",
        bad_servers,
    ),
    ("configuration_is_read_again", reload),
];

/// Where a test plays.
#[derive(Clone, Copy)]
struct Place<'a> {
    auditor: &'a Path,
    folder: &'a Path,
    limit: Duration,
}

/// An issuer's server, and the daemon that asks it.
struct Site {
    setup: Setup,
    /// What the server shows.
    shown: PathBuf,
    server: Running,
}

/// Runs the tests, says how each ended, and gives the number of those that failed.
pub(crate) fn check(auditor: &Path, arguments: &Arguments, limit: Duration) -> usize {
    if arguments.without.iter().any(|word| word == "python") {
        return 0;
    }
    let play = |(name, test): &Test, (): &mut ()| {
        test(Place {
            auditor,
            folder: &arguments.folder.join(name),
            limit,
        })
    };
    suite::run(&TESTS, arguments.only.as_deref(), || Ok(()), play)
}

/// What a configuration says of the issuer whose keys are at an address.
fn issuer(name: &str, port: u16, file: &str, authority: &Path) -> String {
    format!(
        "[[identity.issuers]]\nissuer = \"{name}\"\nkeys_url = \"https://localhost:{port}/{file}\"\n\
         keys_ca = {authority:?}\naudience = [\"mcp\"]\n"
    )
}

impl Site {
    /// Starts an issuer's server, and a daemon with more in its configuration.
    fn start(place: Place<'_>, more: impl FnOnce(u16, &Path) -> String) -> Result<Self> {
        let folder = fresh(place.folder)?;
        make_tokens(&folder, "")?;
        let certificates = Certificates::make(&folder.join("certificates"))?;
        let shown = folder.join("shown");
        fs::create_dir(&shown)?;
        fs::copy(folder.join("keys.json"), shown.join("keys.json"))?;
        fs::write(shown.join("garbage.json"), "<html>keys</html>")?;
        fs::write(shown.join("large.json"), vec![b' '; 2 << 20])?;
        let port = free_port()?;
        let mut openssl = Command::new("openssl");
        openssl.args(["s_server", "-quiet", "-WWW", "-accept", &port.to_string()]);
        let made = certificates.folder();
        openssl.arg("-cert").arg(made.join("server.pem"));
        openssl.arg("-key").arg(made.join("server.key"));
        let log = folder.join("openssl.log");
        let server = listening(openssl.current_dir(&shown), &log, port, place.limit)?;
        let authority = certificates.authority();
        let mut config = issuer("https://issuer.test", port, "keys.json", &authority);
        config.push_str(&more(port, &authority));
        let setup = Setup::with(place.auditor, folder, &config, place.limit)?;
        setup.daemon.wait_for_log("keys fetched", 0, place.limit)?;
        Ok(Self {
            setup,
            shown,
            server,
        })
    }

    /// Shows a token until it is judged so, and gives the subject of that event's client.
    fn shows(&self, token: &Path, verdict: &str) -> Result<Option<String>> {
        let token = fs::read_to_string(token)?;
        let header = format!("Authorization: Bearer {token}");
        let setup = &self.setup;
        wait_for(&format!("a token that is {verdict}"), setup.limit, || {
            let pid = setup.curl(1, &header)?;
            let event = setup.call_of(pid, "tools/list")?;
            let text = |at: &str| told(&event, at).and_then(Value::as_str).map(str::to_owned);
            let is_judged = text("credential/verdict").as_deref() == Some(verdict);
            Ok(is_judged.then(|| text("identity/client/subject")))
        })
    }
}

/// An issuer signs with a new key: its tokens are verified soon, and those of the old key no longer.
fn rotation(place: Place<'_>) -> Result<()> {
    let site = Site::start(place, |_, _| String::new())?;
    let folder = &site.setup.folder;
    let subject = site.shows(&folder.join("valid.jwt"), "valid")?;
    ensure!(
        subject.as_deref() == Some("spiffe://test/agent"),
        "{subject:?}"
    );
    // This one begins before the keys change, and stays.
    let (client, _) = site.setup.client("valid-ec.jwt")?;
    site.setup.call_of(client.pid(), "tools/call")?;
    let second = fresh(&folder.join("second"))?;
    make_tokens(&second, "-2")?;
    let new = site.shown.join("new.json");
    fs::copy(second.join("keys.json"), &new)?;
    fs::rename(new, site.shown.join("keys.json"))?;
    let subject = site.shows(&second.join("valid.jwt"), "valid")?;
    ensure!(
        subject.as_deref() == Some("spiffe://test/agent"),
        "{subject:?}"
    );
    site.shows(&folder.join("valid.jwt"), "unknown_key")?;
    Ok(())
}

/// Servers that answer with anything else than keys are named in the log; with the keys of the last run the daemon goes on.
fn bad_servers(place: Place<'_>) -> Result<()> {
    let closed = free_port()?;
    let mut site = Site::start(place, |port, authority| {
        issuer("https://garbage.test", port, "garbage.json", authority)
            + &issuer("https://large.test", port, "large.json", authority)
            + &issuer("https://closed.test", closed, "keys.json", authority)
    })?;
    for (name, told) in [
        ("garbage.test", "no JSON Web Key Set"),
        ("large.test", "more than 1048576 bytes"),
        ("closed.test", "client error"),
    ] {
        wait_for(&format!("a warning of {name}"), place.limit, || {
            let log = site.setup.daemon.log();
            let mut lines = log
                .lines()
                .filter(|line| line.contains("cannot be fetched"));
            Ok(lines
                .any(|line| line.contains(name) && line.contains(told))
                .then_some(()))
        })?;
    }
    let token = site.setup.folder.join("valid.jwt");
    site.shows(&token, "valid")?;
    site.server.signal("KILL")?;
    site.server.wait(place.limit)?;
    let before = site.setup.daemon.log().lines().count();
    let daemon = &mut site.setup.daemon;
    daemon.reload("configuration read again", place.limit)?;
    daemon.wait_for_log("keys of the last run", before, place.limit)?;
    daemon.wait_for_log("keys cannot be fetched", before, place.limit)?;
    site.shows(&token, "valid")?;
    Ok(())
}

/// SIGHUP: a broken file changes nothing, a good one what can be changed, and the rest is named.
fn reload(place: Place<'_>) -> Result<()> {
    let mut site = Site::start(place, |_, _| String::new())?;
    let token = site.setup.folder.join("valid.jwt");
    site.shows(&token, "valid")?;
    let path = site.setup.folder.join("config.toml");
    let config = fs::read_to_string(&path)?;
    fs::write(&path, format!("{config}audience = 7\n"))?;
    let daemon = &mut site.setup.daemon;
    let before = daemon.log().lines().count();
    daemon.reload("the one before stays in force", place.limit)?;
    let line = format!("line {}", config.lines().count() + 1);
    daemon.wait_for_log(&line, before, place.limit)?;
    site.shows(&token, "valid")?;
    let other = format!(
        "processes = 4096\n{}",
        config.replace("[\"mcp\"]", "[\"other\"]")
    );
    fs::write(&path, other)?;
    site.setup
        .daemon
        .reload("processes changed, which needs a restart", place.limit)?;
    site.shows(&token, "wrong_audience")?;
    fs::write(&path, config)?;
    site.setup.daemon.reload(
        "issuers, authorities and gateways are in force",
        place.limit,
    )?;
    site.shows(&token, "valid")?;
    Ok(())
}
