//! An object store that speaks S3: OCSF as Parquet, laid out as Amazon Security Lake asks for, a file a class and day.
//!
//! Files are made hour by hour, earlier when they get long. Until a file is there, its events count as not delivered: after a
//! restart they are read again. Bounds: [`HELD`] bytes of files that are being made.

mod connector;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use auditor_parquet::Table;
use object_store::{
    ClientOptions, ObjectStoreExt as _, PutPayload, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    path::Path,
};
use serde::Deserialize;

use self::connector::Connector;
use super::{Failure, Sink, Taken};
use crate::{Origin, event::Event, http::chain, settings::Secret, tls::Tls};

/// `[sinks.s3]`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct S3 {
    pub(crate) bucket: String,
    /// Of the bucket; also in the paths of files.
    pub(crate) region: String,
    /// The AWS account whose events these are; in the paths of files.
    pub(crate) account_id: String,
    /// The beginning of all paths.
    #[serde(default = "prefix")]
    pub(crate) prefix: String,
    /// The custom source; each class is a source of its own, with its name behind this.
    #[serde(default = "source")]
    pub(crate) source: String,
    /// A store that is not Amazon's.
    pub(crate) endpoint: Option<String>,
    /// Longest time that events wait for their file, in seconds: files end when the clock shows a multiple of it.
    #[serde(default = "every_seconds")]
    pub(crate) every_seconds: u64,
    /// Keys, where they are not from the environment, a web identity or the metadata service.
    pub(crate) access_key_id: Option<String>,
    /// The file with the secret key.
    pub(crate) secret_access_key_file: Option<Secret>,
}

fn prefix() -> String {
    "ext".to_owned()
}

fn source() -> String {
    "mcp-auditor".to_owned()
}

fn every_seconds() -> u64 {
    3_600
}

impl S3 {
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.every_seconds == 0 {
            return Err("every_seconds must be at least 1".to_owned());
        }
        if self.access_key_id.is_some() != self.secret_access_key_file.is_some() {
            return Err("access_key_id and secret_access_key_file belong together".to_owned());
        }
        if let Some(endpoint) = &self.endpoint {
            crate::http::checked(endpoint)?;
        }
        Ok(())
    }
}

/// Bytes of files that are being made; when they are more, the files end.
const HELD: usize = 12 << 20;
/// Rows of a file; about 100 MB of events.
const ROWS: u64 = 100_000;
/// Tries of one request, and how long they take together.
const TRIES: (usize, Duration) = (2, Duration::from_secs(60));

/// A file that is made.
struct File {
    table: Table,
    first: u64,
    last: u64,
}

/// A class and a day, which a file is of: `YYYYMMDD`.
type Of = (u32, String);

/// Makes files and puts them into a bucket.
pub(crate) struct Uploader {
    settings: S3,
    tls: Tls,
    origin: Arc<Origin>,
    store: Option<AmazonS3>,
    making: BTreeMap<Of, File>,
    /// Files that are made and not there yet, by their paths.
    made: Vec<(Path, PutPayload)>,
    /// The index behind the last event that was taken.
    taken: Option<u64>,
    durable: Option<u64>,
    /// When the files end that are made.
    due: Option<Instant>,
}

impl Uploader {
    pub(crate) fn new(settings: &S3, tls: &Tls, origin: Arc<Origin>) -> Self {
        Self {
            settings: settings.clone(),
            tls: tls.clone(),
            origin,
            store: None,
            making: BTreeMap::new(),
            made: Vec::new(),
            taken: None,
            durable: None,
            due: None,
        }
    }

    fn connect(&self) -> Result<AmazonS3, String> {
        let settings = &self.settings;
        let (max_retries, retry_timeout) = TRIES;
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(&settings.bucket)
            .with_region(&settings.region)
            .with_http_connector(Connector::new(&self.tls)?)
            .with_client_options(ClientOptions::new().with_allow_http(true))
            .with_retry(RetryConfig {
                max_retries,
                retry_timeout,
                ..RetryConfig::default()
            });
        if let Some(endpoint) = &settings.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let (Some(id), Some(secret)) =
            (&settings.access_key_id, &settings.secret_access_key_file)
        {
            builder = builder
                .with_access_key_id(id)
                .with_secret_access_key(secret.read()?);
        }
        builder.build().map_err(|error| chain(&error))
    }

    fn add(&mut self, event: &Event) -> Result<(), String> {
        // A checkpoint has no index; its file is named by the events that it comes after.
        let index = event.index.or(self.taken).unwrap_or_default();
        let of = (event.head.class, day(event.head.time_ms));
        let told = |error: auditor_parquet::Error| error.to_string();
        let file = match self.making.entry(of) {
            std::collections::btree_map::Entry::Occupied(one) => one.into_mut(),
            std::collections::btree_map::Entry::Vacant(one) => one.insert(File {
                table: Table::new().map_err(told)?,
                first: index,
                last: index,
            }),
        };
        file.last = index;
        file.table.push(event.index, &event.bytes).map_err(told)
    }

    /// Ends all files that are made.
    fn end(&mut self) -> Result<(), String> {
        for ((class, day), file) in std::mem::take(&mut self.making) {
            let path = path(
                &self.settings,
                &self.origin,
                class,
                &day,
                (file.first, file.last),
            );
            let bytes = file.table.finish().map_err(|error| error.to_string())?;
            self.made.push((path, PutPayload::from(bytes)));
        }
        self.due = None;
        Ok(())
    }

    /// Puts what is made into the bucket.
    async fn put(&mut self) -> Result<(), Failure> {
        if self.store.is_none() {
            self.store = Some(self.connect().map_err(Failure::again)?);
        }
        let Some(store) = &self.store else {
            return Err(Failure::again("there is no store"));
        };
        while let Some((path, bytes)) = self.made.last() {
            if let Err(error) = store.put(path, bytes.clone()).await {
                return Err(Failure::again(format!(
                    "cannot put {path}: {}",
                    chain(&error)
                )));
            }
            self.made.pop();
        }
        self.durable = self.taken;
        Ok(())
    }

    fn is_full(&self) -> bool {
        let bytes: usize = self.making.values().map(|file| file.table.bytes()).sum();
        bytes > HELD || self.making.values().any(|file| file.table.rows() >= ROWS)
    }
}

/// Where a file goes.
fn path(s3: &S3, origin: &Origin, class: u32, day: &str, (first, last): (u64, u64)) -> Path {
    let class = match class {
        2_004 => "detection-finding".to_owned(),
        2_006 => "data-security-finding".to_owned(),
        6_002 => "application-lifecycle".to_owned(),
        6_003 => "api-activity".to_owned(),
        other => other.to_string(),
    };
    let (prefix, source, region) = (&s3.prefix, &s3.source, &s3.region);
    let account = &s3.account_id;
    // Of a range of one log: sent again it is the same file.
    let name = format!("{}-{first:012}-{last:012}.parquet", origin.node);
    Path::from(format!(
        "{prefix}/{source}-{class}/region={region}/accountId={account}/eventDay={day}/{name}"
    ))
}

fn day(time_ms: u64) -> String {
    let time = UNIX_EPOCH + Duration::from_millis(time_ms);
    let text = humantime::format_rfc3339_seconds(time).to_string();
    text.chars().take(10).filter(char::is_ascii_digit).collect()
}

/// How long it is until the clock shows a multiple of so many seconds.
fn until_multiple(now: SystemTime, seconds: u64) -> Duration {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_secs(seconds - since.as_secs() % seconds)
}

impl Sink for Uploader {
    async fn deliver(&mut self, events: &[Event]) -> Result<Taken, Failure> {
        for event in events {
            self.add(event).map_err(Failure::again)?;
            self.taken = event.index.map(|index| index + 1).or(self.taken);
        }
        let every = self.settings.every_seconds;
        self.due
            .get_or_insert_with(|| Instant::now() + until_multiple(SystemTime::now(), every));
        if self.is_full() {
            self.end().map_err(Failure::again)?;
            self.put().await?;
        }
        Ok(Taken::Held)
    }

    fn durable(&mut self, _: Instant) -> Option<u64> {
        self.durable
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    async fn handle_timeout(&mut self) -> Result<(), Failure> {
        if self.due.is_some_and(|due| due <= Instant::now()) {
            self.end().map_err(Failure::again)?;
            self.put().await?;
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.store = None;
        self.making.clear();
        self.made.clear();
        (self.taken, self.durable, self.due) = (None, None, None);
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(180)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_where_a_security_lake_looks_for_them() {
        let text = "bucket = 'lake'\nregion = 'eu-central-1'\naccount_id = '123456789012'";
        let s3: S3 = toml::from_str(text).unwrap();
        let path = path(
            &s3,
            &Origin::testing(),
            6_003,
            &day(1_700_000_000_000),
            (5, 9),
        );
        assert_eq!(
            path.as_ref(),
            "ext/mcp-auditor-api-activity/region=eu-central-1/accountId=123456789012/eventDay=20231114/\
             node-000000000005-000000000009.parquet"
        );
        let now = UNIX_EPOCH + Duration::from_secs(7_300);
        assert_eq!(until_multiple(now, 3_600), Duration::from_secs(3_500));
    }
}
