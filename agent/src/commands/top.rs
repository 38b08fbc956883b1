//! `remora top`: the live view in the terminal, from the API of the running agent.
//!
//! On a terminal it draws itself anew every second; into a pipe or file it writes one snapshot. It only reads.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;

use super::CommandError;
use crate::config::ViewConfig;
use crate::view::json;

const EACH: Duration = Duration::from_secs(1);
/// Longest time and most bytes that one answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
const MAX_ANSWER: usize = 16 << 20;
/// Requests shown below the services.
const REQUESTS: usize = 20;
/// Clears the terminal and puts the cursor at its top left corner (ECMA-48 ED and CUP).
const CLEAR: &str = "\x1b[2J\x1b[H";

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What the agent said at one time.
struct Snapshot {
    status: json::Agent,
    services: json::Services,
    requests: json::Requests,
    losses: json::Losses,
}

/// Shows the view until the user interrupts it, or once if standard output is no terminal.
///
/// # Errors
/// The agent cannot be reached, or standard output fails.
pub fn top(view: &ViewConfig) -> Result<(), CommandError> {
    let address = reachable(view.listen);
    let token = view.token.as_ref().map(|token| token.reveal());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| CommandError::Io { doing: "start a runtime".into(), source })?;
    let terminal = std::io::stdout().is_terminal();
    loop {
        let read = runtime.block_on(async { tokio::time::timeout(PATIENCE, snapshot(address, token)).await });
        let read = read.map_err(Cause::from).and_then(|read| read);
        let snapshot = read.map_err(|source| CommandError::Io {
            doing: format!("read the agent's view at http://{address} (is `remora run` running?)"),
            source: std::io::Error::other(source),
        })?;
        let shown = format!("{}{}", if terminal { CLEAR } else { "" }, render(&snapshot));
        let mut out = std::io::stdout().lock();
        let written = out.write_all(shown.as_bytes()).and_then(|()| out.flush());
        written.map_err(|source| CommandError::Io { doing: "write to standard output".into(), source })?;
        if !terminal {
            return Ok(());
        }
        std::thread::sleep(EACH);
    }
}

/// The address to dial for an address that is listened on: "any" means this machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

async fn snapshot(address: SocketAddr, token: Option<&str>) -> Result<Snapshot, Cause> {
    Ok(Snapshot {
        status: read(address, "status", token).await?,
        services: read(address, "services", token).await?,
        requests: read(address, &format!("requests?limit={REQUESTS}"), token).await?,
        losses: read(address, "losses", token).await?,
    })
}

async fn read<T: DeserializeOwned>(address: SocketAddr, path: &str, token: Option<&str>) -> Result<T, Cause> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = hyper::Request::get(format!("/api/v1/{path}")).header(header::HOST, address.to_string());
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let answer = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await?.to_bytes();
    if status.is_success() {
        return Ok(serde_json::from_slice(&body)?);
    }
    let said = serde_json::from_slice::<json::Problem>(&body).map_or_else(|_| status.to_string(), |problem| problem.error);
    Err(said.into())
}

fn render(snapshot: &Snapshot) -> String {
    let mut out = String::new();
    head(&mut out, &snapshot.status);
    services(&mut out, &snapshot.services.services);
    requests(&mut out, &snapshot.requests.requests);
    losses(&mut out, &snapshot.losses.losses);
    out
}

fn head(out: &mut String, status: &json::Agent) {
    let capture = match &status.capture {
        json::CaptureState::Starting => "capture is being attached".to_owned(),
        json::CaptureState::Attached { .. } => "capturing".to_owned(),
        json::CaptureState::Failed { reason } => format!("cannot capture: {}", printable(reason)),
    };
    let json::Agent { version, host, requests, .. } = status;
    let _ = writeln!(out, "remora {version} on {}: {capture}, {requests} requests\n", printable(host));
}

fn services(out: &mut String, rows: &[json::Service]) {
    let _ = writeln!(out, "{:<28} {:<9} {:>9} {:>7} {:>9} {:>9} {:>9}", "SERVICE", "PART", "RATE/S", "ERRORS", "P50", "P95", "P99");
    for row in rows {
        let part = match row.part {
            json::Part::Served => "answers",
            json::Part::Called => "calls out",
        };
        let json::Rates { calls, errors, rate, p50_ns, p95_ns, p99_ns } = row.minute;
        let errors = if calls == 0 { 0.0 } else { errors as f64 * 100.0 / calls as f64 };
        let [p50, p95, p99] = [p50_ns, p95_ns, p99_ns].map(|ns| ns.map_or_else(|| "-".to_owned(), millis));
        let _ = writeln!(out, "{:<28} {part:<9} {rate:>9.2} {errors:>6.1}% {p50:>9} {p95:>9} {p99:>9}", short(&row.service, 28));
    }
}

fn requests(out: &mut String, rows: &[json::Request]) {
    let _ = writeln!(out, "\n{:<20} {:<9} {:<8} {:>9}  {:<48} PEER", "SERVICE", "KIND", "STATUS", "TOOK", "REQUEST");
    for row in rows {
        let status = row.status.as_deref().or(row.error.as_deref()).unwrap_or("ok");
        let address = row.peer_address.map(|address| address.to_string());
        let peer = row.peer_service.as_deref().or(address.as_deref()).unwrap_or("?");
        let (service, label) = (short(&row.service, 20), short(&row.label, 48));
        let _ = writeln!(
            out,
            "{service:<20} {:<9} {:<8} {:>9}  {label:<48} {}",
            row.kind,
            short(status, 8),
            millis(row.duration_ns),
            short(peer, 32)
        );
    }
}

fn losses(out: &mut String, rows: &[json::Loss]) {
    let _ = writeln!(out, "\nNOT SEEN{}", if rows.is_empty() { ": nothing was lost" } else { "" });
    for row in rows {
        let _ = writeln!(out, "{:>12} {}: {}", row.count, row.component, row.reason);
    }
}

fn millis(ns: u64) -> String {
    format!("{:.2}ms", ns as f64 / 1e6)
}

/// `text` in at most `width` characters, without those that a terminal would obey.
fn short(text: &str, width: usize) -> String {
    let text = printable(text);
    match text.char_indices().nth(width) {
        None => text,
        Some(_) => text.chars().take(width - 1).chain(['…']).collect(),
    }
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::{Call, Direction, Limits, Listen, Outcome, UnixNanos, View, bind, sample};

    #[tokio::test]
    async fn a_snapshot_of_a_running_agent_is_a_table() {
        let view = View::new(Limits::default());
        let mut row = sample::request("shop");
        row.label = "GET /\x1b[31m".to_owned() + &"x".repeat(99);
        view.request(row);
        let duration = Duration::from_millis(2);
        let call = Call { service: "shop", direction: Direction::Served, duration, outcome: Outcome::Failed, now: UnixNanos::now() };
        let _ = view.count(&call);
        view.loss("bpf", "ring buffer full", 17, UnixNanos(1));
        let bound = bind(Listen { address: ([127, 0, 0, 1], 0).into(), token: None }).await.expect("free port");
        let address = bound.address();
        let serving = tokio::spawn(bound.serve(view, std::future::pending()));
        let text = render(&snapshot(address, None).await.expect("answers"));
        serving.abort();
        let shop = text.lines().find(|line| line.contains("answers")).expect("service");
        assert!(shop.contains("shop") && shop.contains("100.0%") && shop.contains("2.00ms"), "{shop}");
        assert!(text.contains("GET /\u{fffd}[31mxx") && text.contains("x… ?") && !text.contains('\x1b'), "{text}");
        assert!(text.contains("17 bpf: ring buffer full"), "{text}");
    }

    #[tokio::test]
    async fn a_refusal_is_told_in_the_agents_own_words() {
        let token = crate::view::Token::new("0123456789abcdef");
        let bound = bind(Listen { address: ([127, 0, 0, 1], 0).into(), token }).await.expect("free port");
        let address = bound.address();
        let serving = tokio::spawn(bound.serve(View::default(), std::future::pending()));
        let refused = snapshot(address, None).await.err().expect("no token").to_string();
        assert!(refused.contains("token"), "{refused}");
        assert!(snapshot(address, Some("0123456789abcdef")).await.is_ok());
        serving.abort();
    }

    #[test]
    fn an_address_that_means_any_is_dialled_here() {
        assert_eq!(reachable(([0, 0, 0, 0], 4390).into()), ([127, 0, 0, 1], 4390).into());
        assert_eq!(reachable(([10, 0, 0, 1], 4390).into()), ([10, 0, 0, 1], 4390).into());
        assert_eq!(reachable("[::]:1".parse().expect("address")), "[::1]:1".parse().expect("address"));
    }
}
