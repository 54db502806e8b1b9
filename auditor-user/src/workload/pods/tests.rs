//! Against an API server that speaks as much HTTP as lists and watches need.

use std::{
    collections::HashMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use auditor_core::audit::{Container, Pod, Workload};
use serde_json::{Value, json};

use super::*;

const NODE: &str = "node-1";
const DIGEST: &str = "sha256:79d8a3644d5113472b5521eb8e408c724f9e32676c771a519cdde264e53f3c5a";
/// Longest wait for what must come.
const LIMIT: Duration = Duration::from_secs(20);

/// What the server has, and what it was asked.
#[derive(Default)]
struct Cluster {
    token: String,
    version: u64,
    pods: Vec<Value>,
    /// Owners by path; others are forbidden.
    owners: HashMap<String, Value>,
    watchers: Vec<TcpStream>,
    /// Paths that were asked for, with their queries.
    asked: Vec<String>,
}

struct Server {
    cluster: Arc<Mutex<Cluster>>,
    kubeconfig: PathBuf,
}

impl Server {
    fn start(name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self::absent(name, listener.local_addr().unwrap().port());
        server.serve(listener);
        server
    }

    /// One that does not run yet.
    fn absent(name: &str, port: u16) -> Self {
        let file = format!("mcp-auditor-pods-{name}-{}", std::process::id());
        let server = Self {
            cluster: Arc::default(),
            kubeconfig: std::env::temp_dir().join(file),
        };
        server.write_kubeconfig(port, "first");
        server.cluster().token = "first".to_owned();
        server
    }

    fn write_kubeconfig(&self, port: u16, token: &str) {
        let server = format!("http://127.0.0.1:{port}");
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "x",
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "users": [{"name": "u", "user": {"token": token}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        });
        fs::write(&self.kubeconfig, text.to_string()).unwrap();
    }

    fn serve(&self, listener: TcpListener) {
        let cluster = Arc::clone(&self.cluster);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let cluster = Arc::clone(&cluster);
                thread::spawn(move || answer(stream, &cluster));
            }
        });
    }

    fn cluster(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells all who watch of a change.
    fn tell(&self, kind: &str, object: &Value) {
        let line = json!({"type": kind, "object": object}).to_string() + "\n";
        for watcher in &mut self.cluster().watchers {
            watcher.write_all(line.as_bytes()).unwrap();
        }
    }

    /// Ends all watches.
    fn end_watches(&self) {
        for watcher in self.cluster().watchers.drain(..) {
            watcher.shutdown(std::net::Shutdown::Both).unwrap();
        }
    }

    fn follow(&self) -> Pods {
        let settings = format!("kubeconfig = {:?}", self.kubeconfig);
        let delays = std::iter::repeat(Duration::from_millis(20));
        Pods::follow(toml::from_str(&settings).unwrap(), NODE.to_owned(), delays).unwrap()
    }

    /// Waits until somebody watches.
    fn wait_for_watch(&self) {
        let until = Instant::now() + LIMIT;
        while self.cluster().watchers.is_empty() {
            assert!(Instant::now() < until, "nobody watches");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.kubeconfig);
    }
}

/// Answers one request, and closes unless it is a watch.
fn answer(mut stream: TcpStream, cluster: &Mutex<Cluster>) {
    let mut head = BufReader::new(stream.try_clone().unwrap()).lines();
    let first = head.next().unwrap().unwrap();
    let headers = head
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty());
    let headers: Vec<String> = headers.collect();
    let path = first.split(' ').nth(1).unwrap().to_owned();
    let mut cluster = cluster.lock().unwrap_or_else(PoisonError::into_inner);
    cluster.asked.push(path.clone());
    let token = format!("authorization: Bearer {}", cluster.token);
    let is_known = headers.iter().any(|line| line.eq_ignore_ascii_case(&token));
    let failure = |code: u16| {
        (
            code,
            json!({"kind": "Status", "status": "Failure", "code": code}),
        )
    };
    let (code, body) = if !is_known {
        failure(401)
    } else if path.contains("watch=true") {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
            .unwrap();
        cluster.watchers.push(stream);
        return;
    } else if path.starts_with("/api/v1/pods?") {
        let version = cluster.version.to_string();
        let list = json!({
            "kind": "PodList", "apiVersion": "v1",
            "metadata": {"resourceVersion": version}, "items": cluster.pods,
        });
        (200, list)
    } else {
        let owner = cluster.owners.get(path.split('?').next().unwrap());
        owner.map_or_else(|| failure(403), |owner| (200, owner.clone()))
    };
    let body = body.to_string();
    let head = format!("HTTP/1.1 {code} X\r\nContent-Type: application/json\r\nConnection: close");
    let _ = write!(
        stream,
        "{head}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
}

fn pod(uid: &str, version: u64) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "uid": uid, "name": format!("pod-{uid}"), "namespace": "shop",
            "resourceVersion": version.to_string(), "labels": {"app": "shop"},
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "shop-1", "uid": "r1",
                "controller": true,
            }],
        },
        "spec": {"serviceAccountName": "seller", "nodeName": NODE, "containers": []},
        "status": {
            "startTime": "2026-11-28T16:00:00Z",
            "containerStatuses": [{
                "containerID": "containerd://c1", "imageID": format!("local/shop@{DIGEST}"),
            }],
        },
    })
}

const OWNER: &str = "/apis/apps/v1/namespaces/shop/replicasets/shop-1";

fn replica_set(uid: &str) -> Value {
    json!({
        "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
        "metadata": {"name": "shop-1", "uid": uid, "ownerReferences": [{
            "apiVersion": "apps/v1", "kind": "Deployment", "name": "shop", "uid": "d1",
            "controller": true,
        }]},
    })
}

/// Takes news until something is so.
fn wait(pods: &mut Pods, what: &str, is_so: impl Fn(&Pods) -> bool) {
    let until = Instant::now() + LIMIT;
    loop {
        pods.take_news(Instant::now());
        if is_so(pods) {
            return;
        }
        assert!(Instant::now() < until, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn owner(pods: &Pods, uid: &str) -> Option<(String, String)> {
    let told = pods.get(uid).filter(|told| !told.is_asking)?;
    told.owner.clone()
}

fn named(kind: &str, name: &str) -> Option<(String, String)> {
    Some((kind.to_owned(), name.to_owned()))
}

#[test]
fn a_pod_is_told_with_its_account_node_image_and_what_made_its_owner() {
    let server = Server::start("told");
    server.cluster().pods.push(pod("u1", 1));
    server
        .cluster()
        .owners
        .insert(OWNER.to_owned(), replica_set("r1"));
    let mut pods = server.follow();
    assert!(pods.is_awaited("u1"));
    wait(&mut pods, "owner", |pods| owner(pods, "u1").is_some());
    assert!(!pods.is_awaited("u1"));
    let mut workload = Workload {
        container: Some(Container {
            id: "c1".to_owned(),
            ..Container::default()
        }),
        pod: Some(Pod {
            uid: "u1".to_owned(),
            source: Some("cgroup"),
            ..Pod::default()
        }),
        is_late: false,
    };
    pods.get("u1").unwrap().complete(&mut workload);
    let container = workload.container.unwrap();
    assert_eq!(container.image_digest.as_deref(), Some(DIGEST));
    let told = workload.pod.unwrap();
    assert_eq!(told.name.as_deref(), Some("pod-u1"));
    assert_eq!(told.service_account.as_deref(), Some("seller"));
    assert_eq!(told.node.as_deref(), Some(NODE));
    assert_eq!(told.owner, named("Deployment", "shop"));
    assert_eq!(told.labels, [("app".to_owned(), "shop".to_owned())]);
    assert_eq!(told.started.as_deref(), Some("2026-11-28T16:00:00Z"));
    assert_eq!((told.source, told.is_disputed), (Some("api_server"), false));
    let fields = format!("fieldSelector=spec.nodeName%3D{NODE}");
    assert!(
        server
            .cluster()
            .asked
            .iter()
            .any(|path| path.contains(&fields))
    );
}

#[test]
fn an_owner_is_asked_for_once_and_told_as_it_is_where_that_is_forbidden_or_another() {
    let server = Server::start("owners");
    server.cluster().pods.extend([pod("u1", 1), pod("u2", 2)]);
    let mut pods = server.follow();
    wait(&mut pods, "both", |pods| {
        owner(pods, "u1").is_some() && owner(pods, "u2").is_some()
    });
    assert_eq!(owner(&pods, "u2"), named("ReplicaSet", "shop-1"));
    let asked = server.cluster().asked.clone();
    assert_eq!(
        asked.iter().filter(|path| path.starts_with(OWNER)).count(),
        1
    );
    // One of that name which came later is not this pod's.
    let later = Server::start("later");
    later.cluster().pods.push(pod("u1", 1));
    later
        .cluster()
        .owners
        .insert(OWNER.to_owned(), replica_set("r2"));
    let mut pods = later.follow();
    wait(&mut pods, "pod", |pods| owner(pods, "u1").is_some());
    assert_eq!(owner(&pods, "u1"), named("ReplicaSet", "shop-1"));
}

#[test]
fn a_watch_goes_on_where_the_last_bookmark_was() {
    let server = Server::start("bookmark");
    let mut pods = server.follow();
    server.wait_for_watch();
    let bookmark =
        json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": "77"}});
    server.tell("ADDED", &pod("u1", 2));
    server.tell("BOOKMARK", &bookmark);
    wait(&mut pods, "pod", |pods| pods.get("u1").is_some());
    server.end_watches();
    server.wait_for_watch();
    server.tell("ADDED", &pod("u2", 78));
    wait(&mut pods, "the next", |pods| pods.get("u2").is_some());
    let asked = server.cluster().asked.clone();
    assert!(
        asked.iter().any(|path| path.contains("resourceVersion=77")),
        "{asked:?}"
    );
    assert_eq!(pods.state(), State::Heard);
}

#[test]
fn a_pod_that_is_gone_is_remembered_as_long_as_its_processes() {
    let server = Server::start("gone");
    server.cluster().pods.push(pod("u1", 1));
    let mut pods = server.follow();
    wait(&mut pods, "pod", |pods| pods.get("u1").is_some());
    server.wait_for_watch();
    server.tell("DELETED", &pod("u1", 2));
    wait(&mut pods, "its end", |pods| !pods.gone.is_empty());
    assert!(pods.get("u1").is_some());
    pods.take_news(Instant::now() + MEMORY / 2);
    assert!(pods.get("u1").is_some());
    pods.take_news(Instant::now() + MEMORY * 2);
    assert_eq!((pods.len(), pods.gone.len()), (0, 0));
}

#[test]
fn a_position_that_is_too_old_has_the_pods_listed_anew() {
    let server = Server::start("expired");
    server.cluster().pods.push(pod("u1", 1));
    let mut pods = server.follow();
    wait(&mut pods, "first list", |pods| pods.state() == State::Heard);
    server.wait_for_watch();
    server.cluster().pods = vec![pod("u2", 9)];
    let expired = json!({"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired"});
    server.tell("ERROR", &expired);
    wait(&mut pods, "second list", |pods| {
        assert_ne!(pods.state(), State::Lost);
        pods.get("u2").is_some() && !pods.gone.is_empty()
    });
    assert_eq!(pods.gone[0].1, "u1");
}

#[test]
fn a_server_that_comes_later_is_heard() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let server = Server::absent("absent", port);
    server.cluster().pods.push(pod("u1", 1));
    let mut pods = server.follow();
    wait(&mut pods, "its absence", |pods| pods.state() == State::Lost);
    assert!(!pods.is_awaited("u1"));
    server.serve(TcpListener::bind(("127.0.0.1", port)).unwrap());
    wait(&mut pods, "its pods", |pods| pods.state() == State::Heard);
    assert!(pods.get("u1").is_some());
}

#[test]
fn credentials_are_read_again_when_they_are_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = Server::absent("token", port);
    server.serve(listener);
    let mut pods = server.follow();
    wait(&mut pods, "list", |pods| pods.state() == State::Heard);
    server.wait_for_watch();
    server.cluster().token = "second".to_owned();
    server.end_watches();
    wait(&mut pods, "the refusal", |pods| pods.state() == State::Lost);
    server.write_kubeconfig(port, "second");
    wait(&mut pods, "list", |pods| pods.state() == State::Heard);
}

#[test]
fn pods_are_bounded_and_those_that_are_gone_make_room() {
    let now = Instant::now();
    let mut pods = Pods::default();
    let told = |number: usize| {
        News::Pod(Box::new(Told {
            uid: number.to_string(),
            ..Told::default()
        }))
    };
    for number in 0..PODS + 10 {
        pods.take(told(number), now);
    }
    assert_eq!((pods.len(), pods.refused()), (PODS, 10));
    pods.take(News::Gone("7".to_owned()), now);
    pods.take(told(PODS), now);
    assert_eq!((pods.len(), pods.refused()), (PODS, 10));
    assert!(pods.get("7").is_none() && pods.get(&PODS.to_string()).is_some());
}

#[test]
fn a_pod_that_the_runtime_names_otherwise_keeps_the_runtimes_names_and_is_marked() {
    let listed: model::Listed = serde_json::from_value(pod("u1", 1)).unwrap();
    let (told, _) = Told::of(listed).unwrap();
    let mut workload = Workload {
        pod: Some(Pod {
            uid: "u1".to_owned(),
            name: Some("other".to_owned()),
            namespace: Some("shop".to_owned()),
            ..Pod::default()
        }),
        ..Workload::default()
    };
    told.complete(&mut workload);
    let pod = workload.pod.unwrap();
    assert_eq!(
        (pod.name.as_deref(), pod.is_disputed),
        (Some("other"), true)
    );
    assert_eq!(pod.service_account.as_deref(), Some("seller"));
}

#[test]
fn a_pod_of_the_kubelets_own_is_known_by_the_uid_that_its_cgroup_has() {
    let mut mirror = pod("u1", 1);
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "hash"});
    let listed: model::Listed = serde_json::from_value(mirror).unwrap();
    assert_eq!(Told::of(listed).unwrap().0.uid, "hash");
}
