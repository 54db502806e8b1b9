//! What is in the containers: one static program, busybox, which calls by its `wget`.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result};

use super::output;

/// Name of the image.
pub(super) const IMAGE: &str = "localhost/mcp-e2e/caller:1";

/// The static busybox of this host.
const PROGRAM: &str = "/bin/busybox";

/// Makes a root file system in a folder.
pub(crate) fn make(root: &Path) -> Result<()> {
    for folder in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
        fs::create_dir_all(root.join(folder))?;
    }
    let program = root.join("bin/busybox");
    fs::copy(PROGRAM, &program)
        .with_context(|| format!("cannot copy {PROGRAM}: install busybox-static"))?;
    fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/busybox\n")?;
    Ok(())
}

/// SHA-256 of the program inside.
pub(super) fn sha256() -> Result<String> {
    let text = output(Command::new("sha256sum").arg(PROGRAM))?;
    Ok(text.split(' ').next().context("no hash")?.to_owned())
}

/// The words that make one call, inside a container.
pub(super) fn call(port: u16, id: u64) -> Vec<String> {
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"add","arguments":{{"a":1,"b":2}}}}}}"#
    );
    let url = format!("http://127.0.0.1:{port}/mcp");
    let words = [
        "/bin/busybox",
        "wget",
        "-q",
        "-O",
        "-",
        "--header",
        "Content-Type: application/json",
    ];
    let words = words.into_iter().map(str::to_owned);
    words.chain(["--post-data".to_owned(), body, url]).collect()
}

/// The words that make one call and stay a while.
pub(super) fn stay(port: u16, id: u64, seconds: u32) -> Vec<String> {
    let words: Vec<_> = call(port, id)
        .iter()
        .map(|word| format!("'{word}'"))
        .collect();
    let script = format!("{}; /bin/busybox sleep {seconds}", words.join(" "));
    ["/bin/busybox", "sh", "-c", &script]
        .map(str::to_owned)
        .to_vec()
}
