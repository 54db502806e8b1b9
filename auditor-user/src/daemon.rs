//! The daemon: one loop that takes batches of records, keeps the timers, and writes events.
//!
//! All work on what the kernel delivered happens here, on one thread; the capture thread only carries. For the
//! pipeline time passes only as far as the ring was read: what waits there is not late, however busy the host is.

mod counters;
mod learned;
mod replay;
mod write;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use auditor_core::{
    Limits, Pipeline,
    audit::{Level, Role},
    identity::{Authority, Issuers},
    key::{ProcessKey, Time},
    record::{self, Header, Record},
};
use auditor_detect::Rules;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval, sleep},
};

pub(crate) use self::replay::replay;
use crate::{
    capture::{self, Batch, Capture, Clock, Recording, since_boot},
    config::Config,
    contents::Contents,
    coverage::Coverage,
    environment::Watcher,
    host,
    identity::{ConfigFile, Identities},
    metrics::{self, Health, Metrics},
    output::Output,
    policy::Policies,
    probe::{Counts, Enrolment, KernelSide, Loaded, Request},
    rules,
    store::{self, Store},
    tls::{FileKey, Knowledge},
    workload::{Cgroups, Containers, Hasher, Lost, Pods, Programs, Spire, Table, Workflows},
};

/// How often counters are read and what is old is forgotten.
const TICK: Duration = Duration::from_secs(1);
/// Longest time between looks at the timers.
const NEVER: Duration = Duration::from_secs(3_600);

/// What to do, from configuration and flags.
pub(crate) struct Options {
    /// The configuration.
    pub(crate) config: Config,
    /// Issuers whose tokens are verified.
    pub(crate) issuers: Issuers,
    /// What interactions are decided by.
    pub(crate) policies: Policies,
    /// What events are compared with.
    pub(crate) rules: Rules,
    /// What is known of contents.
    pub(crate) contents: Contents,
    /// Authorities whose TLS certificates are trusted.
    pub(crate) authorities: Vec<Authority>,
    /// The file that the configuration is of.
    pub(crate) file: ConfigFile,
    /// How much of messages leaves.
    pub(crate) level: Level,
    /// Where to record what the kernel delivers.
    pub(crate) record: Option<PathBuf>,
    /// Where the daemon keeps its files; none in a replay.
    pub(crate) data_dir: Option<PathBuf>,
    /// When to stop by itself.
    pub(crate) duration: Option<Duration>,
}

/// How a run went, layer by layer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Summary {
    /// What the kernel side counted.
    pub(crate) kernel: Counts,
    /// Records not understood.
    pub(crate) malformed: u64,
    /// Messages framed.
    pub(crate) messages: u64,
    /// Events written.
    pub(crate) events: u64,
    /// Events that could not be written.
    pub(crate) failed: u64,
}

/// The pipeline with the world around it.
struct Daemon {
    pipeline: Pipeline,
    table: Table,
    clock: Clock,
    output: Output,
    level: Level,
    /// None in a replay.
    store: Option<Store>,
    /// The event that is written.
    json: Vec<u8>,
    recording: Option<Recording>,
    coverage: Coverage,
    /// None in a replay.
    enrolment: Option<Enrolment>,
    /// None in a replay.
    identities: Option<Identities>,
    policies: Policies,
    config_path: Option<PathBuf>,
    environment: Option<Watcher>,
    data_dir: Option<PathBuf>,
    /// All that happened before was taken: nanoseconds since boot.
    reached: u64,
    /// Whether the capture thread was asked to look, so that time can pass.
    is_asked: bool,
    malformed: u64,
    failed: u64,
    /// What the kernel side had lost and missed when it was asked last.
    lost_bytes: u64,
    refused: u64,
    missed: u64,
    /// What the table of processes had lost when that was told last.
    lost_processes: Lost,
    /// When what detection learned was kept last.
    learned_at: Option<Instant>,
    health: Health,
}

/// Audits this host until told to stop.
///
/// # Errors
/// When the host cannot be audited, or a file cannot be opened.
pub(crate) async fn run(options: Options, output: Output) -> Result<Summary> {
    let clock = Clock::read();
    let Loaded {
        mut kernel,
        ring,
        mut enroller,
        probes,
        guard,
    } = KernelSide::load(options.config.ring_bytes)
        .context("this host cannot be audited; `mcp-auditor doctor` says what is missing")?;
    for probe in probes.iter().filter(|probe| probe.obstacle.is_some()) {
        tracing::warn!(
            program = probe.program,
            obstacle = probe.obstacle,
            "not heard: {}",
            probe.purpose
        );
    }
    let mut capture = capture::start(ring).context("cannot start the capture thread")?;
    enroller.enroll_present(options.data_dir.as_deref());
    // What happens from here on waits in the ring until there is a pipeline for it.
    let heard_from = store::now_ms();
    let stacks = enroller.stacks();
    let enrolment = enroller
        .start()
        .context("cannot start the enrolment thread")?;
    let hasher = Hasher::start().context("cannot start the hashing thread")?;
    let mut table = Table::new(clock.boot, Cgroups::of_host(), Some(hasher));
    table.set_limit(options.config.processes);
    let containers = Containers::start(&options.config.containers);
    let mut containers = containers.context("cannot start the thread that learns of containers")?;
    let pods = Pods::start(&options.config.kubernetes);
    containers.set_pods(pods.context("cannot start the thread that learns of pods")?);
    table.set_containers(containers);
    if let Some(spire) = &options.config.identity.spire {
        table.set_spire(Spire::start(spire).context("cannot start the thread that asks SPIRE")?);
    }
    let programs = Programs::start().context("cannot start the thread that looks for packages")?;
    table.set_programs(programs);
    let workflows = Workflows::start().context("cannot start the thread that reads workflows")?;
    table.set_workflows(workflows);
    table.fill();
    let knowledge = Knowledge::start(stacks, clock.now().since(clock.boot));
    table.set_tls(knowledge.context("cannot start the thread that looks at processes")?);
    let recording = options
        .record
        .as_deref()
        .map(|path| Recording::create(path, clock))
        .transpose()?;
    let mut daemon = Daemon::new(&options, table, clock, output, recording);
    daemon.pipeline.set_judge(Some(Box::new(options.rules)));
    daemon.take_up_learned();
    if let Some(directory) = &options.data_dir {
        let device = host::device();
        daemon.store = Some(Store::start(
            directory,
            &options.config.ledger,
            options.config.sinks.clone(),
            &device,
            heard_from,
        )?);
        daemon.note_configuration(&options.file.text);
    }
    daemon.enrolment = Some(enrolment);
    daemon.identities = Some(Identities::start(
        &options.config,
        options.file.text.clone(),
        options.data_dir.clone(),
        &mut daemon.pipeline,
    )?);
    let watcher = Watcher::start(&options.config.environment, guard);
    daemon.environment =
        Some(watcher.context("cannot start the thread that looks at the environment")?);
    daemon.take_environment();
    daemon.record_processes()?;
    let (counters, registry) = Metrics::registered();
    if let Some(address) = options.config.metrics {
        metrics::serve(address, registry, daemon.health.clone()).await?;
    }
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stop = sleep(options.duration.unwrap_or(Duration::MAX));
    tokio::pin!(stop);
    daemon.health.set_ready();
    eprintln!("ready");
    // Outside systemd nobody listens: that is no fault.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    loop {
        let due = daemon.next_timeout();
        tokio::select! {
            biased;
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = &mut stop => break,
            _ = hangup.recv() => daemon.reload(),
            batch = capture.batches.recv() => match batch {
                Some(batch) => daemon.handle_batch(&batch, &mut kernel),
                None => anyhow::bail!("the capture thread is gone"),
            },
            () = sleep(due) => {
                capture.ask();
                daemon.is_asked = true;
            }
            _ = tick.tick() => daemon.handle_tick(&mut kernel, &counters),
        }
    }
    let heard_until = store::now_ms();
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    drain(&mut daemon, &mut capture, &mut kernel).await;
    let now = daemon.clock.now();
    let counts = kernel.counts().unwrap_or_default();
    daemon.take_losses(&kernel, counts, now);
    let enrolment = daemon.enrolment.take();
    let summary = daemon.finish(counts, now, heard_until)?;
    if let Some(enrolment) = enrolment {
        enrolment.stop();
    }
    Ok(summary)
}

/// Takes what happened before it was told to stop.
async fn drain(daemon: &mut Daemon, capture: &mut Capture, kernel: &mut KernelSide) {
    let stop = since_boot();
    let limit = sleep(Duration::from_secs(5));
    tokio::pin!(limit);
    while daemon.reached < stop {
        capture.ask();
        tokio::select! {
            biased;
            () = &mut limit => return tracing::warn!("stopped before everything was taken from the ring"),
            batch = capture.batches.recv() => match batch {
                Some(batch) => daemon.handle_batch(&batch, kernel),
                None => return,
            },
        }
    }
}

impl Daemon {
    fn new(
        options: &Options,
        table: Table,
        clock: Clock,
        output: Output,
        recording: Option<Recording>,
    ) -> Self {
        let mut limits = Limits::default();
        limits.wire.message = options.config.message_limit;
        limits.wire.channel = limits
            .wire
            .channel
            .max(options.config.message_limit.saturating_mul(2));
        let hints = options.config.mcp.hints();
        let settings = host::settings(options.level);
        let mut pipeline = Pipeline::new(limits, settings, hints);
        let gateways = options.config.identity.gateways();
        let authorities = options.authorities.clone();
        pipeline.set_identities(options.issuers.clone(), authorities, gateways);
        options.contents.apply(&mut pipeline);
        pipeline.set_policy(options.policies.policy());
        Self {
            pipeline,
            table,
            clock,
            output,
            level: options.level,
            store: None,
            json: Vec::new(),
            recording,
            coverage: Coverage::default(),
            enrolment: None,
            identities: None,
            policies: options.policies.clone(),
            config_path: options.file.path.clone(),
            environment: None,
            data_dir: options.data_dir.clone(),
            reached: 0,
            is_asked: false,
            malformed: 0,
            failed: 0,
            lost_bytes: 0,
            refused: 0,
            missed: 0,
            lost_processes: Lost::default(),
            learned_at: None,
            health: Health::default(),
        }
    }

    fn handle_batch(&mut self, batch: &Batch, kernel: &mut KernelSide) {
        for bytes in batch.records() {
            self.handle_record(bytes);
        }
        if let Some(recording) = &mut self.recording
            && let Err(error) = recording.write(batch)
        {
            tracing::error!(%error, "recording stopped");
            self.recording = None;
        }
        while let Some(revocation) = self.pipeline.poll_revocation() {
            if let Err(error) = kernel.revoke(revocation.stream, revocation.epoch) {
                tracing::debug!(%error, "a stream that is not MCP goes on being copied");
            }
        }
        self.tell_roles(kernel);
        if let Some(until) = batch.until {
            self.reached = self.reached.max(until);
            self.is_asked = false;
        }
        self.handle_timeout();
    }

    /// Tells the kernel side whose deeds are wanted: those of servers, and of what they started before that was known.
    fn tell_roles(&mut self, kernel: &mut KernelSide) {
        while let Some((process, role)) = self.pipeline.poll_role() {
            let mut all = vec![process];
            if role == Role::Server {
                all.extend(self.table.descendants(process));
            }
            for one in all {
                if let Err(error) = kernel.set_role(one, role) {
                    tracing::warn!(%error, pid = one.pid, "what this process does is not told");
                }
            }
        }
    }

    /// Takes one record.
    fn handle_record(&mut self, bytes: &[u8]) {
        let record = match record::decode(bytes) {
            Ok(record) => record,
            Err(error) => {
                self.malformed += 1;
                tracing::debug!(%error, "record not understood");
                return;
            }
        };
        // While the ring is fuller than a batch, its records alone tell how far time has come.
        self.reached = self.reached.max(record.time());
        let time = self.clock.time(record.time());
        match &record {
            Record::Data(header, _)
            | Record::Object(header, _)
            | Record::End(header)
            | Record::Deed(header, ..)
            | Record::Serving(header) => self.table.ensure(header),
            Record::Bind(..) => {}
            Record::Mapped(header) => self.enroll(
                Request::Mapping {
                    pid: header.tgid,
                    address: header.pos,
                    file: FileKey {
                        inode: header.stream,
                        device: header.generation,
                    },
                },
                header,
            ),
            Record::Fork(header, birth) => self.table.handle_fork(header, birth),
            Record::Exec(header, exec, strings) => {
                self.table.handle_exec(header, exec, strings);
                self.enroll(
                    Request::Program {
                        pid: header.tgid,
                        file: FileKey {
                            inode: exec.inode,
                            device: exec.device.into(),
                        },
                        path: strings.path(),
                    },
                    header,
                );
            }
            Record::Exit(header) => self.table.handle_exit(header, time),
            Record::Cgroup(header, path) => self.table.handle_cgroup(header, path),
        }
        self.pipeline.handle_record(&record, time, &self.table);
    }

    /// Has a file searched for TLS stacks.
    fn enroll(&mut self, request: Request, header: &Header) {
        let (Request::Program { file, .. } | Request::Mapping { file, .. }) = &request else {
            return;
        };
        if let Some(tls) = self.table.tls() {
            let process = ProcessKey {
                pid: header.tgid,
                start: header.start,
            };
            tls.note_first(process, *file);
        }
        if let Some(enrolment) = &self.enrolment
            && !enrolment.request(request)
        {
            tracing::warn!("too many files wait to be searched for TLS: one is left out");
        }
    }

    /// Does what is due at the time that was reached, and writes what is ready.
    fn handle_timeout(&mut self) {
        let now = self.clock.time(self.reached);
        self.table.take_answers();
        if let Some(identities) = &mut self.identities {
            identities.serve(&mut self.pipeline);
        }
        if let Some(tls) = self.table.tls() {
            while let Some(process) = self.pipeline.poll_question() {
                tls.ask(process);
            }
            tls.take_answers();
        }
        self.pipeline.handle_timeout(now, &self.table);
        self.write_events(self.clock.now());
    }

    fn handle_tick(&mut self, kernel: &mut KernelSide, counters: &Metrics) {
        self.health.note_turn();
        // The world's clock may have been set.
        let before = self.clock;
        self.clock = Clock::read();
        self.note_clock(before);
        let now = self.clock.now();
        self.pipeline.handle_idle(now);
        self.table.handle_idle(now);
        self.take_environment();
        self.save_coverage();
        let Ok(counts) = kernel.counts() else { return };
        self.take_losses(kernel, counts, now);
        self.count(counts, counters);
        self.save_learned();
        let lost = self.table.lost();
        if lost != self.lost_processes {
            self.lost_processes = lost;
            tracing::warn!(
                forgotten = lost.forgotten,
                refused = lost.refused,
                "the table of processes is full: some are forgotten early, or not taken in; `processes` sets its size"
            );
        }
    }

    /// Tells the pipeline where bytes were lost since the last call, for no later record may.
    fn take_losses(&mut self, kernel: &KernelSide, counts: Counts, now: Time) {
        let missed = counts.missed.saturating_sub(self.missed);
        self.missed = counts.missed.max(self.missed);
        if missed != 0 {
            tracing::warn!(
                missed,
                "the kernel left programs out: births, programs and ends of processes or connections may be unknown"
            );
        }
        let refused = counts.refused.saturating_sub(self.refused);
        self.refused = counts.refused.max(self.refused);
        if refused != 0 {
            self.pipeline.handle_lost_records(now);
        }
        let bytes = counts.lost_bytes.saturating_sub(self.lost_bytes);
        self.lost_bytes = counts.lost_bytes.max(self.lost_bytes);
        if bytes == 0 {
            return;
        }
        tracing::warn!(bytes, "the ring was full: bytes were lost");
        for loss in kernel.losses() {
            self.pipeline
                .handle_loss(loss.stream, loss.generation, loss.end, now);
        }
    }

    /// How long to wait before the capture thread is asked to look, for something is due then.
    fn next_timeout(&self) -> Duration {
        let now = self.clock.now();
        match self.pipeline.poll_timeout() {
            Some(due) if !self.is_asked => {
                Duration::from_nanos(due.since(now)).max(Duration::from_millis(1))
            }
            _ => NEVER,
        }
    }

    /// Reads the configuration again. What cannot be taken leaves what is in force as it is.
    fn reload(&mut self) {
        let (config, text) = match Config::read(self.config_path.as_deref()) {
            Ok(read) => read,
            Err(error) => {
                tracing::error!(
                    "the configuration cannot be read again, the one before stays in force: {error:#}"
                );
                return;
            }
        };
        if self.policies.reload(&config.policy) {
            self.pipeline.set_policy(self.policies.policy());
        }
        match rules::load(&config.detection) {
            Ok(rules) => {
                tracing::info!("{} rules are in force", rules.list().len());
                self.pipeline.set_judge(Some(Box::new(rules)));
            }
            Err(error) => {
                tracing::error!("rules cannot be read again, those before stay in force: {error:#}")
            }
        }
        Contents::reload(&config, &mut self.pipeline);
        if let Some(store) = &self.store
            && let Err(error) = store.reload(config.sinks.clone())
        {
            tracing::error!("sinks cannot be read again, those before go on: {error:#}");
        }
        self.note_configuration(&text);
        if let Some(identities) = &mut self.identities {
            identities.reload(&config, text, &mut self.pipeline);
        }
    }

    fn take_environment(&mut self) {
        if let Some(environment) = self.environment.as_ref().and_then(Watcher::take) {
            self.pipeline.set_environment(&environment);
        }
    }

    fn save_coverage(&mut self) {
        if let Some(directory) = &self.data_dir
            && let Err(error) = self
                .coverage
                .save(directory, self.table.tls().map(|tls| tls.stacks()))
        {
            tracing::warn!(%error, "cannot write coverage to {}", directory.display());
        }
    }

    fn record_processes(&mut self) -> Result<()> {
        if let Some(recording) = &mut self.recording {
            for process in self.table.processes() {
                recording.write_process(process)?;
            }
        }
        Ok(())
    }

    fn finish(mut self, kernel: Counts, now: Time, heard_until: u64) -> Result<Summary> {
        self.pipeline.handle_shutdown(now, &self.table);
        self.write_events(now);
        if let Some(store) = self.store.take() {
            let counts = store.stop(heard_until);
            if counts.lost > 0 {
                tracing::error!(events = counts.lost, "events are not in the log");
            }
        }
        self.save_coverage();
        self.learned_at = None;
        self.save_learned();
        if let Some(recording) = self.recording.take() {
            recording.finish()?;
        }
        self.output
            .flush()
            .context("cannot write the last events")?;
        Ok(Summary {
            kernel,
            malformed: self.malformed,
            messages: self.pipeline.totals().messages,
            events: self.output.written(),
            failed: self.failed,
        })
    }
}
