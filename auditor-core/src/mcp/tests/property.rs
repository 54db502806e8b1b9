//! However sessions interleave, each is told as if it were alone.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Host, INITIALIZE, INITIALIZED, MILLISECOND, call, result, short, thread};
use crate::key::Side;

/// A step of a session: a message and whether the client sends it.
fn script(calls: u32) -> Vec<(bool, String)> {
    let mut script = vec![
        (true, INITIALIZE.to_owned()),
        (false, INITIALIZED.to_owned()),
    ];
    for id in 1..=calls {
        script.push((true, call(id)));
        if id % 2 == 0 {
            script.push((
                false,
                format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"roots/list"}}"#),
            ));
            script.push((
                true,
                format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"roots":[]}}}}"#),
            ));
        }
        script.push((false, result(id)));
    }
    script
}

/// Plays scripts in the order `picks` says; gives what was told of each client pipe.
fn play(
    scripts: &[Vec<(bool, String)>],
    picks: &[prop::sample::Index],
) -> BTreeMap<u64, Vec<String>> {
    let mut host = Host::new();
    let mut left: Vec<_> = scripts
        .iter()
        .cloned()
        .map(|script| script.into_iter())
        .collect();
    let pipes: Vec<_> = (0..scripts.len() as u32)
        .map(|n| {
            let (client, server) = (thread(10, 100 + n), thread(20 + n % 2, 200 + n));
            let id = u64::from(n);
            (
                host.pipe(id, client, server),
                host.pipe(1000 + id, server, client),
            )
        })
        .collect();
    let mut picks = picks.iter();
    loop {
        let alive: Vec<usize> = (0..left.len()).filter(|n| left[*n].len() > 0).collect();
        if alive.is_empty() {
            break;
        }
        let pick = picks.next().map_or(0, |pick| pick.index(alive.len()));
        let n = alive[pick];
        let (client, text) = left[n].next().unwrap();
        host.line(if client { pipes[n].0 } else { pipes[n].1 }, Side::A, &text);
    }
    host.pass(900 * MILLISECOND);
    let mut told: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for one in host.drain() {
        let channel = one
            .request
            .as_ref()
            .or(one.response.as_ref())
            .unwrap()
            .channel
            .0;
        if let (Some(request), Some(response)) = (&one.request, &one.response) {
            assert_eq!(request.channel.0 % 1000, response.channel.0 % 1000);
        }
        told.entry(channel % 1000).or_default().push(short(&one));
    }
    told.values_mut().for_each(|told| told.sort());
    told
}

proptest! {
    #[test]
    fn interleaving_never_changes_what_is_told_of_a_session(
        calls in prop::collection::vec(1_u32..6, 1..6),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..150),
    ) {
        let scripts: Vec<_> = calls.iter().map(|calls| script(*calls)).collect();
        prop_assert_eq!(play(&scripts, &picks), play(&scripts, &[]));
    }
}
