//! What is wrong with policies, in words: where, what, and how to mend it.

use std::fmt;

use cedar_policy::ValidationError;
use miette::Diagnostic;

/// Why policies cannot be used: all that is wrong with them.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}", lines(.problems))]
pub struct Error {
    /// What is wrong, by file and place.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Problem {
    /// The file, as the caller named it.
    pub file: String,
    /// Line and column, from 1; where that is known.
    pub place: Option<(usize, usize)>,
    /// What is wrong.
    pub text: String,
    /// How to mend it, where that is known.
    pub mend: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.text)?;
        match &self.mend {
            Some(mend) => write!(f, "; {mend}"),
            None => Ok(()),
        }
    }
}

impl Problem {
    /// What Cedar says of a text.
    pub(crate) fn of(file: &str, source: &str, error: &dyn Diagnostic) -> Self {
        let label = error.labels().and_then(|mut labels| labels.next());
        let offset = label.as_ref().map(|label| label.offset());
        let mut text = error.to_string();
        // Cedar's own number of the policy says less than its place.
        if let Some((_, rest)) = text
            .strip_prefix("for policy `")
            .and_then(|rest| rest.split_once("`, "))
        {
            text = rest.to_owned();
        }
        if let Some(more) = label.as_ref().and_then(|label| label.label()) {
            text = format!("{text} ({more})");
        }
        Self {
            file: file.to_owned(),
            place: offset.map(|offset| place(source, offset)),
            text: one_line(&text),
            mend: error.help().map(|help| one_line(&help.to_string())),
        }
    }

    /// What the validator says of a policy that it names.
    pub(crate) fn of_validation(file: &str, source: &str, error: &ValidationError) -> Self {
        let mut problem = Self::of(file, source, error);
        if problem.mend.is_none() {
            problem.mend = mend(error).map(str::to_owned);
        }
        problem
    }
}

/// The mends that Cedar does not tell.
fn mend(error: &ValidationError) -> Option<&'static str> {
    Some(match error {
        ValidationError::UnsafeOptionalAttributeAccess(_) => {
            "it may be absent: ask before with `has` and `&&`"
        }
        ValidationError::UnrecognizedEntityType(_)
        | ValidationError::UnrecognizedActionId(_)
        | ValidationError::UnsafeAttributeAccess(_) => {
            "`mcp-auditor policy schema` prints what there is"
        }
        ValidationError::UnexpectedType(_) | ValidationError::IncompatibleTypes(_) => {
            "`mcp-auditor policy schema` prints the types"
        }
        _ => return None,
    })
}

/// Line and column of an offset in bytes, from 1.
pub(crate) fn place(source: &str, offset: usize) -> (usize, usize) {
    let before = source.get(..offset).unwrap_or(source);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default();
    (line, column.chars().count() + 1)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
