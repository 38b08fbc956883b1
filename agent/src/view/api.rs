//! The routes: what of the state each address shows.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::stream::{self, Stream};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::guard::{Access, Head, Refusal};
use super::{Capture, Filter, Listed, Seq, StatusFilter, UnixNanos, View, json, page, query};

/// Requests in one answer, unless `limit` says otherwise.
const LIMIT: usize = 200;
const MAX_LIMIT: usize = 1_000;
/// How often a stream of events looks for changes, and how many may be open at once.
const LOOK: Duration = Duration::from_millis(500);
const MAX_STREAMS: usize = 32;

const SECURITY_HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

#[derive(Clone)]
struct Context {
    view: View,
    clock: fn() -> UnixNanos,
    streams: Arc<Semaphore>,
}

/// The whole local API and page over `view`.
pub(super) fn router(view: View, access: Access, clock: fn() -> UnixNanos) -> Router {
    let context = Context { view, clock, streams: Arc::new(Semaphore::new(MAX_STREAMS)) };
    let data = Router::new()
        .route("/services", get(services))
        .route("/requests", get(requests))
        .route("/requests/{id}", get(detail))
        .route("/connections", get(connections))
        .route("/losses", get(losses))
        .route("/patterns", get(patterns))
        .route("/status", get(status))
        .route("/events", get(events))
        .layer(middleware::from_fn_with_state(Arc::new(access), guard));
    let files = page::FILES.iter().fold(Router::new(), |router, file| router.route(file.path, get(move || async { file.answer() })));
    Router::new()
        .nest("/api/v1", data)
        .merge(files)
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "no such page") })
        .layer(middleware::map_response(secure))
        .with_state(context)
}

fn problem(status: StatusCode, error: impl ToString) -> Response {
    (status, Json(json::Problem { error: error.to_string() })).into_response()
}

async fn secure(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in SECURITY_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn guard(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    match check(&access, &request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => {
            let status = if matches!(*access, Access::Local) { StatusCode::FORBIDDEN } else { StatusCode::UNAUTHORIZED };
            problem(status, refusal)
        }
    }
}

fn check(access: &Access, request: &Request) -> Result<(), Refusal> {
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    access.check(Head { host: text(header::HOST), authorization: text(header::AUTHORIZATION), query: request.uri().query() })
}

async fn ready(State(context): State<Context>) -> Response {
    match context.view.status().capture {
        Capture::Attached { .. } => "ready\n".into_response(),
        Capture::Starting => problem(StatusCode::SERVICE_UNAVAILABLE, "capture is being attached"),
        Capture::Failed { reason } => problem(StatusCode::SERVICE_UNAVAILABLE, reason),
    }
}

async fn services(State(context): State<Context>) -> Json<json::Services> {
    let rows = context.view.services((context.clock)());
    Json(json::Services { services: rows.into_iter().map(json::Service::from).collect() })
}

#[derive(Debug, Default, Deserialize)]
struct RequestsQuery {
    service: Option<String>,
    text: Option<String>,
    status: Option<String>,
    min_ms: Option<f64>,
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

impl RequestsQuery {
    fn filter(&self) -> Result<Filter, String> {
        let given = |text: &Option<String>| text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        let status = given(&self.status)
            .map(|text| StatusFilter::parse(&text).ok_or_else(|| format!("status: `{text}` is none of `ok`, `error`, `4xx`, `404`")))
            .transpose()?;
        let min = Duration::try_from_secs_f64(self.min_ms.unwrap_or(0.0) / 1e3).map_err(|error| format!("min_ms: {error}"))?;
        Ok(Filter { service: given(&self.service), text: given(&self.text).map(|text| text.to_lowercase()), status, min })
    }
}

async fn requests(State(context): State<Context>, Query(asked): Query<RequestsQuery>) -> Response {
    let filter = match asked.filter() {
        Ok(filter) => filter,
        Err(error) => return problem(StatusCode::BAD_REQUEST, error),
    };
    let (rows, last) = context.view.requests_after(Seq(asked.after));
    let limit = asked.limit.unwrap_or(LIMIT).min(MAX_LIMIT);
    let found: Vec<Listed> = rows.into_iter().filter(|listed| filter.matches(&listed.row)).collect();
    let requests = found.iter().take(limit).map(json::Request::from).collect();
    Json(json::Requests { last: last.0, more: found.len().saturating_sub(limit), requests }).into_response()
}

async fn detail(State(context): State<Context>, Path(id): Path<u64>) -> Response {
    let (rows, _) = context.view.requests_after(Seq(0));
    let Some(request) = rows.iter().find(|listed| listed.seq.0 == id) else {
        return problem(StatusCode::NOT_FOUND, "this request is not in the list (any more)");
    };
    let connection = request.row.connection.and_then(|id| context.view.connection_of(id));
    Json(json::Detail::new(&query::related(request, &rows), connection)).into_response()
}

async fn connections(State(context): State<Context>) -> Json<json::Connections> {
    let rows = context.view.connections();
    let open = rows.iter().filter(|row| row.closed.is_none()).count();
    Json(json::Connections { open, connections: rows.into_iter().take(MAX_LIMIT).map(json::Connection::from).collect() })
}

async fn losses(State(context): State<Context>) -> Json<json::Losses> {
    Json(json::Losses { losses: context.view.losses().into_iter().map(json::Loss::from).collect() })
}

async fn patterns(State(context): State<Context>) -> Json<json::Patterns> {
    let rows = context.view.patterns((context.clock)());
    Json(json::Patterns { patterns: rows.into_iter().take(MAX_LIMIT).map(json::Pattern::from).collect() })
}

async fn status(State(context): State<Context>) -> Json<json::Agent> {
    Json(json::Agent::new(context.view.status(), context.view.totals(), (context.clock)()))
}

async fn events(State(context): State<Context>) -> Response {
    match Arc::clone(&context.streams).try_acquire_owned() {
        Ok(permit) => Sse::new(changes(context.view, permit)).keep_alive(KeepAlive::new()).into_response(),
        Err(_) => problem(StatusCode::TOO_MANY_REQUESTS, format!("{MAX_STREAMS} streams of events are open already")),
    }
}

/// The state now, and again whenever it has changed; nothing is done for it while nobody reads.
fn changes(view: View, permit: OwnedSemaphorePermit) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold((view, permit, None), |(view, permit, told)| async move {
        loop {
            let change = json::Change::of(&view);
            if told != Some(change) {
                let event = Event::default().event("change").json_data(change).unwrap_or_default();
                return Some((Ok(event), (view, permit, Some(change))));
            }
            tokio::time::sleep(LOOK).await;
        }
    })
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use futures_util::StreamExt;
    use remora_core::model::{ConnId, Kind};
    use tower::ServiceExt;

    use super::super::sample::{connection, request, span};
    use super::super::{Call, Direction, Listing, Outcome, Peer, RequestRow, Token};
    use super::*;

    const NOW: UnixNanos = UnixNanos(1_700_000_060_000_000_000);

    fn local(view: &View) -> Router {
        let access = Access::new(([127, 0, 0, 1], 4390).into(), None).expect("loopback");
        router(view.clone(), access, || NOW)
    }

    async fn ask(router: Router, target: &str, host: &str) -> (StatusCode, Response) {
        let request = Request::builder().uri(target).header("host", host).body(Body::empty()).expect("request");
        let response = router.oneshot(request).await.expect("infallible");
        (response.status(), response)
    }

    async fn body<T: serde::de::DeserializeOwned>(response: Response) -> T {
        let bytes = to_bytes(response.into_body(), 1 << 20).await.expect("body");
        serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&bytes)))
    }

    async fn read<T: serde::de::DeserializeOwned>(view: &View, target: &str) -> T {
        let (status, response) = ask(local(view), target, "localhost:4390").await;
        assert_eq!(status, StatusCode::OK, "{target}");
        body(response).await
    }

    /// A call of `curl` to `nginx` whose both ends were seen.
    fn call(view: &View) {
        let peer = |service: &str| Peer { service: Some(service.into()), address: None };
        view.request(RequestRow { kind: Kind::Client, peer: peer("nginx"), ..request("curl") });
        let server =
            RequestRow { span: span(2), parent: Some(span(1)), peer: peer("curl"), connection: Some(ConnId(7)), ..request("nginx") };
        view.request(server);
        view.connection(connection(7));
    }

    #[tokio::test]
    async fn requests_are_listed_filtered_and_continued() {
        let view = View::default();
        call(&view);
        let ids = |requests: &json::Requests| requests.requests.iter().map(|request| request.id).collect::<Vec<_>>();
        let all: json::Requests = read(&view, "/api/v1/requests").await;
        assert_eq!((ids(&all), all.last, all.more), (vec![2, 1], 2, 0));
        view.request(RequestRow {
            status: Some("503".into()),
            error: Some("503".into()),
            duration: Duration::from_millis(9),
            ..request("shop")
        });
        let new: json::Requests = read(&view, "/api/v1/requests?after=2").await;
        assert_eq!((ids(&new), new.last), (vec![3], 3));
        for (query, expected) in [
            ("service=curl", vec![2, 1]),
            ("service=shop", vec![3]),
            ("status=5xx", vec![3]),
            ("status=ok&text=%20INDEX%20", vec![2, 1]),
            ("min_ms=8.5", vec![3]),
            ("text=&service=&status=&limit=1", vec![3]),
            ("text=nowhere", vec![]),
        ] {
            let found: json::Requests = read(&view, &format!("/api/v1/requests?{query}")).await;
            assert_eq!(ids(&found), expected, "{query}");
            assert_eq!(found.last, 3, "{query}");
        }
        let cut: json::Requests = read(&view, "/api/v1/requests?limit=1").await;
        assert_eq!(cut.more, 2);
    }

    #[tokio::test]
    async fn a_wrong_question_is_answered_with_what_is_allowed() {
        let view = View::default();
        for query in ["status=teapot", "min_ms=-1", "min_ms=1e300"] {
            let (status, response) = ask(local(&view), &format!("/api/v1/requests?{query}"), "localhost").await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
            let json::Problem { error } = body(response).await;
            assert!(error.starts_with(query.split('=').next().expect("key")), "{error}");
        }
        for (target, expected) in
            [("/api/v1/requests/1", 404), ("/api/v1/requests/x", 400), ("/api/v1/requests?after=x", 400), ("/nowhere", 404)]
        {
            assert_eq!(ask(local(&view), target, "localhost").await.0, expected, "{target}");
        }
    }

    #[tokio::test]
    async fn a_request_is_shown_with_both_ends_its_trace_and_its_connection() {
        let view = View::default();
        call(&view);
        let server: json::Detail = read(&view, "/api/v1/requests/2").await;
        assert_eq!(server.request.request.service, "nginx");
        assert_eq!(server.other_end.expect("client end").request.service, "curl");
        assert_eq!(server.connection.expect("connection").id, "7");
        let trace: Vec<_> = server.trace.iter().map(|span| (span.depth, span.request.id)).collect();
        assert_eq!(trace, [(0, 1), (1, 2)]);
        let client: json::Detail = read(&view, "/api/v1/requests/1").await;
        assert_eq!(client.other_end.expect("server end").attributes, [("url.path".to_owned(), "/index.html".to_owned())]);
    }

    #[tokio::test]
    async fn services_carry_their_rates() {
        let view = View::default();
        for second in 0..60 {
            let now = UnixNanos(NOW.0 - second * 1_000_000_000);
            let call =
                Call { service: "shop", direction: Direction::Served, duration: Duration::from_millis(2), outcome: Outcome::Ok, now };
            assert_eq!(view.count(&call), Listing::List);
        }
        let json::Services { services } = read(&view, "/api/v1/services").await;
        assert_eq!((services[0].service.as_str(), services[0].part, services[0].calls), ("shop", json::Part::Served, 60));
        assert_eq!(services[0].minute.p99_ns, Some(2_000_000));
        assert_eq!(services[0].trend.len(), 60);
    }

    #[tokio::test]
    async fn readiness_follows_capture() {
        let view = View::default();
        let ready = || async { ask(local(&view), "/readyz", "10.1.2.3").await.0 };
        assert_eq!(ready().await, StatusCode::SERVICE_UNAVAILABLE);
        view.capture(Capture::Attached { since: NOW });
        assert_eq!(ready().await, StatusCode::OK);
        view.capture(Capture::Failed { reason: "no".into() });
        assert_eq!(ready().await, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(ask(local(&view), "/healthz", "x").await.0, StatusCode::OK);
        let json::Agent { capture, now_us, .. } = read(&view, "/api/v1/status").await;
        assert_eq!((capture, now_us), (json::CaptureState::Failed { reason: "no".into() }, NOW.0 / 1_000));
    }

    #[tokio::test]
    async fn data_is_refused_to_strangers_and_every_answer_is_locked_down() {
        let view = View::default();
        for target in ["/api/v1/services", "/api/v1/requests", "/api/v1/requests/1", "/api/v1/events", "/api/v1/status"] {
            let (status, response) = ask(local(&view), target, "evil.example:4390").await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{target}");
            assert!(body::<json::Problem>(response).await.error.contains("localhost"));
        }
        let token = Access::new(([0, 0, 0, 0], 4390).into(), Token::new("s3cret")).expect("token");
        let open = || router(view.clone(), token.clone(), || NOW);
        assert_eq!(ask(open(), "/api/v1/status", "node").await.0, StatusCode::UNAUTHORIZED);
        assert_eq!(ask(open(), "/api/v1/status?token=s3cret", "node").await.0, StatusCode::OK);
        for target in ["/", "/app.js", "/nowhere", "/api/v1/status"] {
            let (_, response) = ask(open(), target, "node").await;
            let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().expect("text");
            assert!(policy.starts_with("default-src 'none'"), "{target}");
            assert_eq!(response.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{target}");
        }
    }

    #[tokio::test]
    async fn events_tell_of_changes_and_are_limited_in_number() {
        let view = View::default();
        let router = local(&view);
        let (status, response) = ask(router.clone(), "/api/v1/events", "localhost").await;
        assert_eq!(status, StatusCode::OK);
        let mut stream = response.into_body().into_data_stream();
        let mut next = async || String::from_utf8(stream.next().await.expect("open").expect("data").to_vec()).expect("text");
        assert!(next().await.contains("\"last\":0"));
        call(&view);
        let event = next().await;
        assert!(event.starts_with("event: change\ndata: {") && event.contains("\"last\":2"), "{event}");

        let mut held = Vec::new();
        for _ in 1..MAX_STREAMS {
            held.push(ask(router.clone(), "/api/v1/events", "localhost").await);
        }
        assert!(held.iter().all(|(status, _)| *status == StatusCode::OK));
        assert_eq!(ask(router.clone(), "/api/v1/events", "localhost").await.0, StatusCode::TOO_MANY_REQUESTS);
        drop(held);
        assert_eq!(ask(router, "/api/v1/events", "localhost").await.0, StatusCode::OK);
    }

    #[test]
    fn the_page_asks_for_nothing_from_elsewhere_and_writes_no_markup() {
        for file in page::FILES {
            let text = file.text();
            for forbidden in ["https://", "//cdn", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "@import"] {
                assert!(!text.contains(forbidden), "{} has {forbidden}", file.path);
            }
        }
    }
}
