//! A real Kubernetes of one node, with ports, files and a mount namespace of its own; nothing of it stays.
//!
//! What Kubernetes writes to fixed places of its host (kernel settings, logs, sockets) goes to copies that only its
//! mount namespace shows.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{image, leftovers};
use crate::{
    certificates::Certificates,
    process::{Running, free_port, wait_for},
    programs,
};

/// Name of the node.
pub(super) const NODE: &str = "mcp-e2e-node";
/// Who issues the tokens of service accounts.
pub(super) const ISSUER: &str = "https://kubernetes.default.svc";
/// Token of the administrator.
const ADMIN: &str = "mcp-e2e-admin";
/// Makes the mount namespace, and stays. `$1` is a folder of the cluster.
const WALLS: &str = r#"set -e
mkdir -p "$1/settings" /var/lib/kubelet
mount -t tmpfs tmpfs /var/lib/kubelet
mount -t tmpfs tmpfs /var/log
mount -t tmpfs tmpfs /run
for name in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops \
    kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
    copy="$1/settings/$(echo "$name" | tr / -)"
    cat "/proc/sys/$name" > "$copy"
    mount --bind "$copy" "/proc/sys/$name"
done
echo walls
exec sleep 100000
"#;

/// A cluster that runs.
pub(super) struct Cluster {
    /// Its files; paths of sockets are short.
    pub(super) folder: PathBuf,
    logs: PathBuf,
    limit: Duration,
    port: u16,
    etcd: u16,
    /// Holds the mount namespace.
    walls: Option<Running>,
    api_server: Option<Running>,
    /// The others, in the order in which they are to end.
    running: Vec<Running>,
    had_cgroups: bool,
}

impl Cluster {
    /// Starts all of it; ready when its node takes pods.
    pub(super) fn start(logs: &Path, limit: Duration) -> Result<Self> {
        let folder =
            std::env::temp_dir().join(format!("mcp-e2e-kubernetes-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let mut cluster = Self {
            folder: fs::canonicalize(folder)?,
            logs: logs.to_owned(),
            limit,
            port: free_port()?,
            etcd: free_port()?,
            walls: None,
            api_server: None,
            running: Vec::new(),
            had_cgroups: leftovers::has_cgroups(),
        };
        cluster.prepare()?;
        let etcd = cluster.etcd()?;
        let containerd = cluster.containerd()?;
        cluster.running.push(containerd);
        cluster.start_api_server()?;
        let controllers = cluster.controllers()?;
        let scheduler = cluster.scheduler()?;
        cluster.import()?;
        let kubelet = cluster.kubelet()?;
        // Who makes containers ends first, who is asked by all others last.
        cluster.running.insert(0, kubelet);
        cluster.running.extend([controllers, scheduler, etcd]);
        wait_for("the node", limit, || {
            Ok(output(cluster.kubectl().args(["get", "node", NODE]))
                .is_ok()
                .then_some(()))
        })?;
        Ok(cluster)
    }

    /// `kubectl` as administrator.
    pub(super) fn kubectl(&self) -> Command {
        let mut command = program("kubectl");
        command.arg("--kubeconfig").arg(self.path("admin.json"));
        command.arg("--request-timeout=5s");
        command
    }

    /// Makes objects.
    pub(super) fn apply(&self, object: &Value) -> Result<()> {
        let file = self.path("object.json");
        fs::write(&file, object.to_string())?;
        output(self.kubectl().arg("create").arg("--filename").arg(&file)).map(drop)
    }

    /// Makes or changes what manifests describe.
    pub(super) fn apply_text(&self, manifests: &str) -> Result<()> {
        let file = self.path("manifests.yaml");
        fs::write(&file, manifests)?;
        let mut kubectl = self.kubectl();
        kubectl.args(["apply", "--validate=strict", "--filename"]);
        output(kubectl.arg(&file)).map(drop)
    }

    /// An object.
    pub(super) fn get(&self, words: &[&str]) -> Result<Value> {
        let text = output(self.kubectl().arg("get").args(words).args(["-o", "json"]))?;
        Ok(serde_json::from_str(&text)?)
    }

    /// A kubeconfig of a service account, which names its token by a file.
    pub(super) fn kubeconfig_of(&self, account: &str) -> Result<PathBuf> {
        let token = output(self.kubectl().args(["create", "token", account]))?;
        let file = self.path("token");
        fs::write(&file, token)?;
        self.write_kubeconfig(account, &json!({"tokenFile": file}))
    }

    /// The folder in which containerd keeps what runs.
    pub(super) fn state(&self) -> PathBuf {
        self.path("containerd/state")
    }

    /// `ctr` for the namespace of Kubernetes.
    pub(super) fn ctr(&self) -> Command {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(self.socket());
        command.args(["--namespace", "k8s.io"]);
        command
    }

    /// Starts the API server and waits until it is ready.
    pub(super) fn start_api_server(&mut self) -> Result<()> {
        let mut command = program("kube-apiserver");
        let certificates = self.path("certificates");
        for (flag, value) in [
            ("etcd-servers", format!("http://127.0.0.1:{}", self.etcd)),
            ("bind-address", "127.0.0.1".to_owned()),
            // Nobody is told to reach it elsewhere.
            ("advertise-address", "192.0.2.1".to_owned()),
            ("endpoint-reconciler-type", "none".to_owned()),
            ("secure-port", self.port.to_string()),
            ("authorization-mode", "RBAC".to_owned()),
            ("service-account-issuer", ISSUER.to_owned()),
            ("service-cluster-ip-range", "10.96.0.0/24".to_owned()),
            ("shutdown-delay-duration", "0s".to_owned()),
        ] {
            command.arg(format!("--{flag}={value}"));
        }
        for (flag, file) in [
            ("tls-cert-file", certificates.join("server.pem")),
            ("tls-private-key-file", certificates.join("server.key")),
            ("token-auth-file", self.path("tokens.csv")),
            ("service-account-key-file", self.path("accounts.key")),
            (
                "service-account-signing-key-file",
                self.path("accounts.key"),
            ),
        ] {
            command.arg(format!("--{flag}={}", file.display()));
        }
        self.api_server = Some(self.logged("api-server", &mut command)?);
        wait_for("the API server", self.limit, || {
            let ready = output(self.kubectl().args(["get", "--raw", "/readyz"]));
            Ok(ready.is_ok().then_some(()))
        })
        .with_context(|| format!("see {}", self.logs.display()))
    }

    /// Kills the API server.
    pub(super) fn kill_api_server(&mut self) -> Result<()> {
        let mut server = self.api_server.take().context("it does not run")?;
        server.signal("KILL")?;
        server.wait(self.limit).map(drop)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn socket(&self) -> PathBuf {
        self.path("containerd/socket")
    }

    /// Keys, credentials, and the mount namespace.
    fn prepare(&mut self) -> Result<()> {
        Certificates::make(&self.path("certificates"))?;
        let mut openssl = Command::new("openssl");
        openssl
            .args(["genrsa", "-out"])
            .arg(self.path("accounts.key"));
        output(openssl.arg("2048"))?;
        let line = format!("{ADMIN},admin,admin,system:masters\n");
        fs::write(self.path("tokens.csv"), line)?;
        self.write_kubeconfig("admin", &json!({"token": ADMIN}))?;
        let mut unshare = Command::new("unshare");
        unshare.args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            WALLS,
            "sh",
        ]);
        unshare.arg(&self.folder);
        let log = self.logs.join("walls.log");
        unshare.stdout(fs::File::create(&log)?);
        self.walls = Some(Running::start(unshare.stdin(Stdio::null()))?);
        wait_for("a mount namespace", self.limit, || {
            Ok((fs::read_to_string(&log)? == "walls\n").then_some(()))
        })
    }

    fn write_kubeconfig(&self, name: &str, user: &Value) -> Result<PathBuf> {
        let authority = self.path("certificates/ca.pem");
        let cluster = json!({
            "server": format!("https://127.0.0.1:{}", self.port),
            "certificate-authority": authority,
        });
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "x",
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        });
        let file = self.path(&format!("{name}.json"));
        fs::write(&file, text.to_string())?;
        Ok(file)
    }

    fn etcd(&self) -> Result<Running> {
        let (clients, peers) = (self.etcd, free_port()?);
        let mut command = Command::new("etcd");
        command.arg("--data-dir").arg(self.path("etcd"));
        let clients = format!("http://127.0.0.1:{clients}");
        let peers = format!("http://127.0.0.1:{peers}");
        command.args(["--listen-client-urls", &clients]);
        command.args(["--advertise-client-urls", &clients]);
        command.args(["--listen-peer-urls", &peers]);
        // What is lost when the machine fails is lost.
        command.arg("--unsafe-no-fsync");
        command.args(["--initial-advertise-peer-urls", &peers]);
        command.arg(format!("--initial-cluster=default={peers}"));
        self.logged("etcd", &mut command)
    }

    fn containerd(&self) -> Result<Running> {
        let text = |name: &str| self.path(name).display().to_string();
        let network = self.path("network");
        fs::create_dir_all(&network)?;
        // Pods use the network of this host; a node without a network for others is not ready.
        let plugin =
            json!({"cniVersion": "0.4.0", "name": "none", "plugins": [{"type": "loopback"}]});
        fs::write(network.join("none.conflist"), plugin.to_string())?;
        let configuration = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\n[grpc]\naddress = {:?}\n\
             [plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = {:?}\ndisable_apparmor = true\n\
             restrict_oom_score_adj = true\n\
             [plugins.\"io.containerd.grpc.v1.cri\".cni]\nbin_dir = {network:?}\nconf_dir = {network:?}\n",
            text("containerd/root"),
            text("containerd/state"),
            text("containerd/socket"),
            image::PAUSE,
        );
        let file = self.path("containerd.toml");
        fs::write(&file, configuration)?;
        let mut command = self.inside("containerd");
        let containerd = self.logged("containerd", command.arg("--config").arg(file))?;
        wait_for("containerd", self.limit, || {
            Ok(output(self.ctr().arg("version")).is_ok().then_some(()))
        })?;
        Ok(containerd)
    }

    /// Has containerd take the images, with digests in the names that Kubernetes reads them from.
    fn import(&self) -> Result<()> {
        for archive in image::make(&self.path("images"))? {
            output(self.ctr().args(["images", "import"]).arg(archive))?;
        }
        let digest = self.digest()?;
        let name = image::NAME.rsplit_once(':').map_or("", |(name, _)| name);
        let mut tag = self.ctr();
        tag.args(["images", "tag", image::NAME]);
        output(tag.arg(format!("{name}@{digest}"))).map(drop)
    }

    /// Has containerd take another image.
    pub(super) fn import_archive(&self, archive: &Path) -> Result<()> {
        output(self.ctr().args(["images", "import"]).arg(archive)).map(drop)
    }

    /// The digest of the image's manifest.
    pub(super) fn digest(&self) -> Result<String> {
        let listed = output(self.ctr().args(["images", "list"]))?;
        let line = listed
            .lines()
            .find(|line| line.starts_with(&format!("{} ", image::NAME)));
        let mut words = line.context("no image")?.split_whitespace();
        let digest = words.find(|word| word.starts_with("sha256:"));
        Ok(digest.context("no digest")?.to_owned())
    }

    fn controllers(&self) -> Result<Running> {
        let mut command = program("kube-controller-manager");
        command.arg("--kubeconfig").arg(self.path("admin.json"));
        command.args(["--leader-elect=false", "--secure-port=0"]);
        let names = "deployment-controller,replicaset-controller,job-controller,daemonset-controller,\
                     serviceaccount-controller,root-ca-certificate-publisher-controller";
        command.arg(format!("--controllers={names}"));
        let authority = self.path("certificates/ca.pem");
        command.arg("--root-ca-file").arg(authority);
        self.logged("controller-manager", &mut command)
    }

    fn scheduler(&self) -> Result<Running> {
        let mut command = program("kube-scheduler");
        command.arg("--kubeconfig").arg(self.path("admin.json"));
        command.args(["--leader-elect=false", "--secure-port=0"]);
        self.logged("scheduler", &mut command)
    }

    fn kubelet(&self) -> Result<Running> {
        let socket = format!("unix://{}", self.socket().display());
        let configuration = json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {"anonymous": {"enabled": false}, "webhook": {"enabled": true}},
            "cgroupDriver": "cgroupfs",
            "failCgroupV1": false,
            "failSwapOn": false,
            "containerRuntimeEndpoint": socket,
            "address": "127.0.0.1",
            "port": free_port()?,
            "healthzPort": 0,
            "readOnlyPort": 0,
            "enforceNodeAllocatable": [],
            "evictionHard": {"nodefs.available": "1%", "imagefs.available": "1%", "memory.available": "50Mi"},
            "imageGCHighThresholdPercent": 100,
            "makeIPTablesUtilChains": false,
            "podLogsDir": self.path("kubelet/logs"),
            "resolvConf": "",
            "volumePluginDir": self.path("kubelet/plugins"),
        });
        let file = self.path("kubelet.json");
        fs::write(&file, configuration.to_string())?;
        let installed = programs::kubernetes("kubelet")?;
        let mut command = self.inside(&installed.get_program().to_string_lossy());
        command.arg("--config").arg(file);
        command.arg("--kubeconfig").arg(self.path("admin.json"));
        command.arg("--root-dir").arg(self.path("kubelet"));
        command.arg("--cert-dir").arg(self.path("kubelet/pki"));
        command.arg(format!("--hostname-override={NODE}"));
        self.logged("kubelet", &mut command)
    }

    /// A command in the cluster's mount namespace.
    fn inside(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        let walls = self.walls.as_ref().map_or(0, Running::pid);
        command.arg(format!("--mount=/proc/{walls}/ns/mnt"));
        command.arg(program);
        command
    }

    /// Starts a program whose output goes to a file of its own.
    fn logged(&self, name: &str, command: &mut Command) -> Result<Running> {
        let log = fs::File::create(self.logs.join(format!("{name}.log")))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?);
        Running::start(command.stderr(log))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut running = std::mem::take(&mut self.running).into_iter();
        // The kubelet would start again what is ended.
        drop(running.next());
        leftovers::end(&self.state(), &self.socket());
        drop(self.api_server.take());
        drop(running);
        drop(self.walls.take());
        leftovers::remove_cgroups(&self.path("kubelet/pods"), self.had_cgroups);
        let _ = fs::remove_dir("/var/lib/kubelet");
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A program of Kubernetes.
fn program(name: &str) -> Command {
    programs::kubernetes(name).unwrap_or_else(|_| Command::new(name))
}

/// Runs a command to its end and gives what it wrote.
pub(super) fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {name}"))?;
    ensure!(
        done.status.success(),
        "{name}: {}\n{}",
        done.status,
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
}
