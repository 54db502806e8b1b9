use std::{fs, os::unix::fs::symlink, path::PathBuf};

use auditor_core::key::Time;

use super::*;

/// A process of which nothing is known.
pub(super) fn process() -> Process {
    Process {
        key: ProcessKey { pid: 1, start: 0 },
        started: Time(0),
        exe: None,
        exe_sha256: None,
        cmdline: None,
        uid: None,
        gid: None,
        cgroup: None,
        cgroup_id: None,
        container: None,
        workload: None,
        program: None,
        attestation: None,
        workflow: None,
        lineage: Vec::new(),
    }
}

/// A root with packages of both kinds, as their installers leave them.
fn root(name: &str) -> PathBuf {
    let root = std::env::temp_dir().join(format!("mcp-auditor-{name}-{}", std::process::id()));
    let write = |path: &str, text: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(
        "cache/_npx/1/node_modules/@scope/server/package.json",
        r#"{"name":"@scope/server","version":"1.2.3"}"#,
    );
    write("cache/_npx/1/node_modules/@scope/server/dist/index.js", "");
    write(
        "cache/_npx/1/node_modules/@scope/server/dist/package.json",
        r#"{"type":"module"}"#,
    );
    fs::create_dir_all(root.join("cache/_npx/1/node_modules/.bin")).unwrap();
    let _ = symlink(
        "../@scope/server/dist/index.js",
        root.join("cache/_npx/1/node_modules/.bin/server"),
    );
    let site = "venv/lib/python3.11/site-packages";
    write("venv/bin/python", "");
    write("venv/bin/time-server", "");
    write(&format!("{site}/mcp_server_time/server.py"), "");
    let info = format!("{site}/mcp_server_time-2.0.dist-info");
    write(
        &format!("{info}/METADATA"),
        "Metadata-Version: 2.1\nName: mcp-server-time\nVersion: 2.0\n\nName: no\n",
    );
    write(
        &format!("{info}/RECORD"),
        "mcp_server_time/server.py,sha256=x,1\n",
    );
    write(
        &format!("{info}/entry_points.txt"),
        "[console_scripts]\ntime-server = mcp_server_time:main\n",
    );
    write(
        &format!("{site}/other-1.dist-info/RECORD"),
        "helper.py,sha256=x,1\n",
    );
    write(
        &format!("{site}/other-1.dist-info/METADATA"),
        "Name: other\nVersion: 1\n",
    );
    write("srv/plain.py", "");
    root
}

fn found(root: &std::path::Path, script: &Script) -> Option<(String, Option<String>)> {
    let place = Place {
        root: File::open(root).unwrap(),
        cwd: File::open(root.join("venv/bin")).unwrap(),
    };
    let package = package::find(&place, script)?;
    Some((package.name, package.version))
}

#[test]
fn a_script_is_named_by_the_package_that_holds_it() {
    let root = root("packages");
    let text = |name: &str, version: &str| Some((name.to_owned(), Some(version.to_owned())));
    let javascript = |file: &str| {
        found(
            &root,
            &Script::Node {
                file: file.to_owned(),
            },
        )
    };
    let python = |file: &str| {
        found(
            &root,
            &Script::Python {
                file: file.to_owned(),
            },
        )
    };
    let module = |name: &str| {
        let interpreter = "/venv/bin/python".to_owned();
        found(
            &root,
            &Script::Module {
                name: name.to_owned(),
                interpreter,
            },
        )
    };
    assert_eq!(
        javascript("/cache/_npx/1/node_modules/.bin/server"),
        text("@scope/server", "1.2.3")
    );
    assert_eq!(
        javascript("/cache/_npx/1/node_modules/@scope/server/dist/index.js"),
        text("@scope/server", "1.2.3")
    );
    assert_eq!(module("mcp_server_time"), text("mcp-server-time", "2.0"));
    assert_eq!(
        module("mcp_server_time.cli"),
        text("mcp-server-time", "2.0")
    );
    assert_eq!(module("helper"), text("other", "1"));
    assert_eq!(module("absent"), None);
    assert_eq!(
        python("/venv/bin/time-server"),
        text("mcp-server-time", "2.0")
    );
    let within = "/venv/lib/python3.11/site-packages/mcp_server_time/server.py";
    assert_eq!(python(within), text("mcp-server-time", "2.0"));
    assert_eq!(python("/srv/plain.py"), None);
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn a_link_of_the_root_does_not_lead_out_of_it() {
    let root = root("links");
    let outside = std::env::temp_dir().join(format!("mcp-auditor-outside-{}", std::process::id()));
    fs::create_dir_all(&outside).unwrap();
    fs::write(outside.join("package.json"), r#"{"name":"outside"}"#).unwrap();
    fs::write(outside.join("x.js"), "").unwrap();
    let _ = symlink(&outside, root.join("srv/link"));
    let script = Script::Node {
        file: "/srv/link/x.js".to_owned(),
    };
    assert_eq!(found(&root, &script), None);
    fs::remove_dir_all(root).unwrap();
    fs::remove_dir_all(outside).unwrap();
}
