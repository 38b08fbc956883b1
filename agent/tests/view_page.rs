//! The live page in a real browser: headless Chromium, driven over WebDriver, against a server in this process.
//!
//! Skipped by name where `chromedriver` or Chromium is not installed. `REMORA_SCREENSHOTS=DIR` keeps pictures of what it saw.
#![expect(clippy::expect_used, reason = "a failed expectation is a failed test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use remora::view::{
    Call, CapabilityRow, Capture, ExporterRow, Health, Limits, Listen, Outcome, PatternSeen, Peer, RequestRow, UnixNanos, View, bind,
};
use remora_core::model::{Completeness, Kind, SpanId, TraceId, semconv};
use serde_json::{Value, json};

/// A browser and its driver; both end with it.
struct Browser {
    driver: Child,
    port: u16,
    session: String,
}

impl Browser {
    /// `Err` names what is missing on this machine.
    fn start() -> Result<Self, String> {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("chromedriver does not start: {error}"))?;
        let lines = BufReader::new(driver.stdout.take().expect("piped")).lines();
        let said = lines.map_while(Result::ok).find(|line| line.contains("started successfully on port"));
        let port = said.and_then(|line| line.trim_end_matches('.').rsplit(' ').next()?.parse().ok());
        let Some(port) = port else {
            let _ = driver.kill();
            return Err("chromedriver named no port".into());
        };
        let mut browser = Self { driver, port, session: String::new() };
        let quiet = ["--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
        let arguments: Vec<&str> =
            ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1400,1000"].into_iter().chain(quiet).collect();
        let wanted = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": arguments}}}});
        let answer = browser.call("POST", "/session", &wanted);
        let session = answer["sessionId"].as_str().ok_or_else(|| format!("no browser: {}", answer["message"]))?;
        browser.session = format!("/session/{session}");
        Ok(browser)
    }

    /// One WebDriver command (W3C WebDriver §6); gives its `value`.
    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("driver listens");
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let length = body.len();
        write!(stream, "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
            .expect("sent");
        let mut answer = BufReader::new(stream);
        let mut length = 0;
        let mut line = String::new();
        while answer.read_line(&mut line).expect("head") > 2 {
            if let Some((_, value)) = line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
                length = value.trim().parse().expect("number");
            }
            line.clear();
        }
        let mut body = vec![0; length];
        answer.read_exact(&mut body).expect("body");
        serde_json::from_slice::<Value>(&body).expect("json")["value"].take()
    }

    fn command(&self, path: &str, body: &Value) -> Value {
        let value = self.call("POST", &format!("{}{path}", self.session), body);
        assert!(value["error"].is_null(), "{path}: {value}");
        value
    }

    fn open(&self, address: &str) {
        self.command("/url", &json!({"url": address}));
    }

    fn run(&self, script: &str) -> Value {
        self.command("/execute/sync", &json!({"script": script, "args": []}))
    }

    /// Waits until `script` gives true; says what the page shows if it never does.
    fn until(&self, script: &str) {
        for _ in 0..600 {
            if self.run(script) == Value::Bool(true) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("never true: {script}\n{}", self.run("return document.body.innerText"));
    }

    fn resize(&self, width: u32, height: u32) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics);
    }

    fn devtools(&self, name: &str, parameters: &Value) -> Value {
        self.command("/goog/cdp/execute", &json!({"cmd": name, "params": parameters}))
    }

    fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("REMORA_SCREENSHOTS") else { return };
        let base64 = self.call("GET", &format!("{}/screenshot", self.session), &Value::Null);
        std::fs::write(std::path::Path::new(&folder).join(format!("{name}.png.base64")), base64.as_str().expect("text")).expect("written");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            self.call("DELETE", &self.session, &Value::Null);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Serves `view` from a thread of its own for the rest of the process.
fn serve(view: &View) -> String {
    let (send, receive) = std::sync::mpsc::channel();
    let view = view.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("runtime");
        runtime.block_on(async {
            let bound = bind(Listen { address: ([127, 0, 0, 1], 0).into(), token: None }).await.expect("free port");
            send.send(format!("http://{}/", bound.address())).expect("waits");
            bound.serve(view, std::future::pending()).await.expect("serves");
        });
    });
    receive.recv().expect("address")
}

/// One observed end of call `number` from curl to nginx.
fn end(view: &View, number: u8, kind: Kind, label: &str, status: &str) {
    let client = kind == Kind::Client;
    let (service, peer) = if client { ("curl", "nginx") } else { ("nginx", "curl") };
    let duration = Duration::from_millis(if client { 12 } else { 10 });
    let error = status.starts_with('5').then(|| status.to_owned());
    let outcome = if error.is_some() { Outcome::Failed } else { Outcome::Ok };
    let _ = view.count(&Call { service, direction: kind.into(), duration, outcome, now: UnixNanos::now() });
    view.request(RequestRow {
        time: UnixNanos::now(),
        duration,
        service: service.into(),
        instance: None,
        kind,
        protocol: "http/1.1",
        name: "GET".into(),
        label: label.into(),
        status: Some(status.into()),
        error,
        peer: Peer { service: Some(peer.into()), address: None },
        trace: TraceId::new([number; 16]).expect("not zero"),
        span: SpanId::new([if client { 1 } else { 2 }; 8]).expect("not zero"),
        parent: SpanId::new([if client { 0 } else { 1 }; 8]),
        attributes: vec![(semconv::USER_AGENT_ORIGINAL, format!("agent of the {service} end"))],
        connection: None,
        completeness: Completeness::default(),
    });
}

fn call(view: &View, number: u8, label: &str, status: &str) {
    end(view, number, Kind::Client, label, status);
    end(view, number, Kind::Server, label, status);
}

const LINES: &str = "return [...document.querySelectorAll('#requests li .label')].map((label) => label.textContent)";
const SCROLLS: &str = "return document.documentElement.scrollWidth > document.documentElement.clientWidth";

fn lines(browser: &Browser) -> Vec<String> {
    serde_json::from_value(browser.run(LINES)).expect("texts")
}

fn filter(browser: &Browser, field: &str, value: &str) {
    browser.run(&format!(
        "const field = document.forms.filter.elements.{field}; field.value = '{value}'; field.dispatchEvent(new Event('input', {{bubbles: true}}))"
    ));
}

#[test]
fn a_newcomer_sees_requests_arrive_filters_them_and_opens_both_ends() {
    let browser = match Browser::start() {
        Ok(browser) => browser,
        Err(missing) => {
            eprintln!("SKIP live page in Chromium: {missing}");
            return;
        }
    };
    let view = View::new(Limits::default());
    view.capture(Capture::Attached { since: UnixNanos::now() });
    browser.open(&serve(&view));
    browser.until("return document.querySelector('#link').textContent === 'live'");
    browser.until("return document.querySelector('#requests .empty')?.textContent.includes('curl http://')");
    browser.run("window.here = true");
    browser.picture("empty");

    call(&view, 1, "GET /index.html", "200");
    browser.until("return document.querySelectorAll('#requests li').length === 1");
    call(&view, 2, "GET /<img src=x onerror=window.hacked=1>", "503");
    browser.until("return document.querySelectorAll('#requests li').length === 2");
    assert_eq!(lines(&browser), ["GET /<img src=x onerror=window.hacked=1>", "GET /index.html"], "both ends of a call are one line");
    browser.until("return document.querySelectorAll('#services tbody tr').length === 2");
    assert_eq!(
        browser.run("return window.here && !window.hacked && !document.querySelector('img')"),
        Value::Bool(true),
        "no reload, no markup"
    );

    filter(&browser, "status", "5xx");
    browser.until("return document.querySelectorAll('#requests li').length === 1");
    assert_eq!(lines(&browser), ["GET /<img src=x onerror=window.hacked=1>"]);
    filter(&browser, "status", "");
    filter(&browser, "text", "INDEX");
    browser.until("return document.querySelector('#requests li .label')?.textContent === 'GET /index.html'");
    filter(&browser, "min_ms", "500");
    browser.until("return document.querySelector('#requests .empty')?.textContent.startsWith('No request matches')");
    browser.run("document.querySelector('#requests .empty button').click()");
    browser.until("return document.querySelectorAll('#requests li').length === 2");

    browser.run("document.querySelector('#pause').click()");
    call(&view, 3, "GET /later", "200");
    browser.until("return document.querySelector('#requests-note').textContent.startsWith('paused, 2 new')");
    assert_eq!(lines(&browser).len(), 2);
    browser.run("document.querySelector('#pause').click()");
    browser.until("return document.querySelector('#requests li .label').textContent === 'GET /later'");

    browser.run("document.querySelector('#requests li button').click()");
    browser.until("return !document.querySelector('#detail').hidden");
    let detail = browser.run("return document.querySelector('#detail').innerText");
    for wanted in ["GET /later", "agent of the curl end", "agent of the nginx end", "2.00 ms", "Client end", "Server end"] {
        assert!(detail.as_str().expect("text").contains(wanted), "{wanted}: {detail}");
    }
    assert_eq!(browser.run("return document.querySelectorAll('#detail .waterfall tbody tr').length"), json!(2));
    browser.run("document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape'}))");
    browser.until("return document.querySelector('#detail').hidden");

    view.loss("bpf", "ring buffer full", 17, UnixNanos::now());
    let health = Health::Failing { since: UnixNanos::now(), error: "connection refused".into() };
    view.exporter(ExporterRow { signal: "traces", endpoint: "http://localhost:4317".into(), health, sent: 0, dropped: 0, queued: 3 });
    view.capabilities(vec![CapabilityRow { name: "delays of tasks".into(), off: Some("kernel.task_delayacct is 0".into()) }]);
    browser.until("return document.querySelector('#export-state').textContent === 'failing'");
    let template = "a_word_without_any_place_to_break_".repeat(8) + "<*>";
    view.log_pattern(&PatternSeen {
        service: "nginx",
        id: "1",
        severity: 17,
        template: &template,
        example: &template,
        count: 2,
        time: UnixNanos::now(),
    });
    browser.until(
        "return document.querySelector('#losses-count').textContent === '17' && document.querySelector('#patterns .fresh') !== null",
    );
    call(&view, 4, &format!("GET /{}", "long".repeat(100)), "404");
    browser.until("return document.querySelectorAll('#requests li').length === 4");
    for width in [1_400, 800, 360] {
        browser.resize(width, 900);
        assert_eq!(browser.run(SCROLLS), Value::Bool(false), "{width} pixels scroll sideways");
        browser.run("document.querySelector('#requests li button').click()");
        browser.until("return !document.querySelector('#detail').hidden");
        assert_eq!(browser.run(SCROLLS), Value::Bool(false), "{width} pixels scroll sideways with the detail");
        browser.run("document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape'}))");
    }
}

#[test]
fn the_list_stays_short_however_many_requests_come() {
    let browser = match Browser::start() {
        Ok(browser) => browser,
        Err(missing) => {
            eprintln!("SKIP live page in Chromium: {missing}");
            return;
        }
    };
    let view = View::new(Limits::default());
    browser.open(&serve(&view));
    for round in 1..=4 {
        (1..=250).for_each(|number| call(&view, number, &format!("GET /round{round}"), "200"));
        browser.until(&format!("return document.querySelector('#requests li .label')?.textContent === 'GET /round{round}'"));
        let shown = browser.run("return document.querySelectorAll('#requests li').length").as_u64().expect("number");
        assert!(shown <= 300, "{shown}");
    }
}
