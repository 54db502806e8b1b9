//! Ring bytes to records. Reads the layout of [`auditor_common::record`] and does nothing else.
//!
//! A record that is too short, or of a kind that is not known, is an error to be counted, never a panic.

use auditor_common::record as layout;
pub use auditor_common::record::{Bind, Birth, Deed, Exec, Header, Object};
use thiserror::Error;

/// One observation of the kernel side.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Record<'a> {
    /// Bytes of a stream moved. The payload is empty when only the fact is told.
    Data(Header, &'a [u8]),
    /// What a stream is.
    Object(Header, Object),
    /// A stream's end was told to a process.
    End(Header),
    /// The stream of a TLS session goes on as that of its connection.
    Bind(Header, Bind),
    /// A process mapped an executable file that is new.
    Mapped(Header),
    /// A process was born.
    Fork(Header, Birth),
    /// A process runs another program.
    Exec(Header, Exec, Strings<'a>),
    /// A process ended.
    Exit(Header),
    /// A cgroup was made, by the process of the header: `stream` is its id (the inode number of its directory),
    /// `generation` its hierarchy (0 is version 2); with its path below the hierarchy's root.
    Cgroup(Header, &'a [u8]),
    /// A process that serves MCP did something; `end` of the header says what. With the path and the name that it used.
    Deed(Header, Deed, Strings<'a>),
    /// Deeds of a process are told from here on, or some were left out.
    Serving(Header),
}

impl Record<'_> {
    /// When the kernel saw it, nanoseconds since boot.
    pub fn time(&self) -> u64 {
        match self {
            Self::Data(header, _)
            | Self::Object(header, _)
            | Self::End(header)
            | Self::Bind(header, _)
            | Self::Mapped(header)
            | Self::Fork(header, _)
            | Self::Exec(header, ..)
            | Self::Exit(header)
            | Self::Cgroup(header, _)
            | Self::Deed(header, ..)
            | Self::Serving(header) => header.time,
        }
    }
}

/// Path and arguments of a program; or the path of a file or directory, and a name that begins there.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Strings<'a> {
    path: &'a [u8],
    arguments: &'a [u8],
}

/// Why bytes of the ring are no record.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum RecordError {
    /// Shorter than its kind needs.
    #[error("record of {len} bytes where {needed} are needed")]
    Short {
        /// Its length in bytes.
        len: usize,
        /// The least that would do.
        needed: usize,
    },
    /// Of an unknown kind.
    #[error("record of unknown kind {kind}")]
    Unknown {
        /// The kind.
        kind: u8,
    },
}

/// Decodes one record.
///
/// # Errors
/// When the bytes are too short or of an unknown kind; the next record is not affected.
pub fn decode(bytes: &[u8]) -> Result<Record<'_>, RecordError> {
    let mut cursor = Cursor {
        rest: bytes,
        len: bytes.len(),
    };
    let header = cursor.header()?;
    let len = header.len as usize;
    match header.kind {
        layout::DATA => Ok(Record::Data(header, cursor.take(len)?)),
        layout::OBJECT => Ok(Record::Object(header, cursor.object()?)),
        layout::END => Ok(Record::End(header)),
        layout::BIND => Ok(Record::Bind(header, cursor.bind()?)),
        layout::MAPPED => Ok(Record::Mapped(header)),
        layout::FORK => Ok(Record::Fork(header, cursor.birth()?)),
        layout::EXEC => {
            let exec = cursor.exec()?;
            let path = cursor.take(exec.path_len as usize)?;
            let arguments = cursor.take(exec.args_len as usize)?;
            Ok(Record::Exec(header, exec, Strings { path, arguments }))
        }
        layout::EXIT => Ok(Record::Exit(header)),
        layout::CGROUP => {
            cursor.exec()?;
            let path = cursor.take(len)?;
            let path = path.strip_suffix(b"\0").unwrap_or(path);
            Ok(Record::Cgroup(header, path))
        }
        layout::DEED => {
            let deed = cursor.deed()?;
            let path = cursor.take(deed.path_len as usize)?;
            let arguments = cursor.take(deed.given_len as usize)?;
            Ok(Record::Deed(header, deed, Strings { path, arguments }))
        }
        layout::SERVING => Ok(Record::Serving(header)),
        kind => Err(RecordError::Unknown { kind }),
    }
}

impl Strings<'_> {
    /// The path from the root of the process's mount namespace; `None` when there is none.
    pub fn path(&self) -> Option<String> {
        let names = self
            .path
            .split(|&byte| byte == 0)
            .filter(|name| !name.is_empty());
        let mut path = String::new();
        for name in names.rev() {
            path.push('/');
            path.push_str(&String::from_utf8_lossy(name));
        }
        (!path.is_empty()).then_some(path)
    }

    /// The name as a call gave it, made a path from the root: without `.`, `..` and doubled slashes, as text. `None` where
    /// there is neither a name nor a path.
    pub fn named(&self) -> Option<String> {
        let given = self.arguments.split(|&byte| byte == 0).next();
        let given = String::from_utf8_lossy(given.unwrap_or_default());
        let base = self.path().unwrap_or_default();
        if given.is_empty() {
            return (!base.is_empty()).then_some(base);
        }
        let begin = if given.starts_with('/') { "" } else { &base };
        let mut names: Vec<&str> = Vec::new();
        for name in begin.split('/').chain(given.split('/')) {
            match name {
                "" | "." => {}
                ".." => drop(names.pop()),
                name => names.push(name),
            }
        }
        Some(format!("/{}", names.join("/")))
    }

    /// The arguments, the program's own name first.
    pub fn arguments(&self) -> Vec<String> {
        let text = self.arguments.strip_suffix(b"\0").unwrap_or(self.arguments);
        if text.is_empty() {
            return Vec::new();
        }
        text.split(|&byte| byte == 0)
            .map(|part| String::from_utf8_lossy(part).into_owned())
            .collect()
    }
}

/// Reads fields one after the other, in the machine's byte order.
struct Cursor<'a> {
    rest: &'a [u8],
    len: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], RecordError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(RecordError::Short {
            len: self.len,
            needed: (self.len - self.rest.len()).saturating_add(len),
        })?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u8(&mut self) -> Result<u8, RecordError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, RecordError> {
        self.array().map(u16::from_ne_bytes)
    }

    fn u32(&mut self) -> Result<u32, RecordError> {
        self.array().map(u32::from_ne_bytes)
    }

    fn u64(&mut self) -> Result<u64, RecordError> {
        self.array().map(u64::from_ne_bytes)
    }

    fn header(&mut self) -> Result<Header, RecordError> {
        Ok(Header {
            kind: self.u8()?,
            end: self.u8()?,
            object: self.u8()?,
            flags: self.u8()?,
            len: self.u32()?,
            time: self.u64()?,
            start: self.u64()?,
            tgid: self.u32()?,
            tid: self.u32()?,
            stream: self.u64()?,
            generation: self.u64()?,
            pos: self.u64()?,
            span: self.u32()?,
            epoch: self.u32()?,
            lost: self.u64()?,
        })
    }

    fn object(&mut self) -> Result<Object, RecordError> {
        Ok(Object {
            twin: self.u64()?,
            inode: self.u64()?,
            source: self.array()?,
            destination: self.array()?,
            source_port: self.u16()?,
            destination_port: self.u16()?,
            ip: self.u8()?,
            master: self.u8()?,
            binding: self.u8()?,
            named: self.u8()?,
            netns: self.u32()?,
            twin_inode: self.u32()?,
        })
    }

    fn bind(&mut self) -> Result<Bind, RecordError> {
        Ok(Bind {
            stream: self.u64()?,
            generation: self.u64()?,
        })
    }

    fn birth(&mut self) -> Result<Birth, RecordError> {
        Ok(Birth {
            start: self.u64()?,
            tgid: self.u32()?,
            pad: self.u32()?,
        })
    }

    fn deed(&mut self) -> Result<Deed, RecordError> {
        Ok(Deed {
            address: self.array()?,
            inode: self.u64()?,
            flags: self.u64()?,
            port: self.u16()?,
            ip: self.u8()?,
            protocol: self.u8()?,
            file_mode: self.u32()?,
            inode_mode: self.u16()?,
            is_whole: self.u16()?,
            error: self.array().map(i32::from_ne_bytes)?,
            path_len: self.u32()?,
            given_len: self.u32()?,
            pad: self.u64()?,
        })
    }

    fn exec(&mut self) -> Result<Exec, RecordError> {
        Ok(Exec {
            inode: self.u64()?,
            size: self.u64()?,
            ctime: self.u64()?,
            cgroup: self.u64()?,
            parent_start: self.u64()?,
            parent: self.u32()?,
            device: self.u32()?,
            uid: self.u32()?,
            gid: self.u32()?,
            path_len: self.u32()?,
            args_len: self.u32()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: u8, len: u32) -> Vec<u8> {
        let mut bytes = vec![kind, 1, 2, 3];
        bytes.extend(len.to_ne_bytes());
        bytes.resize(size_of::<Header>(), 0);
        bytes
    }

    #[test]
    fn a_data_record_gives_its_payload_without_what_follows() {
        let mut bytes = header(layout::DATA, 3);
        bytes.extend(b"abcdef");
        let Ok(Record::Data(header, payload)) = decode(&bytes) else {
            panic!()
        };
        assert_eq!((header.end, header.object, header.flags), (1, 2, 3));
        assert_eq!(payload, b"abc");
    }

    #[test]
    fn an_exec_gives_its_path_from_the_root() {
        let mut bytes = header(layout::EXEC, 0);
        bytes.extend([0; 56]);
        bytes.extend(b"python\0bin\0usr\0".len().to_ne_bytes()[..4].iter());
        bytes.extend(b"python\0-c\0\0".len().to_ne_bytes()[..4].iter());
        bytes.extend(b"python\0bin\0usr\0python\0-c\0\0");
        let Ok(Record::Exec(_, _, strings)) = decode(&bytes) else {
            panic!()
        };
        assert_eq!(strings.path().as_deref(), Some("/usr/bin/python"));
        assert_eq!(strings.arguments(), ["python", "-c", ""]);
    }

    #[test]
    fn a_deed_gives_the_path_that_its_name_leads_to() {
        let named = |path: &[u8], given: &[u8]| {
            let mut bytes = header(layout::DEED, 0);
            bytes.extend([0; 48]);
            bytes.extend((path.len() as u32).to_ne_bytes());
            bytes.extend((given.len() as u32).to_ne_bytes());
            bytes.extend([0; 8]);
            bytes.extend(path);
            bytes.extend(given);
            let Ok(Record::Deed(_, _, strings)) = decode(&bytes) else {
                panic!()
            };
            strings.named()
        };
        assert_eq!(named(b"b\0a\0", b"").as_deref(), Some("/a/b"));
        assert_eq!(named(b"b\0a\0", b"../c/./d\0").as_deref(), Some("/a/c/d"));
        assert_eq!(named(b"b\0a\0", b"/x\0").as_deref(), Some("/x"));
        assert_eq!(named(b"", b"../../x\0").as_deref(), Some("/x"));
        assert_eq!(named(b"", b"\0"), None);
    }

    #[test]
    fn short_and_unknown_records_are_errors() {
        for kind in 0..=255 {
            let bytes = header(kind, 100);
            for len in 0..bytes.len() {
                assert!(matches!(
                    decode(&bytes[..len]),
                    Err(RecordError::Short { .. })
                ));
            }
        }
        assert_eq!(
            decode(&header(99, 0)),
            Err(RecordError::Unknown { kind: 99 })
        );
        assert_eq!(
            decode(&header(layout::DATA, u32::MAX)),
            Err(RecordError::Short {
                len: 72,
                needed: 72 + u32::MAX as usize
            })
        );
    }
}
