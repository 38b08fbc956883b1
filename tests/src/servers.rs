//! Real servers of the protocols that tests talk, each on a free port of the loopback address and with files of its own.

use crate::{Process, free_port, part, repository};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A user that owns nothing: some servers refuse to be root.
const NOBODY: u32 = 65_534;

/// An address of this machine at which nothing else answers, for a server that needs a port of its own.
pub const DNS_ADDRESS: &str = "127.0.53.53";

/// A running server; its files end with it.
#[derive(Debug)]
pub struct Server {
    process: Process,
    port: u16,
    _directory: TempDir,
}

impl Server {
    fn new(name: &str, port: u16, directory: TempDir, command: &mut Command, ready: &str) -> Self {
        let mut process = Process::start(name, command.current_dir(directory.path()));
        process.wait_for_log(ready);
        process.wait_for_port(port);
        Self { process, port, _directory: directory }
    }

    /// PostgreSQL, for the user `postgres` without a password.
    ///
    /// # Panics
    /// It is there and does not start; the same holds for all others.
    #[must_use]
    pub fn postgres() -> Option<Self> {
        Self::postgres_with(&[])
    }

    /// PostgreSQL whose own collector writes its log to a directory that it makes.
    #[must_use]
    pub fn postgres_logging_to(directory: &Path) -> Option<Self> {
        fs::create_dir(directory).expect("a new directory");
        chown(directory, Some(NOBODY), Some(NOBODY)).expect("root may give a directory away");
        fs::set_permissions(directory.parent().expect("a parent"), fs::Permissions::from_mode(0o755)).expect("a mode");
        let directory = format!("log_directory={}", directory.display());
        Self::postgres_with(&["logging_collector=on", "log_filename=postgresql.log", &directory])
    }

    fn postgres_with(settings: &[&str]) -> Option<Self> {
        let program = fs::canonicalize(part("postgres")?).expect("a program");
        let (directory, port) = (scratch(), free_port());
        chown(directory.path(), Some(NOBODY), Some(NOBODY)).expect("root may give a directory away");
        let mut init = Command::new(program.with_file_name("initdb"));
        init.args(["-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
        run(init.current_dir(directory.path()).uid(NOBODY).gid(NOBODY));
        let mut command = Command::new(program);
        command.args(["-D", "data", "-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
        command.args(["-c", "fsync=off"]).uid(NOBODY).gid(NOBODY);
        for setting in settings {
            command.args(["-c", setting]);
        }
        let ready = if settings.is_empty() { "ready to accept connections" } else { "redirecting log output" };
        Some(Self::new("postgres", port, directory, &mut command, ready))
    }

    /// MariaDB with a database `shop`, for the user `root` without a password.
    #[must_use]
    pub fn mariadb() -> Option<Self> {
        let (program, directory, port) = (part("mariadbd")?, scratch(), free_port());
        let mut init = Command::new(part("mariadb-install-db")?);
        init.args(["--no-defaults", "--user=root", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        run(init.arg(format!("--datadir={}", directory.path().join("data").display())));
        fs::write(directory.path().join("init.sql"), "CREATE DATABASE shop;\n").expect("a writable file");
        let mut command = Command::new(program);
        command.args(["--no-defaults", "--user=root", "--bind-address=127.0.0.1", "--local-infile=1", "--max-allowed-packet=64M"]);
        command.arg(format!("--port={port}"));
        for (option, name) in [("datadir", "data"), ("socket", "socket"), ("pid-file", "pid"), ("init-file", "init.sql")] {
            command.arg(format!("--{option}={}", directory.path().join(name).display()));
        }
        Some(Self::new("mariadbd", port, directory, &mut command, "ready for connections"))
    }

    /// Redis that keeps nothing.
    #[must_use]
    pub fn redis() -> Option<Self> {
        let (program, directory, port) = (part("redis")?, scratch(), free_port());
        let mut command = Command::new(program);
        command.args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string()]);
        Some(Self::new("redis-server", port, directory, &mut command, "Ready to accept connections"))
    }

    /// Memcached.
    #[must_use]
    pub fn memcached() -> Option<Self> {
        let (program, directory, port) = (part("memcached")?, scratch(), free_port());
        let mut command = Command::new(program);
        command.args(["-v", "-u", "root", "-l", "127.0.0.1", "-U", "0", "-p", &port.to_string()]);
        let mut process = Process::start("memcached", &mut command);
        process.wait_for_port(port);
        Some(Self { process, port, _directory: directory })
    }

    /// A server that speaks MongoDB's wire protocol.
    #[must_use]
    pub fn mongodb() -> Option<Self> {
        let (directory, port) = (scratch(), free_port());
        let mut command = java()?;
        command.arg(repository().join("tests/servers/java/Mongo.java")).arg(port.to_string());
        let mut process = Process::start("Mongo.java", &mut command);
        process.wait_for_port(port);
        Some(Self { process, port, _directory: directory })
    }

    /// A Kafka broker that is its own controller.
    #[must_use]
    pub fn kafka() -> Option<Self> {
        let (directory, port, controller) = (scratch(), free_port(), free_port());
        let settings = directory.path().join("server.properties");
        fs::write(&settings, kafka_settings(directory.path(), port, controller)).expect("a writable file");
        let mut format = java()?;
        format.args(["kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c"]);
        run(format.arg(&settings));
        let mut command = java()?;
        command.arg("kafka.Kafka").arg(&settings).current_dir(directory.path());
        let mut process = Process::start("kafka", &mut command);
        process.wait_for_port(port);
        Some(Self { process, port, _directory: directory })
    }

    /// A DNS server at [`DNS_ADDRESS`] that knows these lines of dnsmasq's configuration, and nothing else.
    #[must_use]
    pub fn dns(lines: &[&str]) -> Option<Self> {
        let (program, directory) = (part("dnsmasq")?, scratch());
        let settings = directory.path().join("dnsmasq.conf");
        let own = format!("user=root\nlisten-address={DNS_ADDRESS}\nbind-interfaces\n");
        let common = "no-resolv\nno-hosts\ncache-size=0\nlocal=/test/\nlog-facility=-\n";
        fs::write(&settings, [&own, common, &lines.join("\n"), "\n"].concat()).expect("a writable file");
        let mut process = Process::start("dnsmasq", Command::new(program).arg("-k").arg("-C").arg(settings));
        process.wait_for_log("started");
        Some(Self { process, port: 53, _directory: directory })
    }

    /// nghttpd with a page of five bytes, over TCP without TLS.
    #[must_use]
    pub fn nghttpd() -> Option<Self> {
        let (program, directory, port) = (part("nghttpd")?, scratch(), free_port());
        fs::write(directory.path().join("page"), "hello").expect("a writable file");
        let mut command = Command::new(program);
        command.args(["--no-tls", "--address=127.0.0.1", "-d"]).arg(directory.path()).arg(port.to_string());
        let mut process = Process::start("nghttpd", &mut command);
        process.wait_for_port(port);
        Some(Self { process, port, _directory: directory })
    }

    /// Apache with a page of five bytes, over HTTP/1.1, which a client may upgrade to HTTP/2 (`Upgrade: h2c`).
    #[must_use]
    pub fn apache() -> Option<Self> {
        let (program, directory, port) = (part("apache2")?, scratch(), free_port());
        let root = directory.path().display();
        fs::write(directory.path().join("page"), "hello").expect("a writable file");
        let modules = ["mpm_event", "authz_core", "http2"]
            .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
            .concat();
        let configuration = format!(
            "ServerRoot {root}\nDocumentRoot {root}\nPidFile {root}/pid\nErrorLog {root}/errors\n{modules}\
             ServerName localhost\nListen 127.0.0.1:{port}\nProtocols h2c http/1.1\nH2Upgrade on\n"
        );
        let file = directory.path().join("apache2.conf");
        fs::write(&file, configuration).expect("a writable file");
        let mut command = Command::new(program);
        command.arg("-f").arg(file).arg("-DFOREGROUND");
        let mut process = Process::start("apache2", &mut command);
        process.wait_for_port(port);
        Some(Self { process, port, _directory: directory })
    }

    /// A script of `tests/servers` with a free port and `arguments`, run by the Python that has the tests' libraries.
    #[must_use]
    pub fn script(name: &str, arguments: &[u16]) -> Option<Self> {
        let (program, directory, port) = (part("python")?, scratch(), free_port());
        let mut command = Command::new(program);
        command.arg(repository().join("tests/servers").join(name)).arg(port.to_string()).args(arguments.iter().map(u16::to_string));
        let mut process = Process::start(name, &mut command);
        process.wait_for_port(port);
        Some(Self { process, port, _directory: directory })
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// A Java virtual machine with the jars that set-up collected; small, for a machine with other things to do.
pub(crate) fn java() -> Option<Command> {
    let (java, jars): (PathBuf, PathBuf) = (part("java")?, part("jars")?);
    let mut command = Command::new(java);
    command.args(["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"]).arg(jars.join("*"));
    Some(command)
}

fn kafka_settings(directory: &Path, port: u16, controller: u16) -> String {
    format!(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\ncontroller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\nlog.dirs={}\n\
         offsets.topic.replication.factor=1\noffsets.topic.num.partitions=1\n\
         transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\ntransaction.state.log.num.partitions=1\n\
         group.initial.rebalance.delay.ms=0\n\
         num.network.threads=1\nnum.io.threads=2\nbackground.threads=1\nlog.cleaner.enable=false\n",
        directory.join("logs").display()
    )
}

fn scratch() -> TempDir {
    TempDir::new().expect("a scratch directory")
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}
