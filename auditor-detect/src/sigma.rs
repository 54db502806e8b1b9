//! Rules in Sigma, evaluated by `rsigma`.
//!
//! Every rule needs an id, names fields of [`FIELDS`] only, and is for `product: mcp`. Bounds: [`RULES`] rules of
//! [`SOURCE`] bytes in all; [`STATES`] groups of events that are counted, of [`EVENTS`] events; a rule is told once in
//! [`QUIET`] seconds for an identity and a target.

mod error;
mod event;

use std::{collections::HashMap, sync::Arc};

use rsigma_eval::{
    CorrelationAction, CorrelationConfig, CorrelationEngine, CorrelationEventMode,
    EvaluationResult, RuleFieldSet, TimestampFallback,
};
use rsigma_parser::{CorrelationRule, SigmaCollection, SigmaRule, parse_sigma_yaml};

pub use self::error::Error;
use self::event::Adapter;
use crate::{
    key::{Key, key},
    memory::Memory,
    rule::{About, Correlated, Hit, Judge, Level},
    view::{FIELDS, Field, View},
};

/// The rules that ship with the product, by file.
pub const PACK: [(&str, &str); 16] = [
    ("auditor_gap.yml", include_str!("../rules/auditor_gap.yml")),
    (
        "definition_changed.yml",
        include_str!("../rules/definition_changed.yml"),
    ),
    (
        "definition_changed_to_poison.yml",
        include_str!("../rules/definition_changed_to_poison.yml"),
    ),
    (
        "first_resource.yml",
        include_str!("../rules/first_resource.yml"),
    ),
    ("first_tool.yml", include_str!("../rules/first_tool.yml")),
    (
        "hidden_instructions.yml",
        include_str!("../rules/hidden_instructions.yml"),
    ),
    (
        "host_not_named.yml",
        include_str!("../rules/host_not_named.yml"),
    ),
    (
        "read_only_wrote.yml",
        include_str!("../rules/read_only_wrote.yml"),
    ),
    (
        "repeated_denials.yml",
        include_str!("../rules/repeated_denials.yml"),
    ),
    (
        "secret_returned.yml",
        include_str!("../rules/secret_returned.yml"),
    ),
    ("secret_sent.yml", include_str!("../rules/secret_sent.yml")),
    (
        "sensitive_many.yml",
        include_str!("../rules/sensitive_many.yml"),
    ),
    (
        "sensitive_spike.yml",
        include_str!("../rules/sensitive_spike.yml"),
    ),
    (
        "shadowed_tool.yml",
        include_str!("../rules/shadowed_tool.yml"),
    ),
    (
        "unsolicited_response.yml",
        include_str!("../rules/unsolicited_response.yml"),
    ),
    (
        "unusual_volume.yml",
        include_str!("../rules/unusual_volume.yml"),
    ),
];

/// Rules in all.
const RULES: usize = 1_000;
/// Bytes of all files.
const SOURCE: usize = 4 << 20;
/// Groups of events that are counted.
const STATES: usize = 10_000;
/// Events of a group that are counted.
const COUNTED: usize = 1_000;
/// Events of a group that are named.
const EVENTS: usize = 32;
/// Seconds in which a rule is told once for an identity and a target.
const QUIET: i64 = 60;
/// What was told lately.
const TOLD: usize = 8_192;

/// A file of rules.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Its name, for errors.
    pub name: &'a str,
    /// Its text: YAML, of one or several documents.
    pub text: &'a str,
}

/// Rules that are in force.
pub struct Rules {
    engine: CorrelationEngine,
    about: HashMap<String, Arc<About>>,
    /// Rules that are counted only, and not told.
    silent: Vec<String>,
    told: Memory<Key, (i64, u32)>,
}

impl Rules {
    /// Reads rules. Of two with the same id the later one counts, so that one may replace a shipped one; those whose id
    /// is in `disabled` do not count.
    ///
    /// # Errors
    /// With the file and what is wrong with it.
    pub fn parse(sources: &[Source<'_>], disabled: &[String]) -> Result<Self, Error> {
        let bytes: usize = sources.iter().map(|source| source.text.len()).sum();
        if bytes > SOURCE {
            return Err(Error::Size {
                bytes,
                limit: SOURCE,
            });
        }
        let mut all = SigmaCollection::new();
        for source in sources {
            let read = read(source)?;
            let replaced = |id: &Option<String>| {
                let rules = read.rules.iter().map(|rule| &rule.id);
                rules
                    .chain(read.correlations.iter().map(|rule| &rule.id))
                    .any(|one| one == id)
            };
            all.rules.retain(|rule| !replaced(&rule.id));
            all.correlations.retain(|rule| !replaced(&rule.id));
            all.rules.extend(read.rules);
            all.correlations.extend(read.correlations);
        }
        let is_on = |id: &Option<String>| id.as_ref().is_some_and(|id| !disabled.contains(id));
        all.correlations.retain(|rule| is_on(&rule.id));
        all.rules.retain(|rule| is_on(&rule.id));
        let count = all.rules.len() + all.correlations.len();
        if count > RULES {
            return Err(Error::Count {
                count,
                limit: RULES,
            });
        }
        let about = all.rules.iter().map(about_rule);
        let about = about.chain(all.correlations.iter().map(about_correlation));
        let about = about.map(|one| (one.id.clone(), Arc::new(one))).collect();
        let counted = |rule: &SigmaRule| {
            let refers =
                |one: &String| Some(one) == rule.name.as_ref() || Some(one) == rule.id.as_ref();
            let mut correlations = all
                .correlations
                .iter()
                .filter(|one| one.rules.iter().any(refers));
            correlations.next().is_some()
                && !all
                    .correlations
                    .iter()
                    .any(|one| one.generate && one.rules.iter().any(refers))
        };
        let silent = all
            .rules
            .iter()
            .filter(|rule| counted(rule))
            .filter_map(|rule| rule.id.clone());
        let silent = silent.collect();
        let mut engine = CorrelationEngine::new(CorrelationConfig {
            timestamp_fields: Vec::new(),
            timestamp_fallback: TimestampFallback::Skip,
            max_state_entries: STATES,
            max_group_entries: Some(COUNTED),
            suppress: None,
            action_on_match: CorrelationAction::Reset,
            emit_detections: true,
            correlation_event_mode: CorrelationEventMode::Refs,
            max_correlation_events: EVENTS,
        });
        engine.add_collection(&all).map_err(|error| Error::Rule {
            file: "all rules together".into(),
            what: error.to_string(),
        })?;
        Ok(Self {
            engine,
            about,
            silent,
            told: Memory::new(TOLD),
        })
    }

    /// The rules that ship with the product.
    ///
    /// # Errors
    /// Never, as a test shows.
    pub fn shipped() -> Result<Self, Error> {
        Self::parse(&PACK.map(|(name, text)| Source { name, text }), &[])
    }

    /// All rules that may be told, in order of their titles.
    pub fn list(&self) -> Vec<&About> {
        let told = self
            .about
            .values()
            .filter(|one| !self.silent.contains(&one.id));
        let mut all: Vec<&About> = told.map(|one| &**one).collect();
        all.sort_by(|one, other| (&one.title, &one.id).cmp(&(&other.title, &other.id)));
        all
    }

    fn hit(&mut self, result: &EvaluationResult, event: &dyn View, seconds: i64) -> Option<Hit> {
        let id = result.header.rule_id.as_ref()?;
        if self.silent.contains(id) {
            return None;
        }
        let rule = Arc::clone(self.about.get(id)?);
        let text = |path: &str| match event.field(path) {
            Some(Field::Text(text)) => text.into_owned(),
            _ => String::new(),
        };
        let who = text("unmapped.mcp.identity.client.subject");
        let target = text("unmapped.mcp.target");
        // What is out of the ordinary is told once where it is found: each case is another.
        let cases = match event.field("unmapped.mcp.anomalies.subject") {
            Some(Field::List(all)) => format!("{all:?}"),
            _ => String::new(),
        };
        let at = key(&[
            id.as_bytes(),
            who.as_bytes(),
            target.as_bytes(),
            cases.as_bytes(),
        ]);
        let mut suppressed = 0;
        if let Some((last, count)) = self.told.get(&at) {
            if (*last..last.saturating_add(QUIET)).contains(&seconds) {
                *count = count.saturating_add(1);
                return None;
            }
            suppressed = *count;
        }
        self.told.insert(at, (seconds, 0));
        let correlated = result.as_correlation().map(|found| Correlated {
            value: found.aggregated_value,
            seconds: found.timespan_secs,
            group: found.group_key.clone(),
            events: found
                .event_refs
                .iter()
                .flatten()
                .filter_map(|one| one.id.clone())
                .collect(),
        });
        Some(Hit {
            rule,
            correlated,
            suppressed,
        })
    }

    /// Groups of events that are counted.
    pub fn states(&self) -> usize {
        self.engine.state_count()
    }
}

impl std::fmt::Debug for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rules")
            .field("about", &self.about)
            .finish_non_exhaustive()
    }
}

impl Judge for Rules {
    fn judge(&mut self, event: &dyn View, seconds: i64) -> Vec<Hit> {
        let results = self.engine.process_event_at(&Adapter(event), seconds);
        if results.is_empty() {
            return Vec::new();
        }
        results
            .iter()
            .filter_map(|result| self.hit(result, event, seconds))
            .collect()
    }
}

/// Reads and checks a file.
fn read(source: &Source<'_>) -> Result<SigmaCollection, Error> {
    let wrong = |what: String| Error::Rule {
        file: source.name.to_owned(),
        what,
    };
    let read = parse_sigma_yaml(source.text).map_err(|error| wrong(error.to_string()))?;
    if let Some(error) = read.errors.first() {
        return Err(wrong(error.clone()));
    }
    if !read.filters.is_empty() {
        return Err(wrong(
            "Sigma filters are not supported: change the rule, or disable it by its id".into(),
        ));
    }
    if read.rules.is_empty() && read.correlations.is_empty() {
        return Err(wrong("there is no rule in it".into()));
    }
    let ids = read.rules.iter().map(|rule| (&rule.id, &rule.title));
    let ids = ids.chain(read.correlations.iter().map(|rule| (&rule.id, &rule.title)));
    for (id, title) in ids {
        if id.is_none() {
            return Err(wrong(format!(
                "rule {title:?} has no id: give it a UUID of its own, such as `uuidgen` prints"
            )));
        }
    }
    for rule in &read.rules {
        if rule.logsource.product.as_deref() != Some("mcp") {
            return Err(wrong(format!(
                "rule {:?} is not for MCP: its logsource needs `product: mcp`",
                rule.title
            )));
        }
    }
    let fields = RuleFieldSet::collect(&read, &[], false);
    if let Some(field) = fields.names().find(|name| !FIELDS.contains(name)) {
        return Err(wrong(format!(
            "no field {field:?}: docs/detection.md lists those that rules may name"
        )));
    }
    Ok(read)
}

fn about_rule(rule: &SigmaRule) -> About {
    About {
        id: rule.id.clone().unwrap_or_default(),
        title: rule.title.clone(),
        description: rule.description.clone(),
        version: rule.modified.clone().or_else(|| rule.date.clone()),
        level: level(rule.level),
        tags: rule.tags.clone(),
        false_positives: rule.falsepositives.clone(),
        is_about_data: rule
            .custom_attributes
            .get("ocsf_class")
            .and_then(|one| one.as_str())
            == Some("data_security_finding"),
        is_correlation: false,
    }
}

fn about_correlation(rule: &CorrelationRule) -> About {
    About {
        id: rule.id.clone().unwrap_or_default(),
        title: rule.title.clone(),
        description: rule.description.clone(),
        version: rule.modified.clone().or_else(|| rule.date.clone()),
        level: level(rule.level),
        tags: rule.tags.clone(),
        false_positives: rule.falsepositives.clone(),
        is_about_data: false,
        is_correlation: true,
    }
}

fn level(level: Option<rsigma_parser::Level>) -> Level {
    use rsigma_parser::Level as Sigma;
    match level {
        Some(Sigma::Informational) => Level::Informational,
        Some(Sigma::Low) => Level::Low,
        Some(Sigma::High) => Level::High,
        Some(Sigma::Critical) => Level::Critical,
        Some(Sigma::Medium) | None => Level::Medium,
    }
}

#[cfg(test)]
mod tests;
