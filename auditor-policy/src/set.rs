//! Policies that were parsed and checked: every one against the schema, strictly, with all that is wrong with them at once.
//!
//! Templates are refused: what they stand for is written out. Bounds: [`POLICIES`], [`SOURCE`].

use std::sync::Arc;

use auditor_core::audit::decision::Question;
use cedar_policy::{Effect, Policy, PolicyId, Schema, ValidationMode, Validator};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::{
    SCHEMA,
    actions::Actions,
    error::{Error, Problem, place},
    reads::{Attributes, Members},
    request::{Prepared, TooLarge},
    slices::Slices,
    values::Types,
    walk::Reads,
};

/// Most policies of a set.
pub const POLICIES: usize = 1_024;
/// Most bytes of all sources.
pub const SOURCE: usize = 4 << 20;

/// A text with policies.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// What it is called where something is wrong with it, and in the ids of policies without `@id`.
    pub name: &'a str,
    /// The policies.
    pub text: &'a str,
}

/// Policies that were checked.
#[derive(Clone, Debug)]
pub struct PolicySet {
    version: Arc<str>,
    pub(crate) actions: Actions,
    pub(crate) policies: Vec<About>,
    pub(crate) slices: Slices,
    pub(crate) reads: Reads,
    pub(crate) members: Members,
    pub(crate) types: Types,
}

/// A policy.
#[derive(Clone, Debug)]
pub struct About {
    /// Its `@id`, else the name of its source, `#`, and its number there, from 0.
    pub id: Arc<str>,
    /// Whether it permits (else it forbids).
    pub permits: bool,
    /// What it says of itself (`@description`).
    pub description: Option<Arc<str>>,
    /// Where it is.
    pub source: Arc<str>,
    /// The line that it begins on, from 1.
    pub line: usize,
    /// Its text.
    pub text: Arc<str>,
    /// The attributes that it reads: `context.request_bytes`.
    pub attributes: Vec<Arc<str>>,
    pub(crate) policy: Policy,
}

impl PolicySet {
    /// Parses and checks policies.
    ///
    /// # Errors
    /// With all that is wrong with them.
    pub fn parse(sources: &[Source<'_>]) -> Result<Self, Error> {
        let schema = schema()?;
        let size: usize = sources.iter().map(|source| source.text.len()).sum();
        if size > SOURCE {
            return Err(one(format!(
                "{size} bytes of policies, over the limit of {SOURCE}"
            )));
        }
        let (mut policies, mut problems) = (Vec::new(), Vec::new());
        for source in sources {
            match read(source, &schema) {
                Ok(found) => policies.extend(found),
                Err(found) => problems.extend(found),
            }
        }
        if policies.len() > POLICIES {
            let count = policies.len();
            return Err(one(format!(
                "{count} policies, over the limit of {POLICIES}"
            )));
        }
        policies.sort_by(|a, b| a.id.cmp(&b.id));
        for pair in policies.windows(2) {
            if let [first, second] = pair
                && first.id == second.id
            {
                problems.push(Problem {
                    file: second.source.to_string(),
                    place: Some((second.line, 1)),
                    text: format!(
                        "a policy of the id `{}` is in {}:{}, too",
                        second.id, first.source, first.line
                    ),
                    mend: Some("give each its own `@id`".to_owned()),
                });
            }
        }
        if !problems.is_empty() {
            problems.sort();
            return Err(Error { problems });
        }
        let read: Vec<_> = policies
            .iter()
            .filter_map(|about| about.policy.to_json().ok())
            .map(|json| Attributes::of(&json))
            .collect();
        let is_whole = read.len() == policies.len();
        let actions = Actions::of_schema(&schema);
        Ok(Self {
            version: version(sources).into(),
            slices: Slices::of(&policies, &actions),
            actions,
            types: Types::of_schema(&schema),
            policies,
            members: if is_whole {
                Members::of(&read)
            } else {
                Members::default()
            },
            reads: if is_whole {
                Reads::of(|path| read.iter().any(|one| one.may_read(path)))
            } else {
                Reads::ALL
            },
        })
    }

    /// SHA-256 in hexadecimal digits: of the one source's text; of several, of the lines of their hashes, in order.
    pub fn version(&self) -> &Arc<str> {
        &self.version
    }

    /// The policies, by their ids.
    pub fn policies(&self) -> &[About] {
        &self.policies
    }

    /// The policy of an id.
    pub fn policy(&self, id: &str) -> Option<&About> {
        let at = self.policies.binary_search_by(|about| (*about.id).cmp(id));
        at.ok().and_then(|at| self.policies.get(at))
    }

    /// A question in the words of Cedar: an object of principal, action, resource, context and entities.
    ///
    /// # Errors
    /// When it is beyond a bound.
    pub fn request(&self, question: &Question<'_>) -> Result<Box<RawValue>, TooLarge> {
        Prepared::new(question, &self.actions)?.json()
    }
}

/// The product's own schema.
pub(crate) fn schema() -> Result<Schema, Error> {
    match Schema::from_cedarschema_str(SCHEMA) {
        Ok((schema, _)) => Ok(schema),
        Err(error) => Err(Error {
            problems: vec![Problem::of("mcp.cedarschema", SCHEMA, &error)],
        }),
    }
}

fn one(text: String) -> Error {
    Error {
        problems: vec![Problem {
            file: "policies".to_owned(),
            place: None,
            text,
            mend: None,
        }],
    }
}

/// The policies of a source, or all that is wrong with it.
fn read(source: &Source<'_>, schema: &Schema) -> Result<Vec<About>, Vec<Problem>> {
    let Source { name, text } = *source;
    let problem = |offset: usize, text: String, mend: &str| Problem {
        file: name.to_owned(),
        place: Some(place(source.text, offset)),
        text,
        mend: Some(mend.to_owned()),
    };
    let set: cedar_policy::PolicySet =
        text.parse().map_err(|errors: cedar_policy::ParseErrors| {
            let each = errors.iter();
            each.map(|error| Problem::of(name, text, error))
                .collect::<Vec<_>>()
        })?;
    let mut problems: Vec<_> = set
        .templates()
        .map(|template| {
            let offset = text.find(&*template.to_cedar()).unwrap_or_default();
            let told = format!("`{}` is a template", template.id());
            problem(
                offset,
                told,
                "write a policy for each `?principal` and `?resource`",
            )
        })
        .collect();
    let checked = Validator::new(schema.clone()).validate(&set, ValidationMode::Strict);
    problems.extend(
        checked
            .validation_errors()
            .map(|error| Problem::of_validation(name, text, error)),
    );
    if !problems.is_empty() {
        // The same is found once for each action.
        problems.sort();
        problems.dedup_by(|b, a| a.place.is_some() && (a.place, &a.mend) == (b.place, &b.mend));
        return Err(problems);
    }
    let mut policies: Vec<&Policy> = set.policies().collect();
    // Cedar numbers them by their place.
    policies.sort_by_key(|policy| number(policy.id()));
    let source_name: Arc<str> = name.into();
    let mut begin = 0;
    let about = policies.iter().enumerate().map(|(number, policy)| {
        let written = policy.to_cedar().unwrap_or_default();
        let offset = text.get(begin..).and_then(|rest| rest.find(&written));
        let offset = offset.map_or(begin, |offset| begin + offset);
        begin = offset + written.len();
        let id: Arc<str> = match policy.annotation("id").filter(|id| !id.is_empty()) {
            Some(id) => id.into(),
            None => format!("{name}#{number}").into(),
        };
        let attributes = policy.to_json().map(|json| Attributes::of(&json));
        About {
            permits: policy.effect() == Effect::Permit,
            description: policy.annotation("description").map(Arc::from),
            source: Arc::clone(&source_name),
            line: place(text, offset).0,
            text: written.into(),
            attributes: attributes
                .map(|one| one.paths.iter().map(|path| Arc::from(&**path)).collect())
                .unwrap_or_default(),
            policy: policy.new_id(PolicyId::new(&*id)),
            id,
        }
    });
    Ok(about.collect())
}

/// The number in `policy12`.
fn number(id: &PolicyId) -> usize {
    let id: &str = id.as_ref();
    let digits = id.trim_start_matches(|c: char| !c.is_ascii_digit());
    digits.parse().unwrap_or(usize::MAX)
}

fn version(sources: &[Source<'_>]) -> String {
    if let [only] = sources {
        return hash(only.text.as_bytes());
    }
    let lines: String = sources
        .iter()
        .map(|source| hash(source.text.as_bytes()) + "\n")
        .collect();
    hash(lines.as_bytes())
}

fn hash(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
