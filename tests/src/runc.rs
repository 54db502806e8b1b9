//! An MCP client in a container of runc, with a libssl of its own: heard, and named with the container's id.
//!
//! There is no image: the root is made of the host's folders, read-only, and the network is the host's.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::{
    Arguments,
    certificates::Certificates,
    compare,
    daemon::Daemon,
    event::Event,
    interaction::Interaction,
    oneshot,
    process::{Running, free_port, wait_for},
    programs::{Sdk, Transport, python, source},
    session::listening,
    truth::{self, Ends},
};

const NAME: &str = "runc_python1_with_its_own_libssl_over_https";
const SCENARIO: &str = r#"[{"do": "list_tools"},
    {"do": "call_tool", "name": "echo", "arguments": {"text": "hello"}},
    {"do": "call_tool", "name": "fail"}]"#;
/// Tells where the files of Python itself are, and its libssl.
const PLACES: &str = "import _ssl, sys
print(sys.base_prefix)
print(next(line.split()[-1] for line in open('/proc/self/maps') if '/libssl' in line))";
/// Where the container's own libssl is, inside.
const OWN: &str = "/opt/mcp-auditor-test";

/// Plays it, if it is wanted; its name, and what is wrong if anything is.
pub(crate) fn check(
    daemon: &Daemon,
    arguments: &Arguments,
    certificates: &Certificates,
    limit: Duration,
) -> Option<(String, Option<String>)> {
    let only = arguments.only.as_ref();
    let needs = |word: &String| ["tools", "python"].contains(&word.as_str());
    let is_wanted = only.is_none_or(|only| NAME.contains(only.as_str()));
    if !is_wanted || arguments.without.iter().any(needs) {
        return None;
    }
    let folder = arguments.folder.join("runc");
    let wrong = heard(daemon, &folder, certificates, limit).err();
    Some((NAME.to_owned(), wrong.map(|error| format!("{error:#}"))))
}

fn heard(
    daemon: &Daemon,
    folder: &Path,
    certificates: &Certificates,
    limit: Duration,
) -> Result<()> {
    let port = free_port()?;
    let bundle = Bundle::make(folder, certificates)?;
    let mut server = Sdk::Python1.server(Transport::Http, port)?;
    server.arg("--tls").arg(certificates.folder());
    let server = listening(&mut server, &bundle.folder.join("server.log"), port, limit)?;
    // In the first container the library is looked at when it is mapped; the second is heard from its first message.
    bundle.play("first", port, limit)?;
    wait_for("TLS of the container's libssl", limit, || {
        let log = daemon.log();
        let is_it = |line: &str| {
            line.contains("TLS is heard") && line.contains(&format!("file={} ", bundle.library))
        };
        Ok(log.lines().any(is_it).then_some(()))
    })?;
    let played = bundle.play("second", port, limit)?;
    let ends = Ends {
        client: played.client,
        server: Some(server.pid()),
        transport: "http",
    };
    let expected = truth::interactions(&played.truth, &ends)?;
    ensure!(!expected.is_empty(), "the client logged nothing");
    let events = || -> Result<Vec<Event>> {
        let mut events = daemon.events().of(&[server.pid()])?;
        // Those of the first container are the server's, too.
        let is_first =
            |call: &Interaction| call.client.is_none_or(|client| client != played.client);
        events.retain(|event| !is_first(&event.interaction));
        Ok(events)
    };
    // What is still missing at the limit is told by the comparison.
    let _ = wait_for("events", limit / 3, || {
        Ok((compare::missing(&expected, &events()?) == 0).then_some(()))
    });
    let events = events()?;
    let mut wrong = compare::differences(&expected, &events);
    wrong.extend(compare::encryption(true, &events));
    let requests = events
        .iter()
        .filter(|event| event.interaction.kind == "request");
    wrong.extend(requests.filter_map(oneshot::unwitnessed));
    wrong.extend(events.iter().filter_map(|event| {
        let container = event.json.pointer("/unmapped/mcp/client/container");
        let is_right = container.and_then(Value::as_str) == Some(played.container.as_str());
        (!is_right).then(|| format!("container {container:?} in: {}", event.interaction))
    }));
    ensure!(wrong.is_empty(), "{}", wrong.join("\n    "));
    Ok(())
}

/// What a container is made of.
struct Bundle {
    folder: PathBuf,
    /// Folders of the host that are seen inside at the same place.
    shared: BTreeSet<PathBuf>,
    /// The container's libssl, as it is called inside.
    library: String,
}

/// A session that was played in a container.
struct Played {
    client: u32,
    container: String,
    truth: PathBuf,
}

impl Bundle {
    fn make(folder: &Path, certificates: &Certificates) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder.join("own"))?;
        let folder = fs::canonicalize(folder)?;
        let interpreter = python(Sdk::Python1)?;
        let places = Command::new(&interpreter).args(["-c", PLACES]).output()?;
        let places = String::from_utf8(places.stdout)?;
        let mut places = places.lines().map(PathBuf::from);
        let (Some(prefix), Some(libssl)) = (places.next(), places.next()) else {
            bail!("{} has no shared libssl", interpreter.display());
        };
        // What stands behind the end of a library is not loaded, and makes it another file to the auditor.
        let name = libssl.file_name().context("no file name")?;
        let own = folder.join("own").join(name);
        let content = [fs::read(&libssl)?, b"own".to_vec()].concat();
        fs::write(own, content)?;
        let environment = interpreter.ancestors().nth(2).context("no environment")?;
        let programs = source("python");
        let shared = [
            Path::new("/usr"),
            Path::new("/etc"),
            &prefix,
            environment,
            &programs,
            certificates.folder(),
        ];
        Ok(Self {
            shared: shared
                .into_iter()
                .map(fs::canonicalize)
                .collect::<Result<_, _>>()?,
            library: Path::new(OWN).join(name).display().to_string(),
            folder,
        })
    }

    /// Plays one session in a container of its own.
    fn play(&self, name: &str, port: u16, limit: Duration) -> Result<Played> {
        let folder = self.folder.join(name);
        fs::create_dir_all(folder.join("out"))?;
        fs::write(folder.join("out/scenario.json"), SCENARIO)?;
        let root = folder.join("rootfs");
        fs::create_dir_all(&root)?;
        for link in ["bin", "lib", "lib64", "sbin"] {
            std::os::unix::fs::symlink(Path::new("usr").join(link), root.join(link))?;
        }
        let container = format!(
            "{:064x}",
            u64::from(port) << 32 | u64::from(std::process::id())
        );
        let container = container.replacen('0', if name == "first" { "1" } else { "2" }, 1);
        let configuration = self.configuration(&folder.join("out"), &container, port)?;
        fs::write(folder.join("config.json"), configuration.to_string())?;
        let mut command = Command::new("runc");
        command.arg("--root").arg(folder.join("state"));
        command.args(["run", "--pid-file"]).arg(folder.join("pid"));
        command.arg("--bundle").arg(&folder).arg(&container);
        let log = folder.join("runc.log");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?);
        let status = Running::start(&mut command)?.wait(limit);
        if !status.as_ref().is_ok_and(ExitStatus::success) {
            // What runc itself could not take away.
            let mut delete = Command::new("runc");
            delete.arg("--root").arg(folder.join("state"));
            let _ = delete.args(["delete", "--force", &container]).output();
            let told = fs::read_to_string(&log).unwrap_or_default();
            bail!("runc ended with {status:?}: {told}");
        }
        let client = fs::read_to_string(folder.join("pid"))?.trim().parse()?;
        Ok(Played {
            client,
            container,
            truth: folder.join("out/truth.jsonl"),
        })
    }

    /// The container as the OCI's runtime specification wants it told.
    fn configuration(&self, out: &Path, container: &str, port: u16) -> Result<Value> {
        let certificates = self.folder.with_file_name("certificates");
        let mut mounts = vec![
            json!({"destination": "/proc", "type": "proc", "source": "proc"}),
            json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]}),
            json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}),
        ];
        let bind = |source: &Path, destination: &Path, how: &str| json!({"destination": destination, "type": "bind", "source": source, "options": ["rbind", how]});
        mounts.extend(self.shared.iter().map(|path| bind(path, path, "ro")));
        mounts.push(bind(&self.folder.join("own"), Path::new(OWN), "ro"));
        mounts.push(bind(out, Path::new("/out"), "rw"));
        let client = Sdk::Python1.client()?;
        let words = std::iter::once(client.get_program()).chain(client.get_args());
        let mut words: Vec<_> = words
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        words.extend(
            [
                "--truth",
                "/out/truth.jsonl",
                "--scenario",
                "/out/scenario.json",
            ]
            .map(str::to_owned),
        );
        words.extend(["--http".to_owned(), format!("https://127.0.0.1:{port}/mcp")]);
        let authority = fs::canonicalize(certificates)?.join("ca.pem");
        let environment = [
            format!("SSL_CERT_FILE={}", authority.display()),
            format!("LD_LIBRARY_PATH={OWN}"),
        ];
        let namespaces = ["pid", "mount", "ipc", "uts"].map(|kind| json!({"type": kind}));
        Ok(json!({
            "ociVersion": "1.0.2",
            "root": {"path": "rootfs"},
            "mounts": mounts,
            "process": {"user": {"uid": 0, "gid": 0}, "args": words, "cwd": "/", "env": environment},
            "linux": {
                "namespaces": namespaces,
                "cgroupsPath": format!("/{container}"),
            },
        }))
    }
}
