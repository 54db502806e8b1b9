//! What a ClientHello and a ServerHello show: the server's name, protocols, the version.
//!
//! Mostly only the beginning of a hello is there, so each field is told that could be read before it ends; hence no
//! parser that wants a whole message. Names come from whoever is audited. Bounds: [`NAME`], [`PROTOCOLS`].

/// Longest name believed, of a server or a protocol.
const NAME: usize = 255;
/// Protocols of one hello that are told.
const PROTOCOLS: usize = 8;

/// Types of handshake messages (RFC 8446, section 4).
pub(super) const CLIENT_HELLO: u8 = 1;
pub(super) const SERVER_HELLO: u8 = 2;
/// Types of extensions: RFC 6066, RFC 7301, RFC 8446 section 4.2.1.
const SERVER_NAME: u16 = 0;
const APPLICATION_PROTOCOLS: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;

/// What one hello shows.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Hello {
    /// `server_name` of a client.
    pub(super) server_name: Option<String>,
    /// The protocols that are offered, or the one that was chosen.
    pub(super) protocols: Vec<String>,
    /// Of a server, the version that it chose.
    pub(super) version: Option<u16>,
}

/// Reads a handshake message of type `kind`, as far as it is there; `body` is what follows its header.
pub(super) fn read(kind: u8, body: &[u8]) -> Hello {
    let mut hello = Hello::default();
    let _ = read_into(&mut hello, kind, body);
    hello
}

/// `None` where the bytes end.
fn read_into(hello: &mut Hello, kind: u8, body: &[u8]) -> Option<()> {
    let mut rest = Cursor(body);
    let version = rest.u16()?;
    rest.take(32)?;
    let session = rest.u8()?;
    rest.take(session.into())?;
    if kind == CLIENT_HELLO {
        let suites = rest.u16()?;
        rest.take(suites.into())?;
        let compressions = rest.u8()?;
        rest.take(compressions.into())?;
    } else {
        rest.take(3)?;
        hello.version = Some(version);
    }
    rest.u16()?;
    loop {
        let kind_of_extension = rest.u16()?;
        let len = rest.u16()?;
        let whole = rest.0.len() >= usize::from(len);
        let data = Cursor(rest.0.get(..len.into()).unwrap_or(rest.0));
        match kind_of_extension {
            SERVER_NAME if kind == CLIENT_HELLO => hello.server_name = server_name(data),
            APPLICATION_PROTOCOLS => hello.protocols = protocols(data),
            SUPPORTED_VERSIONS if kind == SERVER_HELLO && whole => {
                hello.version = Cursor(data.0).u16().or(hello.version);
            }
            _ => {}
        }
        rest.take(len.into())?;
    }
}

fn server_name(mut data: Cursor<'_>) -> Option<String> {
    data.u16()?;
    // The only type there is: a host's name.
    (data.u8()? == 0).then_some(())?;
    let len = data.u16()?;
    text(data.take(len.into())?)
}

fn protocols(mut data: Cursor<'_>) -> Vec<String> {
    let mut found = Vec::new();
    if data.u16().is_none() {
        return found;
    }
    while found.len() < PROTOCOLS {
        let Some(name) = data.u8().and_then(|len| data.take(len.into())) else {
            break;
        };
        found.extend(text(name));
    }
    found
}

/// Printable ASCII, or nothing: neither kind of name may hold anything else in practice.
fn text(bytes: &[u8]) -> Option<String> {
    let is_plain =
        !bytes.is_empty() && bytes.len() <= NAME && bytes.iter().all(u8::is_ascii_graphic);
    is_plain.then(|| String::from_utf8_lossy(bytes).into_owned())
}

/// Reads numbers in network byte order.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)
            .map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }
}

/// A ClientHello's body with these extensions, for tests.
#[cfg(test)]
pub(super) fn client_hello(extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.push(32);
    body.extend([8; 32]);
    body.extend([0, 4, 0x13, 1, 0x13, 2, 1, 0]);
    extend(&mut body, extensions);
    body
}

/// A ServerHello's body with these extensions, for tests.
#[cfg(test)]
pub(super) fn server_hello(extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.push(0);
    body.extend([0x13, 1, 0]);
    extend(&mut body, extensions);
    body
}

#[cfg(test)]
fn extend(body: &mut Vec<u8>, extensions: &[(u16, Vec<u8>)]) {
    let total: usize = extensions.iter().map(|(_, data)| data.len() + 4).sum();
    body.extend((total as u16).to_be_bytes());
    for (kind, data) in extensions {
        body.extend(kind.to_be_bytes());
        body.extend((data.len() as u16).to_be_bytes());
        body.extend(data);
    }
}

/// The extension that names a server, for tests.
#[cfg(test)]
pub(super) fn name_extension(name: &str) -> (u16, Vec<u8>) {
    let len = name.len() as u16;
    let mut data = (len + 3).to_be_bytes().to_vec();
    data.push(0);
    data.extend(len.to_be_bytes());
    data.extend(name.as_bytes());
    (SERVER_NAME, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protocols_extension(names: &[&str]) -> (u16, Vec<u8>) {
        let list: Vec<u8> = names
            .iter()
            .flat_map(|name| [&[name.len() as u8], name.as_bytes()].concat())
            .collect();
        let data = [&(list.len() as u16).to_be_bytes()[..], &list].concat();
        (APPLICATION_PROTOCOLS, data)
    }

    #[test]
    fn a_client_shows_the_name_and_the_protocols_it_wants() {
        let body = client_hello(&[
            (10, vec![0, 2, 0, 29]),
            name_extension("mcp.example.com"),
            protocols_extension(&["h2", "http/1.1"]),
        ]);
        let hello = read(CLIENT_HELLO, &body);
        assert_eq!(hello.server_name.as_deref(), Some("mcp.example.com"));
        assert_eq!(hello.protocols, ["h2", "http/1.1"]);
        assert_eq!(hello.version, None);
    }

    #[test]
    fn what_comes_before_the_cut_is_told() {
        let body = client_hello(&[name_extension("mcp.example.com"), (51, vec![0; 1216])]);
        let whole = read(CLIENT_HELLO, &body);
        assert_eq!(read(CLIENT_HELLO, &body[..400]), whole);
        assert_eq!(read(CLIENT_HELLO, &body[..90]), Hello::default());
    }

    #[test]
    fn a_server_shows_the_version_it_chose() {
        let newest = server_hello(&[(SUPPORTED_VERSIONS, vec![3, 4])]);
        assert_eq!(read(SERVER_HELLO, &newest).version, Some(0x304));
        let older = server_hello(&[protocols_extension(&["h2"])]);
        let hello = read(SERVER_HELLO, &older);
        assert_eq!(
            (hello.version, hello.protocols),
            (Some(0x303), vec!["h2".to_owned()])
        );
    }

    #[test]
    fn a_name_that_is_no_text_is_none() {
        for name in ["", "a\u{1b}[2J", "a b", "é"] {
            let body = client_hello(&[name_extension(name)]);
            assert_eq!(read(CLIENT_HELLO, &body).server_name, None, "{name:?}");
        }
    }
}
