//! How a MySQL connection begins: greeting, login, secrets.

use super::{MySql, NAME_LIMIT, Phase, packet};
use crate::proto::Stop;

impl MySql {
    pub(super) fn greeting(&mut self, payload: &[u8]) {
        if let Some(greeting) = packet::greeting(payload) {
            self.confirmed = true;
            self.phase = Phase::Login;
            self.offered = greeting.capabilities;
            if memchr::memmem::find(greeting.version, b"MariaDB").is_some() {
                self.system = "mariadb";
            }
        } else {
            // `ERR`: the server refuses the connection.
            self.phase = Phase::Auth;
        }
    }

    pub(super) fn login(&mut self, payload: &[u8], len: usize) {
        self.phase = Phase::Auth;
        let Some(login) = packet::login(payload) else { return };
        self.confirmed = true;
        // What a client asks for and its server does not offer is not used.
        self.capabilities = login.capabilities & self.offered;
        self.deprecates_eof = Some(self.capabilities & packet::DEPRECATE_EOF != 0);
        if login.capabilities & packet::SSL != 0 && len == 32 {
            self.stop = Some(Stop::Opaque);
        }
        self.set_database(login.database);
    }

    fn set_database(&mut self, name: Option<&[u8]>) {
        self.database.clear();
        if let Some(name) = name {
            self.database.push_str(&String::from_utf8_lossy(&name[..name.len().min(NAME_LIMIT)]));
        }
    }

    /// An answer of the server before the first command.
    pub(super) fn auth(&mut self, payload: &[u8]) {
        if payload.first() == Some(&0) {
            self.phase = Phase::Commands;
            self.heed(packet::ok(payload).map(|(_, status)| status));
            self.is_compressed = self.capabilities & (packet::COMPRESS | packet::ZSTD) != 0;
        }
    }
}
