//! A real nginx with the few locations that tests ask for.

use crate::{Process, free_port, part};
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A running nginx: `/` answers 200 to everything, `/missing` 404, `/broken` 500, `/empty` 204, `/files/` serves
/// [`Nginx::files`] by sendfile, and `/upload` takes bodies.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
    directory: TempDir,
    port: u16,
}

impl Nginx {
    /// Starts nginx on a free port of both loopback addresses; `None` after printing why the test is skipped.
    ///
    /// # Panics
    /// It is there and does not start.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::start_listening("")
    }

    /// Starts an nginx that accepts a connection with its first request (`TCP_DEFER_ACCEPT`), as Apache does by default.
    ///
    /// # Panics
    /// As [`Nginx::start`].
    #[must_use]
    pub fn start_deferred() -> Option<Self> {
        Self::start_listening(" deferred")
    }

    fn start_listening(how: &str) -> Option<Self> {
        let port = free_port();
        let mut nginx = Self::start_in(&[], &[format!("127.0.0.1:{port}{how}"), format!("[::1]:{port}{how}")], port)?;
        nginx.process.wait_for_port(port);
        Some(nginx)
    }

    /// Starts nginx by way of another program (`ip netns exec …`), on the addresses given.
    ///
    /// # Panics
    /// As [`Nginx::start`].
    #[must_use]
    pub fn start_in(prefix: &[&str], addresses: &[String], port: u16) -> Option<Self> {
        let program = part("nginx")?;
        let directory = TempDir::new().expect("a scratch directory");
        fs::create_dir(directory.path().join("files")).expect("a new directory");
        let file = directory.path().join("nginx.conf");
        fs::write(&file, configuration(directory.path(), addresses)).expect("a writable file");
        let mut line: Vec<&str> = prefix.to_vec();
        let (program, file, root) = (program.to_string_lossy(), file.to_string_lossy(), directory.path().to_string_lossy());
        line.extend([&*program, "-c", &file, "-p", &root]);
        let mut command = Command::new(line[0]);
        let process = Process::start("nginx", command.args(&line[1..]));
        Some(Self { process, directory, port })
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// URL of a path, by IPv4.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The directory behind `/files/`.
    #[must_use]
    pub fn files(&self) -> std::path::PathBuf {
        self.directory.path().join("files")
    }

    /// Status of each request that it has answered, from its access log.
    #[must_use]
    pub fn answered(&self) -> Vec<u16> {
        let log = fs::read_to_string(self.directory.path().join("access.log")).unwrap_or_default();
        log.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Process ids of its workers.
    #[must_use]
    pub fn workers(&self) -> Vec<u32> {
        let main = self.process.pid();
        let children = fs::read_to_string(format!("/proc/{main}/task/{main}/children")).unwrap_or_default();
        children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

fn configuration(root: &Path, addresses: &[String]) -> String {
    let root = root.display();
    let listen: String = addresses.iter().map(|address| format!("listen {address};\n")).collect();
    format!(
        "daemon off; worker_processes 1; user root; error_log stderr; pid {root}/pid;
        events {{ worker_connections 1024; }}
        http {{
            log_format status '$status';
            access_log {root}/access.log status;
            client_body_temp_path {root}/body; proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/fastcgi;
            uwsgi_temp_path {root}/uwsgi; scgi_temp_path {root}/scgi;
            keepalive_requests 10000000; client_max_body_size 1g; large_client_header_buffers 8 64k; sendfile on;
            server {{
                {listen}
                location / {{ return 200 'hello\\n'; }}
                location = /missing {{ return 404; }}
                location = /broken {{ return 500; }}
                location = /empty {{ return 204; }}
                location = /upload {{ proxy_pass http://unix:{root}/sink; }}
                location /files/ {{ alias {root}/files/; }}
            }}
            server {{ listen unix:{root}/sink; location / {{ return 200 'taken\\n'; }} }}
        }}"
    )
}
