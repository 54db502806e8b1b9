//! Certificates of a connection, from the world to the event.

use std::{ops::Range, sync::Arc};

use super::{super::tests::call, *};
use crate::{audit::Process, identity::Authority, key::ProcessKey, tls::Chain};

/// A host on which everything moves through TLS, between ends that showed certificates.
struct Host {
    binding: Binding,
    /// The side of the client, and the certificates of that and of the other.
    client: Side,
    chains: [Arc<Chain>; 2],
}

impl World for Host {
    fn process(&self, key: ProcessKey) -> Option<Arc<Process>> {
        Some(Arc::new(Process {
            key,
            exe: Some("/bin/a".into()),
            ..Default::default()
        }))
    }

    fn channel(&self, id: ChannelId) -> Option<Arc<Channel>> {
        Some(Arc::new(Channel {
            id,
            kind: ChannelKind::Tcp,
            inode: None,
            peer_inode: None,
            socket: None,
            tls: Some(self.binding),
        }))
    }

    fn seen(&self, _channel: ChannelId, _from: Side, _range: &Range<u64>) -> Seen {
        let actor = |pid| Actor {
            process: ProcessKey { pid, start: 1 },
            tid: pid,
        };
        Seen {
            writer: Some(actor(10)),
            reader: Some(actor(20)),
            local: true,
        }
    }

    fn certificates(&self, _channel: ChannelId, side: Side, _time: Time) -> Option<Arc<Chain>> {
        let index = usize::from(side != self.client);
        Some(Arc::clone(&self.chains[index]))
    }
}

/// A certificate that an authority signed.
fn make(name: &str, maker: &rcgen::CertifiedIssuer<'_, rcgen::KeyPair>) -> Arc<Chain> {
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    let key = rcgen::KeyPair::generate().unwrap();
    let signed = params.signed_by(&key, maker).unwrap();
    let digest = [name.len() as u8; 32];
    Arc::new(Chain {
        certificates: vec![signed.der().to_vec()],
        digest,
    })
}

fn audit(binding: Binding, direction: Direction) -> AuditEvent {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let maker = rcgen::CertifiedIssuer::self_signed(params, key).unwrap();
    let mut auditor = Auditor::new(Settings {
        key: [1; 32],
        ..Settings::default()
    });
    let authority = Authority::new(None, maker.pem().as_bytes()).unwrap();
    auditor.set_authorities(vec![authority]);
    let interaction = Interaction {
        direction,
        ..call()
    };
    let asker = interaction.request.as_ref().unwrap().from;
    let host = Host {
        binding,
        client: match direction {
            Direction::ClientToServer => asker,
            Direction::ServerToClient => asker.other(),
        },
        chains: [make("agent", &maker), make("server", &maker)],
    };
    auditor.audit(interaction, &host, Time(1_800_000_001_000_000_000))
}

#[test]
fn certificates_name_their_ends_where_the_connection_is_proven() {
    for direction in [Direction::ClientToServer, Direction::ServerToClient] {
        let event = audit(Binding::Call, direction);
        let subject = |identity: &Option<Identity>| identity.as_ref().unwrap().subject.clone();
        let client = Some("certificate:CN=agent".to_owned());
        assert_eq!(subject(&event.client_identity), client);
        let server = Some("certificate:CN=server".to_owned());
        assert_eq!(subject(&event.server_identity), server);
        let mut json = Vec::new();
        event.write_json(&mut json);
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let shown = &json["unmapped"]["mcp"]["certificates"];
        assert_eq!(shown["client"]["subject"], "CN=agent");
        assert_eq!(shown["server"]["subject"], "CN=server");
        assert_eq!(shown["client"]["verdict"], "valid");
        assert_eq!(shown["client"]["hash"].as_str().unwrap().len(), 64);
    }
}

#[test]
fn where_the_connection_is_inferred_certificates_are_told_and_name_nobody() {
    let event = audit(Binding::Record, Direction::ClientToServer);
    assert!(event.client_certificate.is_some() && event.server_certificate.is_some());
    for identity in [&event.client_identity, &event.server_identity] {
        assert_eq!(
            identity.as_ref().unwrap().subject.as_deref(),
            Some("exe:/bin/a")
        );
    }
}
