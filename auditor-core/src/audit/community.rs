//! The Community ID of a TCP connection, version 1: the same at both of its ends, and in what other monitors write.
//!
//! <https://github.com/corelight/community-id-spec>. For TCP only, with the seed 0 that others have by default.

use std::net::IpAddr;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha1::{Digest, Sha1};

use crate::stream::Socket;

/// IANA's number of TCP.
const TCP: u8 = 6;
const SEED: [u8; 2] = [0, 0];

/// `1:` and the Base64 of a SHA-1 over both addresses and ports, the lower end first.
pub(super) fn community_id(socket: &Socket) -> String {
    let end = |address: std::net::SocketAddr| (address.ip().to_canonical(), address.port());
    let (a, b) = (end(socket.a), end(socket.b));
    let (low, high) = if a <= b { (a, b) } else { (b, a) };
    let mut hash = Sha1::new();
    hash.update(SEED);
    for (address, _) in [low, high] {
        match address {
            IpAddr::V4(address) => hash.update(address.octets()),
            IpAddr::V6(address) => hash.update(address.octets()),
        }
    }
    hash.update([TCP, 0]);
    for (_, port) in [low, high] {
        hash.update(port.to_be_bytes());
    }
    let mut id = String::with_capacity(30);
    id.push_str("1:");
    STANDARD.encode_string(hash.finalize(), &mut id);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(a: &str, b: &str) -> String {
        let socket = |a: &str, b: &str| Socket {
            a: a.parse().unwrap(),
            b: b.parse().unwrap(),
            netns: 1,
        };
        let id = community_id(&socket(a, b));
        assert_eq!(id, community_id(&socket(b, a)));
        id
    }

    #[test]
    fn both_directions_have_the_id_that_others_compute() {
        // The first is the specification's own example; all are what its reference implementation gives.
        for (a, b, due) in [
            (
                "128.232.110.120:34855",
                "66.35.250.204:80",
                "1:LQU9qZlK+B5F3KDmev6m5PMibrg=",
            ),
            (
                "10.0.0.2:80",
                "10.0.0.2:45000",
                "1:le+z0m45UZdfsCr7my1+mbNnp1g=",
            ),
            (
                "127.0.0.1:500",
                "127.0.0.1:500",
                "1:lNfAXXVLUiv16l8C2Fgm/ao9YDA=",
            ),
            (
                "[fd00::1]:40000",
                "[fd00::2]:443",
                "1:Ym/kW2GhL/SXm1jZgAnyk7elLks=",
            ),
            (
                "[fe80::2]:1",
                "[fe80::1]:1",
                "1:0wwyRa4MFnI+D6RY1cg48fVj23Q=",
            ),
        ] {
            assert_eq!(id(a, b), due);
        }
    }

    #[test]
    fn a_mapped_address_is_the_one_it_stands_for() {
        let plain = id("10.0.0.1:40000", "10.0.0.2:443");
        let mapped = id("[::ffff:10.0.0.1]:40000", "[::ffff:10.0.0.2]:443");
        assert_eq!(mapped, plain);
        assert_eq!(plain, "1:UWHKJ/x6OQ1YiVv4rIl0t3yhjg8=");
    }
}
