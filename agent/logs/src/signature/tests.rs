//! Messages and their signatures: what becomes a placeholder, and that no input takes long.

use super::*;
use crate::template::Template;
use proptest::prelude::*;

fn template(message: &str) -> String {
    Template::of(&[message.as_bytes()]).text()
}

#[test]
fn variables_become_placeholders() {
    let cases = [
        ("Receiving part p_-1608 src: /10.1.1.2:54106 dest: /10.1.1.3:50010", "Receiving part <*> src: <*> dest: <*>"),
        ("took 5 ms", "took <*>"),
        ("took 5.5 seconds, 3 retries", "took <*> retries"),
        ("size [1, 2, 3] done", "size [<*>] done"),
        ("size [] done", "size [<*>] done"),
        ("fans ( 3552 3534 3375 )", "fans ( <*> )"),
        ("pool.init() ok /etc/httpd/x.conf", "pool.init() ok <*>"),
        (
            "auth failure; logname= uid=0 tty=ssh ruser= rhost=host.example.org  user=root",
            "auth failure; logname=<*> uid=<*> tty=<*> ruser=<*> rhost=<*> user=<*>",
        ),
        ("wtoken = Token{78af589 Rec{3b u0 a/b t7}}, drawn= false, start =  false", "wtoken =<*>, drawn=<*>, start =<*>"),
        ("GET from http://a.b/c?d=e, retry", "GET from <*>, retry"),
        ("\"GET /v2/x HTTP/1.1\" status: 200 len: 1893", "GET <*> status: <*> len: <*>"),
        ("BSSID changed to 5c:50:15:4c:18:ee now", "BSSID changed to <*> now"),
        ("addr fe80::ae:b2 gone", "addr <*> gone"),
        ("from 1.2.3.4 () at Sun Jul 17 14:03:04 2005", "from <*> (<*>) at <*>"),
        ("floating pt enable......0", "floating pt enable<*>"),
        ("can't open 'a file' now", "can't open <*> now"),
        ("java.io.IOException: reset by peer", "java.io.IOException: reset by peer"),
        ("lifetime <1 sec", "lifetime <*>"),
        ("lifetime 00:01", "lifetime <*>"),
        ("Killing 13769:com.tencent.mm (adj 9)", "Killing <*> (adj <*>)"),
        ("deny(1) file-read /a/b", "deny(<*>) file-read <*>"),
        ("1190 bytes (1.16 KB) sent, 0 bytes received", "<*> (<*>) sent, <*> received"),
        ("Member 1.0 (db7) joined, 5 [6,7] (8)", "Member <*> (<*>) joined, <*> [<*>] (<*>)"),
        ("user bob failed.", "user bob failed"),
        ("\"sync ADD\" source=\"api\" pods=[\"a/b\"]", "sync ADD source=<*> pods=<*>"),
        ("\"Probe failed\" pod=\"a\" output=\"HTTP probe failed\"", "Probe failed pod=<*> output=<*>"),
        ("\"GET /a HTTP/1.1\" status=200", "GET <*> status=<*>"),
        ("environment:java.io.tmpdir=/tmp", "environment:java.io.tmpdir=<*>"),
        ("pods [a, b] and [a/b,c] gone", "pods [<*>] and [<*>] gone"),
        ("of [{a=b, c=d}] or {a=b} or map[] or map[a:b c:d]", "of [<*>] or {<*>} or map[<*>] or map[<*>]"),
        ("test core::io::write of [some text here]", "test core::io::write of [some text here]"),
        ("runner with tags a,b,c left, done", "runner with tags <*> left, done"),
        ("bound to [::]:8333, [fe80::1%eth0]:53 and [10.0.0.1]:80", "bound to <*> and <*>"),
        ("client[10.0.0.1] left [::1] alone", "client[<*>] left [<*>] alone"),
        ("as phone (c0, u'name') or b\"bytes\" gone", "as phone (<*>) or <*> gone"),
        ("!..0 left", "!<*> left"),
        ("socket <129.93.1.17:9618> and <e1cf36> open, lifetime <5", "socket <<*>> and <<*>> open, lifetime <*>"),
        ("ops[(nil)] at (null) left", "ops[<*>] at <*> left"),
        ("mons running: [a b c]", "mons running: [<*>]"),
        ("state of [a b c]: [some, more] left", "state of [a b c]: [<*>] left"),
        ("Power On -> Suspended now", "Power <*> now"),
        ("Task x -> failed, y -> the end", "Task x -> failed, y -> the end"),
        ("moved from Idle to Active", "moved from <*> to <*>"),
        ("bytes from cache to disk", "bytes from cache to disk"),
        ("%LINK-3-UPDOWN: Interface et0/1, changed", "%LINK-3-UPDOWN: Interface <*>, changed"),
        ("Path C:\\Windows\\x.dll, used", "Path <*>, used"),
    ];
    for (message, expected) in cases {
        assert_eq!(template(message), expected, "{message}");
    }
}

#[test]
fn long_message_is_cut() {
    let message = "word ".repeat(10_000);
    assert!(template(&message).len() < 96 * 6 + 8);
}

#[test]
fn many_lone_brackets_stay_linear() {
    for bracket in ["{a=", "[a, ", "a,b,", "a::"] {
        assert!(!template(&bracket.repeat(20_000)).is_empty());
    }
}

#[test]
fn many_lone_quotes_stay_linear() {
    let message = "'a \"b ".repeat(20_000);
    assert!(!template(&message).is_empty());
}

proptest! {
    #[test]
    fn any_bytes_give_a_stable_hash(message in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut first = HashSink::new();
        scan(&message, &mut first);
        let mut second = HashSink::new();
        scan(&message, &mut second);
        prop_assert_eq!(first.hash, second.hash);
    }

    #[test]
    fn numbers_never_change_the_template(a in any::<u32>(), b in any::<u16>(), c in any::<u64>()) {
        prop_assert_eq!(template(&format!("task {a} of job_{b} took {c} ms")), "task <*> of <*> took <*>");
    }

    #[test]
    fn templates_are_fixed_points(words in proptest::collection::vec("[a-z]{1,9}|[0-9]{1,5}|[a-z]{1,5}=[a-z0-9]{0,4}", 1..12)) {
        let once = template(&words.join(" "));
        prop_assert_eq!(template(&once.replace(PLACEHOLDER, "7")), once);
    }
}
