//! What was learned, from one run to the next: else a definition that changes while nobody looks would be the first one.
//!
//! Holds hashes, sizes and JSON Pointers into definitions, nothing that anybody said. Bounds are those of the tables.

use serde::{Deserialize, Serialize};

use crate::{Baselines, Definitions, baseline, history};

/// The form of what is written.
const FORM: u32 = 1;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    form: u32,
    definitions: history::Kept,
    baselines: baseline::Kept,
}

/// Why what was kept cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is not what was written.
    #[error("it is damaged: {0}")]
    Damaged(#[from] serde_json::Error),
    /// Another version wrote it.
    #[error("it has form {0}, this version reads {FORM}")]
    Form(u32),
}

/// What was learned, as JSON.
pub fn keep(definitions: &Definitions, baselines: &Baselines) -> Vec<u8> {
    let kept = Kept {
        form: FORM,
        definitions: definitions.keep(),
        baselines: baselines.keep(),
    };
    // Numbers, texts and lists: there is nothing that could not be written.
    serde_json::to_vec(&kept).unwrap_or_default()
}

/// Takes up what [`keep`] gave.
///
/// # Errors
/// When it is something else; nothing is taken up then.
pub fn take_up(
    kept: &[u8],
    definitions: &mut Definitions,
    baselines: &mut Baselines,
) -> Result<(), Unreadable> {
    let kept: Kept = serde_json::from_slice(kept)?;
    if kept.form != FORM {
        return Err(Unreadable::Form(kept.form));
    }
    definitions.take_up(kept.definitions);
    baselines.take_up(kept.baselines);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Call, Kind, Listed};

    fn listed() -> Listed<'static> {
        Listed {
            method: "tools/list",
            client: "c",
            server: "s",
            server_name: "s",
            interaction: 7,
        }
    }

    fn call() -> Call<'static> {
        Call {
            identity: "i",
            server: "s",
            tool: "t",
            sent: 100,
            brought: 100,
            is_sensitive: true,
            time: 60_000_000_000,
        }
    }

    #[test]
    fn what_was_learned_before_counts_after() {
        let (mut definitions, mut baselines) = Default::default();
        let before = br#"{"result":{"tools":[{"name":"t","description":"kind"}]}}"#;
        Definitions::handle(&mut definitions, &listed(), before);
        for _ in 0..60 {
            Baselines::handle(&mut baselines, &call(), ["table"]);
        }
        let kept = keep(&definitions, &baselines);

        let (mut definitions, mut baselines) = Default::default();
        take_up(&kept, &mut definitions, &mut baselines).unwrap();
        assert_eq!(keep(&definitions, &baselines), kept);
        let after = br#"{"result":{"tools":[{"name":"t","description":"unkind"}]}}"#;
        let found = definitions.handle(&listed(), after);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            (found[0].kind, found[0].previous),
            (Kind::DefinitionChanged, None)
        );
        let found = baselines.handle(&call(), ["table", "another table"]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            (found[0].kind, found[0].samples),
            (Kind::FirstResource, Some(60))
        );
    }

    #[test]
    fn what_is_something_else_is_refused() {
        let (mut definitions, mut baselines) = Default::default();
        let kept = keep(&definitions, &baselines);
        let text = String::from_utf8(kept).unwrap();
        let mut refuse =
            |text: &str| take_up(text.as_bytes(), &mut definitions, &mut baselines).unwrap_err();
        assert!(matches!(refuse(&text[1..]), Unreadable::Damaged(_)));
        assert!(matches!(
            refuse(&text.replace("form\":1", "form\":2")),
            Unreadable::Form(2)
        ));
        assert!(matches!(
            refuse(&text.replace("form\":1", "form\":1,\"x\":1")),
            Unreadable::Damaged(_)
        ));
    }
}
