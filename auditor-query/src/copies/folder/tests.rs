//! Files are made, merged, removed and read as the log grows and loses entries.

use auditor_ledger::{BUNDLE, Log};

use super::{super::WHOLE, *};

fn stretches(all: &[(u64, u64)]) -> Vec<Stretch> {
    let stretch = |&(first, end): &(u64, u64)| Stretch {
        first: first * PIECE,
        end: end * PIECE,
    };
    all.iter().map(stretch).collect()
}

#[test]
fn larger_files_stand_for_smaller_ones() {
    let all = stretches(&[(0, 1), (0, 64), (1, 2), (63, 64), (64, 65), (65, 66)]);
    assert_eq!(cover(all, 0), stretches(&[(0, 64), (64, 65), (65, 66)]));
    // What retention left of a file is preferred to the file.
    let all = stretches(&[(0, 64), (2, 64), (64, 65)]);
    assert_eq!(cover(all, 2 * PIECE), stretches(&[(2, 64), (64, 65)]));
    assert_eq!(
        cover(stretches(&[(0, 1), (1, 2)]), PIECE),
        stretches(&[(1, 2)])
    );
}

#[test]
fn only_what_is_complete_is_merged() {
    let pieces: Vec<_> = (0..WHOLE).map(|at| (at, at + 1)).collect();
    let all = stretches(&pieces);
    let whole = stretches(&[(0, WHOLE)])[0];
    assert_eq!(merges(&all, 0), vec![(all.clone(), whole)]);
    assert!(merges(&all[..all.len() - 1], 0).is_empty());
    assert!(merges(&all[1..], 0).is_empty());
    let mut gapped = all.clone();
    gapped.remove(1);
    assert!(merges(&gapped, 0).is_empty());
    // Those that are left after retention make one, too.
    let rest = Stretch {
        first: PIECE,
        end: WHOLE * PIECE,
    };
    assert_eq!(merges(&all[1..], PIECE), vec![(all[1..].to_vec(), rest)]);
    assert!(merges(&[whole], 7).is_empty());
    let left = Stretch {
        first: PIECE + 7,
        end: whole.end,
    };
    assert_eq!(merges(&[whole], PIECE + 7), vec![(vec![whole], left)]);
}

/// A log with so many entries more, numbered by their `time`.
fn grow(log: &mut Log, count: u64) {
    let size = log.size();
    for number in size..size + count {
        let entry = format!(
            r#"{{"metadata":{{"uid":"e{number}"}},"class_uid":6003,"time":{number},"unmapped":{{"mcp":{{"resources":[{{"kind":"table","name":"t{number}"}}]}}}}}}"#
        );
        log.append(entry.into_bytes()).unwrap();
    }
    log.commit().unwrap();
}

/// Indices of all events and of all resources, as a search sees them.
fn seen(copies: &Copies, log: &Reader) -> (Vec<String>, usize) {
    let held = copies.hold(log, &|_, _| ()).unwrap();
    let files = held.files(Events::NAME).len();
    let engine = crate::engine::Engine::open(held).unwrap();
    let work = async {
        let query = "SELECT e.log_index || ' ' || e.uid || ' ' || r.name AS told FROM events e \
                     JOIN resources r ON r.log_index = e.log_index ORDER BY e.log_index";
        let (schema, batches, _) =
            crate::engine::collect(engine.sql(query).await?, 1 << 20).await?;
        crate::output::texts(&schema, &batches)
    };
    let (_, rows) = crate::block_on(work).unwrap();
    (rows.into_iter().flatten().collect(), files)
}

#[test]
fn copies_follow_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (mut log, _) = Log::open(&path("log"), &path("keys"), "log", 0).unwrap();
    let copies = Copies::new(&path("query"));
    let told = |from: u64, end: u64| -> Vec<String> {
        (from..end).map(|at| format!("{at} e{at} t{at}")).collect()
    };
    let open = || Reader::open(&path("log")).unwrap();
    let size = PIECE * WHOLE;
    for (count, files) in [(10, 0), (PIECE, 1), (size, 2), (2 * size + 3, 4)] {
        grow(&mut log, count);
        let log = open();
        let (all, found) = seen(&copies, &log);
        assert_eq!(all, told(0, log.size()));
        assert_eq!(found, files, "of {} entries", log.size());
    }
    // What is deleted is made again, and so is what is of another log.
    fs::remove_file(path("query").join(format!("events-{:012}-{size:012}.parquet", 0))).unwrap();
    assert_eq!(seen(&copies, &open()).0, told(0, open().size()));
    let (mut other, _) = Log::open(&path("other/log"), &path("other/keys"), "other", 0).unwrap();
    grow(&mut other, PIECE + 1);
    let other = Reader::open(&path("other/log")).unwrap();
    assert_eq!(seen(&copies, &other), (told(0, PIECE + 1), 1));
    assert_eq!(seen(&copies, &open()).0, told(0, open().size()));
    // What the log has no more is in no answer, and soon in no file.
    let first = BUNDLE * (size / BUNDLE).max(1);
    log.retire(first, 0).unwrap();
    let log = open();
    assert_eq!(seen(&copies, &log).0, told(first, log.size()));
    let kept = cover(copies.list().unwrap(), first);
    assert!(
        kept.iter()
            .all(|one| one.end > first && one.first + PIECE > first),
        "{kept:?}"
    );
}

#[test]
fn who_cannot_write_copies_searches_without() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (mut log, _) = Log::open(&path("log"), &path("keys"), "log", 0).unwrap();
    grow(&mut log, PIECE + 5);
    fs::write(path("query"), "no folder").unwrap();
    let copies = Copies::new(&path("query"));
    let open = Reader::open(&path("log")).unwrap();
    assert_eq!(seen(&copies, &open).0.len() as u64, PIECE + 5);
    grow(&mut log, UNCOPIED);
    let open = Reader::open(&path("log")).unwrap();
    assert!(copies.hold(&open, &|_, _| ()).is_err());
}
