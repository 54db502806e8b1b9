//! rsyslog and syslog-ng over TLS.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result};

use super::{Receiver, World, lines};
use crate::{process::free_port, programs::syslog};

impl World {
    /// rsyslog, which asks for a certificate; none where it is not unpacked.
    pub(crate) fn rsyslog(&self, name: &'static str, format: &str) -> Option<Receiver> {
        let root = syslog().ok()?;
        let port = free_port().ok()?;
        let folder = self.folder.join(name);
        let out = folder.join("messages");
        let (ca, certificate, key) = (
            self.certificate("ca.pem"),
            self.certificate("server.pem"),
            self.certificate("server.key"),
        );
        let text = format!(
            r#"global(workDirectory="{}" maxMessageSize="128k" defaultNetstreamDriver="ossl"
       defaultNetstreamDriverCAFile="{ca}" defaultNetstreamDriverCertFile="{certificate}"
       defaultNetstreamDriverKeyFile="{key}")
module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="x509/certvalid")
template(name="message" type="string" string="%timegenerated:::date-rfc3339,date-utc% %syslogfacility% %app-name% %msg%\n")
input(type="imtcp" address="127.0.0.1" port="{port}" ruleset="audit")
ruleset(name="audit") {{ action(type="omfile" file="{}" template="message") }}
"#,
            folder.display(),
            out.display()
        );
        let libraries = root.join("usr/lib/x86_64-linux-gnu");
        let start = move || -> Result<Command> {
            fs::create_dir_all(&folder)?;
            fs::write(folder.join("conf"), &text)?;
            let mut command = Command::new(root.join("usr/sbin/rsyslogd"));
            command.env("LD_LIBRARY_PATH", &libraries).arg("-n");
            command.arg("-f").arg(folder.join("conf"));
            command.arg("-i").arg(folder.join("pid"));
            command.arg("-M").arg(libraries.join("rsyslog"));
            Ok(command)
        };
        let tls = self.tls();
        Some(Receiver {
            name,
            sink: format!(
                "syslog = {{ address = \"localhost:{port}\", format = \"{format}\" }}\n{tls}"
            ),
            port: Some(port),
            command: Some(Box::new(start)),
            prepare: Box::new(|| Ok(())),
            read: Box::new(move || {
                lines(&out)?
                    .iter()
                    .map(|line| message(line).map(|(_, event)| event.to_owned()))
                    .collect()
            }),
            running: None,
        })
    }

    /// syslog-ng, to which events are sent in the Common Event Format; none where it is not unpacked.
    pub(crate) fn syslog_ng(&self) -> Option<Receiver> {
        let root = syslog().ok()?;
        let port = free_port().ok()?;
        let folder = self.folder.join("syslog-ng");
        let out = folder.join("messages");
        let text = format!(
            r#"@version: 3.38
options {{ log-msg-size(131072); time-reopen(1); }};
source audit {{ syslog(ip("127.0.0.1") port({port}) transport("tls")
  tls(key-file("{}") cert-file("{}") ca-file("{}") peer-verify(required-trusted))); }};
destination file {{ file("{}" template("$PROGRAM $MSG\n")); }};
log {{ source(audit); destination(file); }};
"#,
            self.certificate("server.key"),
            self.certificate("server.pem"),
            self.certificate("ca.pem"),
            out.display()
        );
        let start = move || -> Result<Command> {
            fs::create_dir_all(&folder)?;
            fs::write(folder.join("conf"), &text)?;
            let own = root.join("usr/lib/syslog-ng");
            let mut command = Command::new(root.join("usr/sbin/syslog-ng"));
            let path = [
                "usr/lib/x86_64-linux-gnu",
                "lib/x86_64-linux-gnu",
                "usr/lib/syslog-ng",
            ];
            let path = path.map(|folder| root.join(folder).display().to_string());
            command.env("LD_LIBRARY_PATH", path.join(":"));
            command.args(["--foreground", "--no-caps", "--cfgfile"]);
            command.arg(folder.join("conf"));
            for (option, name) in [
                ("--persist-file", "persist"),
                ("--pidfile", "pid"),
                ("--control", "control"),
            ] {
                command.arg(option).arg(folder.join(name));
            }
            command.arg("--module-path").arg(own.join("3.38"));
            Ok(command)
        };
        let tls = self.tls();
        Some(Receiver {
            name: "syslog-ng",
            sink: format!("syslog = {{ address = \"127.0.0.1:{port}\", format = \"cef\" }}\n{tls}"),
            port: Some(port),
            command: Some(Box::new(start)),
            prepare: Box::new(|| Ok(())),
            read: Box::new(move || cef(&out)),
            running: None,
        })
    }
}

/// When rsyslog got a message, and the event in it.
pub(crate) fn message(line: &str) -> Result<(&str, &str)> {
    let (head, event) = line
        .split_once(" 13 mcp-auditor ")
        .with_context(|| format!("no message of the auditor's: {line}"))?;
    Ok((head, event.trim_start()))
}

/// Lines of CEF, as events of which no more is known than what CEF says: the uid, the stage and the class.
fn cef(path: &Path) -> Result<Vec<String>> {
    let field = |line: &str, key: &str| {
        let (_, rest) = line.split_once(&format!(" {key}="))?;
        let value = rest.split(' ').next()?;
        Some(value.replace("\\=", "=").replace("\\\\", "\\"))
    };
    let read = |line: &String| {
        let told = || format!("no CEF: {line}");
        ensure_cef(line).with_context(told)?;
        // The rest of a line begins where its header ends.
        let (_, extension) = line.rsplit_once("|rt=").with_context(told)?;
        let extension = format!(" rt={extension}");
        let uid = field(&extension, "externalId").with_context(told)?;
        let stage = if uid.ends_with(":open") {
            "open"
        } else {
            "final"
        };
        let is_lifecycle = extension.contains(" cat=Application Lifecycle");
        let class = if is_lifecycle { 6002 } else { 6003 };
        let uid = uid.trim_end_matches(":open");
        let event = serde_json::json!({
            "metadata": {"uid": uid}, "class_uid": class, "unmapped": {"mcp": {"stage": stage}},
        });
        Ok(event.to_string())
    };
    lines(path)?.iter().map(read).collect()
}

fn ensure_cef(line: &str) -> Option<()> {
    let rest = line.strip_prefix("mcp-auditor CEF:0|mcp-auditor|mcp-auditor|")?;
    // Version, signature, name, severity.
    (rest.split('|').count() >= 5).then_some(())
}
