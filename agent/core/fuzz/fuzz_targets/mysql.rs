//! Any bytes of either end, with any holes, after a login: no panic, no unbounded memory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remora_core::testkit::Talk;
use remora_core_fuzz::conversation;

/// Logins without compression, with zlib and with zstd.
const LOGINS: [u32; 3] = [0x0000_8200, 0x0000_8220, 0x0400_8200];
const LOGGED_IN: &[u8] = b"\x07\0\0\x02\0\0\0\x02\0\0\0";
/// A command, which a connection joined midway is known by.
const COMMAND: &[u8] = b"\x09\0\0\0\x03SELECT 1";

// Bits 1 and 2 of the first byte choose the login, or none.
fuzz_target!(|data: &[u8]| {
    let choice = data.first().map_or(0, |first| usize::from(first >> 1 & 3));
    let start = match LOGINS.get(choice) {
        Some(capabilities) => {
            let login = [b"\x27\0\0\x01".as_slice(), &capabilities.to_le_bytes(), b"\0\0\0\x01\x2d", &[0; 23], b"app\0\x02xx"].concat();
            Talk::new().client(login).server(LOGGED_IN)
        }
        None => Talk::new().midway().client(COMMAND),
    };
    assert!(conversation(start, data).run().held < 512 * 1024);
});
