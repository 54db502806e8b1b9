//! A small MCP client on the official Rust SDK.
//!
//!     client --truth FILE --scenario FILE [--mode MODE] (--http URL | -- COMMAND ...)
//!
//! Plays the scenario and writes every message that the SDK's transport took or gave to the truth
//! file, one `{"dir": "sent" | "received", "message": {...}}` a line. The SDK is not changed: the
//! log sits between its service and its transport. At the end `{"done": true}` is written, and the
//! connection is kept until standard input ends.

mod provider;

use std::{
    collections::HashMap,
    error::Error,
    fs::File,
    io::{Read, Write},
    sync::{Arc, Mutex},
};

use rmcp::{
    ClientHandler, ClientLifecycleMode, ClientServiceExt, Peer, RoleClient,
    model::ProtocolVersion,
    service::{RunningService, RxJsonRpcMessage, TxJsonRpcMessage},
    transport::{StreamableHttpClientTransport, TokioChildProcess, Transport},
};
use serde_json::{Value, json};

type Failure = Box<dyn Error + Send + Sync>;

#[derive(Clone)]
struct Example;

impl ClientHandler for Example {}

#[derive(Clone)]
struct Notes(Arc<Mutex<File>>);

impl Notes {
    fn line(&self, record: Value) {
        let mut file = self.0.lock().expect("no panic elsewhere");
        file.write_all(format!("{record}\n").as_bytes())
            .expect("the truth file can be written");
    }

    fn message(&self, direction: &str, message: &impl serde::Serialize) {
        let message = serde_json::to_value(message).expect("a message is JSON");
        self.line(json!({"dir": direction, "message": message}));
    }
}

/// A transport of the SDK that notes what passes.
struct Tap<T> {
    transport: T,
    notes: Notes,
}

impl<T: Transport<RoleClient>> Transport<RoleClient> for Tap<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        self.notes.message("sent", &item);
        self.transport.send(item)
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        let item = self.transport.receive().await?;
        self.notes.message("received", &item);
        Some(item)
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.transport.close().await
    }
}

async fn play(client: &Peer<RoleClient>, step: Value) {
    let what = step["do"].as_str().unwrap_or_default().to_owned();
    if what == "parallel" {
        let parts = step["of"].as_array().cloned().unwrap_or_default();
        let start = |part: Value| {
            let client = client.clone();
            tokio::spawn(async move { once(&client, &part).await })
        };
        let tasks: Vec<_> = parts.into_iter().map(start).collect();
        for task in tasks {
            task.await.expect("no panic");
        }
    } else {
        once(client, &step).await;
    }
}

async fn once(client: &Peer<RoleClient>, step: &Value) {
    let what = step["do"].as_str().unwrap_or_default();
    if let Err(error) = request(client, what, step).await {
        eprintln!("{what}: {error}"); // The scenario asks for errors, too.
    }
}

async fn request(client: &Peer<RoleClient>, what: &str, step: &Value) -> Result<(), Failure> {
    let arguments = step.get("arguments").cloned().unwrap_or(json!({}));
    let named = json!({"name": step["name"], "arguments": arguments});
    match what {
        "list_tools" => drop(client.list_tools(None).await?),
        "call_tool" => drop(client.call_tool(serde_json::from_value(named)?).await?),
        "list_resources" => drop(client.list_resources(None).await?),
        "read_resource" => {
            drop(
                client
                    .read_resource(serde_json::from_value(json!({"uri": step["uri"]}))?)
                    .await?,
            );
        }
        "list_prompts" => drop(client.list_prompts(None).await?),
        "get_prompt" => drop(client.get_prompt(serde_json::from_value(named)?).await?),
        _ => {}
    }
    Ok(())
}

async fn connect<T: Transport<RoleClient> + 'static>(
    transport: T,
    notes: &Notes,
    mode: &str,
) -> Result<RunningService<RoleClient, Example>, Box<dyn Error>> {
    let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
    let lifecycle = match mode {
        "legacy" => ClientLifecycleMode::Initialize,
        "auto" => ClientLifecycleMode::Auto {
            preferred_versions,
            legacy_version: None,
        },
        _ => ClientLifecycleMode::Discover { preferred_versions },
    };
    let tap = Tap {
        transport,
        notes: notes.clone(),
    };
    Ok(Example.serve_with_lifecycle(tap, lifecycle).await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut options = HashMap::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next().filter(|name| name != "--") {
        options.insert(name, arguments.next().unwrap_or_default());
    }
    let command: Vec<String> = arguments.collect();
    let notes = Notes(Arc::new(Mutex::new(File::create(&options["--truth"])?)));
    let mode = options.get("--mode").map_or("legacy", String::as_str);

    let client = if let Some(url) = options.get("--http") {
        provider::install();
        connect(
            StreamableHttpClientTransport::from_uri(url.as_str()),
            &notes,
            mode,
        )
        .await?
    } else {
        let mut child = tokio::process::Command::new(&command[0]);
        child.args(&command[1..]);
        connect(TokioChildProcess::new(child)?, &notes, mode).await?
    };
    let steps: Vec<Value> = serde_json::from_reader(File::open(&options["--scenario"])?)?;
    for step in steps {
        play(client.peer(), step).await;
    }
    notes.line(json!({"done": true}));
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    client.cancel().await?;
    Ok(())
}
