//! What is installed: the chart, the manifests made of it, the unit of systemd, manual pages and completions.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail, ensure};

use super::report::Report;
use crate::{
    apt, build, cache,
    command::{command, output, run},
    programs, workspace,
};

/// The manifests for who has no helm.
const MANIFESTS: &str = "deploy/manifests/mcp-auditor.yaml";
/// The Kubernetes that it is made for: helm built from its module knows none.
const KUBERNETES: &str = "1.36";
/// Values that switch on all that is off.
const ALL: [&str; 8] = [
    "index.enabled=true",
    "metrics.serviceMonitor.enabled=true",
    "metrics.dashboard.enabled=true",
    "networkPolicy.enabled=true",
    "secrets[0]=siem",
    "imagePullSecrets[0].name=pull",
    "podAnnotations.example=yes",
    "hostNetwork=true",
];

pub(super) fn check(report: &mut Report) {
    report.check("helm chart and manifests", chart);
    report.check("systemd units", units);
    report.check("manual pages and completions", generated);
}

fn chart() -> Result<()> {
    let tools = programs::deploy()?;
    let schemas = schemas()?;
    let chart = workspace::root().join("deploy/helm/mcp-auditor");
    let helm = |words: &[&str]| {
        let mut helm = command(&tools.join("helm").to_string_lossy(), words);
        helm.current_dir(workspace::root());
        helm
    };
    run(helm(&["lint", "--strict", "--quiet"]).arg(&chart))?;
    let template = |extra: &[&str]| {
        let mut helm = helm(&["template", "mcp-auditor", "--namespace", "mcp-auditor"]);
        helm.args(["--kube-version", KUBERNETES]);
        output(helm.args(extra).arg(&chart))
    };
    let sets: Vec<&str> = ALL.iter().flat_map(|set| ["--set", set]).collect();
    for (name, extra) in [("default", &[][..]), ("all", &sets[..])] {
        let text = template(extra)?;
        let file = workspace::target().join(format!("chart-{name}.yaml"));
        fs::write(&file, text)?;
        let mut conform = command(&tools.join("kubeconform").to_string_lossy(), ["-summary"]);
        // A kind of the Prometheus operator, which is not Kubernetes' own.
        conform.args(["-strict", "-skip", "ServiceMonitor", "-schema-location"]);
        let location = "{{ .ResourceKind }}{{ .KindSuffix }}.json";
        run(conform.arg(schemas.join(location)).arg(&file))?;
    }
    // What the schema of values is for.
    let wrong = template(&["--set", "metrics.prot=1"]);
    ensure!(
        wrong.is_err(),
        "the chart takes values that it does not know"
    );
    let manifests = workspace::root().join(MANIFESTS);
    let written = fs::read_to_string(&manifests).unwrap_or_default();
    let made = template(&[])?;
    if written != made {
        let fresh = workspace::target().join("chart-default.yaml");
        bail!(
            "{MANIFESTS} is not what the chart makes: look at {}, and copy it there",
            fresh.display()
        );
    }
    Ok(())
}

/// The schemas of Kubernetes' objects, out of its own source.
fn schemas() -> Result<PathBuf> {
    let modules = workspace::root().join("tests/programs/kubernetes");
    let script = workspace::root().join("tests/kube_schemas.py");
    let inputs = [fs::read(modules.join("go.mod"))?, fs::read(&script)?];
    cache::entry("kube-schemas", &[&inputs[0], &inputs[1]], |folder| {
        let module = "k8s.io/kubernetes";
        output(command("go", ["mod", "download", module]).current_dir(&modules))?;
        let mut go = command("go", ["list", "-m", "-f", "{{.Dir}}", module]);
        let source = output(go.current_dir(&modules))?;
        let swagger = Path::new(source.trim()).join("api/openapi-spec/swagger.json");
        let mut python = command("python3", ["-I"]);
        output(python.arg(&script).arg(swagger).arg(folder)).map(drop)
    })
}

fn units() -> Result<()> {
    if apt::is_here() {
        apt::install(&["systemd"])?;
    }
    // Programs are where a package would put them; the check is that they are there too.
    let auditor = build::build()?;
    let query = build::query(build::Profile::Dev)?;
    let folder = workspace::target().join("units");
    fs::create_dir_all(&folder)?;
    for name in ["mcp-auditor.service", "mcp-auditor-index.service"] {
        let text = fs::read_to_string(workspace::root().join("deploy/systemd").join(name))?;
        let text = text.replace("/usr/bin/mcp-auditor-query", &query.to_string_lossy());
        let text = text.replace("/usr/bin/mcp-auditor ", &format!("{} ", auditor.display()));
        fs::write(folder.join(name), text)?;
        let mut analyze = command(
            "systemd-analyze",
            ["verify", "--man=no", "--recursive-errors=no"],
        );
        run(analyze.arg(folder.join(name)))?;
    }
    Ok(())
}

fn generated() -> Result<()> {
    let auditor = build::build()?;
    let auditor = auditor.to_string_lossy();
    let folder = workspace::target().join("man");
    run(command(&auditor, ["generate", "man"]).arg(&folder))?;
    let pages = fs::read_dir(&folder)?.count();
    ensure!(pages > 8, "only {pages} manual pages");
    let page = fs::read_to_string(folder.join("mcp-auditor-run.1"))?;
    ensure!(page.contains("data\\-dir"), "the page of run says little");
    for shell in ["bash", "zsh", "fish"] {
        let text = output(&mut command(&auditor, ["generate", "completions", shell]))?;
        ensure!(
            text.contains("coverage"),
            "completions of {shell} say little"
        );
    }
    Ok(())
}
