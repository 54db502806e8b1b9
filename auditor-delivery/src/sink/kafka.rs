//! Kafka: one record an event, keyed by identity, so that what one workload does stays in one partition, in order.

use std::{collections::HashMap, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use rskafka::{
    BackoffConfig,
    client::{
        Client, ClientBuilder, Credentials, SaslConfig,
        error::{Error, ProtocolError},
        partition::{Compression, PartitionClient, UnknownTopicHandling},
    },
    record::Record,
};
use serde::Deserialize;

use super::{Failure, Sink, Taken};
use crate::{event::Event, http::chain, settings::Secret, tls::Tls};

/// `[sinks.kafka]`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kafka {
    /// Brokers that are asked first, each with its port.
    pub(crate) brokers: Vec<String>,
    pub(crate) topic: String,
    /// Connect by TLS.
    #[serde(default = "yes")]
    pub(crate) use_tls: bool,
    #[serde(default)]
    pub(crate) compression: Codec,
    pub(crate) sasl: Option<Sasl>,
}

fn yes() -> bool {
    true
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Codec {
    None,
    Gzip,
    Snappy,
    #[default]
    Zstd,
}

/// Who the auditor is to the brokers.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sasl {
    pub(crate) mechanism: Mechanism,
    pub(crate) username: String,
    /// The file with the password.
    pub(crate) password_file: Secret,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
pub(crate) enum Mechanism {
    #[serde(rename = "PLAIN")]
    Plain,
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

impl Kafka {
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.brokers.is_empty() {
            return Err("there is no broker".to_owned());
        }
        if self.topic.is_empty() {
            return Err("there is no topic".to_owned());
        }
        Ok(())
    }
}

/// The seed of Kafka's own clients: what they sent under a key is in the same partition.
const SEED: u32 = 0x9747_b28c;
/// Interactions that are open, and whose key is remembered, at most.
const OPEN: usize = 10_000;
/// How long rskafka tries by itself.
const TRIES: Duration = Duration::from_secs(10);

/// Sends records to brokers.
pub(crate) struct Producer {
    settings: Kafka,
    tls: Tls,
    partitions: Option<Vec<PartitionClient>>,
    /// Keys of interactions that were told while they were open: who asks may be known better at the end.
    open: HashMap<String, Vec<u8>>,
}

impl Producer {
    pub(crate) fn new(settings: &Kafka, tls: &Tls) -> Self {
        Self {
            settings: settings.clone(),
            tls: tls.clone(),
            partitions: None,
            open: HashMap::new(),
        }
    }

    async fn connect(&self) -> Result<Vec<PartitionClient>, String> {
        let client = self.client().await?;
        let topic = &self.settings.topic;
        let topics = client.list_topics().await;
        let topics =
            topics.map_err(|error| format!("the brokers tell of no topics: {}", chain(&error)))?;
        let found = topics.into_iter().find(|one| one.name == *topic);
        let found = found.ok_or_else(|| format!("there is no topic `{topic}`; create it"))?;
        let opened = found.partitions.iter().map(|partition| {
            client.partition_client(topic.clone(), *partition, UnknownTopicHandling::Error)
        });
        let opened = try_join_all(opened).await;
        opened.map_err(|error| format!("no partition of `{topic}`: {}", chain(&error)))
    }

    async fn client(&self) -> Result<Client, String> {
        let backoff = BackoffConfig {
            deadline: Some(TRIES),
            ..BackoffConfig::default()
        };
        let brokers = self.settings.brokers.clone();
        let mut builder = ClientBuilder::new(brokers)
            .client_id("mcp-auditor")
            .backoff_config(backoff);
        if self.settings.use_tls {
            builder = builder.tls_config(Arc::new(self.tls.client()?));
        }
        if let Some(sasl) = &self.settings.sasl {
            let credentials = Credentials::new(sasl.username.clone(), sasl.password_file.read()?);
            builder = builder.sasl_config(match sasl.mechanism {
                Mechanism::Plain => SaslConfig::Plain(credentials),
                Mechanism::ScramSha256 => SaslConfig::ScramSha256(credentials),
                Mechanism::ScramSha512 => SaslConfig::ScramSha512(credentials),
            });
        }
        let built = builder.build().await;
        built.map_err(|error| {
            let brokers = self.settings.brokers.join(", ");
            format!("no broker of {brokers} answers: {}", chain(&error))
        })
    }

    /// What an event is keyed by.
    fn key(&mut self, event: &Event) -> Vec<u8> {
        let head = &event.head;
        let key = head.identity.clone().unwrap_or_default().into_bytes();
        if !head.is_open {
            return self.open.remove(&head.uid).unwrap_or(key);
        }
        if self.open.len() >= OPEN {
            self.open.clear();
        }
        self.open.insert(head.uid.clone(), key.clone());
        key
    }
}

/// The partition of a key, as Kafka's own clients choose it.
fn partition(key: &[u8], count: usize) -> usize {
    let hash = murmur2::murmur2(key, SEED) & 0x7fff_ffff;
    hash as usize % count.max(1)
}

impl Sink for Producer {
    async fn deliver(&mut self, events: &[Event]) -> Result<Taken, Failure> {
        if self.partitions.is_none() {
            self.partitions = Some(self.connect().await.map_err(Failure::again)?);
        }
        let count = self.partitions.as_ref().map_or(0, Vec::len);
        let mut batches: Vec<Vec<Record>> = vec![Vec::new(); count];
        for event in events {
            let key = self.key(event);
            let time = i64::try_from(event.head.time_ms).unwrap_or_default();
            let record = Record {
                value: Some(event.bytes.clone()),
                headers: [("uid".to_owned(), event.key().into_bytes())].into(),
                timestamp: DateTime::<Utc>::from_timestamp_millis(time).unwrap_or_default(),
                key: Some(key.clone()),
            };
            if let Some(batch) = batches.get_mut(partition(&key, count)) {
                batch.push(record);
            }
        }
        let compression = match self.settings.compression {
            Codec::None => Compression::NoCompression,
            Codec::Gzip => Compression::Gzip,
            Codec::Snappy => Compression::Snappy,
            Codec::Zstd => Compression::Zstd,
        };
        let partitions = self.partitions.iter().flatten();
        let sent = partitions
            .zip(batches)
            .map(|(partition, batch)| partition.produce(batch, compression));
        match try_join_all(sent).await {
            Ok(_) => Ok(Taken::All),
            Err(Error::ServerError {
                protocol_error: ProtocolError::MessageTooLarge | ProtocolError::RecordListTooLarge,
                ..
            }) => Err(Failure::Rejected(
                "the broker takes no records so large".to_owned(),
            )),
            Err(error) => Err(Failure::again(chain(&error))),
        }
    }

    fn reset(&mut self) {
        self.partitions = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::tests::event;

    #[test]
    fn keys_are_in_the_partitions_of_kafkas_own_clients() {
        // Hashes of Kafka's UtilsTest.testMurmur2.
        for (key, hash) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
        ] {
            assert_eq!(murmur2::murmur2(key.as_bytes(), SEED), hash as u32, "{key}");
            assert_eq!(
                partition(key.as_bytes(), 7),
                (hash & 0x7fff_ffff) as usize % 7
            );
        }
    }

    #[test]
    fn an_interaction_stays_with_the_key_it_began_with() {
        let settings: Kafka = toml::from_str("brokers = ['b:1']\ntopic = 't'").unwrap();
        let mut producer = Producer::new(&settings, &Tls::default());
        let mut open = event(0, "r-1");
        open.head.is_open = true;
        open.head.identity = Some("cgroup".to_owned());
        let mut end = event(1, "r-1");
        end.head.identity = Some("spiffe".to_owned());
        assert_eq!(producer.key(&open), b"cgroup");
        assert_eq!(producer.key(&end), b"cgroup");
        assert_eq!(producer.key(&end), b"spiffe");
    }
}
