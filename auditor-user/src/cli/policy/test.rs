//! `policy test`: questions in TOML with the answers that are expected. Bound: [`CASE`] bytes of a file.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use auditor_core::audit::decision::{Evaluated, Outcome, Question, Reason};
use auditor_policy::PolicySet;
use clap::Args;
use serde::Deserialize;

use super::chosen;
use crate::policy::listed;

const CASE: u64 = 1 << 20;

/// Flags of `policy test`.
#[derive(Args)]
pub(super) struct Arguments {
    /// A folder of cases (*.toml), or one file of them
    #[arg(value_name = "DIR")]
    cases: PathBuf,
    /// Files and folders of policies [default: those of the configuration]
    #[arg(long = "policies", value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Configuration file [default: /etc/mcp-auditor/config.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// A file of cases.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    question: Question<'static>,
    expect: Expected,
    /// Ids of the policies that determine it; not compared where they are not named.
    policies: Option<Vec<String>>,
}

#[derive(Clone, Copy, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Expected {
    Allow,
    Deny,
}

impl Arguments {
    pub(super) fn execute(self) -> Result<()> {
        let set = chosen(&self.paths, self.config.as_deref())?;
        let files = if self.cases.is_dir() {
            listed(&self.cases, "toml")?
        } else {
            vec![self.cases.clone()]
        };
        let (mut passed, mut failed) = (0, 0);
        for path in files {
            for case in read(&path)? {
                match case.check(&set) {
                    Ok(()) => {
                        println!("pass  {}", case.name);
                        passed += 1;
                    }
                    Err(error) => {
                        println!("FAIL  {}: {error}", case.name);
                        failed += 1;
                    }
                }
            }
        }
        ensure!(passed + failed > 0, "no cases in {}", self.cases.display());
        println!("{passed} passed, {failed} failed");
        ensure!(
            failed == 0,
            "{failed} cases are answered otherwise than expected"
        );
        Ok(())
    }
}

fn read(path: &Path) -> Result<Vec<Case>> {
    let shown = path.display();
    let about = fs::metadata(path).with_context(|| format!("cannot read {shown}"))?;
    ensure!(about.len() <= CASE, "{shown} is larger than {CASE} bytes");
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    let file: File = toml::from_str(&text).with_context(|| format!("cases of {shown}"))?;
    Ok(file.case)
}

impl Case {
    /// Asks the question.
    fn check(&self, set: &PolicySet) -> Result<()> {
        let found = set.evaluate(set.request(&self.question)?.get())?;
        let expected = match self.expect {
            Expected::Allow => Outcome::Allow,
            Expected::Deny => Outcome::Deny,
        };
        if found.outcome != expected {
            bail!("{}; {}", told(&found), mend(&found));
        }
        let Some(named) = &self.policies else {
            return Ok(());
        };
        let mut named: Vec<&str> = named.iter().map(String::as_str).collect();
        named.sort_unstable();
        // By default denied is what no policy determines.
        let determined = found.reason != Reason::NoPolicyPermits;
        let determining = found.policies.iter().filter(|_| determined);
        let determining: Vec<&str> = determining.map(|one| &*one.id).collect();
        ensure!(
            named == determining,
            "{}; expected [{}]: change the case's `policies`, or the conditions of those",
            told(&found),
            named.join(", ")
        );
        Ok(())
    }
}

/// An answer in a line.
fn told(found: &Evaluated) -> String {
    let ids: Vec<&str> = found.policies.iter().map(|one| &*one.id).collect();
    let by = if found.reason == Reason::NoPolicyPermits {
        "no policy permits it".to_owned()
    } else {
        format!("by [{}]", ids.join(", "))
    };
    format!("{}, {by}", found.outcome.name())
}

fn mend(found: &Evaluated) -> String {
    let values: Vec<String> = found
        .conditions
        .iter()
        .map(|one| format!("{} {} = {}", one.policy, one.attribute, one.value))
        .collect();
    match found.reason {
        Reason::NoPolicyPermits if found.policies.is_empty() => {
            "no scope of a permit takes it: write one".to_owned()
        }
        Reason::NoPolicyPermits => format!("conditions that do not hold: {}", values.join(", ")),
        _ => format!("change the conditions, which saw: {}", values.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use auditor_policy::{STARTER, Source};

    use super::*;

    const CASES: &str = include_str!("../../../../deploy/policy/cases/starter.toml");

    #[test]
    fn the_shipped_cases_pass_and_others_fail_with_a_mend() {
        let set = PolicySet::parse(&[Source {
            name: "s",
            text: STARTER,
        }])
        .unwrap();
        let cases = |text: &str| toml::from_str::<File>(text).unwrap().case;
        for case in cases(CASES) {
            case.check(&set).unwrap();
        }
        let mut turned = cases(&CASES.replace("expect = \"allow\"", "expect = \"deny\""));
        let error = turned.remove(0).check(&set).unwrap_err().to_string();
        assert_eq!(
            error,
            "allow, by [ordinary-use]; change the conditions, which saw: ordinary-use context.sensitivity = 1, \
             ordinary-use principal.assurance = 2"
        );
        let wrong = CASES.replacen("[\"ordinary-use\"]", "[\"session\"]", 1);
        let error = cases(&wrong).remove(0).check(&set).unwrap_err().to_string();
        assert!(error.contains("expected [session]"), "{error}");
        assert!(toml::from_str::<File>(&CASES.replace("assurance", "asurance")).is_err());
    }
}
