//! Real reports of many runtimes, each between ordinary lines: every one must come out whole and alone.

use super::*;
use proptest::prelude::*;

fn join(lines: &[&str]) -> Vec<String> {
    let mut joiner = Joiner::default();
    let mut out = Vec::new();
    let mut emit = |joined: Joined<'_>| out.push(String::from_utf8_lossy(joined.text).into_owned());
    for line in lines {
        joiner.push(line.as_bytes(), 0, &mut emit);
    }
    joiner.flush(&mut emit);
    out
}

/// Reports that stand alone, whatever surrounds them.
const REPORTS: &[(&str, &str)] = &[
    (
        "java",
        "Exception in thread \"main\" java.lang.IllegalStateException: boom\n\tat a.B.c(B.java:12)\n\tat a.B.main(B.java:3)\nCaused by: java.io.IOException: disk\n\tat a.D.e(D.java:4)\n\t... 1 more",
    ),
    (
        "java bare",
        "java.lang.RuntimeException: no luck\n\tat a.B.c(B.java:12)\n\tSuppressed: java.lang.Exception: x\n\t\tat a.B.d(B.java:1)",
    ),
    ("python", "Traceback (most recent call last):\n  File \"/app/a.py\", line 3, in <module>\n    f()\n    ^^^\nValueError: bad value"),
    (
        "python chained",
        "Traceback (most recent call last):\n  File \"a.py\", line 2, in f\n    1/0\nZeroDivisionError: division by zero\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"a.py\", line 5, in <module>\n    raise KeyError('k')\nKeyError: 'k'",
    ),
    (
        "python cause",
        "Traceback (most recent call last):\n  File \"a.py\", line 2, in f\n    1/0\nZeroDivisionError: division by zero\n\nThe above exception was the direct cause of the following exception:\n\nTraceback (most recent call last):\n  File \"a.py\", line 5, in <module>\n    g()\napp.errors.Wrapped",
    ),
    (
        "go panic",
        "panic: runtime error: index out of range [5] with length 3\n\ngoroutine 1 [running]:\nmain.f(...)\n\t/app/main.go:8\nmain.main()\n\t/app/main.go:12 +0x1d\nexit status 2",
    ),
    (
        "go signal",
        "panic: runtime error: invalid memory address or nil pointer dereference\n[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x481a2e]\n\ngoroutine 7 [running]:\nmain.(*T).Get(0x0, {0xc00001, 0x3})\n\t/app/main.go:9 +0x1e\ncreated by main.main in goroutine 1\n\t/app/main.go:20 +0x25\n\ngoroutine 1 [chan receive]:\nmain.main()\n\t/app/main.go:21 +0x6a",
    ),
    ("go fatal", "fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1 [chan receive]:\nmain.main()\n\t/app/main.go:5 +0x28"),
    (
        "rust",
        "thread 'main' panicked at src/main.rs:3:5:\nindex out of bounds: the len is 3 but the index is 7\nstack backtrace:\n   0: rust_begin_unwind\n             at /rustc/a/library/std/src/panicking.rs:1:5\n   1: app::main\nnote: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.",
    ),
    (
        "rust short",
        "thread 'tokio-runtime-worker' (4711) panicked at src/a.rs:3:5:\ncalled `Option::unwrap()` on a `None` value\nnote: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
    ),
    (
        "rust old",
        "thread 'main' panicked at 'boom', src/main.rs:2:5\nnote: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
    ),
    (
        "undefined behaviour",
        "src/a.cc:7:34: runtime error: signed integer overflow: 2147483647 + 2 cannot be represented in type 'int'\n    #0 0x4b2 in f(int) src/a.cc:7:34\n    #1 0x4c1 in main src/a.cc:9:3\n\nSUMMARY: UndefinedBehaviorSanitizer: undefined-behavior src/a.cc:7:34",
    ),
    ("undefined behaviour, one line", "src/a.cc:9:3: runtime error: load of null pointer of type 'int'"),
    (
        "node uncaught",
        "/app/index.js:10\n    throw new TypeError('x is not a function');\n    ^\n\nTypeError: x is not a function\n    at f (/app/index.js:10:11)\n    at Module._compile (node:internal/modules/cjs/loader:1105:14)\n\nNode.js v18.19.0",
    ),
    (
        "node code",
        "Error: ENOENT: no such file or directory, open 'x'\n    at Object.openSync (node:fs:601:3) {\n  errno: -2,\n  code: 'ENOENT'\n}",
    ),
    (
        ".net",
        "Unhandled exception. System.InvalidOperationException: outer\n ---> System.ArgumentException: inner\n   at N.C.A() in /src/C.cs:line 3\n   --- End of inner exception stack trace ---\n   at N.C.Main(String[] args) in /src/C.cs:line 9",
    ),
    (
        ".net bare",
        "System.NullReferenceException: Object reference not set to an instance of an object.\n   at N.C.B() in /src/C.cs:line 3\n--- End of stack trace from previous location ---\n   at N.C.Main()",
    ),
    (
        "php",
        "PHP Fatal error:  Uncaught RuntimeException: boom in /app/a.php:3\nStack trace:\n#0 /app/a.php(7): f()\n#1 {main}\n  thrown in /app/a.php on line 3",
    ),
    ("ruby", "a.rb:3:in `f': boom (RuntimeError)\n\tfrom a.rb:7:in `g'\n\tfrom a.rb:9:in `<main>'"),
    ("elixir", "** (RuntimeError) boom\n    a.exs:1: (file)\n    (elixir 1.14.0) lib/code.ex:1245: Code.require_file/2"),
    (
        "erlang",
        "=ERROR REPORT==== 25-Nov-2026::15:04:05.123 ===\n** Generic server foo terminating\n** Last message in was stop\n** When Server state == {state,1}\n** Reason for termination ==\n** {badarith,[{foo,bar,1,[{file,\"foo.erl\"},{line,3}]},\n              {gen_server,handle_msg,5,[]}]}",
    ),
    (
        "asan",
        "==12==ERROR: AddressSanitizer: heap-use-after-free on address 0x602000000010 at pc 0x0001 bp 0x7ff sp 0x7ff\nREAD of size 4 at 0x602000000010 thread T0\n    #0 0x4f in main /a.cc:5:10\n\n0x602000000010 is located 0 bytes inside of 4-byte region\nfreed by thread T0 here:\n    #0 0x4c in operator delete(void*)\n\nSUMMARY: AddressSanitizer: heap-use-after-free /a.cc:5:10 in main\nShadow bytes around the buggy address:\n=>0x0c047fff8000: fa fa[fd]fa\n==12==ABORTING",
    ),
    (
        "tsan",
        "==================\nWARNING: ThreadSanitizer: data race (pid=12)\n  Write of size 4 at 0x01 by thread T1:\n    #0 f a.cc:3\n\n  Previous read of size 4\nSUMMARY: ThreadSanitizer: data race a.cc:3 in f\n==================",
    ),
    (
        "java text of several lines",
        "com.example.RemoteException: first line\nsecond line of the text\n\tat a.B.c(B.java:12)\nCaused by: java.io.IOException: disk\n\tat a.D.e(D.java:4)",
    ),
    (
        "python thread",
        "Exception in thread Thread-1 (f):\nTraceback (most recent call last):\n  File \"a.py\", line 5, in f\n    f(n-1)\nValueError: bad",
    ),
    (
        "python group",
        "  + Exception Group Traceback (most recent call last):\n  |   File \"a.py\", line 28, in <module>\n  |     raise x\n  | ExceptionGroup: many (2 sub-exceptions)\n  +-+---------------- 1 ----------------\n    | ValueError: a\n    +---------------- 2 ----------------\n    | TypeError: b\n    +------------------------------------",
    ),
    (
        "python asyncio",
        "Task exception was never retrieved\nfuture: <Task finished name='Task-2' exception=ValueError('x')>\nTraceback (most recent call last):\n  File \"a.py\", line 36, in bad\n    raise x\nValueError: never retrieved",
    ),
    (
        "go repanic",
        "panic: first [recovered]\n\tpanic: again first\n\ngoroutine 1 [running]:\nmain.main.func3()\n\t/app/a.go:13 +0x5b\npanic({0x4e7620?, 0x515be8?})\n\t/usr/local/go/src/runtime/panic.go:860 +0x13a\nmain.main()\n\t/app/a.go:13 +0x34c",
    ),
    (
        "go stack overflow",
        "runtime: goroutine stack exceeds 1000000000-byte limit\nruntime: sp=0x15ee7d9e0388 stack=[0x15ee7d9e0000, 0x15ee9d9e0000]\nfatal error: stack overflow\n\nruntime stack:\nruntime.throw({0x50ba75?, 0x15ee5d90cb40?})\n\t/usr/local/go/src/runtime/panic.go:1229 +0x48\n\ngoroutine 1 gp=0x15ee5d90c1e0 m=2 mp=0x15ee5d946808 [running]:\nmain.so(0x2aaaa40?)\n\t/app/a.go:21 +0x2b\n...44739039 frames elided...\nmain.main()\n\t/app/a.go:20 +0x5",
    ),
    (
        "rust text of several lines",
        "thread 'main' (12) panicked at a.rs:4:11:\nfirst line\nsecond line\n  third\nnote: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
    ),
    (
        "node builtin",
        "node:fs:573\n  return binding.open(\n                 ^\n\nError: ENOENT: no such file or directory, open '/no/such'\n    at Object.openSync (node:fs:573:18)\n    at node:internal/main/run_main_module:28:49 {\n  errno: -2,\n  path: '/no/such'\n}\n\nNode.js v20.20.2",
    ),
    (
        "node require",
        "node:internal/modules/cjs/loader:1210\n  throw err;\n  ^\n\nError: Cannot find module './nope'\nRequire stack:\n- /app/a.js\n    at Module._resolveFilename (node:internal/modules/cjs/loader:1207:15) {\n  code: 'MODULE_NOT_FOUND',\n  requireStack: [ '/app/a.js' ]\n}\n\nNode.js v20.20.2",
    ),
    (
        "node assert",
        "node:assert:90\n  throw new AssertionError(obj);\n  ^\n\nAssertionError [ERR_ASSERTION]: Expected values to be strictly equal:\n\n1 !== 2\n\n    at Object.<anonymous> (/app/a.js:13:35) {\n  generatedMessage: true,\n  operator: 'strictEqual'\n}\n\nNode.js v20.20.2",
    ),
    (
        "asan signal",
        "AddressSanitizer:DEADLYSIGNAL\n=================================================================\n==20260==ERROR: AddressSanitizer: SEGV on unknown address 0x000000000000\n==20260==Hint: address points to the zero page.\n    #0 0x56000f6d0bbf in main /app/a.cc:7\n\nAddressSanitizer can not provide additional info.\nSUMMARY: AddressSanitizer: SEGV /app/a.cc:7 in main\n==20260==ABORTING",
    ),
    (
        "lsan",
        "=================================================================\n==20249==ERROR: LeakSanitizer: detected memory leaks\n\nDirect leak of 77 byte(s) in 1 object(s) allocated from:\n    #0 0x7fa45beb89cf in malloc\n\nSUMMARY: AddressSanitizer: 77 byte(s) leaked in 1 allocation(s).",
    ),
    ("json", "{\n  \"level\": \"error\",\n  \"nested\": {\n    \"text\": \"a { b\"\n  }\n}"),
];

/// Reports of one runtime one after the other: each begins with a line that could also stand in the middle.
#[test]
fn reports_in_a_row_stay_apart() {
    for (name, report) in REPORTS {
        let lines: Vec<&str> = [report, report, report].into_iter().flat_map(|report| report.lines()).collect();
        assert_eq!(join(&lines), [*report; 3], "{name}");
    }
}

#[test]
fn lines_behind_an_exception_without_frames_are_messages() {
    let lines = ["java.lang.RuntimeException: no luck", "user logged in", "request done", "", "listening"];
    assert_eq!(join(&lines), [lines[0], lines[1], lines[2], lines[4]]);
}

/// Dated lines whose report belongs to them.
const ANNOUNCED: &[(&str, &str)] = &[
    ("java.util.logging", "Nov 25, 2026 4:57:41 PM x.Y main\nSEVERE: failed\njava.lang.IllegalStateException: boom\n\tat A.main(A.java:2)"),
    (
        "go handler",
        "2026/11/25 15:04:05 http: panic serving 127.0.0.1:4711: boom\ngoroutine 50 [running]:\nnet/http.(*conn).serve.func1()\n\t/usr/local/go/src/net/http/server.go:1902 +0xbe\npanic({0x4e7620?, 0x515be8?})\n\t/usr/local/go/src/runtime/panic.go:860 +0x13a",
    ),
    ("java.util.logging line", "Nov 25, 2026 4:57:41 PM x.Y main\nINFO: hello"),
    (
        "java",
        "2026-11-25 15:04:05,123 ERROR [main] a.b.C - request failed\njava.lang.IllegalStateException: boom\n\tat a.B.c(B.java:12)\nCaused by: java.io.IOException: disk\n\tat a.D.e(D.java:4)\n\t... 1 more",
    ),
    (
        "python",
        "2026-11-25 15:04:05,123 ERROR root: failed\nTraceback (most recent call last):\n  File \"a.py\", line 3, in <module>\n    f()\nValueError: bad value",
    ),
    (
        "python root",
        "ERROR:root:failed\nTraceback (most recent call last):\n  File \"a.py\", line 3, in <module>\n    f()\nValueError: bad value",
    ),
    (
        "asp.net",
        "fail: Microsoft.AspNetCore.Server.Kestrel[13]\n      Connection id \"0HM\", Request id \"1\": An unhandled exception\n      System.Exception: boom\n         at N.C.M() in /src/C.cs:line 3",
    ),
    (
        "elixir",
        "15:04:05.123 [error] GenServer Foo terminating\n** (RuntimeError) boom\n    (app 0.1.0) lib/a.ex:3: A.f/1\nLast message: :stop\nState: %{}",
    ),
    (
        "php",
        "[25-Nov-2026 15:04:05 UTC] PHP Fatal error:  Uncaught Exception: boom in /app/a.php:3\nStack trace:\n#0 {main}\n  thrown in /app/a.php on line 3",
    ),
    ("ruby", "E, [2026-11-25T15:04:05.123456 #12] ERROR -- : boom (RuntimeError)\n/app/a.rb:3:in `f'\n/app/a.rb:9:in `<main>'"),
];

const DATED: [&str; 3] = [
    "2026-11-25 15:04:05,123 INFO [main] a.b.C - before",
    "2026-11-25 15:04:06,001 INFO [main] a.b.C - between",
    "2026-11-25 15:04:07,000 INFO [main] a.b.C - after",
];
const PLAIN: [&str; 3] = ["listening on port 80", "user logged in", "request done in 3 ms"];

fn stream(around: [&'static str; 3], report: &'static str, times: usize) -> (Vec<&'static str>, Vec<String>) {
    let mut lines = Vec::new();
    let mut expected = Vec::new();
    for time in 0..times {
        for line in &around[..=time % 3] {
            lines.push(*line);
            expected.push((*line).to_owned());
        }
        lines.extend(report.lines());
        expected.push(report.to_owned());
    }
    lines.push(around[2]);
    expected.push(around[2].to_owned());
    (lines, expected)
}

#[test]
fn reports_come_out_whole_between_dated_and_plain_lines() {
    for (name, report) in REPORTS {
        for around in [DATED, PLAIN] {
            let (lines, expected) = stream(around, report, 40);
            let joined = join(&lines);
            let wrong = joined.iter().zip(&expected).find(|(have, want)| have != want);
            assert_eq!((wrong, joined.len()), (None, expected.len()), "{name}");
        }
    }
}

#[test]
fn announced_reports_stay_with_their_line() {
    for (name, report) in ANNOUNCED {
        for around in [DATED, PLAIN] {
            let (lines, expected) = stream(around, report, 40);
            let joined = join(&lines);
            let wrong = joined.iter().zip(&expected).find(|(have, want)| have != want);
            assert_eq!((wrong, joined.len()), (None, expected.len()), "{name}");
        }
    }
}

#[test]
fn lines_with_a_header_are_never_joined() {
    let lines = ["2026-11-25 15:04:05 ERROR a", "2026-11-25 15:04:05 INFO b", "WARNING: c", "INFO d", "{\"a\":1}", "{\"b\":2}"];
    assert_eq!(join(&lines), lines);
}

#[test]
fn undated_lines_follow_once_the_source_is_known_to_date_its_messages() {
    let mut lines = vec![DATED[0]; 40];
    lines.push("second line of the last message");
    let joined = join(&lines);
    assert_eq!(joined.len(), 40);
    assert!(joined[39].ends_with("\nsecond line of the last message"));
}

#[test]
fn reports_are_messages_in_a_source_that_is_known_to_date_its_messages() {
    for (name, report) in REPORTS {
        let lines: Vec<&str> = [DATED[0]; 40].into_iter().chain(report.lines()).collect();
        assert_eq!(join(&lines)[40..], [*report], "{name}");
    }
}

#[test]
fn long_messages_are_bounded_and_counted() {
    let mut joiner = Joiner::default();
    let mut out = Vec::new();
    joiner.push(b"2026-11-25 15:04:05 ERROR start", 0, |_| ());
    let frame = format!("\tat {}", "x".repeat(1_000));
    for _ in 0..100 {
        joiner.push(frame.as_bytes(), 0, |_| ());
    }
    joiner.flush(|joined| out.push((joined.text.len(), joined.dropped_bytes, joined.lines)));
    assert_eq!(out, [(MAX_MESSAGE, 31 + 100 * 1_005 - MAX_MESSAGE as u64, 101)]);
}

#[test]
fn idle_message_is_complete() {
    let mut joiner = Joiner::default();
    let mut count = 0;
    joiner.push(b"line", 0, |_| count += 1);
    joiner.flush_idle(IDLE - 1, |_| count += 1);
    assert!(joiner.is_open());
    joiner.push(b"  indented but late", IDLE, |joined| assert_eq!(joined.text, b"line"));
    assert_eq!(count, 0);
}

#[test]
fn a_line_with_fields_never_goes_on_in_a_source_that_dates_its_messages() {
    let mut lines: Vec<String> = (0..120).map(|n| format!("2026-11-25 15:04:05 INFO x - served {n}")).collect();
    lines.extend(["{\"level\":\"error\",\"msg\":\"boom\"}", "level=warn msg=slow", "and a text that goes on"].map(str::to_owned));
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let joined = join(&lines);
    assert_eq!(
        joined[119..],
        [
            "2026-11-25 15:04:05 INFO x - served 119",
            "{\"level\":\"error\",\"msg\":\"boom\"}",
            "level=warn msg=slow\nand a text that goes on"
        ]
    );
}

proptest! {
    #[test]
    fn nothing_is_lost_or_invented(lines in proptest::collection::vec("( |\t|at |Caused by: |panic: x|goroutine 1 \\[|\\{|\\}|=|2026-11-25 15:04:05 |INFO |Error: |[a-z]){0,6}", 0..40)) {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let joined = join(&lines);
        let whitespace_only = |line: &&str| line.trim().is_empty();
        let rejoined: Vec<String> = joined.join("\n").lines().filter(|line| !whitespace_only(line)).map(str::to_owned).collect();
        let expected: Vec<String> = lines.iter().filter(|line| !whitespace_only(line)).map(|line| (*line).to_owned()).collect();
        prop_assert_eq!(rejoined, expected);
    }

    #[test]
    fn a_header_that_joining_found_is_that_of_the_message(lines in proptest::collection::vec("(2026-11-25 15:04:05 |Nov 25 15:04:05 db |INFO |\\[main\\] |app\\[12\\]: |WARN: |[a-z]{1,5} ){0,5}", 0..20)) {
        let mut joiner = Joiner::default();
        let mut headers = Vec::new();
        let mut look = |joined: Joined<'_>| headers.extend(joined.header.map(|header| header == crate::header::parse(joined.text)));
        for line in &lines {
            joiner.push(line.as_bytes(), 0, &mut look);
        }
        joiner.flush(&mut look);
        prop_assert!(headers.iter().all(|same| *same));
    }
}
