//! Programs in containers: with a TLS library of their own, and on a layer that several of them share.
//!
//! A container is a mount namespace with a root of its own, as container engines make it; the engines' other walls do
//! not matter to what is heard.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Result, ensure};

use crate::{
    Arguments,
    certificates::Certificates,
    daemon::Daemon,
    load::{Runtime, Target, many},
    oneshot,
    process::{Running, free_port, wait_for},
    programs::go,
    scenarios,
    session::listening,
};

/// Copies curl, its libraries and the Go program into the folder `$1`; its libssl is another file than the host's.
const LAYER: &str = r#"set -e
layer=$1; shift
mkdir -p "$layer/tmp"
curl=$(command -v curl)
cp --parents --dereference "$curl" $(ldd "$curl" | grep -o '/[^ )]*') "$layer"
cp "$@" "$layer"
for library in $(find "$layer" -name 'libssl.so*'); do printf own >> "$library"; done
"#;
/// Runs a program with the layer `$1` below a root of its own, which is made in the folder `$2`.
const INSIDE: &str = r#"set -e
layer=$1 folder=$2; shift 2
mkdir -p "$folder/upper" "$folder/work" "$folder/root"
mount -t overlay overlay -o "lowerdir=$layer,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
exec chroot "$folder/root" "$@"
"#;
const CURL: &str = "container_curl_with_its_own_libssl";
const PAIR: &str = "container_pair_on_one_layer_of_go";

/// Plays them; for each its name, and what is wrong if anything is.
pub(crate) fn check(
    daemon: &Daemon,
    arguments: &Arguments,
    certificates: &Certificates,
    limit: Duration,
) -> Result<Vec<(String, Option<String>)>> {
    let is_wanted = |name: &&str| {
        let needs = |word: &String| word == "tools" || scenarios::needs(name, word);
        arguments
            .only
            .as_ref()
            .is_none_or(|only| name.contains(only.as_str()))
            && !arguments.without.iter().any(needs)
    };
    let wanted: Vec<_> = [CURL, PAIR].into_iter().filter(is_wanted).collect();
    if wanted.is_empty() || arguments.without.iter().any(|word| word == "go") {
        return Ok(Vec::new());
    }
    let containers = Containers::make(&arguments.folder.join("containers"), certificates)?;
    let played = wanted.into_iter().map(|name| {
        let play = if name == CURL { own_library } else { one_layer };
        let result = play(&containers, daemon, certificates, limit);
        (
            name.to_owned(),
            result.err().map(|error| format!("{error:#}")),
        )
    });
    Ok(played.collect())
}

/// A layer that containers share, and where their roots go.
struct Containers {
    folder: PathBuf,
}

impl Containers {
    fn make(folder: &Path, certificates: &Certificates) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        let folder = fs::canonicalize(folder)?;
        let pair = fs::canonicalize(certificates.folder())?;
        let program = go("load")?;
        let status = Command::new("sh")
            .args(["-c", LAYER, "sh"])
            .arg(folder.join("layer"))
            .arg(program.get_program())
            .args(["ca.pem", "server.pem", "server.key"].map(|name| pair.join(name)))
            .status()?;
        ensure!(status.success(), "the containers' layer was not made");
        Ok(Self { folder })
    }

    /// A command in a container of this name; words of it name files as they are inside.
    fn command<'a>(&self, name: &str, words: impl IntoIterator<Item = &'a OsStr>) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", INSIDE, "sh"]);
        command.arg(self.folder.join("layer"));
        command.arg(self.folder.join(name)).args(words);
        command
    }

    /// The Go program's command in a container.
    fn go(&self, name: &str, command: &Command) -> Command {
        let words = std::iter::once(OsStr::new("/load")).chain(command.get_args());
        self.command(name, words)
    }
}

/// Where the certificates are inside.
fn target(port: u16) -> Target {
    Target {
        port,
        authority: PathBuf::from("/ca.pem"),
    }
}

fn one_layer(
    containers: &Containers,
    daemon: &Daemon,
    _: &Certificates,
    limit: Duration,
) -> Result<()> {
    let port = free_port()?;
    let mut server = Command::new("");
    server.args(["serve", &port.to_string(), "/"]);
    let mut server = containers.go("server", &server);
    let log = containers.folder.join("server.log");
    let server = listening(&mut server, &log, port, limit)?;
    // Two clients, one after the other: the first may be faster than the look at its file.
    let first = Runtime::Go.client(&target(port), 2, 3, 0)?;
    many::told(containers.go("first", &first), limit)?;
    heard_of("load", daemon, limit)?;
    let second = Runtime::Go.client(&target(port), 10, many::CALLS, 1000)?;
    let told = many::told(containers.go("second", &second), limit)?;
    ensure!(told.ports.len() == 10 * many::CALLS, "{told:?}");
    many::compared(&told, server.pid(), daemon, limit)?.judge()
}

fn own_library(
    containers: &Containers,
    daemon: &Daemon,
    certificates: &Certificates,
    limit: Duration,
) -> Result<()> {
    let port = free_port()?;
    let log = containers.folder.join("python.log");
    let server = &mut Runtime::Python.server(port, certificates)?;
    let server = listening(server, &log, port, limit)?;
    let call = |name: &str, id: u64| -> Result<u32> {
        let curl = oneshot::curl_call(&target(port), id)?;
        let path = fs::canonicalize("/usr/bin/curl")?;
        let words = std::iter::once(path.as_os_str()).chain(curl.get_args());
        let mut command = containers.command(name, words);
        let mut running = Running::start(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
        running.wait(limit)?;
        Ok(running.pid())
    };
    // The first call has the library looked at; the next two are from two containers.
    wait_for("TLS of the container's library", limit, || {
        // On a busy host it may be gone before its library is opened.
        call("curl-0", 0)?;
        Ok(is_heard_of("libssl.so.3", daemon).then_some(()))
    })?;
    let made = [(call("curl-1", 1)?, "1"), (call("curl-2", 2)?, "2")];
    wait_for(
        "both calls, once each and heard at both ends",
        limit / 6,
        || {
            let is_heard = |(pid, id): &(u32, &str)| -> Result<bool> {
                let events = daemon.events().of(&[server.pid()])?;
                let mut calls = events.iter().filter(|event| {
                    event.interaction.id.as_deref() == Some(id) && event.stage == "final"
                });
                let is_once = calls.clone().count() == 1;
                let event = calls.next();
                Ok(is_once
                    && event.is_some_and(|event| {
                        event.interaction.client == Some(*pid)
                            && oneshot::unwitnessed(event).is_none()
                    }))
            };
            Ok((is_heard(&made[0])? && is_heard(&made[1])?).then_some(()))
        },
    )
}

/// Waits until the probes of a file of the containers' layer are in place.
fn heard_of(name: &str, daemon: &Daemon, limit: Duration) -> Result<()> {
    wait_for(&format!("TLS of {name}"), limit, || {
        Ok(is_heard_of(name, daemon).then_some(()))
    })
}

/// Whether it is.
fn is_heard_of(name: &str, daemon: &Daemon) -> bool {
    let log = daemon.log();
    let is_told = |line: &str| {
        let is_ours = line.contains("/containers/") && line.contains(&format!("/{name} "));
        line.contains("TLS is heard") && is_ours
    };
    log.lines().any(is_told)
}
