//! Asks the cloud's own service where this machine is, only if that is configured.
//!
//! Plain HTTP on a link-local address, on a thread of its own that ends with the first answer. Bounds: [`PATIENCE`] for
//! each request, [`ANSWER`] bytes.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::mpsc::{Receiver, sync_channel},
    thread,
    time::{Duration, Instant},
};

use auditor_core::audit::Cloud;
use serde::{Deserialize, de::DeserializeOwned};

use crate::config::MetadataService;

/// Time for one request, from connecting to the last byte.
const PATIENCE: Duration = Duration::from_secs(1);
/// Bytes of an answer, head included.
const ANSWER: u64 = 64 << 10;
/// First and longest time between tries.
const PAUSE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(300)];

/// Where a machine is, and its id.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Place {
    pub(super) cloud: Cloud,
    pub(super) instance: Option<String>,
}

/// Starts to ask; the answer comes once.
///
/// # Errors
/// When the thread cannot be started.
pub(super) fn start(service: MetadataService, address: SocketAddr) -> io::Result<Receiver<Place>> {
    let (teller, answer) = sync_channel(1);
    let ask = move || {
        let [mut pause, longest] = PAUSE;
        loop {
            match ask(service, address) {
                Ok(place) => {
                    // Whoever asked may be gone by now.
                    let _ = teller.send(place);
                    return;
                }
                Err(error) => {
                    tracing::debug!(%error, %address, "the cloud's metadata service does not answer")
                }
            }
            thread::sleep(pause);
            pause = longest.min(pause * 2);
        }
    };
    thread::Builder::new()
        .name("metadata".to_owned())
        .spawn(ask)?;
    Ok(answer)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Aws {
    region: Option<String>,
    account_id: Option<String>,
    availability_zone: Option<String>,
    instance_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Azure {
    location: Option<String>,
    subscription_id: Option<String>,
    zone: Option<String>,
    vm_id: Option<String>,
}

fn ask(service: MetadataService, address: SocketAddr) -> io::Result<Place> {
    match service {
        MetadataService::Aws => {
            let life = "X-aws-ec2-metadata-token-ttl-seconds: 60";
            let token = text(request(address, "PUT", "/latest/api/token", life)?)?;
            let shown = format!("X-aws-ec2-metadata-token: {token}");
            let path = "/latest/dynamic/instance-identity/document";
            let told: Aws = json(&request(address, "GET", path, &shown)?)?;
            Ok(Place {
                cloud: Cloud {
                    provider: "AWS".to_owned(),
                    region: told.region,
                    account: told.account_id,
                    zone: told.availability_zone,
                },
                instance: told.instance_id,
            })
        }
        MetadataService::Gcp => {
            let get = |path: &str| {
                let path = format!("/computeMetadata/v1/{path}");
                text(request(address, "GET", &path, "Metadata-Flavor: Google")?)
            };
            // As projects/NUMBER/zones/ZONE, and the zone is the region with a letter.
            let zone = get("instance/zone")?;
            let zone = zone.rsplit('/').next().unwrap_or_default().to_owned();
            Ok(Place {
                cloud: Cloud {
                    provider: "GCP".to_owned(),
                    region: zone.rsplit_once('-').map(|(region, _)| region.to_owned()),
                    account: Some(get("project/project-id")?),
                    zone: Some(zone),
                },
                instance: Some(get("instance/id")?),
            })
        }
        MetadataService::Azure => {
            let path = "/metadata/instance/compute?api-version=2021-02-01&format=json";
            let told: Azure = json(&request(address, "GET", path, "Metadata: true")?)?;
            Ok(Place {
                cloud: Cloud {
                    provider: "Azure".to_owned(),
                    region: told.location,
                    account: told.subscription_id,
                    zone: told.zone.filter(|zone| !zone.is_empty()),
                },
                instance: told.vm_id,
            })
        }
    }
}

fn json<T: DeserializeOwned>(body: &[u8]) -> io::Result<T> {
    serde_json::from_slice(body).map_err(io::Error::other)
}

/// A body of one line, which may become a header.
fn text(body: Vec<u8>) -> io::Result<String> {
    let text = String::from_utf8(body).map_err(io::Error::other)?;
    let text = text.trim();
    if text.is_empty() || text.len() > 512 || text.contains(char::is_control) {
        return Err(wrong());
    }
    Ok(text.to_owned())
}

fn wrong() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no answer that is understood")
}

/// The body of an answer with status 200.
fn request(address: SocketAddr, method: &str, path: &str, header: &str) -> io::Result<Vec<u8>> {
    let until = Instant::now() + PATIENCE;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let host = address.ip();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{header}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut piece = [0; 4_096];
    loop {
        if let Some(body) = body(&answer)? {
            return Ok(body);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || answer.len() as u64 >= ANSWER {
            return Err(wrong());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut piece)? {
            0 => return Err(wrong()),
            read => answer.extend(piece.iter().take(read)),
        }
    }
}

/// The body of an answer, if all of it has come.
fn body(answer: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(begin) = head.parse(answer).map_err(io::Error::other)? else {
        return Ok(None);
    };
    if head.code != Some(200) {
        return Err(wrong());
    }
    let mut lengths = head
        .headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = lengths.next().ok_or_else(wrong)?.value;
    let length: usize = std::str::from_utf8(length)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .ok_or_else(wrong)?;
    let end = begin.checked_add(length).ok_or_else(wrong)?;
    Ok(answer.get(begin..end).map(<[u8]>::to_vec))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader},
        net::TcpListener,
    };

    use super::*;

    /// Answers requests in turn, each if it begins so and has such a header; gives the address.
    fn serve(answers: Vec<(&'static str, &'static str, &'static str)>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for (begin, header, body) in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let reader = BufReader::new(stream.try_clone().unwrap());
                let lines = reader.lines().map(Result::unwrap);
                let lines: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
                let fits = lines[0].starts_with(begin) && lines.iter().any(|line| line == header);
                let status = if fits { "200 OK" } else { "400 Bad Request" };
                let length = body.len();
                write!(
                    stream,
                    "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}"
                )
                .unwrap();
                // It keeps the connection open, as the length has told its end.
                let mut rest = [0; 1];
                let _ = stream.read(&mut rest);
            }
        });
        address
    }

    fn place(cloud: [&str; 4], instance: &str) -> Place {
        let [provider, region, account, zone] = cloud.map(str::to_owned);
        Place {
            cloud: Cloud {
                provider,
                region: Some(region),
                account: Some(account),
                zone: Some(zone),
            },
            instance: Some(instance.to_owned()),
        }
    }

    #[test]
    fn each_cloud_is_asked_as_it_wants_to_be() {
        let aws = serve(vec![
            (
                "PUT /latest/api/token ",
                "X-aws-ec2-metadata-token-ttl-seconds: 60",
                "tok==",
            ),
            (
                "GET /latest/dynamic/instance-identity/document ",
                "X-aws-ec2-metadata-token: tok==",
                r#"{"accountId":"123","region":"eu-west-1","availabilityZone":"eu-west-1b","instanceId":"i-1"}"#,
            ),
        ]);
        let due = place(["AWS", "eu-west-1", "123", "eu-west-1b"], "i-1");
        assert_eq!(ask(MetadataService::Aws, aws).unwrap(), due);
        let header = "Metadata-Flavor: Google";
        let gcp = serve(vec![
            (
                "GET /computeMetadata/v1/instance/zone ",
                header,
                "projects/9/zones/us-central1-a",
            ),
            (
                "GET /computeMetadata/v1/project/project-id ",
                header,
                "shop",
            ),
            ("GET /computeMetadata/v1/instance/id ", header, "77\n"),
        ]);
        let due = place(["GCP", "us-central1", "shop", "us-central1-a"], "77");
        assert_eq!(ask(MetadataService::Gcp, gcp).unwrap(), due);
        let azure = serve(vec![(
            "GET /metadata/instance/compute?",
            "Metadata: true",
            r#"{"location":"westeurope","subscriptionId":"s-1","zone":"2","vmId":"v-1","name":"n"}"#,
        )]);
        let due = place(["Azure", "westeurope", "s-1", "2"], "v-1");
        assert_eq!(ask(MetadataService::Azure, azure).unwrap(), due);
    }

    #[test]
    fn who_does_not_answer_costs_a_second_and_no_more() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let begun = Instant::now();
        let address = listener.local_addr().unwrap();
        assert!(ask(MetadataService::Azure, address).is_err());
        assert!(begun.elapsed() < PATIENCE * 5);
    }

    #[test]
    fn answers_that_are_not_whole_or_not_plain_are_refused() {
        assert_eq!(
            body(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab").unwrap(),
            None
        );
        assert!(body(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").is_err());
        assert!(body(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
        assert!(body(b"SSH-2.0\r\n").is_err());
        assert!(text(b"a\r\nInjected: b".to_vec()).is_err());
    }
}
