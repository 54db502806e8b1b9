use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const UID: &str = "0e0ed2a7-9a4b-4c0e-8c3a-5b0f6f0a1b2c";

fn found(name: &str) -> Found {
    Found {
        container: Container {
            name: Some(name.to_owned()),
            source: Some("bundle"),
            ..Container::default()
        },
        ..Found::default()
    }
}

/// Without threads, but with a place where answers come from.
fn containers() -> (Containers, std::sync::mpsc::SyncSender<Answer>) {
    let (teller, answers) = sync_channel(ANSWERS);
    let containers = Containers {
        answers: Some(answers),
        ..Containers::default()
    };
    (containers, teller)
}

fn answer(path: &Arc<str>, found: Option<Found>) -> Answer {
    Answer {
        desk: 0,
        path: Arc::clone(path),
        found,
        is_waiting: false,
    }
}

#[test]
fn a_path_alone_names_container_and_pod() {
    let mut containers = Containers::default();
    let path = containers.of(&format!("/kubepods/pod{UID}/{ID}")).unwrap();
    let workload = containers.workload(&path, false).unwrap();
    assert_eq!(workload.container.as_ref().unwrap().id, ID);
    let pod = workload.pod.as_ref().unwrap();
    assert_eq!((pod.uid.as_str(), pod.source), (UID, Some("cgroup")));
    assert!(!containers.is_learning(&path));
}

#[test]
fn answers_complete_what_is_known_and_never_replace_it() {
    let (mut containers, teller) = containers();
    let path = containers.of(&format!("/docker/{ID}")).unwrap();
    teller.send(answer(&path, Some(found("first")))).unwrap();
    assert_eq!(containers.take_answers(), [Arc::clone(&path)]);
    teller.send(answer(&path, Some(found("second")))).unwrap();
    assert!(containers.take_answers().is_empty());
    let workload = containers.workload(&path, false).unwrap();
    let container = workload.container.as_ref().unwrap();
    assert_eq!(container.name.as_deref(), Some("first"));
    assert_eq!(container.runtime.as_deref(), Some("docker"));
    assert!(containers.workload(&path, true).unwrap().is_late);
}

#[test]
fn another_pods_answer_is_not_believed() {
    let mut own = Found {
        pod: Some(Pod {
            uid: UID.to_owned(),
            ..Pod::default()
        }),
        ..Found::default()
    };
    let other = Pod {
        uid: "another".to_owned(),
        name: Some("another".to_owned()),
        ..Pod::default()
    };
    own.complete(Some(Found {
        pod: Some(other),
        ..Found::default()
    }));
    assert_eq!(own.pod.unwrap().name, None);
}

#[test]
fn containers_are_bounded_and_what_was_forgotten_is_counted() {
    let mut containers = Containers::default();
    for number in 0..CONTAINERS + 10 {
        let id = format!("{number:064x}");
        containers.of(&format!("/docker/{id}"));
    }
    assert_eq!((containers.len(), containers.lost().0), (CONTAINERS, 10));
}
