//! The answer for people. Names come from whoever is audited: their control characters are not printed.

use std::time::{Duration, UNIX_EPOCH};

use super::{
    Answer,
    subject::{Container, Credential, Identity, Pod, Program, Subject},
    trail::{Person, Step},
};
use crate::cli::harmless;

/// Prints an answer.
pub(super) fn print(answer: &Answer) {
    if let Some(obstacle) = &answer.obstacle {
        println!("{obstacle}\n");
    }
    if let Some(title) = &answer.found.finding {
        println!("finding: {title}\n");
    }
    for (number, person) in answer.found.people.iter().enumerate() {
        if number > 0 {
            println!();
        }
        workload(person);
    }
    if !answer.found.chain.is_empty() {
        println!("\nchain");
        answer
            .found
            .chain
            .iter()
            .for_each(|one| step(one, &answer.asked));
    }
    if answer.found.left_out > 0 {
        println!(
            "\n{} more were left out: ask for one of them",
            answer.found.left_out
        );
    }
}

fn line(name: &str, text: &str) {
    println!("  {name:<12}{}", harmless(text));
}

fn workload(person: &Person) {
    let subject = &person.subject;
    let name = subject
        .exe
        .as_deref()
        .and_then(|exe| exe.rsplit('/').next());
    let state = if person.is_running {
        "running"
    } else {
        "ended"
    };
    println!(
        "{} {}  {state}",
        harmless(name.unwrap_or("process")),
        subject.pid
    );
    match &person.identity {
        Some(one) => identity(one),
        None => line("identity", "not known"),
    }
    person.credentials.iter().for_each(credential);
    program(subject);
    let told = subject.workload.as_ref();
    if let Some(one) = told.and_then(|one| one.container.as_ref()) {
        container(one);
    } else if let Some(id) = &subject.container {
        line("container", id);
    }
    if let Some(one) = told.and_then(|one| one.pod.as_ref()) {
        pod(one);
    }
    if told.is_some_and(|one| one.late) {
        line("", "some of this was told only after it had ended");
    }
    if let (Some(uid), Some(gid)) = (subject.uid, subject.gid) {
        line("user", &format!("uid {uid}, gid {gid}"));
    }
    if let Some(cgroup) = &subject.cgroup {
        line("cgroup", cgroup);
    }
    lineage(subject);
    heard(person);
}

fn identity(identity: &Identity) {
    let subject = identity
        .subject
        .as_deref()
        .unwrap_or("nothing but its own word");
    line("identity", subject);
    let how = match identity.method.as_str() {
        "spire" => "attested by SPIRE for this process",
        "certificate" => "by a certificate that an authority signed, on its own connection",
        "token" => "by a token whose signature is its issuer's",
        "pod" => "by its cgroup, which is a pod's",
        "container" => "by its cgroup, which is a container's",
        "executable" => "by its executable, as the kernel sees it",
        "claim" => "by its own word",
        other => other,
    };
    let verified = if identity.verified {
        ", signature verified"
    } else {
        ""
    };
    line("", &format!("{}: {how}{verified}", identity.assurance));
    line("", &format!("evidence sha256:{}", identity.evidence_sha256));
    for against in &identity.contradictions {
        line("", &format!("against it: {against}"));
    }
}

fn credential(credential: &Credential) {
    let hash = credential.hash.get(..16).unwrap_or(&credential.hash);
    let mut text = format!("{} {hash}…, {}", credential.scheme, credential.verdict);
    if let Some(claims) = &credential.claims {
        let or = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".to_owned());
        text = format!(
            "{text}: {} says {}",
            or(&claims.issuer),
            or(&claims.subject)
        );
    }
    line("showed", &text);
}

fn program(subject: &Subject) {
    if let Some(exe) = &subject.exe {
        line("program", exe);
    }
    if let Some(hash) = &subject.exe_sha256 {
        line("", &format!("sha256:{hash}"));
    }
    if let Some(Program {
        script,
        package,
        version,
        ecosystem,
    }) = &subject.program
    {
        let script = script.as_deref().unwrap_or("a script");
        let package = package.as_ref().map(|package| {
            let version = version.as_deref().unwrap_or("?");
            format!(
                " of {package} {version} ({})",
                ecosystem.as_deref().unwrap_or("?")
            )
        });
        line("", &format!("runs {script}{}", package.unwrap_or_default()));
    }
    if let Some(arguments) = &subject.cmdline {
        line("arguments", &arguments.join(" "));
    }
}

fn container(container: &Container) {
    let name = container.name.as_deref().unwrap_or("without a name");
    let runtime = container.runtime.as_deref().unwrap_or("an unknown runtime");
    line("container", &format!("{name}, of {runtime}"));
    line("", &container.id);
    if let Some(image) = &container.image {
        line("", &format!("image {image}"));
    }
    if let Some(digest) = &container.image_digest {
        line("", &format!("digest {digest}"));
    }
    line(
        "",
        &format!(
            "told by {}",
            container.source.as_deref().unwrap_or("its cgroup")
        ),
    );
}

fn pod(pod: &Pod) {
    let name = pod.name.as_deref().unwrap_or("?");
    let namespace = pod.namespace.as_deref().unwrap_or("?");
    line("pod", &format!("{namespace}/{name}, uid {}", pod.uid));
    if let Some(account) = &pod.service_account {
        line("", &format!("service account {account}"));
    }
    if let Some(owner) = &pod.owner {
        line("", &format!("made by {} {}", owner.kind, owner.name));
    }
    if let Some(node) = &pod.node {
        line("", &format!("on node {node}"));
    }
    line(
        "",
        &format!("told by {}", pod.source.as_deref().unwrap_or("its cgroup")),
    );
}

fn lineage(subject: &Subject) {
    let parents = subject.lineage.iter().map(|parent| {
        let name = parent.exe.as_deref().and_then(|exe| exe.rsplit('/').next());
        format!("{}[{}]", name.unwrap_or("?"), parent.pid)
    });
    let parents: Vec<_> = parents.collect();
    if !parents.is_empty() {
        line("begun by", &parents.join(" < "));
    }
}

fn heard(person: &Person) {
    let (Some(first), Some(last), Some(event)) =
        (person.first_heard, person.last_heard, &person.last_event)
    else {
        return line("heard", "nothing in the trail");
    };
    let counts = format!(
        "{} interactions as client, {} as server",
        person.events_as_client, person.events_as_server
    );
    line("heard", &counts);
    line("", &format!("from {} to {}", time(first), time(last)));
    line("", &format!("last event {event}"));
    for (title, uid) in &person.findings {
        line("finding", &format!("{title} ({uid})"));
    }
}

fn step(step: &Step, asked: &str) {
    let mark = if step.uid == asked { "→" } else { " " };
    let indent = "  ".repeat(step.depth.into());
    let what = step.target.as_ref().map_or_else(
        || step.method.clone(),
        |target| format!("{} {target}", step.method),
    );
    let text = format!(
        "{indent}{} → {}  {what}  {}",
        step.client,
        step.server,
        step.status.as_deref().unwrap_or("open"),
    );
    let joined = step.certainty.as_ref().map_or(String::new(), |certainty| {
        format!("  by {}, {certainty}", step.basis)
    });
    println!("{mark} {}  {}{joined}", time(step.time), harmless(&text));
}

/// A time in the form of RFC 3339.
fn time(millis: u64) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(millis)).to_string()
}
