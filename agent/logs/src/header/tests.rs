use super::*;
use proptest::prelude::*;

#[test]
fn headers_of_many_programs_are_cut() {
    // line, severity number, level word, logger, message
    let cases: &[(&str, u8, &str, &str, &str)] = &[
        ("261125 150405 148 INFO store.Node$Writer: Writer 1 of a part", 9, "INFO", "store.Node$Writer", "Writer 1 of a part"),
        ("25-Mar-2027 11:52:34.771 xfer-in: info: transferred serial 7", 9, "info", "xfer-in", "transferred serial 7"),
        ("25-Mar-2027 11:52:34.771 general: debug 1: zone loaded: yes", 5, "debug", "general", "zone loaded: yes"),
        ("[2027-03-16 09:47:15] WARNING[2959][C-00001ede]: pbx.c: Call ended", 13, "WARNING", "pbx.c", "Call ended"),
        ("2026-11-25 15:04:05,978 INFO [main] org.example.Foo: Created app", 9, "INFO", "org.example.Foo", "Created app"),
        ("26/11/25 15:04:05 WARN executor.Backend: Registered handlers", 13, "WARN", "executor.Backend", "Registered handlers"),
        (
            "2026-11-25 15:04:05,747 - WARN  [Peer[id=1]/0:0:0:0:0:0:0:0:7000:Fast@774] - No vote for 3200",
            13,
            "WARN",
            "",
            "No vote for 3200",
        ),
        (
            "- 1795619045 2026.11.25 X02-B1-S0:P12 2026-11-25-15.04.05.363779 X02-B1-S0:P12 HW KERNEL INFO memory error corrected",
            9,
            "INFO",
            "",
            "memory error corrected",
        ),
        ("MEMFAIL 1795619045 2026.11.25 X30 2026-11-25-15.04.05.581048 X30 HW KERNEL FATAL memory error", 21, "FATAL", "", "memory error"),
        (
            "- 1795619045 2026.11.25 n228 Nov 25 15:04:05 n228/n228 crond(pam_unix)[2915]: session closed for user root",
            0,
            "",
            "crond(pam_unix)",
            "session closed for user root",
        ),
        ("2026-11-25 15:04:05, Info                  PKG    Loaded package list v6.1", 9, "Info", "PKG", "Loaded package list v6.1"),
        (
            "Jun 14 15:16:01 login-1 sshd(pam_unix)[19939]: authentication failure; logname=",
            0,
            "",
            "sshd(pam_unix)",
            "authentication failure; logname=",
        ),
        ("Dec 10 06:55:46 bastion sshd[24200]: error: Received disconnect", 17, "error", "sshd", "error: Received disconnect"),
        ("11-25 15:04:05.811  1702  2395 D WindowManager: printFreezing", 5, "D", "WindowManager", "printFreezing"),
        ("20261125-15:04:05:606|Walk_Count|30002312|onChanged 3579", 0, "", "Walk_Count", "onChanged 3579"),
        ("[Wed Nov 25 15:04:05 2026] [notice] pool.init() ok", 10, "notice", "", "pool.init() ok"),
        ("[Wed Nov 25 15:04:05.123456 2026] [core:error] [pid 12:tid 3] AH00126: Invalid URI", 17, "error", "", "AH00126: Invalid URI"),
        ("[11.25 15:04:05] app.exe - proxy.example.org:5070 close", 0, "", "", "app.exe - proxy.example.org:5070 close"),
        (
            "compute.log.1.2026-11-25_15:04:05 2026-11-25 15:04:05.008 25746 INFO compute.api.server [req-38101a0b-2096 - - -] 10.11.10.1 \"GET\"",
            9,
            "INFO",
            "compute.api.server",
            "10.11.10.1 \"GET\"",
        ),
        ("Nov 25 15:04:05 laptop-10 Some Editor[14463]: scripting is on", 0, "", "Some Editor", "scripting is on"),
        ("I1125 15:04:05.678901    12 server.go:34] Serving on 8080", 9, "I", "", "Serving on 8080"),
        ("12:M 25 Nov 2026 15:04:05.678 # Warning: no config", 13, "#", "", "Warning: no config"),
        ("2026/11/25 15:04:05 [error] 12#12: *5 open() failed", 17, "error", "", "12#12: *5 open() failed"),
        ("W/ActivityManager( 123): Slow operation", 13, "W", "ActivityManager", "Slow operation"),
        ("WARNING:root:disk is full", 13, "WARNING", "root", "disk is full"),
        ("[INFO] Scanning for projects...", 9, "INFO", "", "Scanning for projects..."),
        (
            "2026-11-25 15:04:05.000  INFO 12 --- [           main] o.s.b.Application    : Started Application",
            9,
            "INFO",
            "o.s.b.Application",
            "Started Application",
        ),
        ("2026-11-25 15:04:05.123 UTC [12] LOG:  checkpoint starting", 9, "LOG", "", "checkpoint starting"),
        ("2026-11-25 15:04:05 0 [Note] InnoDB: started", 9, "Note", "InnoDB", "started"),
        ("2026-11-25T15:04:05Z\tinfo\tstarted worker", 9, "info", "", "started worker"),
        ("web_1  | 2026-11-25 15:04:05 ERROR boom", 17, "ERROR", "", "boom"),
        ("<11>Nov 25 15:04:05 host app[1]: broken", 17, "", "app", "broken"),
        ("[   12.345678] usb 1-1: new device", 0, "", "", "usb 1-1: new device"),
        ("Nov 25, 2026 4:57:41 PM x.Y main\nSEVERE: failed twice", 17, "SEVERE", "x.Y", "failed twice"),
        ("Nov 25 15:04:05 host agent[3631]: 2026/11/25 15:04:05 [INFO] serf: joined", 9, "INFO", "serf", "joined"),
        (
            "Nov 25 15:04:05 host agent.sh: 2026-11-25T15:04:05.208Z [DEBUG] client.gc: marking: id=1",
            5,
            "DEBUG",
            "client.gc",
            "marking: id=1",
        ),
        ("gen 23 10:45:17 host broker[4046]: 1795619045: New connection", 0, "", "broker", "New connection"),
        ("Nov 25 15:04:05 host dice[46]: 1795619045 is the sum", 0, "", "dice", "1795619045 is the sum"),
        ("Nov 25 15:04:05 lb envoy[24]: [2026-11-25 15:04:05.616][24][info][main] initializing", 9, "info", "envoy", "initializing"),
        ("11-25 15:04:05.435 25477 25770 D Proxy   : [2026-11-25 15:04:05.435][2][error][up] lost", 17, "error", "Proxy", "lost"),
        ("2026-11-25 15:04:05 INFO runner: 2026-11-24 is the day", 9, "INFO", "runner", "2026-11-24 is the day"),
        ("Wed Nov 25 15:04:05 2026 daemon.warn dhcp[121]: no lease", 13, "warn", "dhcp", "no lease"),
        ("Wed Nov 25 15:04:05 2026 kern.info kernel: [   31.529114] eth0: up", 9, "info", "kernel", "eth0: up"),
        ("[1795619045] resolver[1:0] debug: asked again", 5, "debug", "resolver", "debug: asked again"),
        ("[2026-11-25 15:04:05.358692] E [MSGID: 106236] [cube.c:1160:cube_init] 0-cube: no listener", 17, "E", "", "0-cube: no listener"),
        ("[11/25/26, 5:51:55:283 UTC] 00000001 com.example.Framework           I AB12: started", 9, "I", "", "AB12: started"),
        ("2026-11-25 15:04:05 I am here", 0, "", "", "I am here"),
        ("2026-11-25T15:04:05.293172+0000 mon.a (mon.0) 9766581 : cluster [WRN] check: 3 slow", 13, "WRN", "check", "3 slow"),
        ("2026.11.25 15:04:05.292452 [ 17965 ] {} <Debug> MemoryTracker: peak", 5, "Debug", "MemoryTracker", "peak"),
        ("2026.11.25 15:04:05.292452 [ 17965 ] {8b7f-12} <Error> Query: none", 17, "Error", "Query", "none"),
        ("I261125 15:04:05.587682 147 server/runtime.go:219  [n1] stats: 120", 9, "I", "", "[n1] stats: 120"),
        (
            "[notice] 2026-11-25T15:04:05.836012Z couch@10.0.0.1 <0.96.0> -------- set",
            10,
            "notice",
            "",
            "couch@10.0.0.1 <0.96.0> -------- set",
        ),
        ("2026-11-25T15:04:05.734+0000 I NETWORK  [conn7] end of it", 9, "I", "", "NETWORK  [conn7] end of it"),
        ("Nov 25 15:04:05 box resolver[51]: [51:0] info: start", 9, "info", "resolver", "info: start"),
        (
            "[2026-11-25T15:04:05.816+0000] [] [INFO] [AB-1] [web] [tid: _ThreadID=1] [timeMillis: 1795] [levelValue: 800] Loaded",
            9,
            "INFO",
            "",
            "Loaded",
        ),
        ("dockerd[7477]: starting up", 0, "", "dockerd", "starting up"),
        ("systemd[1]: 2026-11-25 15:04:05 WARN disk: nearly full", 13, "WARN", "disk", "nearly full"),
        ("web-1 | listening", 0, "", "", "listening"),
        ("name | age", 0, "", "", "name | age"),
        ("2026-11-25 15:04:05.796879 I | pump: pressure is normal", 9, "I", "pump", "pressure is normal"),
        ("2026-11-25 15:04:05 UTC [436]: [5f573426.1b4-1] [unknown]@[unknown],app=[unknown] [00000] LOG:  let in", 9, "LOG", "", "let in"),
        ("10899:S 25 Nov 15:04:05.578 # lost the other end", 13, "#", "", "lost the other end"),
        ("2026-11-25T15:04:05.342523Z 0 [System] [MY-010116] [Server] server starting", 9, "System", "", "server starting"),
        ("[2026-11-25T15:04:05Z WARN  app::db] pool is empty", 13, "WARN", "app::db", "pool is empty"),
        ("2026-11-25T15:04:05.123456Z  INFO app::db: pool is ready", 9, "INFO", "app::db", "pool is ready"),
        ("<30>1 2026-11-25T15:04:05Z host app 12 ID7 [a@1 b=\"c\"] started", 9, "", "app", "started"),
        ("<30>1 2026-11-25T15:04:05Z host app - - - started", 9, "", "app", "started"),
        ("Nov 25 15:04:05 host kernel: [   12.345678] usb 1-1: new device", 0, "", "kernel", "usb 1-1: new device"),
        ("2026-11-25 15:04:05, Trace                 CORE   loading", 1, "Trace", "CORE", "loading"),
        (
            "2026-11-25T15:04:05.000Z\tINFO\tsetup\tcmd/main.go:12\tstarting manager\t{\"n\": 1}",
            9,
            "INFO",
            "setup",
            "starting manager\t{\"n\": 1}",
        ),
        ("2026-11-25 15:04:05.767815 [WARNING] sofia_reg.c:1533 SIP auth", 13, "WARNING", "sofia_reg.c:1533", "SIP auth"),
        ("@400000004c91b044077a9e94 imap-login: Info: Aborted login", 9, "Info", "imap-login", "Info: Aborted login"),
        ("[1234:5678:1125/150405.123456:ERROR:bus.cc(408)] Failed to connect", 17, "ERROR", "", "Failed to connect"),
        ("[1234:5678:1125/150405.123456:ERROR:dbus/bus.cc:405] Failed to connect", 17, "ERROR", "", "Failed to connect"),
        ("2026/11/25 15:04:05 dial failed: i/o timeout", 0, "", "", "dial failed: i/o timeout"),
        ("[   12.345678] ACPI: Core revision 20221020", 0, "", "", "ACPI: Core revision 20221020"),
        ("2026-11-25T15:04:05.123456+00:00 host app: started", 0, "", "app", "started"),
        ("2026-11-25T15:04:05Z app[12]: started", 0, "", "app", "started"),
        ("Nov 25 15:04:05 <auth.info> host sshd[1]: Invalid user", 9, "info", "sshd", "Invalid user"),
        ("Nov 25 15:04:05 <4.3> host sshd[1]: Invalid user", 17, "3", "sshd", "Invalid user"),
        ("2026-11-25 12:35:25.088 UTC [9845] app@shop LOG:  started", 9, "LOG", "", "started"),
        ("2026-11-25 12:35:25.088 UTC [9845] user=app,db=shop ERROR:  failed", 17, "ERROR", "", "failed"),
        ("INFO 2026-11-25 15:04:05,123 worker 12 created", 9, "INFO", "", "worker 12 created"),
        ("[2026-11-25 15:04:05,123: INFO/MainProcess] Task received", 9, "INFO", "MainProcess", "Task received"),
        ("2026-11-25 15:04:05.123 [info] <0.123.0> created", 9, "info", "", "created"),
        ("2026-11-25 15:04:05.123 [info] <unknown> created", 9, "info", "", "<unknown> created"),
        ("2026/11/25 15:04:05 main.go:12: created", 0, "", "main.go:12", "created"),
        ("7012 node-2 net.link up 1795619045 Link ok", 0, "", "", "Link ok"),
        ("12 jobs wait since 1795619045 for you", 0, "", "", "12 jobs wait since 1795619045 for you"),
        ("search criteria matched", 0, "", "", "search criteria matched"),
        ("errors=0 and notification sent", 0, "", "", "errors=0 and notification sent"),
        ("Failed to open file", 0, "", "", "Failed to open file"),
        ("starting alertmanager", 0, "", "", "starting alertmanager"),
        ("SEVERE: Servlet threw exception", 17, "SEVERE", "", "Servlet threw exception"),
    ];
    for (line, severity, word, logger, message) in cases {
        let header = parse(line.as_bytes());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(
            (
                header.severity.number(),
                text(header.severity_text).as_str(),
                text(header.logger).as_str(),
                text(&line.as_bytes()[header.message_start..]).as_str()
            ),
            (*severity, *word, *logger, *message),
            "{line}"
        );
    }
}

proptest! {
    #[test]
    fn any_bytes_are_safe(line in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(parse(&line).message_start <= line.len());
    }

    #[test]
    fn header_like_text_is_safe(line in "([0-9]{1,4}|[-:/., |\\[\\]()<>]|INFO|[a-z]{1,3}|Nov){0,30}") {
        prop_assert!(parse(line.as_bytes()).message_start <= line.len());
    }
}
