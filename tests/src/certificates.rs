//! The certificates of a run: one authority, and one certificate for servers on this host.
//!
//! Made by the `openssl` command. Clients are told to trust the authority as a user would tell
//! them: by environment variables that their TLS libraries read.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

/// What a server's certificate must say to be taken by the strictest of the clients.
const SERVER: &str = "subjectAltName = IP:127.0.0.1, DNS:localhost
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
";

/// A folder with `ca.pem`, `server.pem` and `server.key`.
pub(crate) struct Certificates(PathBuf);

impl Certificates {
    /// Makes them in `folder`, which is made anew.
    pub(crate) fn make(folder: &Path) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        fs::write(folder.join("server.ext"), SERVER)?;
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        let authority = "-addext keyUsage=critical,keyCertSign";
        for line in [
            format!(
                "req -x509 -days 2 {key} {authority} -subj /CN=authority -keyout ca.key -out ca.pem"
            ),
            format!("req {key} -subj /CN=localhost -keyout server.key -out server.csr"),
            "x509 -req -days 2 -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial \
             -extfile server.ext -out server.pem"
                .to_owned(),
        ] {
            run(Command::new("openssl")
                .args(line.split_whitespace())
                .current_dir(folder))?;
        }
        Ok(Self(folder.to_owned()))
    }

    /// The folder, for servers.
    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    /// The authority's certificate.
    pub(crate) fn authority(&self) -> PathBuf {
        self.0.join("ca.pem")
    }

    /// Has a client trust the authority: Python, Go and rustls; Node and Bun; Deno.
    pub(crate) fn trusted_by(&self, client: &mut Command) {
        client
            .env("SSL_CERT_FILE", self.authority())
            .env("NODE_EXTRA_CA_CERTS", self.authority())
            .env("DENO_CERT", self.authority());
    }

    /// Has a Java client trust the authority, whose store is made at `store`.
    pub(crate) fn trusted_by_java(&self, client: &mut Command, store: &Path) -> Result<()> {
        let password = "changeit";
        let words = "-importcert -noprompt -alias authority -storetype PKCS12";
        run(Command::new("keytool")
            .args(words.split_whitespace())
            .args(["-storepass", password, "-file"])
            .arg(self.authority())
            .arg("-keystore")
            .arg(store))?;
        let store = store.display();
        let options = format!(
            "-Djavax.net.ssl.trustStore={store} -Djavax.net.ssl.trustStorePassword={password}"
        );
        client.env("JAVA_TOOL_OPTIONS", options);
        Ok(())
    }
}

pub(crate) fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot run {program}"))?;
    ensure!(
        output.status.success(),
        "{command:?} failed: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_vouches_for_servers_on_this_host_only() {
        let folder = std::env::temp_dir().join(format!("certificates-{}", std::process::id()));
        let made = Certificates::make(&folder).unwrap();
        let verify = |host: &str| {
            let mut command = Command::new("openssl");
            command
                .args(["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile"])
                .arg(made.authority());
            command
                .args(["-verify_ip", host])
                .arg(folder.join("server.pem"));
            command.output().unwrap().status.success()
        };
        assert!(verify("127.0.0.1"));
        assert!(!verify("127.0.0.2"));
        fs::remove_dir_all(&folder).unwrap();
    }
}
