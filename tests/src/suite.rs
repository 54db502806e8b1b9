//! Runs the tests of a suite one after the other, and says how each ended.

use anyhow::{Result, anyhow};

/// A test by its name.
pub(crate) type Named<T> = (&'static str, T);

/// Plays the tests whose name contains `only`, on what `start` makes for all of them; gives the number of those that
/// failed. Where it cannot be made, all have failed.
pub(crate) fn run<T, S>(
    tests: &[Named<T>],
    only: Option<&str>,
    start: impl FnOnce() -> Result<S>,
    mut play: impl FnMut(&Named<T>, &mut S) -> Result<()>,
) -> usize {
    let is_wanted = |(name, _): &&Named<T>| only.is_none_or(|only| name.contains(only));
    let wanted: Vec<_> = tests.iter().filter(is_wanted).collect();
    if wanted.is_empty() {
        return 0;
    }
    let mut setup = start();
    let mut failed = 0;
    for test in &wanted {
        let result = match &mut setup {
            Ok(setup) => play(test, setup),
            Err(error) => Err(anyhow!("{error:#}")),
        };
        match result {
            Ok(()) => println!("test {} ... ok", test.0),
            Err(wrong) => {
                failed += 1;
                println!("test {} ... FAILED\n    {wrong:#}", test.0);
            }
        }
    }
    println!("{} passed, {failed} failed", wanted.len() - failed);
    failed
}
