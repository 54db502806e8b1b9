//! Compares what clients saw with what the auditor reported, and tells every difference.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::{event::Event, interaction::Interaction};

/// The differences, one a line; empty when there are none.
pub(crate) fn differences(expected: &[Interaction], events: &[Event]) -> Vec<String> {
    let reported: Vec<_> = finals(events)
        .map(|event| event.interaction.clone())
        .collect();
    let mut lines = subtract("missing", expected, &reported);
    let invented = subtract("invented", &reported, expected);
    if !invented.is_empty() {
        lines.extend(finals(events).filter_map(why_invented));
    }
    lines.extend(invented);
    lines.extend(stages(events));
    lines
}

/// What an event says of itself that nobody plays.
fn why_invented(event: &Event) -> Option<String> {
    let at = |pointer: &str| event.json.pointer(pointer).filter(|value| !value.is_null());
    let gap = at("/unmapped/mcp/gap").or_else(|| at("/unmapped/mcp/tls"));
    let told = gap.or_else(|| at("/finding_info/analytic"))?;
    Some(format!("an event says {told}"))
}

/// How many of `expected` have not been reported yet.
pub(crate) fn missing(expected: &[Interaction], events: &[Event]) -> usize {
    let reported: Vec<_> = finals(events)
        .map(|event| event.interaction.clone())
        .collect();
    subtract("", expected, &reported).len()
}

/// The differences between the executables of known processes and those reported.
pub(crate) fn executables(known: &HashMap<u32, String>, events: &[Event]) -> Vec<String> {
    let mut lines = Vec::new();
    for event in events {
        let interaction = &event.interaction;
        let ends = [
            (interaction.client, &event.client_exe),
            (interaction.server, &event.server_exe),
        ];
        for (pid, exe) in ends {
            let Some(right) = pid.and_then(|pid| known.get(&pid)) else {
                continue;
            };
            if exe.as_ref() != Some(right) {
                lines.push(format!(
                    "executable {exe:?} instead of {right} in: {interaction}"
                ));
            }
        }
    }
    lines
}

/// The events that are not encrypted as they should be.
pub(crate) fn encryption(right: bool, events: &[Event]) -> Vec<String> {
    events
        .iter()
        .filter(|event| event.is_encrypted != Some(right))
        .map(|event| {
            format!(
                "encrypted {:?} instead of {right} in: {}",
                event.is_encrypted, event.interaction
            )
        })
        .collect()
}

/// The requests of which the hops before and behind a proxy are not linked, each with its own.
pub(crate) fn hops(front: &[Event], behind: &[Event]) -> Vec<String> {
    let calls = |events: &[Event]| -> Vec<String> {
        let requests = finals(events).filter(|event| event.interaction.kind == "request");
        requests.map(|event| event.call().to_owned()).collect()
    };
    let behind = calls(behind);
    let is_loose = |event: &&Event| {
        let of_it = behind.iter().filter(|call| *call == event.call()).count();
        event.interaction.kind == "request" && of_it != 1
    };
    finals(front)
        .filter(is_loose)
        .map(|event| format!("not linked with one hop behind: {}", event.interaction))
        .collect()
}

/// The calls behind a gateway that are joined to another call than the one that led to them, or to none though only one
/// was open.
pub(crate) fn chains(front: &[Event], behind: &[Event]) -> Vec<String> {
    let calls = finals(behind).filter(|event| event.interaction.target.is_some());
    let wrong = calls.filter_map(|event| {
        let text = |name: &str| event.json.pointer(name).and_then(Value::as_str);
        let parent = text("/unmapped/mcp/chain/parent");
        let Some(parent) = parent else {
            let is_open = text("/unmapped/mcp/chain/certainty") == Some("one_of_n");
            return (!is_open).then(|| format!("joined to nothing: {}", event.interaction));
        };
        let parent = finals(front).find(|event| event.uid == parent);
        let is_led = parent.is_some_and(|parent| {
            parent.interaction.method == event.interaction.method
                && parent.interaction.target == event.interaction.target
        });
        (!is_led).then(|| format!("joined to another call: {}", event.interaction))
    });
    wrong.collect()
}

fn finals(events: &[Event]) -> impl Iterator<Item = &Event> {
    events.iter().filter(|event| event.stage == "final")
}

/// An interaction reported as open must be reported as final, once.
fn stages(events: &[Event]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut ended: HashMap<&str, usize> = HashMap::new();
    for event in finals(events) {
        *ended.entry(&event.uid).or_default() += 1;
    }
    for event in events {
        match (event.stage.as_str(), ended.get(event.uid.as_str())) {
            ("final", Some(1)) | ("open", Some(_)) => {}
            (stage, _) => lines.push(format!(
                "stage {stage} of uid {}: {}",
                event.uid, event.interaction
            )),
        }
    }
    lines
}

/// What `left` has more often than `right`.
fn subtract(label: &str, left: &[Interaction], right: &[Interaction]) -> Vec<String> {
    let mut counts: BTreeMap<&Interaction, usize> = BTreeMap::new();
    for interaction in right {
        *counts.entry(interaction).or_default() += 1;
    }
    let mut lines = Vec::new();
    for interaction in left {
        match counts.get_mut(interaction) {
            Some(count) if *count > 0 => *count -= 1,
            _ => lines.push(format!("{label:>8}: {interaction}")),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::interaction::Status;

    fn request(id: &str) -> Interaction {
        Interaction {
            kind: "request".to_owned(),
            direction: "client_to_server".to_owned(),
            method: Some("ping".to_owned()),
            id: Some(id.to_owned()),
            target: None,
            status: Status::Success,
            transport: "stdio".to_owned(),
            client: Some(1),
            server: Some(2),
        }
    }

    fn event(interaction: Interaction, stage: &str, uid: &str) -> Event {
        let (client_exe, server_exe, json) = (Some("/bin/a".to_owned()), None, Value::Null);
        Event {
            interaction,
            stage: stage.to_owned(),
            uid: uid.to_owned(),
            client_exe,
            server_exe,
            is_encrypted: Some(false),
            json,
        }
    }

    #[test]
    fn missing_and_invented_interactions_are_told_apart() {
        let events = [
            event(request("2"), "final", "a"),
            event(request("2"), "final", "b"),
        ];
        let told = differences(&[request("1"), request("2")], &events);
        assert_eq!(told.len(), 2);
        assert!(told[0].contains("missing: request") && told[0].contains("id=1"));
        assert!(told[1].contains("invented: request") && told[1].contains("id=2"));
    }

    #[test]
    fn an_open_interaction_must_become_final_once() {
        let open = [event(request("1"), "open", "a")];
        assert_eq!(differences(&[], &open).len(), 1);
        let both = [
            event(request("1"), "open", "a"),
            event(request("1"), "final", "a"),
        ];
        assert!(differences(&[request("1")], &both).is_empty());
    }

    #[test]
    fn a_wrong_encryption_is_told() {
        let plain = [event(request("1"), "final", "a")];
        assert_eq!(encryption(true, &plain).len(), 1);
        assert!(encryption(false, &plain).is_empty());
    }

    #[test]
    fn a_wrong_executable_is_told() {
        let known = HashMap::from([(1, "/bin/b".to_owned())]);
        assert_eq!(
            executables(&known, &[event(request("1"), "final", "a")]).len(),
            1
        );
    }
}
