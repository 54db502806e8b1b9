//! Judges why a connection's plaintext was not heard, by the files of the process at its end. Pure.

use auditor_core::tls::{Obstacle, Reason};

use super::stacks::{Known, Library, State, Verdict};

/// When things happened, nanoseconds since boot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// The connection began.
    pub(super) begun: u64,
    /// The auditor was ready.
    pub(super) ready: u64,
}

/// Why nothing was heard of a process that has these files; `is_all` when these are all it has.
pub(super) fn judge<'a>(
    files: impl Iterator<Item = &'a Known>,
    times: Times,
    is_all: bool,
) -> Obstacle {
    let default = if is_all {
        Reason::NoKnownStack
    } else {
        Reason::ProcessGone
    };
    let found = files.flat_map(|known| of_file(known, times));
    let best = found.min_by_key(|obstacle| rank(obstacle.reason));
    match best {
        // What was there may not be all.
        Some(best) if is_all || best.reason != Reason::NothingHeard => best,
        _ => Obstacle {
            reason: default,
            ..Obstacle::default()
        },
    }
}

/// Which of several reasons is the likeliest: the lower the likelier.
fn rank(reason: Reason) -> u8 {
    match reason {
        Reason::JavaJsse => 0,
        Reason::NotProbedYet | Reason::BeforeProbes => 1,
        Reason::FunctionsNotFound
        | Reason::KernelUnsafeReturns
        | Reason::TooMany
        | Reason::NotProbed => 2,
        Reason::Nss => 3,
        Reason::TooLarge => 4,
        Reason::NothingHeard => 5,
        Reason::NoKnownStack | Reason::ProcessGone | Reason::RecordsLost | Reason::Unknown => 6,
    }
}

fn of_file(known: &Known, times: Times) -> Vec<Obstacle> {
    let plain = |reason, detail: Option<&String>| Obstacle {
        reason,
        stack: None,
        file: Some(known.path.clone()),
        detail: detail.cloned(),
    };
    match &known.verdict {
        Verdict::Nothing => Vec::new(),
        Verdict::Searching => vec![plain(Reason::NotProbedYet, None)],
        Verdict::TooLarge => vec![plain(Reason::TooLarge, None)],
        Verdict::Unsearched(why) => vec![plain(Reason::NotProbed, Some(why))],
        Verdict::Libraries(libraries) => {
            let obstacles = libraries.iter().map(|library| {
                let (reason, detail) = of_library(library, times);
                Obstacle {
                    stack: Some(library.stack.clone()),
                    ..plain(reason, detail)
                }
            });
            obstacles.collect()
        }
    }
}

fn of_library(library: &Library, times: Times) -> (Reason, Option<&String>) {
    match &library.state {
        State::Heard(since) if *since <= times.begun => (Reason::NothingHeard, None),
        State::Heard(_) if times.begun < times.ready => (Reason::BeforeProbes, None),
        State::Heard(_) => (Reason::NotProbedYet, None),
        State::NoWay(why) if library.stack == "Java" => (Reason::JavaJsse, Some(why)),
        State::NoWay(why) => (Reason::Nss, Some(why)),
        State::NotFound(why) => (Reason::FunctionsNotFound, Some(why)),
        State::UnsafeReturns => (Reason::KernelUnsafeReturns, None),
        State::TooMany => (Reason::TooMany, None),
        State::Refused(why) => (Reason::NotProbed, Some(why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times = Times {
        begun: 100,
        ready: 50,
    };

    fn file(verdict: Verdict) -> Known {
        Known {
            path: "/lib/x".into(),
            verdict,
        }
    }

    fn library(stack: &str, state: State) -> Known {
        file(Verdict::Libraries(vec![Library {
            stack: stack.into(),
            version: None,
            state,
            unheard: Vec::new(),
        }]))
    }

    fn reason(files: &[Known], times: Times, is_all: bool) -> Reason {
        judge(files.iter(), times, is_all).reason
    }

    #[test]
    fn java_is_the_reason_whatever_else_is_there() {
        let files = [
            library("OpenSsl", State::Heard(10)),
            library("Java", State::NoWay("why".into())),
        ];
        let obstacle = judge(files.iter(), TIMES, true);
        assert_eq!(obstacle.reason, Reason::JavaJsse);
        assert_eq!(
            (obstacle.stack.as_deref(), obstacle.detail.as_deref()),
            (Some("Java"), Some("why"))
        );
    }

    #[test]
    fn probes_that_came_late_are_told_from_an_auditor_that_came_late() {
        let files = [library("OpenSsl", State::Heard(150))];
        assert_eq!(reason(&files, TIMES, true), Reason::NotProbedYet);
        assert_eq!(
            reason(&files, Times { begun: 20, ..TIMES }, true),
            Reason::BeforeProbes
        );
        assert_eq!(
            reason(&[file(Verdict::Searching)], TIMES, true),
            Reason::NotProbedYet
        );
    }

    #[test]
    fn a_library_that_was_probed_in_time_is_the_last_to_blame() {
        let heard = library("OpenSsl", State::Heard(90));
        assert_eq!(
            reason(std::slice::from_ref(&heard), TIMES, true),
            Reason::NothingHeard
        );
        let refused = library("BoringSsl", State::NotFound("SSL_read".into()));
        assert_eq!(
            reason(&[heard, refused], TIMES, true),
            Reason::FunctionsNotFound
        );
    }

    #[test]
    fn of_a_process_that_is_gone_only_what_is_certain_is_told() {
        let heard = library("OpenSsl", State::Heard(90));
        assert_eq!(reason(&[heard], TIMES, false), Reason::ProcessGone);
        assert_eq!(
            reason(&[file(Verdict::TooLarge)], TIMES, false),
            Reason::TooLarge
        );
        assert_eq!(
            reason(&[file(Verdict::Nothing)], TIMES, false),
            Reason::ProcessGone
        );
        assert_eq!(
            reason(&[file(Verdict::Nothing)], TIMES, true),
            Reason::NoKnownStack
        );
    }
}
