use auditor_core::audit::Workflow;

use super::*;

#[test]
fn two_processes_of_one_pid_are_two_however_soon_one_follows_the_other() {
    let mut table = Table::new(Time(0), Cgroups::default(), None);
    table.read(std::process::id());
    let (parent, _, _) = proc::read(std::process::id(), Time(0)).unwrap();
    let header = Header {
        tgid: parent.key.pid,
        start: parent.key.start,
        ..Header::default()
    };
    let starts = [7 * TICK + 1, 7 * TICK + 2];
    let keys = starts.map(|start| ProcessKey {
        pid: 4_000_000,
        start,
    });
    for ProcessKey { pid, start } in keys {
        let birth = Birth {
            start,
            tgid: pid,
            ..Birth::default()
        };
        table.handle_fork(&header, &birth);
    }
    for key in keys {
        assert_eq!(table.process(key).unwrap().key, key);
    }
}

#[test]
fn a_replay_never_looks_at_this_host() {
    let mut table = Table::of_recording();
    let (own, _, _) = proc::read(std::process::id(), Time(0)).unwrap();
    let header = Header {
        tgid: own.key.pid,
        start: own.key.start,
        ..Header::default()
    };
    table.ensure(&header);
    assert_eq!(table.len(), 0);
    assert_eq!(table.cgroup(own.key, 1, None), None);
}

#[test]
fn a_process_that_was_read_is_the_one_that_the_kernel_side_tells_of() {
    let mut table = Table::new(Time(0), Cgroups::default(), None);
    table.read(std::process::id());
    let (known, _, _) = proc::read(std::process::id(), Time(0)).unwrap();
    let key = ProcessKey {
        start: known.key.start + 1,
        ..known.key
    };
    assert!(table.process(key).is_some());
    assert!(
        table
            .process(ProcessKey {
                start: key.start + TICK,
                ..key
            })
            .is_none()
    );
}

#[test]
fn a_storm_of_processes_forgets_the_dead_and_then_takes_no_more_and_both_are_counted() {
    let mut table = Table::of_recording();
    table.set_limit(10);
    let birth = |pid: u32| Birth {
        tgid: pid,
        start: u64::from(pid),
        ..Birth::default()
    };
    let header = |pid: u32| Header {
        tgid: pid,
        start: u64::from(pid),
        ..Header::default()
    };
    let exec = Exec::default();
    table.handle_exec(&header(1), &exec, &Strings::default());
    for pid in 2..20 {
        table.handle_fork(&header(1), &birth(pid));
    }
    let refused = Lost {
        forgotten: 0,
        refused: 9,
    };
    assert_eq!((table.len(), table.lost()), (10, refused));
    for pid in 2..7 {
        table.handle_exit(&header(pid), Time(0));
    }
    for pid in 20..24 {
        table.handle_fork(&header(1), &birth(pid));
    }
    let lost = Lost {
        forgotten: 4,
        refused: 9,
    };
    assert_eq!((table.len(), table.lost()), (10, lost));
    assert!(table.process(key(&header(2))).is_none());
    assert!(table.process(key(&header(23))).is_some());
}

#[test]
fn a_message_of_before_names_the_program_of_before() {
    let mut table = Table::new(Time(0), Cgroups::default(), None);
    let key = ProcessKey {
        pid: 4_000_000,
        start: 1,
    };
    let running = |exe: &str| Process {
        key,
        exe: Some(exe.into()),
        ..Process::default()
    };
    table.insert(running("first"), None);
    for (exe, at) in [("second", 10), ("third", 20)] {
        let past = table.find_mut(key).unwrap().leave(Time(at));
        table.insert(running(exe), None);
        table.find_mut(key).unwrap().past = past;
        table.replaced.push_back((Time(at), key));
    }
    let named = |table: &Table, at| table.process_at(key, Time(at)).unwrap().exe.clone();
    for (at, exe) in [(9, "first"), (10, "second"), (19, "second"), (20, "third")] {
        assert_eq!(named(&table, at).as_deref(), Some(exe));
    }
    table.handle_idle(Time(20 + PAST + 1));
    assert_eq!(named(&table, 9).as_deref(), Some("third"));
    assert!(table.replaced.is_empty());
}

#[test]
fn a_process_works_for_what_the_nearest_that_bears_a_workflow_works_for() {
    let mut table = Table::of_recording();
    let header = |pid: u32| Header {
        tgid: pid,
        start: u64::from(pid),
        ..Header::default()
    };
    let run = |table: &mut Table, pid| {
        table.handle_exec(&header(pid), &Exec::default(), &Strings::default());
    };
    run(&mut table, 1);
    for pid in 2..5 {
        let birth = Birth {
            tgid: pid,
            start: u64::from(pid),
            ..Birth::default()
        };
        table.handle_fork(&header(pid - 1), &birth);
        run(&mut table, pid);
    }
    let borne = |pid: u32, run: &str| {
        let environment = format!("GITHUB_ACTIONS=true\0GITHUB_RUN_ID={run}");
        Workflow::read(environment.as_bytes(), key(&header(pid)))
    };
    // The second bears one, the third is gone and the fourth says the same again.
    let answer = vec![(key(&header(2)), borne(2, "16"))];
    table.take_workflow(answer);
    table.take_workflow(vec![(key(&header(3)), None)]);
    table.take_workflow(vec![(key(&header(4)), borne(4, "16"))]);
    let told = |table: &Table, pid| {
        let workflow = table.process(key(&header(pid))).unwrap().workflow.clone();
        workflow.map(|workflow| (workflow.run.clone().unwrap(), workflow.source.pid))
    };
    let first = Some(("16".to_owned(), 2));
    assert_eq!(told(&table, 1), None);
    assert_eq!(
        [2, 3, 4].map(|pid| told(&table, pid)),
        [first.clone(), first.clone(), first.clone()]
    );
    // It runs another program, which is gone before it could be read.
    run(&mut table, 4);
    table.take_workflow(vec![(key(&header(4)), None)]);
    assert_eq!(told(&table, 4), first);
    table.take_workflow(vec![(key(&header(4)), borne(4, "17"))]);
    assert_eq!(told(&table, 4), Some(("17".to_owned(), 4)));
}
