use super::*;
use auditor_resource::{Basis, Operation};

fn named(kind: Kind, name: &str) -> Resource {
    Resource {
        kind,
        name: name.to_owned(),
        namespace: None,
        operation: Operation::Read,
        parts: Vec::new(),
        place: String::new(),
        basis: Basis::Method,
        sensitivity: None,
    }
}

fn content(resources: Vec<Resource>) -> Content {
    let mut content = Content::default();
    content.declared.resources = resources;
    content
}

fn peer(address: &str) -> Noticed {
    let address: SocketAddr = address.parse().unwrap();
    Noticed {
        address: Some(address.ip()),
        port: address.port(),
        protocol: "tcp",
        path: None,
        is_begun: false,
        http: None,
    }
}

fn file(path: &str, access: Access) -> Entry {
    Entry {
        what: What::File {
            path: path.to_owned(),
            access,
            is_resolved: true,
        },
        basis: crate::audit::Basis::OpenRequest,
        certainty: Certainty::OnlyCandidate,
        is_named: None,
        count: 1,
    }
}

#[test]
fn a_file_is_named_by_itself_its_directory_or_its_end() {
    let content = content(vec![
        named(Kind::File, "/a/b.txt"),
        named(Kind::Directory, "/c/"),
        named(Kind::File, "./d/e.txt"),
    ]);
    let names = Names::of(&content);
    for path in ["/a/b.txt", "/c", "/c/d/e", "/x/d/e.txt"] {
        assert!(names.names_file(path), "{path}");
    }
    for path in ["/a/b.txt2", "/a", "/cd", "/x/e.txt", "/xd/e.txt"] {
        assert!(!names.names_file(path), "{path}");
    }
}

#[test]
fn a_peer_is_named_by_address_and_port() {
    let content = content(vec![named(Kind::Url, "http://127.0.0.1:8080/x")]);
    let names = Names::of(&content);
    assert_eq!(names.names_peer(&peer("127.0.0.1:8080")), Some(true));
    assert_eq!(names.names_peer(&peer("127.0.0.1:8081")), Some(false));
    assert_eq!(names.names_peer(&peer("10.0.0.1:8080")), Some(false));
}

#[test]
fn of_a_host_whose_addresses_are_not_known_nothing_is_said() {
    let some = content(vec![named(Kind::Url, "https://example.org/x")]);
    let names = Names::of(&some);
    assert_eq!(names.names_peer(&peer("192.0.2.1:443")), None);
    let local = content(vec![named(Kind::Url, "http://localhost:1/x")]);
    let names = Names::of(&local);
    assert_eq!(names.names_peer(&peer("[::1]:1")), Some(true));
    assert_eq!(names.names_peer(&peer("192.0.2.1:1")), Some(false));
    let none = content(Vec::new());
    assert_eq!(
        Names::of(&none).names_peer(&peer("192.0.2.1:1")),
        Some(false)
    );
}

#[test]
fn hosts_are_read_with_their_ports() {
    assert_eq!(host("a.b:1/x"), Some(("a.b", Some(1))));
    assert_eq!(host("u:p@a.b/x"), Some(("a.b", None)));
    assert_eq!(host("[::1]:5/x"), Some(("[::1]", Some(5))));
    assert_eq!(host("[::1]/x"), Some(("[::1]", None)));
    assert_eq!(host("/x"), None);
}

#[test]
fn replacing_a_named_file_is_no_change_of_another() {
    let content = content(vec![named(Kind::File, "/a/b.txt")]);
    let names = Names::of(&content);
    let replaced = [
        file("/a/b.txt.tmp", Access::Create),
        file("/a/b.txt.tmp", Access::RenameFrom),
        file("/a/b.txt", Access::RenameTo),
        file("/a/kept", Access::Create),
        file("/a/gone", Access::Create),
        file("/a/gone", Access::Delete),
    ];
    let passing = passing(&replaced, &names);
    assert_eq!(passing, HashSet::from(["/a/b.txt.tmp", "/a/gone"]));
    let elsewhere = [
        file("/a/x", Access::Create),
        file("/a/x", Access::RenameFrom),
        file("/etc/y", Access::RenameTo),
    ];
    assert!(super::passing(&elsewhere, &names).is_empty());
}
