//! What the name of an argument, and the form of its value, hint at. Tables and forms only: proves nothing.

use crate::{resource::Kind, rules::What};

use super::RESOURCES;

/// What an argument is by its name.
pub(super) fn by_name(name: &str) -> Option<What> {
    Some(match name {
        "sql" | "query" | "statement" | "sqlquery" | "statements" | "queries" => What::Sql(None),
        "path" | "paths" | "file" | "files" | "filepath" | "filepaths" | "filename" | "source"
        | "destination" | "src" | "dst" | "target" | "inputfile" | "outputfile" | "inputpath"
        | "outputpath" | "localpath" | "absolutepath" | "relativepath" | "oldpath" | "newpath" => {
            What::Kind(Kind::File)
        }
        "directory" | "dir" | "folder" | "cwd" | "workdir" | "workingdirectory" | "root"
        | "rootpath" => What::Kind(Kind::Directory),
        "repopath" | "repository" | "repo" | "repourl" | "reponame" => What::Kind(Kind::Repository),
        "url" | "urls" | "uri" | "endpoint" | "link" | "href" => What::Kind(Kind::Url),
        "to" | "cc" | "bcc" | "recipient" | "recipients" | "email" | "emails" | "mailto"
        | "emailaddress" => What::Kind(Kind::Mailbox),
        "bucket" | "bucketname" => What::Kind(Kind::Bucket),
        "queue" | "queueurl" | "queuename" | "topic" | "topicname" => What::Kind(Kind::Queue),
        "table" | "tablename" | "tables" | "collection" | "collectionname" | "index"
        | "indexname" => What::Kind(Kind::Table),
        "database" | "databasename" | "dbname" | "dbpath" => What::Kind(Kind::Database),
        _ => return None,
    })
}

pub(super) fn looks_like_path(text: &str) -> bool {
    let begins = ["/", "./", "../", "~/"]
        .iter()
        .any(|begin| text.starts_with(begin));
    let has_extension = || {
        let end = text.rsplit('/').next().unwrap_or_default();
        end.rsplit_once('.').is_some_and(|(stem, extension)| {
            !stem.is_empty()
                && (1..=8).contains(&extension.len())
                && extension.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
    };
    !text.contains(['\n', '\r'])
        && (begins || (!text.contains(' ') && (text.contains('/') || has_extension())))
}

/// The addresses in a text that is a list of them.
pub(super) fn mailboxes(text: &str) -> Vec<String> {
    let addresses = text.split([',', ';']).filter_map(|one| {
        let address = match one.rsplit_once('<') {
            Some((_, behind)) => behind.split('>').next()?,
            None => one,
        };
        let address = address.trim();
        let (local, domain) = address.rsplit_once('@')?;
        let is_plain = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
        let is_address = !local.is_empty()
            && local.chars().all(is_plain)
            && domain.contains('.')
            && domain
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '-' | '.'))
            && address.len() <= 254;
        is_address.then(|| address.to_ascii_lowercase())
    });
    addresses.take(RESOURCES).collect()
}
