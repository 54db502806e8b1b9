//! Reads what a client logged at its own transport and tells the interactions it saw.
//!
//! Shares no code with the auditor: requests and answers are paired by id within a connection
//! and a direction, on messages that the SDK itself has parsed.

use std::{collections::HashMap, fs, path::Path};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::interaction::{Interaction, Status, target_parameter};

/// Processes and transport of a session, for what the client's log does not tell.
#[derive(Clone, Debug)]
pub(crate) struct Ends {
    /// The client's process.
    pub(crate) client: u32,
    /// The server's process, unless the log names another for a message.
    pub(crate) server: Option<u32>,
    /// The transport.
    pub(crate) transport: &'static str,
}

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    done: bool,
    dir: Option<String>,
    #[serde(default)]
    connection: u64,
    server: Option<u32>,
    message: Option<Value>,
}

/// Whether the client has played its whole scenario.
pub(crate) fn is_done(log: &Path) -> bool {
    fs::read_to_string(log).is_ok_and(|text| {
        text.ends_with("{\"done\": true}\n") || text.ends_with("{\"done\":true}\n")
    })
}

/// The interactions of a client's log.
pub(crate) fn interactions(log: &Path, ends: &Ends) -> Result<Vec<Interaction>> {
    let text = fs::read_to_string(log).with_context(|| format!("no log {}", log.display()))?;
    interactions_of(&text, ends)
}

fn interactions_of(text: &str, ends: &Ends) -> Result<Vec<Interaction>> {
    let mut found: Vec<Interaction> = Vec::new();
    let mut requests: HashMap<(u64, bool, String), usize> = HashMap::new();
    let mut answers = Vec::new();
    for line in text.lines() {
        let line: Line = serde_json::from_str(line).with_context(|| format!("log line {line}"))?;
        let (false, Some(direction), Some(message)) = (line.done, line.dir, line.message) else {
            continue;
        };
        let sent = direction == "sent";
        // An explicit null is the id of an error about a request that could not be read.
        let id = message
            .get("id")
            .filter(|id| !id.is_null())
            .map(Value::to_string);
        let Some(method) = message.get("method").and_then(Value::as_str) else {
            // The answer to a request that went the other way.
            if let Some(id) = id {
                answers.push(((line.connection, !sent, id), status(&message)));
            }
            continue;
        };
        let target = target_parameter(Some(method))
            .and_then(|parameter| message.get("params")?.get(parameter)?.as_str());
        if let Some(id) = &id {
            requests.insert((line.connection, sent, id.clone()), found.len());
        }
        found.push(Interaction {
            kind: if id.is_some() {
                "request"
            } else {
                "notification"
            }
            .to_owned(),
            direction: if sent {
                "client_to_server"
            } else {
                "server_to_client"
            }
            .to_owned(),
            method: Some(method.to_owned()),
            // Unanswered until the answer comes.
            status: if id.is_some() {
                Status::Failure
            } else {
                Status::None
            },
            target: target.map(str::to_owned),
            transport: ends.transport.to_owned(),
            client: Some(ends.client),
            server: line.server.or(ends.server),
            id,
        });
    }
    // Only now: a log may hold an answer before its request, when each is noted by its own thread.
    for (key, status) in answers {
        let request = requests.remove(&key);
        if let Some(interaction) = request.and_then(|index| found.get_mut(index)) {
            interaction.status = status;
        }
    }
    Ok(found)
}

fn status(answer: &Value) -> Status {
    let is_error = |result: &Value| result.get("isError") == Some(&Value::Bool(true));
    match answer.get("result") {
        Some(result) if !is_error(result) => Status::Success,
        _ => Status::Failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDS: Ends = Ends {
        client: 1,
        server: Some(2),
        transport: "stdio",
    };

    fn told(text: &str) -> Vec<String> {
        let interactions = interactions_of(text, &ENDS).unwrap();
        interactions.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn answers_are_paired_with_requests_of_the_other_direction() {
        let log = r#"{"dir":"sent","message":{"id":1,"method":"tools/call","params":{"name":"ask"}}}
{"dir":"received","message":{"id":1,"method":"elicitation/create"}}
{"dir":"sent","message":{"id":1,"result":{}}}
{"dir":"received","message":{"id":1,"result":{"isError":true}}}
{"done":true}"#;
        assert_eq!(
            told(log),
            [
                "request client_to_server tools/call id=1 target=ask Failure over stdio client=1 server=2",
                "request server_to_client elicitation/create id=1 target=- Success over stdio client=1 server=2",
            ]
        );
    }

    #[test]
    fn equal_ids_on_two_connections_are_two_requests() {
        let log = r#"{"dir":"sent","connection":0,"server":7,"message":{"id":0,"method":"ping"}}
{"dir":"sent","connection":1,"server":8,"message":{"id":0,"method":"ping"}}
{"dir":"received","connection":0,"server":7,"message":{"id":0,"result":{}}}"#;
        assert_eq!(
            told(log),
            [
                "request client_to_server ping id=0 target=- Success over stdio client=1 server=7",
                "request client_to_server ping id=0 target=- Failure over stdio client=1 server=8",
            ]
        );
    }

    #[test]
    fn an_answer_noted_before_its_request_counts() {
        let log = r#"{"dir":"received","message":{"id":1,"result":{}}}
{"dir":"sent","message":{"id":1,"method":"ping"}}"#;
        assert_eq!(
            told(log),
            ["request client_to_server ping id=1 target=- Success over stdio client=1 server=2"]
        );
    }

    #[test]
    fn a_notification_expects_no_answer() {
        let log = r#"{"dir":"received","message":{"method":"notifications/progress"}}"#;
        assert_eq!(
            told(log),
            [
                "notification server_to_client notifications/progress id=- target=- None over stdio client=1 server=2"
            ]
        );
    }
}
