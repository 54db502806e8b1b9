//! Answers questions with a policy set, and remembers the answers.
//!
//! Two questions that differ in nothing a policy reads get the same answer, each with its own request. Bound: [`HELD`]
//! answers twice, none whose key is longer than [`KEY`] bytes.

use std::{collections::HashMap, sync::Arc};

use auditor_core::audit::decision::{Decision, Evaluated, Policy, Question};

use crate::{request::Prepared, set::PolicySet};

/// Answers of a generation.
const HELD: usize = 1_024;
/// Longest key that is remembered.
const KEY: usize = 2_048;

type Answers = HashMap<Vec<u8>, Arc<Evaluated>>;

/// Answers questions with a policy set.
#[derive(Debug)]
pub struct Decider {
    set: Arc<PolicySet>,
    /// What was asked lately, and before that.
    young: Answers,
    old: Answers,
}

impl Decider {
    /// With this policy set.
    pub fn new(set: Arc<PolicySet>) -> Self {
        Self {
            set,
            young: Answers::new(),
            old: Answers::new(),
        }
    }

    /// The policy set.
    pub fn set(&self) -> &Arc<PolicySet> {
        &self.set
    }

    /// Answers remembered.
    pub fn remembered(&self) -> usize {
        self.young.len() + self.old.len()
    }

    fn answer(&mut self, prepared: &Prepared<'_>, request: &str) -> Arc<Evaluated> {
        let key = prepared.key(self.set.reads);
        if let Some(answer) = self.young.get(&key) {
            return Arc::clone(answer);
        }
        let answer = match self.old.remove(&key) {
            Some(answer) => answer,
            None => Arc::new(match self.set.evaluate(request) {
                Ok(evaluated) => evaluated,
                Err(error) => self.set.not_evaluated(&error),
            }),
        };
        if key.len() <= KEY {
            if self.young.len() >= HELD {
                self.old = std::mem::take(&mut self.young);
            }
            self.young.insert(key, Arc::clone(&answer));
        }
        answer
    }
}

impl Policy for Decider {
    fn decide(&mut self, question: &Question<'_>) -> Option<Arc<Decision>> {
        let set = Arc::clone(&self.set);
        let prepared = Prepared::new(question, &set.actions);
        let request = prepared.and_then(|prepared| Ok((prepared.json()?, prepared)));
        Some(Arc::new(match request {
            Ok((request, prepared)) => Decision {
                evaluated: self.answer(&prepared, request.get()),
                request: Some(request),
            },
            Err(error) => Decision {
                evaluated: Arc::new(set.not_evaluated(&error)),
                request: None,
            },
        }))
    }
}
