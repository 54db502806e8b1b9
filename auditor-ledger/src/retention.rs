//! From where on entries are kept: signed, so that nobody moves it without a trace.

use crate::{
    SIZE,
    error::Invalid,
    keys::{Key, opened},
};

/// What the first line says.
const FORM: &str = "mcp-auditor retention v1";

/// Signs that the entries before `first` were removed at a time.
pub(crate) fn sign(first: u64, time_ms: u64, key: &Key) -> Result<String, Invalid> {
    key.sign(&format!(
        "{FORM}\n{}\n{first}\n{time_ms}\n",
        crate::chain::name(&key.public)
    ))
}

/// The first entry that is kept, and since when.
pub(crate) fn read<'a>(
    note: &str,
    origin: &str,
    keys: impl IntoIterator<Item = &'a str>,
) -> Result<(u64, u64), Invalid> {
    let text = opened(note, keys, "retention")?;
    let bad = || Invalid::Malformed("retention");
    let lines: Vec<_> = text.lines().collect();
    let [FORM, of, first, time] = lines[..] else {
        return Err(bad());
    };
    if of != origin {
        return Err(Invalid::Origin(of.to_owned()));
    }
    let first = first.parse().map_err(|_| bad())?;
    if first > SIZE {
        return Err(bad());
    }
    Ok((first, time.parse().map_err(|_| bad())?))
}
