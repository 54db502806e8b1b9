//! A broker of Kafka, and a node of OpenSearch.

use std::{
    collections::HashMap,
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Receiver, World, done, printed, web::again};
use crate::{
    process::free_port,
    programs::{kafka, opensearch, receivers},
};

const TOPIC: &str = "mcp-audit";
const INDEX: &str = "mcp-auditor";

impl World {
    /// Kafka with TLS and SCRAM; none where it is not installed.
    pub(super) fn kafka(&self) -> Result<Option<Receiver>> {
        let (Ok(installed), Ok(_)) = (kafka(), receivers()) else {
            return Ok(None);
        };
        let (port, own, controller) = (free_port()?, free_port()?, free_port()?);
        let folder = self.folder.join("kafka");
        let (properties, password) = (folder.join("server.properties"), "secret-of-the-auditor");
        let prepared = Kafka {
            path: format!("{}/libraries/*", installed.display()),
            folder,
            password,
            text: self.properties(port, own, controller)?,
        };
        let broker = format!("localhost:{port}");
        let ca = self.certificate("ca.pem");
        let make = self.python(&["topic", &broker, &ca, password, TOPIC, "3"])?;
        let read = self.python(&["kafka", &broker, &ca, password, TOPIC])?;
        let secret = self.folder.join("password");
        let tls = self.tls();
        let sink = format!(
            "kafka = {{ brokers = [\"{broker}\"], topic = \"{TOPIC}\", \
             sasl = {{ mechanism = \"SCRAM-SHA-512\", username = \"auditor\", password_file = {secret:?} }} }}\n{tls}"
        );
        Ok(Some(Receiver {
            name: "kafka",
            sink,
            port: Some(port),
            command: Some(Box::new(move || {
                prepared.format()?;
                let mut command = prepared.java("kafka.Kafka");
                command.arg(&properties);
                Ok(command)
            })),
            prepare: Box::new(move || done(again(&make))),
            read: Box::new(move || in_order(&printed(again(&read))?)),
            running: None,
        }))
    }

    fn properties(&self, port: u16, own: u16, controller: u16) -> Result<String> {
        let folder = self.folder.join("kafka");
        fs::create_dir_all(&folder)?;
        // One file with the key and the certificate is a store to Kafka.
        let server = self.certificates.folder();
        let key = fs::read_to_string(server.join("server.key"))?;
        let certificate = fs::read_to_string(server.join("server.pem"))?;
        let store = folder.join("server.pem");
        fs::write(&store, key + &certificate)?;
        let listeners = format!(
            "CLIENT://127.0.0.1:{port},OWN://127.0.0.1:{own},CONTROLLER://127.0.0.1:{controller}"
        );
        let protocols = "CLIENT:SASL_SSL,OWN:PLAINTEXT,CONTROLLER:PLAINTEXT";
        let lines = [
            "process.roles=broker,controller".to_owned(),
            "node.id=1".to_owned(),
            format!("controller.quorum.voters=1@127.0.0.1:{controller}"),
            format!("listeners={listeners}"),
            format!("advertised.listeners=CLIENT://localhost:{port},OWN://127.0.0.1:{own}"),
            format!("listener.security.protocol.map={protocols}"),
            "controller.listener.names=CONTROLLER".to_owned(),
            "inter.broker.listener.name=OWN".to_owned(),
            "ssl.keystore.type=PEM".to_owned(),
            format!("ssl.keystore.location={}", store.display()),
            "ssl.client.auth=none".to_owned(),
            "sasl.enabled.mechanisms=SCRAM-SHA-512".to_owned(),
            "listener.name.client.scram-sha-512.sasl.jaas.config=\
             org.apache.kafka.common.security.scram.ScramLoginModule required;"
                .to_owned(),
            format!("log.dirs={}", folder.join("logs").display()),
            "offsets.topic.replication.factor=1".to_owned(),
            "transaction.state.log.replication.factor=1".to_owned(),
            "transaction.state.log.min.isr=1".to_owned(),
            "group.initial.rebalance.delay.ms=0".to_owned(),
        ];
        Ok(lines.join("\n"))
    }

    /// A node of OpenSearch; none where it is not installed.
    pub(super) fn opensearch(&self) -> Result<Option<Receiver>> {
        let Ok(installed) = opensearch() else {
            return Ok(None);
        };
        let port = free_port()?;
        let folder = self.folder.join("opensearch");
        let path = format!("{0}/classes:{0}/libraries/*", installed.display());
        let url = format!("http://127.0.0.1:{port}/{INDEX}");
        Ok(Some(Receiver {
            name: "opensearch",
            sink: format!("bulk = {{ url = \"http://127.0.0.1:{port}\", index = \"{INDEX}\" }}"),
            port: Some(port),
            command: Some(Box::new(move || {
                let mut command = java(&path);
                command.args(["Search", &folder.display().to_string(), &port.to_string()]);
                Ok(command)
            })),
            prepare: Box::new(|| Ok(())),
            read: Box::new(move || documents(&url)),
            running: None,
        }))
    }
}

struct Kafka {
    path: String,
    folder: PathBuf,
    password: &'static str,
    text: String,
}

impl Kafka {
    fn java(&self, class: &str) -> Command {
        let mut command = java(&self.path);
        command.arg(class).current_dir(&self.folder);
        command
    }

    /// Makes its folder, and the user that the auditor is, where that was not done.
    fn format(&self) -> Result<()> {
        if self.folder.join("logs").exists() {
            return Ok(());
        }
        let properties = self.folder.join("server.properties");
        fs::write(&properties, &self.text)?;
        let mut format = self.java("kafka.tools.StorageTool");
        format.args([
            "format",
            "--cluster-id",
            "4L6g3nShT-eMCtK--X86sw",
            "--config",
        ]);
        format.arg(properties).arg("--add-scram");
        let user = format!("SCRAM-SHA-512=[name=auditor,password={}]", self.password);
        format.arg(user);
        done(format)
    }
}

fn java(path: &str) -> Command {
    let mut command = Command::new("java");
    command.args(["-Xmx512m", "-XX:TieredStopAtLevel=1", "-cp", path]);
    command.stderr(Stdio::null());
    command
}

/// The events of all partitions, in the order that events have by themselves; a key must be in one partition only, in order.
fn in_order(records: &[String]) -> Result<Vec<String>> {
    let mut partitions: HashMap<String, u64> = HashMap::new();
    let mut events = Vec::new();
    for record in records {
        let record: Value = serde_json::from_str(record)?;
        let key = record["key"].as_str().context("no key")?.to_owned();
        let partition = record["partition"].as_u64().context("no partition")?;
        let known = *partitions.entry(key.clone()).or_insert(partition);
        ensure!(known == partition, "{key} is in {known} and in {partition}");
        events.push(record["value"].as_str().context("no value")?.to_owned());
    }
    by_sequence(events)
}

/// The documents of an index, in the order that events have by themselves.
fn documents(url: &str) -> Result<Vec<String>> {
    let ask = |what: &str| -> Result<Value> {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--max-time", "20", &format!("{url}/{what}")]);
        let text = printed(curl)?.join("\n");
        serde_json::from_str(&text).with_context(|| format!("{what}: {text}"))
    };
    ask("_refresh")?;
    let found = ask("_search?size=10000")?;
    let Some(hits) = found["hits"]["hits"].as_array() else {
        // There is no index yet.
        return Ok(Vec::new());
    };
    let documents = hits.iter().map(|hit| {
        let mut event = hit["_source"].clone();
        let members = event.as_object_mut().context("no document")?;
        let time = members.remove("@timestamp");
        ensure!(time == members.get("time").cloned(), "{hit}");
        Ok(event.to_string())
    });
    by_sequence(documents.collect::<Result<_>>()?)
}

/// Sorts events by `metadata.sequence`; those without one keep to the end.
fn by_sequence(events: Vec<String>) -> Result<Vec<String>> {
    let mut numbered = Vec::new();
    for event in events {
        let json: Value = serde_json::from_str(&event)?;
        let number = json.pointer("/metadata/sequence").and_then(Value::as_u64);
        numbered.push((number.unwrap_or(u64::MAX), event));
    }
    numbered.sort_by_key(|(number, _)| *number);
    Ok(numbered.into_iter().map(|(_, event)| event).collect())
}
