//! Workloads of a real Kubernetes, under a daemon of their own that asks its API server: who is named, and whose token
//! is whose.
//!
//! Images are made from files of this host; no registry is asked. The tests run one after the other, in one cluster.
//! Needs root.

mod cluster;
mod daemon_set;
mod image;
mod leftovers;
mod manifests;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use self::{
    cluster::{Cluster, ISSUER, NODE, output},
    manifests::{Pod, SHARED, TOKEN},
};
use crate::{
    Arguments,
    daemon::Daemon,
    engine::{judge, server},
    process::{free_port, listens, wait_for},
    suite::{self, Named},
};

type Test = Named<fn(&mut Setup) -> Result<()>>;

const TESTS: [Test; 5] = [
    ("kubernetes_workloads_are_named", named),
    ("kubernetes_token_is_verified_and_found_elsewhere", token),
    ("kubernetes_pod_of_one_second", short),
    ("kubernetes_api_server_is_gone_for_a_while", restarted),
    // It kills the API server, too.
    ("kubernetes_daemon_set", daemon_set::installed),
];

/// Ids of calls that the agent counts on from.
const COUNTED: u64 = 1_000;

struct Setup {
    daemon: Daemon,
    cluster: Cluster,
    /// A folder of the node that pods are given.
    shared: PathBuf,
    /// Of a server of this process.
    port: u16,
    limit: Duration,
}

/// Runs the tests, says how each ended, and gives the number of those that failed.
pub(crate) fn check(auditor: &Path, arguments: &Arguments, limit: Duration) -> usize {
    let needs = |word: &String| ["kubernetes", "engines", "go"].contains(&word.as_str());
    if arguments.without.iter().any(needs) {
        return 0;
    }
    let folder = arguments.folder.join("kubernetes");
    let start = || Setup::start(auditor, &folder, limit * 2);
    suite::run(
        &TESTS,
        arguments.only.as_deref(),
        start,
        |(_, test), setup| test(setup),
    )
}

impl Setup {
    fn start(auditor: &Path, folder: &Path, limit: Duration) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        let shared = folder.join("shared");
        fs::create_dir_all(&shared)?;
        let folder = fs::canonicalize(folder)?;
        let cluster = Cluster::start(&folder, limit)?;
        cluster.apply(&manifests::auditor())?;
        for account in ["seller", "buyer"] {
            cluster.apply(&manifests::account(account))?;
        }
        let keys = folder.join("keys.json");
        fs::write(
            &keys,
            output(cluster.kubectl().args(["get", "--raw", "/openid/v1/jwks"]))?,
        )?;
        // The runtime's socket is not asked, so that digests of images are the API server's.
        let configuration = format!(
            "[containers]\ncontainerd = [{:?}]\ncontainerd_sockets = []\n\
             [kubernetes]\nkubeconfig = {:?}\nnode = {NODE:?}\n\
             [[identity.issuers]]\nissuer = {ISSUER:?}\nkeys = {keys:?}\naudience = [{ISSUER:?}]\n",
            cluster.state(),
            cluster.kubeconfig_of("mcp-auditor")?,
        );
        let file = folder.join("config.toml");
        fs::write(&file, configuration)?;
        let file = file.to_string_lossy();
        let daemon = Daemon::start(auditor, &folder.join("daemon"), &["--config", &file], limit)?;
        Ok(Self {
            daemon,
            cluster,
            shared: fs::canonicalize(shared)?,
            port: server::start()?,
            limit,
        })
    }

    /// A pod that runs a script of busybox.
    fn script<'a>(&'a self, name: &'a str, account: &'a str, script: &str) -> Pod<'a> {
        Pod {
            name,
            account,
            words: ["/bin/busybox", "sh", "-c", script]
                .map(str::to_owned)
                .to_vec(),
            shared: self.shared.to_str(),
        }
    }

    /// The words of a shell that make one call of this process' server.
    fn call(&self, id: &str, token: Option<&str>) -> String {
        let header = token
            .map(|file| format!(r#"--header "Authorization: Bearer $(/bin/busybox cat {file})""#));
        format!(
            r#"/bin/busybox wget -q -O - --header 'Content-Type: application/json' {} --post-data "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"tools/call\",\"params\":{{\"name\":\"add\",\"arguments\":{{}}}}}}" http://127.0.0.1:{}/mcp"#,
            header.unwrap_or_default(),
            self.port,
        )
    }

    /// The final event of a call of this process' server, once it is there.
    fn event(&self, what: &str, is_it: impl Fn(u64) -> bool) -> Result<Value> {
        let found = wait_for(what, self.limit, || {
            let events = self.daemon.events().of(&[std::process::id()])?;
            let mut finals = events.into_iter().filter(|event| event.stage == "final");
            Ok(finals.find(|event| {
                let id = event.interaction.id.as_ref().and_then(|id| id.parse().ok());
                id.is_some_and(&is_it)
            }))
        });
        let found = found.with_context(|| self.daemon.log())?;
        Ok(found.json)
    }

    /// The only pod with a label, once it has what is asked for.
    fn pod(&self, app: &str, pointer: &str) -> Result<Value> {
        wait_for(&format!("{pointer} of {app}"), self.limit, || {
            let list = self
                .cluster
                .get(&["pods", "--selector", &format!("app={app}")])?;
            let pod = list.pointer("/items/0").cloned();
            Ok(pod.filter(|pod| {
                pod.pointer(pointer)
                    .is_some_and(|value| *value != json!(""))
            }))
        })
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default()
}

fn end(event: &Value, name: &str) -> Result<Value> {
    let end = event.pointer(&format!("/unmapped/mcp/{name}")).cloned();
    end.with_context(|| format!("no {name}: {event}"))
}

/// Compares a process with the pod that it must be in.
fn judge_pod(process: &Value, pod: &Value, owner: Option<(&str, &str)>) -> Result<()> {
    let account = text(pod, "/spec/serviceAccountName");
    judge(
        process,
        &[
            ("/workload/pod/uid", text(pod, "/metadata/uid")),
            ("/workload/pod/name", text(pod, "/metadata/name")),
            ("/workload/pod/namespace", "default"),
            ("/workload/pod/service_account", account),
            ("/workload/pod/node", NODE),
            ("/workload/pod/labels/team", "audit"),
            ("/workload/pod/source", "api_server"),
        ],
    )?;
    let told = process.pointer("/workload/pod/owner");
    let due = owner.map_or(
        Value::Null,
        |(kind, name)| json!({"kind": kind, "name": name}),
    );
    ensure!(told == Some(&due), "owner is not {due}: {process}");
    Ok(())
}

/// The server of a Deployment is asked by a Job, both with an SDK's programs.
fn named(setup: &mut Setup) -> Result<()> {
    let port = free_port()?;
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let server = Pod {
        name: "shop",
        account: "seller",
        words: words(&["/bin/server", "--http", &port.to_string()]),
        shared: None,
    };
    setup.cluster.apply(&server.deployment())?;
    wait_for(
        "the server",
        setup.limit,
        || Ok(listens(port).then_some(())),
    )
    .with_context(|| format!("{:?}", setup.cluster.get(&["pods"])))?;
    let container = "/status/containerStatuses/0/containerID";
    let server = setup.pod("shop", container)?;
    let url = format!("http://127.0.0.1:{port}/mcp");
    let client = Pod {
        name: "asker",
        account: "buyer",
        words: words(&[
            "/bin/client",
            "--truth",
            "/tmp/truth.jsonl",
            "--scenario",
            "/scenario.json",
            "--http",
            &url,
        ]),
        shared: None,
    };
    setup.cluster.apply(&client.job())?;
    let client = setup.pod("asker", container)?;
    let uid = text(&client, "/metadata/uid");
    let called = wait_for("the call", setup.limit, || {
        let mut events = setup.daemon.events().all()?.into_iter();
        Ok(events.find(|event| {
            let told = text(&event.json, "/unmapped/mcp/client/workload/pod/uid");
            let is_call = event.interaction.method.as_deref() == Some("tools/call");
            is_call && event.stage == "final" && told == uid
        }))
    });
    let called = called.with_context(|| setup.daemon.log())?.json;
    judge_pod(&end(&called, "client")?, &client, Some(("Job", "asker")))?;
    let process = end(&called, "server")?;
    judge_pod(&process, &server, Some(("Deployment", "shop")))?;
    let digest = setup.cluster.digest()?;
    let id = text(&server, container).trim_start_matches("containerd://");
    judge(
        &process,
        &[
            ("/container", id),
            ("/workload/container/id", id),
            ("/workload/container/runtime", "containerd"),
            ("/workload/container/name", "main"),
            ("/workload/container/image", image::NAME),
            ("/workload/container/image_digest", &digest),
            ("/workload/container/source", "api_server"),
            ("/workload/pod/started", text(&server, "/status/startTime")),
        ],
    )
}

/// A pod shows its own token; another shows the same.
fn token(setup: &mut Setup) -> Result<()> {
    let stolen = format!("{SHARED}/token");
    let script = format!(
        "{}; /bin/busybox cp {TOKEN} {stolen}; /bin/busybox sleep 100000",
        setup.call("11", Some(TOKEN))
    );
    let bearer = setup.script("bearer", "buyer", &script).alone();
    setup.cluster.apply(&bearer)?;
    let event = setup.event("the bearer's call", |id| id == 11)?;
    let bearer = setup.pod("bearer", "/metadata/uid")?;
    judge_pod(&end(&event, "client")?, &bearer, None)?;
    let identity = end(&event, "identity")?;
    judge(
        &identity,
        &[
            ("/client/subject", "system:serviceaccount:default:buyer"),
            ("/client/method", "token"),
            ("/client/assurance", "A3"),
        ],
    )?;
    let told = |event: &Value, pointer: &str| -> Result<Value> {
        let found = event.pointer(&format!("/unmapped/mcp/{pointer}")).cloned();
        found.with_context(|| format!("no {pointer}: {event}"))
    };
    ensure!(
        told(&event, "identity/client/verified")? == json!(true)
            && told(&event, "identity/client/contradictions")? == json!([]),
        "{identity}"
    );
    wait_for("the token", setup.limit, || {
        Ok(setup.shared.join("token").exists().then_some(()))
    })?;
    let script = setup.call("12", Some(&stolen));
    let thief = setup.script("thief", "seller", &script).alone();
    setup.cluster.apply(&thief)?;
    let event = setup.event("the thief's call", |id| id == 12)?;
    let thief = setup.pod("thief", "/metadata/uid")?;
    judge_pod(&end(&event, "client")?, &thief, None)?;
    ensure!(
        told(&event, "identity/client/contradictions")?
            == json!(["token_of_another_pod", "token_of_another_service_account"]),
        "{event}"
    );
    let finding = wait_for("a finding", setup.limit, || {
        let mut events = setup.daemon.events().all()?.into_iter();
        Ok(events.find(|event| text(&event.json, "/unmapped/mcp/finding") == "misplaced_token"))
    })?;
    let uid = |number: u8| {
        let pointer = format!("/evidences/{number}/process/container/pod_uuid");
        text(&finding.json, &pointer).to_owned()
    };
    ensure!(
        uid(0) == text(&bearer, "/metadata/uid") && uid(1) == text(&thief, "/metadata/uid"),
        "{}",
        finding.json
    );
    Ok(())
}

/// A pod that is gone soon after it called.
fn short(setup: &mut Setup) -> Result<()> {
    let script = format!("{}; /bin/busybox sleep 1", setup.call("21", None));
    let pod = setup.script("short", "buyer", &script).alone();
    setup.cluster.apply(&pod)?;
    let event = setup.event("the call", |id| id == 21)?;
    let pod = setup.pod("short", "/metadata/uid")?;
    judge_pod(&end(&event, "client")?, &pod, None)
}

/// Who is known stays known while the API server is gone, and who comes later is known again when it is back.
fn restarted(setup: &mut Setup) -> Result<()> {
    let script = format!(
        "i={COUNTED}; while :; do {}; i=$((i+1)); /bin/busybox sleep 0.2; done",
        setup.call("$i", None)
    );
    let agent = setup.script("agent", "buyer", &script).deployment();
    setup.cluster.apply(&agent)?;
    setup.event("the agent's calls", |id| id >= COUNTED)?;
    let agent = setup.pod("agent", "/metadata/uid")?;
    let lines = |setup: &Setup, what: &str| {
        let log = setup.daemon.log();
        log.lines().filter(|line| line.contains(what)).count()
    };
    let (lost, heard) = ("API server cannot be heard", "API server tells of the pods");
    ensure!(
        lines(setup, lost) == 0 && lines(setup, heard) == 1,
        "{}",
        setup.daemon.log()
    );
    setup.cluster.kill_api_server()?;
    wait_for("the loss in the log", setup.limit, || {
        Ok((lines(setup, lost) > 0).then_some(()))
    })?;
    let ids = setup.daemon.events().of(&[std::process::id()])?;
    let ids = ids
        .iter()
        .filter_map(|event| event.interaction.id.as_ref()?.parse().ok());
    let last: u64 = ids.max().context("no calls")?;
    let event = setup.event("a call meanwhile", |id| id > last + 2)?;
    judge_pod(
        &end(&event, "client")?,
        &agent,
        Some(("Deployment", "agent")),
    )?;
    setup.cluster.start_api_server()?;
    wait_for("the server in the log", setup.limit, || {
        Ok((lines(setup, heard) > 1).then_some(()))
    })?;
    let script = setup.call("31", None);
    let pod = setup.script("later", "seller", &script).alone();
    setup.cluster.apply(&pod)?;
    let event = setup.event("the later call", |id| id == 31)?;
    let pod = setup.pod("later", "/metadata/uid")?;
    judge_pod(&end(&event, "client")?, &pod, None)?;
    ensure!(
        lines(setup, lost) == 1 && lines(setup, heard) == 2,
        "{}",
        setup.daemon.log()
    );
    let status = setup.daemon.stop(setup.limit)?;
    ensure!(status.success(), "it did not end well: {status}");
    Ok(())
}
