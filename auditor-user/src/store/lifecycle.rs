//! What happens to the auditor itself, as OCSF `application_lifecycle` (class 6002) of the log.

use auditor_core::audit::Device;
use auditor_delivery::Fact;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The class.
const CLASS: u64 = 6002;

/// What happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Occasion {
    /// It starts.
    Start {
        /// Bytes of a commit that did not end, which were cut.
        torn_bytes: u64,
        /// When the log was written last.
        last_ms: Option<u64>,
        /// This start's key.
        key: String,
    },
    /// It stops, as it was told to.
    Stop,
    /// The configuration was read again.
    Configuration {
        /// SHA-256 of its text, in hexadecimal digits.
        sha256: String,
        /// SHA-256 of the policies that are in force, where there are any.
        policy_set: Option<String>,
    },
    /// Events are not in the log.
    Loss {
        /// How many.
        events: u64,
    },
    /// An event is too long for an entry: its digest stands for it.
    Large {
        /// The event's `metadata.uid`.
        uid: Option<String>,
        /// Its bytes.
        bytes: usize,
        /// SHA-256 of it, in hexadecimal digits.
        sha256: String,
    },
    /// The host's clock was set.
    Clock {
        /// By how much, in nanoseconds; negative where it went back.
        step_ns: i64,
    },
    /// A sink does not get events.
    Delivery(Fact),
    /// Old entries were removed.
    Retention {
        /// The first that is kept.
        first: u64,
    },
}

impl Occasion {
    /// Of an event that is too long.
    pub(super) fn large(event: &[u8]) -> Self {
        let parsed: Option<Value> = serde_json::from_slice(event).ok();
        let uid =
            parsed.and_then(|event| Some(event.pointer("/metadata/uid")?.as_str()?.to_owned()));
        Self::Large {
            uid,
            bytes: event.len(),
            sha256: hex::encode(Sha256::digest(event)),
        }
    }
}

/// Makes entries.
pub(super) struct Lifecycle {
    device: Value,
    /// The key id of this start, which is no other's.
    run: String,
    count: u64,
}

impl Lifecycle {
    pub(super) fn new(device: &Device, key: &str) -> Self {
        let run = key.split('+').nth(1).unwrap_or_default().to_owned();
        Self {
            device: json!({"hostname": device.hostname, "uid": device.uid, "type_id": 0}),
            run,
            count: 0,
        }
    }

    pub(super) fn entry(&mut self, occasion: &Occasion, time_ms: u64) -> Vec<u8> {
        let (activity, name, severity, what) = described(occasion);
        let version = env!("CARGO_PKG_VERSION");
        let uid = format!("{}-l{}", self.run, self.count);
        self.count += 1;
        let product =
            json!({"name": "mcp-auditor", "vendor_name": "mcp-auditor", "version": version});
        let event = json!({
            "metadata": {"version": "1.8.0", "product": product, "uid": uid, "profiles": ["host"]},
            "time": time_ms,
            "category_uid": 6,
            "category_name": "Application Activity",
            "class_uid": CLASS,
            "class_name": "Application Lifecycle",
            "activity_id": activity,
            "activity_name": name,
            "type_uid": CLASS * 100 + activity,
            "severity_id": severity,
            "app": product,
            "device": self.device,
            "unmapped": {"mcp": {"kind": "lifecycle", "lifecycle": what}},
        });
        event.to_string().into_bytes()
    }
}

/// Activity, its name, severity, and what there is to say.
fn described(occasion: &Occasion) -> (u64, &'static str, u64, Value) {
    match occasion {
        Occasion::Start {
            torn_bytes,
            last_ms,
            key,
        } => {
            let what = json!({
                "what": "start",
                "torn_bytes": torn_bytes,
                "last_checkpoint": last_ms,
                "key": key,
            });
            (3, "Start", 1, what)
        }
        Occasion::Stop => (4, "Stop", 1, json!({"what": "stop"})),
        Occasion::Configuration { sha256, policy_set } => {
            let what = json!({
                "what": "configuration",
                "sha256": sha256,
                "policy_set": policy_set,
            });
            (8, "Update", 1, what)
        }
        Occasion::Loss { events } => (99, "Loss", 4, json!({"what": "loss", "events": events})),
        Occasion::Large { uid, bytes, sha256 } => {
            let what = json!({"what": "large", "uid": uid, "bytes": bytes, "sha256": sha256});
            (99, "Large", 2, what)
        }
        Occasion::Clock { step_ns } => {
            (99, "Clock", 2, json!({"what": "clock", "step_ns": step_ns}))
        }
        Occasion::Delivery(fact) => (99, "Delivery", 4, json!(fact)),
        Occasion::Retention { first } => (
            99,
            "Retention",
            1,
            json!({"what": "retention", "first": first}),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_say_what_happened_under_ids_of_their_own() {
        let device = Device {
            hostname: "node".to_owned(),
            ..Device::default()
        };
        let mut lifecycle = Lifecycle::new(&device, "log+0a1b2c3d+key");
        let start = Occasion::Start {
            torn_bytes: 3,
            last_ms: Some(7),
            key: "log+0a1b2c3d+key".to_owned(),
        };
        let read = |entry: Vec<u8>| serde_json::from_slice::<Value>(&entry).unwrap();
        let first = read(lifecycle.entry(&start, 1));
        assert_eq!(first["metadata"]["uid"], "0a1b2c3d-l0");
        assert_eq!(
            (first["type_uid"].as_u64(), first["time"].as_u64()),
            (Some(600_203), Some(1))
        );
        assert_eq!(first["unmapped"]["mcp"]["lifecycle"]["torn_bytes"], 3);
        let second = read(lifecycle.entry(&Occasion::Loss { events: 5 }, 2));
        assert_eq!(second["metadata"]["uid"], "0a1b2c3d-l1");
        assert_eq!(second["unmapped"]["mcp"]["lifecycle"]["events"], 5);
        let shed = Fact::Shed {
            sink: "siem".to_owned(),
            first: 3,
            end: 9,
            why: auditor_delivery::Why::Backlog,
        };
        let third = read(lifecycle.entry(&Occasion::Delivery(shed), 3));
        let said = json!({"what": "shed", "sink": "siem", "first": 3, "end": 9, "why": "backlog"});
        assert_eq!(third["unmapped"]["mcp"]["lifecycle"], said);
    }
}
