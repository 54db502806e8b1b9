//! The chart as a DaemonSet: from `helm template | kubectl apply` to events of pods that nobody adapted, found by a search at
//! once, over an upgrade, and while the API server is gone.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Setup, cluster::output, end, judge_pod, text};
use crate::{
    process::{free_port, wait_for},
    programs::{image_and_helm, query},
};

const NAMESPACE: &str = "mcp-auditor";
/// Another name than the account's that the other tests' daemon has.
const RELEASE: &str = "node";
const ACCOUNT: &str = "node-mcp-auditor";
/// What the chart's pods are labelled with.
const LABEL: &str = "app.kubernetes.io/name=mcp-auditor";
/// Ids of calls that a pod counts on from.
const STEADY: u64 = 1_000_000;
/// Resident memory that the daemon may have, in KiB.
const MEMORY: u64 = 150 << 10;

pub(super) fn installed(setup: &mut Setup) -> Result<()> {
    let (archive, helm) = image_and_helm()?;
    setup.cluster.import_archive(&archive)?;
    let data = setup.cluster.folder.join("auditor");
    fs::create_dir_all(&data)?;
    let chart = Chart {
        helm,
        port: free_port()?,
        data: data.clone(),
        state: setup.cluster.state(),
    };
    let namespace =
        format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {NAMESPACE}\n---\n");
    let begun = Instant::now();
    setup
        .cluster
        .apply_text(&(namespace + &chart.render("1")?))?;
    // Pods cannot reach a service's address here: they are told the server's own, with the token of the chart's account.
    let token = ["-n", NAMESPACE, "create", "token", ACCOUNT];
    let token = output(setup.cluster.kubectl().args(token))?;
    let kubeconfig = fs::read_to_string(setup.cluster.kubeconfig_of("mcp-auditor")?)?;
    let kubeconfig = inline(serde_json::from_str(&kubeconfig)?, &token)?;
    // Whole or not at all: the daemon may be reading.
    fs::write(data.join("kubeconfig.new"), kubeconfig.to_string())?;
    fs::rename(data.join("kubeconfig.new"), data.join("kubeconfig"))?;
    let pod = ready(setup, None)?;
    let first = call(setup, &data, 41)?;
    let until_event = begun.elapsed();
    judge_pod(&end(&first.0, "client")?, &first.1, None).with_context(|| logs(setup))?;
    let memory = memory(&data)?;
    println!(
        "  first event {:.1} s after apply, resident {} MiB",
        until_event.as_secs_f32(),
        memory >> 10
    );
    ensure!(
        until_event < Duration::from_secs(30),
        "it took {until_event:?}"
    );
    ensure!(memory < MEMORY, "{memory} KiB are resident");
    searched(setup, &data)?;

    setup.cluster.apply_text(&chart.render("2")?)?;
    ready(setup, Some(&pod))?;
    let second = call(setup, &data, 42)?;
    judge_pod(&end(&second.0, "client")?, &second.1, None)?;
    let gap = gap(&data)?;
    println!("  blind for {gap} ms while it was upgraded");
    without_api_server(setup, &data)?;
    let mut delete = setup.cluster.kubectl();
    delete.args(["delete", "namespace", NAMESPACE, "--wait=false"]);
    output(&mut delete).map(drop)
}

/// A pod that lives for a second is found by a search right after its call, with all that names it.
fn searched(setup: &Setup, data: &Path) -> Result<()> {
    let name = "found-43";
    let script = format!("{}; /bin/busybox sleep 1", setup.call("43", None));
    setup
        .cluster
        .apply(&setup.script(name, "buyer", &script).alone())?;
    let found = wait_for("the call in a search", setup.limit, || {
        let mut search = Command::new(query()?);
        search.args(["search", "--json", "--method", "tools/call", "--pod", name]);
        let told = output(search.arg("--data-dir").arg(data))?;
        let line = told.lines().next().map(serde_json::from_str::<Value>);
        Ok(line.transpose()?)
    })
    .with_context(|| logs(setup))?;
    let ended = found["end_time_ns"].as_u64().context("it has no end")?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH + Duration::from_nanos(ended))?;
    println!(
        "  found by a search {:.1} s after its call",
        since.as_secs_f32()
    );
    let digest = setup.cluster.digest()?;
    let is_named = found["client_pod"] == name
        && found["client_namespace"] == "default"
        && found["client_service_account"] == "buyer"
        && found["client_image_digest"] == digest.as_str()
        && found["identity"].is_string()
        && found["assurance"] == "A2";
    ensure!(is_named, "{found}");
    // What answers is not optimised in tests; it is measured apart (docs/performance.md).
    ensure!(
        since < Duration::from_secs(5),
        "found {since:?} after its call"
    );
    Ok(())
}

/// A pod that goes on calling is named while the API server is gone, and so is a new one once it is back.
fn without_api_server(setup: &mut Setup, data: &Path) -> Result<()> {
    let call = setup.call("$i", None);
    let script =
        format!("i={STEADY}; while :; do {call}; i=$((i+1)); /bin/busybox sleep 0.2; done");
    let pod = setup.script("steady", "buyer", &script).alone();
    setup.cluster.apply(&pod)?;
    let newest = || {
        let events = calls(data)?;
        let ids = events.iter().filter_map(|event| {
            let id = event
                .pointer("/unmapped/mcp/id")?
                .as_str()?
                .parse::<u64>()
                .ok()?;
            (id >= STEADY).then_some((id, event.clone()))
        });
        Ok::<_, anyhow::Error>(ids.max_by_key(|(id, _)| *id))
    };
    let (before, _) = wait_for("a pod that goes on calling", setup.limit, newest)?;
    let pod = setup.pod("steady", "/metadata/uid")?;
    setup.cluster.kill_api_server()?;
    let later = wait_for("calls without an API server", setup.limit, || {
        Ok(newest()?.filter(|(id, _)| *id > before + 3))
    });
    // Started again whatever came of it: other tests need it.
    setup.cluster.start_api_server()?;
    let (_, later) = later.with_context(|| logs(setup))?;
    judge_pod(&end(&later, "client")?, &pod, None)?;
    // The daemon asks again after a while: pods before that are named by their runtime only.
    let mut id = 50;
    wait_for("a new pod's names", setup.limit, || {
        id += 1;
        let (event, pod) = self::call(setup, data, id)?;
        let judged = judge_pod(&end(&event, "client")?, &pod, None);
        Ok(judged.is_ok().then_some(()))
    })
}

/// The final events of calls of tools that the DaemonSet's daemon wrote.
fn calls(data: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(data.join("events.jsonl")).unwrap_or_default();
    let events = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let is_call = |event: &Value| {
        let mcp = &event["unmapped"]["mcp"];
        mcp["stage"] == "final" && mcp["method"] == "tools/call"
    };
    Ok(events.filter(is_call).collect())
}

/// How the chart is rendered.
struct Chart {
    helm: PathBuf,
    port: u16,
    data: PathBuf,
    state: PathBuf,
}

impl Chart {
    fn render(&self, revision: &str) -> Result<String> {
        let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/helm/mcp-auditor");
        let mut helm = Command::new(&self.helm);
        helm.args(["template", RELEASE, "--namespace", NAMESPACE]);
        helm.args(["--kube-version", "1.36"]);
        let config = format!(
            "[containers]\ncontainerd = [{:?}]\ncontainerd_sockets = [{:?}]\n\
             [kubernetes]\nkubeconfig = \"/var/lib/mcp-auditor/kubeconfig\"\n",
            self.state,
            self.state.with_file_name("socket")
        );
        let values = self.data.with_extension("values");
        let text = serde_json::json!({
            "image": {"repository": "docker.io/local/mcp-auditor", "tag": "e2e", "pullPolicy": "Never"},
            "hostNetwork": true,
            "metrics": {"port": self.port},
            "dataDir": self.data,
            "events": "/var/lib/mcp-auditor/events.jsonl",
            "runtimeFolders": [self.state.parent()],
            "podAnnotations": {"revision": revision},
            "config": config,
        });
        fs::write(&values, text.to_string())?;
        output(helm.arg("--values").arg(&values).arg(chart))
    }
}

/// The pod of the DaemonSet, once it is ready and no longer the one before; gives its name.
fn ready(setup: &Setup, before: Option<&str>) -> Result<String> {
    let selector = ["-n", NAMESPACE, "pods", "-l", LABEL];
    let ready = wait_for("the DaemonSet", setup.limit * 2, || {
        let list = setup.cluster.get(&selector)?;
        let pods = list["items"].as_array().context("no list")?;
        let found = pods.iter().find(|pod| {
            let is_ready = pod.pointer("/status/containerStatuses/0/ready") == Some(&true.into());
            is_ready && Some(text(pod, "/metadata/name")) != before
        });
        Ok(found.map(|pod| text(pod, "/metadata/name").to_owned()))
    });
    ready.with_context(|| {
        let pods = setup.cluster.get(&selector).unwrap_or_default();
        format!("{}\n{}", logs(setup), pods["items"][0]["status"])
    })
}

/// What the daemon says.
fn logs(setup: &Setup) -> String {
    let words = ["-n", NAMESPACE, "logs", "--tail=100", "-l", LABEL];
    output(setup.cluster.kubectl().args(words)).unwrap_or_default()
}

/// A pod that lives for a second makes a call; gives its event as the DaemonSet's daemon wrote it, and the pod.
fn call(setup: &Setup, data: &Path, id: u64) -> Result<(Value, Value)> {
    let script = format!(
        "{}; /bin/busybox sleep 1",
        setup.call(&id.to_string(), None)
    );
    let name = format!("called-{id}");
    setup
        .cluster
        .apply(&setup.script(&name, "buyer", &script).alone())?;
    let wanted = id.to_string();
    let event = wait_for("the call in the node's events", setup.limit, || {
        let is_it = |event: &Value| event["unmapped"]["mcp"]["id"].as_str() == Some(&wanted);
        Ok(calls(data)?.into_iter().find(is_it))
    })?;
    Ok((event, setup.pod(&name, "/metadata/uid")?))
}

/// KiB of resident memory of the daemon whose data are in a folder.
fn memory(data: &Path) -> Result<u64> {
    let lock = fs::metadata(data.join("log/lock"))?;
    for entry in fs::read_dir("/proc")?.flatten() {
        let path = entry.path();
        let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
        if name.trim() != "mcp-auditor" {
            continue;
        }
        let mut files = fs::read_dir(path.join("fd"))?.flatten();
        let is_it = files.any(|file| {
            use std::os::unix::fs::MetadataExt as _;
            let open = fs::metadata(file.path());
            open.is_ok_and(|open| (open.dev(), open.ino()) == (lock.dev(), lock.ino()))
        });
        if is_it {
            let status = fs::read_to_string(path.join("status"))?;
            let line = status.lines().find(|line| line.starts_with("VmRSS:"));
            let word = line.and_then(|line| line.split_whitespace().nth(1));
            return Ok(word.context("no VmRSS")?.parse()?);
        }
    }
    anyhow::bail!("no daemon has {}", data.display())
}

/// Milliseconds between the last stop and the last start that the log tells, and until probes were attached then.
fn gap(data: &Path) -> Result<u64> {
    let journal = fs::read(data.join("log/journal"))?;
    let journal = String::from_utf8_lossy(&journal);
    let time = |what: &str| {
        let at = journal.rfind(&format!("\"what\":\"{what}\""))?;
        let entry = journal.get(..at)?.rfind("\"time\":")?;
        let digits = journal.get(entry + 7..)?;
        let digits = digits.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse::<u64>().ok()
    };
    let (stop, start) = (time("stop"), time("start"));
    let stop = stop.context("the log tells of no stop")?;
    let start = start.context("the log tells of no start")?;
    ensure!(start >= stop, "it started at {start} and stopped at {stop}");
    Ok(start - stop)
}

/// The same kubeconfig with what its files hold, and another token.
fn inline(mut kubeconfig: Value, token: &str) -> Result<Value> {
    let read = |value: &Value| -> Result<String> {
        Ok(fs::read_to_string(value.as_str().context("no file")?)?)
    };
    kubeconfig["users"][0]["user"] = serde_json::json!({"token": token});
    let cluster = &mut kubeconfig["clusters"][0]["cluster"];
    let authority = read(&cluster["certificate-authority"])?;
    let mut base64 = Command::new("base64");
    base64.arg("--wrap=0").stdin(std::process::Stdio::piped());
    base64.stdout(std::process::Stdio::piped());
    let mut child = base64.spawn()?;
    let input = child.stdin.take().context("no input")?;
    std::io::Write::write_all(&mut { input }, authority.as_bytes())?;
    let encoded = String::from_utf8(child.wait_with_output()?.stdout)?;
    cluster["certificate-authority-data"] = encoded.into();
    if let Some(members) = cluster.as_object_mut() {
        members.remove("certificate-authority");
    }
    Ok(kubeconfig)
}
