//! Installs the MCP programs that tests and the demonstration run, each at its pinned version.
//!
//! They are downloaded once into the cache and are unmodified. Nothing here starts them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::{
    apt, cache,
    command::{command, find, output, succeeds},
    workspace,
};

/// The interpreter of a virtual environment that holds a set of pinned Python packages:
/// `sdk-1` (with a gateway), `sdk-2` (with published servers) or `tools` (no SDK).
pub(crate) fn python(set: &str) -> Result<PathBuf> {
    environment(set, &folder("python").join(format!("{set}.txt")))
}

/// The interpreter of a virtual environment that can run `tests/ocsf_validate.py`.
pub(crate) fn ocsf() -> Result<PathBuf> {
    environment("ocsf", &workspace::root().join("tests/requirements.txt"))
}

/// The interpreter that has receivers of events, and what reads them there.
pub(crate) fn receivers() -> Result<PathBuf> {
    environment("receivers", &folder("python").join("receivers.txt"))
}

/// The interpreter that has pySigma and mcp-stress-test.
pub(crate) fn detection() -> Result<PathBuf> {
    environment("detect", &folder("python").join("detect.txt"))
}

/// The interpreter that has sqlglot, and the folder of its source with the statements of its tests.
pub(crate) fn sqlglot() -> Result<(PathBuf, PathBuf)> {
    let pins = folder("python").join("sql.txt");
    let python = environment("sql", &pins)?;
    let text = std::fs::read(&pins)?;
    let made = cache::entry("sqlglot-source", &[&text], |folder| {
        let mut pip = command(
            &python.to_string_lossy(),
            ["-m", "pip", "download", "--quiet"],
        );
        pip.args([
            "--disable-pip-version-check",
            "--no-deps",
            "--no-binary",
            ":all:",
        ]);
        output(
            pip.arg("--dest")
                .arg(folder)
                .arg("--requirement")
                .arg(&pins),
        )?;
        let archive = std::fs::read_dir(folder)?.flatten().next();
        let archive = archive.context("pip brought no source of sqlglot")?.path();
        let mut tar = command("tar", ["--extract", "--strip-components=1", "--file"]);
        output(tar.arg(archive).arg("--directory").arg(folder)).map(drop)
    })?;
    Ok((python, made))
}

fn environment(name: &str, pins: &Path) -> Result<PathBuf> {
    let text = std::fs::read(pins).with_context(|| format!("cannot read {}", pins.display()))?;
    let version = output(&mut command("python3", ["-VV"]))?;
    let made = cache::entry(
        &format!("python-{name}"),
        &[&text, version.as_bytes()],
        |folder| {
            if apt::is_here()
                && !succeeds(&mut command("python3", ["-c", "import ensurepip, venv"]))
            {
                apt::install(&["python3-venv"])?;
            }
            println!("installing the Python packages of {}", pins.display());
            output(command("python3", ["-m", "venv"]).arg(folder))?;
            let pip = folder.join("bin/pip");
            let mut pip = command(&pip.to_string_lossy(), ["install", "--quiet"]);
            output(
                pip.args(["--disable-pip-version-check", "--requirement"])
                    .arg(pins),
            )
            .map(drop)
        },
    )?;
    Ok(made.join("bin/python"))
}

/// Installs the programs of the distribution (TLS clients, a reverse proxy, what runs containers)
/// and gives the interpreter of the `tools` that are Python packages.
pub(crate) fn tools() -> Result<PathBuf> {
    if apt::is_here() {
        apt::install(&[
            "curl",
            "gnutls-bin",
            "nginx-light",
            "openssl",
            "postgresql",
            "runc",
            "wget",
        ])?;
    }
    python("tools")
}

/// Installs what runs containers, and the program that is inside.
pub(crate) fn engines() -> Result<()> {
    if apt::is_here() {
        apt::install(&["busybox-static", "containerd", "podman", "runc"])?;
    }
    Ok(())
}

/// A folder with the pinned npm packages and the programs that use them.
pub(crate) fn node() -> Result<PathBuf> {
    let sources = folder("typescript");
    let lock = std::fs::read(sources.join("package-lock.json"))?;
    let version = output(&mut command("node", ["--version"]))
        .context("Node.js 20 or newer is needed (on Debian: apt-get install nodejs npm)")?;
    let made = cache::entry("node", &[&lock, version.as_bytes()], |folder| {
        println!("installing the npm packages of {}", sources.display());
        for file in ["package.json", "package-lock.json", ".npmrc"] {
            std::fs::copy(sources.join(file), folder.join(file))?;
        }
        let mut npm = command("npm", ["ci", "--no-audit", "--no-fund", "--ignore-scripts"]);
        output(npm.current_dir(folder)).map(drop)
    })?;
    // Node looks for packages next to a program, so the programs go where the packages are.
    for entry in std::fs::read_dir(&sources)? {
        let path = entry?.path();
        if let (Some("mjs"), Some(name)) =
            (path.extension().and_then(|e| e.to_str()), path.file_name())
        {
            std::fs::copy(&path, made.join(name))?;
        }
    }
    Ok(made)
}

/// A folder with the Go programs.
pub(crate) fn go() -> Result<PathBuf> {
    let sources = folder("go");
    let version = output(&mut command("go", ["version"]))
        .context("Go 1.25 or newer is needed for the Go programs")?;
    let inputs = contents(&sources)?;
    cache::entry("go", &[&inputs, version.as_bytes()], |folder| {
        println!("building the Go programs");
        let mut go = command("go", ["build", "-trimpath", "-o"]);
        go.arg(folder).args(["./client", "./server"]);
        go.args(["./mcpgo-client", "./mcpgo-server", "./load"]);
        output(go.env("CGO_ENABLED", "0").current_dir(&sources)).map(drop)
    })
}

/// A folder with the program that evaluates decisions again.
pub(crate) fn cedar() -> Result<PathBuf> {
    judge("cedar", "evaluate decisions again")
}

/// A folder with the program that verifies logs and proofs.
pub(crate) fn ledger() -> Result<PathBuf> {
    judge("ledger", "verify logs")
}

/// A folder with helm and kubeconform.
pub(crate) fn deploy() -> Result<PathBuf> {
    let sources = folder("deploy");
    let version = output(&mut command("go", ["version"]))
        .context("Go 1.26 or newer is needed for helm and kubeconform")?;
    let inputs = contents(&sources)?;
    cache::entry("deploy", &[&inputs, version.as_bytes()], |folder| {
        println!("building helm and kubeconform");
        let mut go = command("go", ["build", "-trimpath", "-o"]);
        go.arg(folder).args([
            "helm.sh/helm/v3/cmd/helm",
            "github.com/yannh/kubeconform/cmd/kubeconform",
        ]);
        output(go.env("CGO_ENABLED", "0").current_dir(&sources)).map(drop)
    })
}

/// A folder with a witness of logs.
pub(crate) fn witness() -> Result<PathBuf> {
    judge("witness", "witness logs")
}

/// A folder with a program of Go's that does again what the product did.
fn judge(name: &'static str, purpose: &str) -> Result<PathBuf> {
    let sources = folder(name);
    let version = output(&mut command("go", ["version"]))
        .with_context(|| format!("Go 1.26 or newer is needed to {purpose}"))?;
    let inputs = contents(&sources)?;
    cache::entry(name, &[&inputs, version.as_bytes()], |folder| {
        println!("building the program that is to {purpose}");
        let mut go = command("go", ["build", "-trimpath", "-o"]);
        go.arg(folder).arg(".");
        output(go.env("CGO_ENABLED", "0").current_dir(&sources)).map(drop)
    })
}

/// A folder with SPIRE's server and agent, and a client that fetches its tokens.
pub(crate) fn spire() -> Result<PathBuf> {
    let sources = folder("spire");
    let version = output(&mut command("go", ["version"]))
        .context("Go 1.26 or newer, and a C compiler, are needed for SPIRE")?;
    let inputs = contents(&sources)?;
    cache::entry("spire", &[&inputs, version.as_bytes()], |folder| {
        println!("building SPIRE (some minutes)");
        let mut go = command("go", ["build", "-trimpath", "-o"]);
        go.arg(folder).arg("./bearer").args(
            ["agent", "server"].map(|name| format!("github.com/spiffe/spire/cmd/spire-{name}")),
        );
        output(go.current_dir(&sources)).map(drop)
    })
}

/// Installs what a cluster of one node needs, and gives a folder with the programs of Kubernetes.
///
/// They are built from Go modules: the projects' own binaries are not in any package registry.
pub(crate) fn kubernetes() -> Result<PathBuf> {
    const VERSION: &str = "k8s.io/component-base/version";
    if apt::is_here() {
        apt::install(&[
            "busybox-static",
            "containerd",
            "etcd-server",
            "openssl",
            "runc",
        ])?;
    }
    let sources = folder("kubernetes");
    let version = output(&mut command("go", ["version"]))
        .context("Go 1.26 or newer is needed to build Kubernetes")?;
    let inputs = contents(&sources)?;
    cache::entry("kubernetes", &[&inputs, version.as_bytes()], |folder| {
        println!("building Kubernetes (several minutes)");
        let modules = std::fs::read_to_string(sources.join("go.mod"))?;
        let release = modules.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            words.find(|word| *word == "k8s.io/kubernetes")?;
            words.next()?.strip_prefix('v')
        });
        let release = release.context("go.mod names no version of k8s.io/kubernetes")?;
        let minor = release.split('.').nth(1).unwrap_or_default();
        // Its parts refuse each other without a version.
        let flags = format!(
            "-s -w -X {VERSION}.gitVersion=v{release} -X {VERSION}.gitMajor=1 -X {VERSION}.gitMinor={minor} \
             -X k8s.io/client-go/pkg/version.gitVersion=v{release}"
        );
        let mut go = command("go", ["build", "-trimpath", "-ldflags", &flags]);
        // Not optimised they are built in less time, and do what one node asks of them.
        go.args(["-gcflags", "all=-N -l", "-o"]);
        go.arg(folder);
        for program in [
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "kubectl",
            "kubelet",
        ] {
            go.arg(format!("k8s.io/kubernetes/cmd/{program}"));
        }
        go.env("CGO_ENABLED", "0").env("GOFLAGS", "-buildvcs=false");
        output(go.current_dir(&sources)).map(drop)
    })
}

/// A folder with the Rust programs.
pub(crate) fn rust() -> Result<PathBuf> {
    let sources = folder("rust");
    let inputs = contents(&sources)?;
    cache::entry("rust", &[&inputs], |made| {
        println!("building the Rust programs (some minutes)");
        let target = workspace::target().join("programs-rust");
        let build = ["build", "--release", "--quiet", "--locked", "--target-dir"];
        let mut cargo = command("cargo", build);
        output(cargo.arg(&target).current_dir(&sources))?;
        for program in ["client", "client-ring", "server", "server-ring"] {
            std::fs::copy(target.join("release").join(program), made.join(program))?;
        }
        Ok(())
    })
}

/// A folder with the Java programs and their libraries.
pub(crate) fn java() -> Result<PathBuf> {
    with_maven("java", &["Client.java", "Server.java"])
}

/// A folder with the libraries of Kafka's broker.
pub(crate) fn kafka() -> Result<PathBuf> {
    with_maven("kafka", &[])
}

/// A folder with OpenSearch, and what starts it.
pub(crate) fn opensearch() -> Result<PathBuf> {
    with_maven("opensearch", &["Search.java"])
}

/// A folder with `libraries` that a pom names, and `classes` that are compiled against them.
fn with_maven(name: &'static str, programs: &[&str]) -> Result<PathBuf> {
    let sources = folder(name);
    if apt::is_here() && (find("javac").is_none() || find("mvn").is_none()) {
        apt::install(&["default-jdk-headless", "maven"])?;
    }
    cache::entry(name, &[&contents(&sources)?], |made| {
        println!("fetching the Java libraries of {name}");
        let (libraries, classes) = (made.join("libraries"), made.join("classes"));
        let mut maven = command("mvn", ["-q", "-B", "dependency:copy-dependencies"]);
        maven.arg(format!("-DoutputDirectory={}", libraries.display()));
        output(maven.arg("-f").arg(sources.join("pom.xml")))?;
        if programs.is_empty() {
            return Ok(());
        }
        let mut javac = command("javac", ["-nowarn", "-d"]);
        javac.arg(&classes).arg("-cp").arg(libraries.join("*"));
        javac.args(programs.iter().map(|program| sources.join(program)));
        output(&mut javac).map(drop)
    })
}

/// A folder with rsyslog and syslog-ng. They are unpacked only: installed, one would take the other's place, and that of
/// what writes this host's log.
pub(crate) fn syslog() -> Result<PathBuf> {
    const PACKAGES: [&str; 11] = [
        "libestr0",
        "libfastjson4",
        "libivykis0",
        "libjson-c5",
        "libnet1",
        "libpcre3",
        "libriemann-client0",
        "libwrap0",
        "rsyslog",
        "rsyslog-openssl",
        "syslog-ng-core",
    ];
    cache::entry("syslog", &[PACKAGES.concat().as_bytes()], |folder| {
        println!("unpacking rsyslog and syslog-ng");
        apt::unpack(&PACKAGES, folder)
    })
}

/// Names and contents of all files of a folder, as one text.
fn contents(folder: &Path) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let mut paths: Vec<_> = std::fs::read_dir(folder)?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    for path in paths {
        // Not the whole path: clones share what was made from the same sources.
        text.extend(path.file_name().unwrap_or_default().as_encoded_bytes());
        text.extend(if path.is_dir() {
            contents(&path)?
        } else {
            std::fs::read(&path)?
        });
    }
    Ok(text)
}

/// The folder of a language's programs.
fn folder(language: &str) -> PathBuf {
    workspace::root().join("tests/programs").join(language)
}
