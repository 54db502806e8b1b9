//! Where the host stands and whether the auditor is as it should be: as configured, and as the kernel has it.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    process::Command,
    thread,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::Setup;
use crate::{process::wait_for, speaker};

/// Configuration, metadata service, clock and programs in the kernel are told; a wrong hash of the executable, too.
pub(super) fn environment(setup: &Setup) -> Result<()> {
    let service = metadata_service()?;
    let config = setup.folder.join("config.toml");
    let text = format!(
        "[environment]\ncluster = \"shop\"\nnode = \"worker-3\"\ninstance_metadata = \"azure\"\n\
         instance_metadata_url = \"http://{service}\"\nexpected_sha256 = \"{}\"\n",
        "ab".repeat(32)
    );
    fs::write(&config, text)?;
    let mut daemon = setup.daemon(&["--config", &config.to_string_lossy()])?;
    // Until the service has answered.
    let event = wait_for("an event with a region", setup.limit, || {
        let pid = speaker::say(&[speaker::HELLO, "\n"])?;
        let event = wait_for("an event", setup.limit, || {
            let mut events = daemon.events().of(&[pid])?.into_iter();
            Ok(events.find(|event| event.stage == "final"))
        })?;
        let is_there = event.json.pointer("/cloud/region").is_some();
        Ok(is_there.then_some(event.json))
    })?;
    let due = json!({"provider": "Azure", "region": "westeurope", "account": {"uid": "s-1"}});
    ensure!(event["cloud"] == due, "another cloud: {event}");
    ensure!(
        event["device"]["instance_uid"] == "v-1",
        "another instance: {event}"
    );
    let told = &event["unmapped"]["mcp"]["environment"];
    let release = Command::new("uname").arg("-r").output()?.stdout;
    let clock = &told["clock"];
    let auditor = &told["posture"]["auditor"];
    ensure!(
        told["cluster"] == "shop"
            && told["node"] == "worker-3"
            && told["kernel"] == String::from_utf8(release)?.trim()
            && clock["synchronized"].is_boolean()
            && clock["max_error_ns"].is_u64()
            && clock["last_step_ns"].is_null()
            && auditor["binary"] == "unexpected"
            && auditor["probes"] == "expected",
        "{told}"
    );
    let hash = Command::new("sha256sum")
        .arg(&setup.auditor)
        .output()?
        .stdout;
    let hash = String::from_utf8(hash)?;
    ensure!(
        hash.split(' ').next() == auditor["binary_sha256"].as_str(),
        "another hash: {told}"
    );
    let log = daemon.log();
    ensure!(
        log.contains("executable is not the one that is expected"),
        "the log says nothing of the hash: {log}"
    );
    ensure!(daemon.stop(setup.limit)?.success(), "it did not end well");
    let output = Command::new(&setup.auditor)
        .args(["doctor", "--json"])
        .output()?;
    let findings: Vec<Value> = serde_json::from_slice(&output.stdout)?;
    let clock = findings.iter().find(|finding| finding["what"] == "clock");
    let clock = clock.context("doctor says nothing of the clock")?;
    ensure!(clock["is_ok"] == told["clock"]["synchronized"], "{clock}");
    Ok(())
}

/// A service that answers once as Azure's does.
fn metadata_service() -> Result<std::net::SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        let lines = BufReader::new(stream.try_clone()?).lines();
        let lines = lines.map_while(Result::ok);
        let asked = lines
            .take_while(|line| !line.is_empty())
            .any(|line| line == "Metadata: true");
        let body = r#"{"location":"westeurope","subscriptionId":"s-1","zone":"","vmId":"v-1"}"#;
        let status = if asked { "200 OK" } else { "400 Bad Request" };
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    });
    Ok(address)
}
