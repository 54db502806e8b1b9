//! What is usual for each identity, server and tool.
//!
//! Bounds: [`PAIRS`] identities with servers, [`TOOLS`] tools of those, [`THINGS`] things that were reached; names are
//! keys of fixed size. Whoever invents names pushes out only what is not in use.

use serde::{Deserialize, Serialize};

use crate::{
    anomaly::{Anomaly, Kind},
    key::{Key, key},
    memory::Memory,
    statistic::{Rate, Sizes},
};

/// Identities with a server, and identities.
const PAIRS: usize = 8_192;
/// Identities with a server's tool.
const TOOLS: usize = 16_384;
/// Identities with a server's thing.
const THINGS: usize = 65_536;
/// Calls of a server before a first use of one of its tools or things is told.
const WARM_UP: u32 = 50;
/// Things of one call that are looked at.
const PER_CALL: usize = 8;
/// Calls a minute that are never unusual.
const RATE: u32 = 30;
/// Sensitive successes a minute that are never unusual.
const SENSITIVE: u32 = 10;

/// One call that is over.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Who called.
    pub identity: &'a str,
    /// Which server.
    pub server: &'a str,
    /// Which tool, prompt or method.
    pub tool: &'a str,
    /// Bytes of the request.
    pub sent: u64,
    /// Bytes of the answer.
    pub brought: u64,
    /// Whether it succeeded with something sensitive.
    pub is_sensitive: bool,
    /// When, nanoseconds since the epoch.
    pub time: u64,
}

/// Remembers what is usual.
#[derive(Debug)]
pub struct Baselines {
    pairs: Memory<Key, u32>,
    tools: Memory<Key, Tool>,
    things: Memory<Key, ()>,
    sensitive: Memory<Key, Rate>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
struct Tool {
    sent: Sizes,
    brought: Sizes,
    rate: Rate,
}

impl Default for Baselines {
    fn default() -> Self {
        Self {
            pairs: Memory::new(PAIRS),
            tools: Memory::new(TOOLS),
            things: Memory::new(THINGS),
            sensitive: Memory::new(PAIRS),
        }
    }
}

/// Baselines as they are kept from one run to the next.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Kept {
    pairs: Vec<(Key, u32)>,
    tools: Vec<(Key, Tool)>,
    things: Vec<(Key, ())>,
    sensitive: Vec<(Key, Rate)>,
}

impl Baselines {
    pub(crate) fn keep(&self) -> Kept {
        Kept {
            pairs: self.pairs.entries(),
            tools: self.tools.entries(),
            things: self.things.entries(),
            sensitive: self.sensitive.entries(),
        }
    }

    pub(crate) fn take_up(&mut self, kept: Kept) {
        self.pairs.extend(kept.pairs);
        self.tools.extend(kept.tools);
        self.things.extend(kept.things);
        self.sensitive.extend(kept.sensitive);
    }

    /// Takes a call and the things that it names; gives what is out of the ordinary.
    pub fn handle<'a>(
        &mut self,
        call: &Call<'_>,
        things: impl IntoIterator<Item = &'a str>,
    ) -> Vec<Anomaly> {
        let mut found = Vec::new();
        let pair = key(&[call.identity.as_bytes(), call.server.as_bytes()]);
        let before = match self.pairs.get(&pair) {
            Some(calls) => {
                *calls = calls.saturating_add(1);
                *calls - 1
            }
            None => {
                self.pairs.insert(pair, 1);
                0
            }
        };
        let first = |kind, subject: &str| Anomaly {
            samples: Some(before),
            ..Anomaly::about(kind, subject)
        };
        let of_tool = key(&[&pair.0, call.tool.as_bytes()]);
        if self.tools.get(&of_tool).is_none() {
            self.tools.insert(of_tool, Tool::default());
            if before >= WARM_UP {
                found.push(first(Kind::FirstTool, call.tool));
            }
        }
        if let Some(tool) = self.tools.get(&of_tool) {
            tool.take(call, &mut found);
        }
        for thing in things.into_iter().take(PER_CALL) {
            let of_thing = key(&[&pair.0, thing.as_bytes(), b"thing"]);
            if self.things.get(&of_thing).is_none() {
                self.things.insert(of_thing, ());
                if before >= WARM_UP {
                    found.push(first(Kind::FirstResource, thing));
                }
            }
        }
        if call.is_sensitive {
            self.note_sensitive(call, &mut found);
        }
        found
    }

    fn note_sensitive(&mut self, call: &Call<'_>, found: &mut Vec<Anomaly>) {
        let identity = key(&[call.identity.as_bytes()]);
        if self.sensitive.get(&identity).is_none() {
            self.sensitive.insert(identity, Rate::default());
        }
        if let Some(rate) = self.sensitive.get(&identity)
            && let Some((usual, count)) = rate.add(call.time, SENSITIVE)
        {
            found.push(Anomaly {
                observed: Some(count.into()),
                expected: Some(usual),
                samples: Some(rate.minutes()),
                ..Anomaly::of(Kind::SensitiveSpike)
            });
        }
    }

    /// Entries held, and entries forgotten at a bound.
    pub fn held_and_evicted(&self) -> (usize, u64) {
        let held = self.pairs.len() + self.tools.len() + self.things.len() + self.sensitive.len();
        let evicted = [
            self.pairs.evicted(),
            self.tools.evicted(),
            self.things.evicted(),
            self.sensitive.evicted(),
        ];
        (held, evicted.iter().sum())
    }
}

impl Tool {
    fn take(&mut self, call: &Call<'_>, found: &mut Vec<Anomaly>) {
        for (kind, sizes, bytes) in [
            (Kind::LargeRequest, &mut self.sent, call.sent),
            (Kind::LargeResponse, &mut self.brought, call.brought),
        ] {
            if let Some(usual) = sizes.add(bytes) {
                found.push(Anomaly {
                    observed: Some(bytes as f64),
                    expected: Some(usual),
                    samples: Some(sizes.count() - 1),
                    ..Anomaly::about(kind, call.tool)
                });
            }
        }
        if let Some((usual, count)) = self.rate.add(call.time, RATE) {
            found.push(Anomaly {
                observed: Some(count.into()),
                expected: Some(usual),
                samples: Some(self.rate.minutes()),
                ..Anomaly::about(Kind::UnusualRate, call.tool)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000_000_000;

    fn call<'a>(identity: &'a str, tool: &'a str, at: u64) -> Call<'a> {
        Call {
            identity,
            server: "shop",
            tool,
            sent: 200,
            brought: 2_000,
            is_sensitive: false,
            time: at,
        }
    }

    fn kinds(found: &[Anomaly]) -> Vec<Kind> {
        found.iter().map(|one| one.kind).collect()
    }

    #[test]
    fn a_first_use_is_told_where_the_server_is_well_known_only() {
        let mut baselines = Baselines::default();
        for at in 0..u64::from(WARM_UP) {
            let found = baselines.handle(&call("ann", "read", at), ["table:orders"]);
            assert_eq!(found, []);
        }
        let found = baselines.handle(&call("ann", "drop", 1), ["table:orders", "table:people"]);
        assert_eq!(kinds(&found), [Kind::FirstTool, Kind::FirstResource]);
        assert_eq!(found[1].subject.as_deref(), Some("table:people"));
        assert_eq!(found[0].samples, Some(WARM_UP));
        assert_eq!(
            baselines.handle(&call("ann", "drop", 1), ["table:people"]),
            []
        );
        assert_eq!(
            baselines.handle(&call("bob", "drop", 1), ["table:people"]),
            []
        );
    }

    #[test]
    fn an_unusual_size_is_told_with_the_usual_one() {
        let mut baselines = Baselines::default();
        for at in 0..100 {
            baselines.handle(&call("ann", "read", at * MINUTE), []);
        }
        let large = Call {
            brought: 8 << 20,
            ..call("ann", "read", 101 * MINUTE)
        };
        let found = baselines.handle(&large, []);
        assert_eq!(kinds(&found), [Kind::LargeResponse]);
        assert_eq!(found[0].observed, Some(f64::from(8 << 20)));
        assert!(found[0].expected.unwrap() < 3_000.0);
        // Usual for one is not usual for another.
        let other = Call {
            identity: "bob",
            ..large
        };
        assert_eq!(baselines.handle(&other, []), []);
    }

    #[test]
    fn a_spike_of_sensitive_successes_is_told_for_the_identity() {
        let mut baselines = Baselines::default();
        let sensitive = |tool, at| Call {
            is_sensitive: true,
            ..call("ann", tool, at)
        };
        for minute in 1..15 {
            baselines.handle(&sensitive("read", minute * MINUTE), []);
        }
        let mut all = Vec::new();
        for at in 0..40 {
            // Over many tools: no tool alone is unusual.
            let tool = ["a", "b", "c"][at % 3];
            all.extend(baselines.handle(&sensitive(tool, 15 * MINUTE), []));
        }
        assert_eq!(kinds(&all), [Kind::SensitiveSpike]);
    }

    #[test]
    fn invented_names_fill_the_tables_to_their_bound_only() {
        let mut baselines = Baselines::default();
        for at in 0..200_000u64 {
            let name = format!("n{at}");
            baselines.handle(&call(&name, &name, at), [name.as_str()]);
        }
        let (held, evicted) = baselines.held_and_evicted();
        assert_eq!(held, PAIRS + TOOLS + THINGS);
        assert_eq!(evicted as usize, 3 * 200_000 - held);
    }
}
