//! What is spoken to by HTTP and gRPC: a stand-in for Splunk's collector, webhooks, OTLP, and a server of S3.

use std::process::Command;

use anyhow::{Context as _, Result};

use super::{Receiver, World, done, lines, printed};
use crate::{process::free_port, programs::receivers};

const BUCKET: &str = "lake";

impl World {
    /// A collector, a webhook and OTLP over HTTP, in one process; none where Python's packages are not installed.
    pub(super) fn web(&self) -> Result<Vec<Receiver>> {
        if receivers().is_err() {
            return Ok(Vec::new());
        }
        let port = free_port()?;
        let secret = |name: &str, text: &str| -> Result<String> {
            let path = self.folder.join(name);
            std::fs::write(&path, text)?;
            Ok(format!("{path:?}"))
        };
        let token = secret("hec-token", "hec-token")?;
        let key = secret("hook-secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?;
        let bearer = secret("otlp-token", "Bearer otlp-token")?;
        let url = format!("https://localhost:{port}");
        let tls = self.tls();
        let sinks = [
            (
                "splunk",
                format!("splunk = {{ url = \"{url}\", token_file = {token} }}"),
            ),
            (
                "webhook",
                format!("webhook = {{ url = \"{url}/hook\", secret_file = {key} }}"),
            ),
            (
                "otlp-http",
                format!(
                    "otlp = {{ protocol = \"http\", url = \"{url}/v1/logs\", header_files = {{ authorization = {bearer} }} }}"
                ),
            ),
        ];
        let words = [
            port.to_string(),
            self.certificate("server.pem"),
            self.certificate("server.key"),
            self.folder.display().to_string(),
        ];
        let python = self.python(&["web"])?;
        let start = move || -> Result<Command> {
            let mut command = again(&python);
            command.args(&words);
            Ok(command)
        };
        // One process is behind all three: the first of them starts it.
        let mut start: Option<Box<dyn Fn() -> Result<Command>>> = Some(Box::new(start));
        Ok(sinks
            .into_iter()
            .map(|(name, sink)| {
                let path = self.folder.join(format!("{name}.jsonl"));
                let command = start.take();
                Receiver {
                    name,
                    sink: format!("{sink}\n{tls}"),
                    port: command.is_some().then_some(port),
                    command,
                    prepare: Box::new(|| Ok(())),
                    read: Box::new(move || lines(&path)),
                    running: None,
                }
            })
            .collect())
    }

    /// A receiver on OTLP's own definitions.
    pub(super) fn otlp(&self) -> Result<Option<Receiver>> {
        if receivers().is_err() {
            return Ok(None);
        }
        let port = free_port()?;
        let path = self.folder.join("otlp-grpc.jsonl");
        let words = [
            port.to_string(),
            self.certificate("server.pem"),
            self.certificate("server.key"),
            self.certificate("ca.pem"),
            self.folder.display().to_string(),
        ];
        let python = self.python(&["otlp"])?;
        let tls = self.tls();
        Ok(Some(Receiver {
            name: "otlp-grpc",
            sink: format!("otlp = {{ url = \"https://localhost:{port}\" }}\n{tls}"),
            port: Some(port),
            command: Some(Box::new(move || {
                let mut command = again(&python);
                command.args(&words);
                Ok(command)
            })),
            prepare: Box::new(|| Ok(())),
            read: Box::new(move || lines(&path)),
            running: None,
        }))
    }

    /// moto's S3, whose Parquet DuckDB reads.
    pub(super) fn lake(&self) -> Result<Option<Receiver>> {
        let Ok(python) = receivers() else {
            return Ok(None);
        };
        let port = free_port()?;
        let server = python.parent().context("no folder")?.join("moto_server");
        let (certificate, key) = (
            self.certificate("server.pem"),
            self.certificate("server.key"),
        );
        let secret = self.folder.join("s3-secret");
        std::fs::write(&secret, "s3-secret")?;
        let endpoint = format!("https://localhost:{port}");
        let ca = self.certificate("ca.pem");
        let make = self.python(&["bucket", &endpoint, &ca, BUCKET])?;
        let read = self.python(&["lake", &endpoint, &ca, BUCKET])?;
        let tls = self.tls();
        let sink = format!(
            "s3 = {{ bucket = \"{BUCKET}\", region = \"eu-central-1\", account_id = \"123456789012\", every_seconds = 2, \
             endpoint = \"{endpoint}\", access_key_id = \"auditor\", secret_access_key_file = {secret:?} }}\n{tls}"
        );
        Ok(Some(Receiver {
            name: "lake",
            sink,
            port: Some(port),
            command: Some(Box::new(move || {
                let mut command = Command::new(&server);
                command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
                command.args(["-c", &certificate, "-k", &key]);
                command.stderr(std::process::Stdio::null());
                Ok(command)
            })),
            prepare: Box::new(move || done(again(&make))),
            read: Box::new(move || printed(again(&read))),
            running: None,
        }))
    }
}

/// The same command once more.
pub(super) fn again(command: &Command) -> Command {
    let mut same = Command::new(command.get_program());
    same.args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        same.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            same.env(name, value);
        }
    }
    same
}
