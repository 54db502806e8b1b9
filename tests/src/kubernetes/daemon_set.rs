//! The chart as a DaemonSet: from `helm template | kubectl apply` to events of pods that nobody adapted, and over an upgrade.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Setup, cluster::output, end, judge_pod, text};
use crate::{
    process::{free_port, wait_for},
    programs::image_and_helm,
};

const NAMESPACE: &str = "mcp-auditor";
/// Another name than the account's that the other tests' daemon has.
const RELEASE: &str = "node";
const ACCOUNT: &str = "node-mcp-auditor";
/// What the chart's pods are labelled with.
const LABEL: &str = "app.kubernetes.io/name=mcp-auditor";
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

    setup.cluster.apply_text(&chart.render("2")?)?;
    ready(setup, Some(&pod))?;
    let second = call(setup, &data, 42)?;
    judge_pod(&end(&second.0, "client")?, &second.1, None)?;
    let gap = gap(&data)?;
    println!("  blind for {gap} ms while it was upgraded");
    let mut delete = setup.cluster.kubectl();
    delete.args(["delete", "namespace", NAMESPACE, "--wait=false"]);
    output(&mut delete).map(drop)
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
            "[containers]\ncontainerd = [{:?}]\n[kubernetes]\nkubeconfig = \"/var/lib/mcp-auditor/kubeconfig\"\n",
            self.state
        );
        let values = self.data.with_extension("values");
        let text = serde_json::json!({
            "image": {"repository": "docker.io/local/mcp-auditor", "tag": "e2e", "pullPolicy": "Never"},
            "hostNetwork": true,
            "metrics": {"port": self.port},
            "dataDir": self.data,
            "events": "/var/lib/mcp-auditor/events.jsonl",
            "runtimeFolders": [self.state],
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
    let words = ["-n", NAMESPACE, "logs", "--tail=40", "-l", LABEL];
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
        let text = fs::read_to_string(data.join("events.jsonl")).unwrap_or_default();
        let mut lines = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        Ok(lines.find(|event: &Value| {
            let mcp = &event["unmapped"]["mcp"];
            mcp["stage"] == "final"
                && mcp["id"].as_str() == Some(wanted.as_str())
                && mcp["method"] == "tools/call"
        }))
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
