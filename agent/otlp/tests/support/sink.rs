//! A receiver in the same process that does what a script says, well or badly.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What the sink does with a request.
#[derive(Clone)]
pub(crate) enum Reply {
    /// gRPC: accepted, with this response message.
    Grpc(Vec<u8>),
    /// gRPC: a status, with `grpc-status-details-bin` where given.
    GrpcStatus(u32, Option<&'static str>),
    /// HTTP: status, headers, body.
    Http(u16, Vec<(&'static str, &'static str)>, &'static [u8]),
    /// No answer at all.
    Stall,
    /// The connection is closed.
    Reset,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

#[derive(Debug)]
struct ConnectionReset;

impl std::fmt::Display for ConnectionReset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("reset by the script")
    }
}

impl std::error::Error for ConnectionReset {}

type Script = Arc<Mutex<VecDeque<Reply>>>;

impl Sink {
    /// Plays `script`; what comes after its end is answered with `then`.
    pub(crate) async fn start(script: Vec<Reply>, then: Reply, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let sink = Self { address, received: Arc::clone(&received) };
        let script: Script = Arc::new(Mutex::new(script.into()));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, received, then, tls) = (Arc::clone(&script), Arc::clone(&received), then.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, script, received, then).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, script, received, then).await;
                            }
                        }
                    }
                });
            }
        });
        sink
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    script: Script,
    received: Arc<Mutex<Vec<Received>>>,
    then: Reply,
) {
    let reset = Arc::new(tokio::sync::Notify::new());
    let on_reset = Arc::clone(&reset);
    let service = service_fn(move |request: Request<Incoming>| {
        let (script, received, then, reset) = (Arc::clone(&script), Arc::clone(&received), then.clone(), Arc::clone(&reset));
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            received.lock().unwrap().push(Received { path: parts.uri.path().to_owned(), headers: parts.headers, body });
            let reply = script.lock().unwrap().pop_front().unwrap_or(then);
            answer(reply, &reset).await
        }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = connection => {}
        () = on_reset.notified() => {}
    }
}

type Body = BoxBody<Bytes, Infallible>;

async fn answer(reply: Reply, reset: &tokio::sync::Notify) -> Result<Response<Body>, ConnectionReset> {
    match reply {
        Reply::Grpc(message) => Ok(grpc(message)),
        Reply::GrpcStatus(code, details) => Ok(grpc_status(code, details)),
        Reply::Http(status, headers, body) => {
            let mut response = Response::new(Full::new(Bytes::from_static(body)).boxed());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            for (name, value) in headers {
                response.headers_mut().insert(name, HeaderValue::from_static(value));
            }
            Ok(response)
        }
        Reply::Stall => std::future::pending().await,
        Reply::Reset => {
            reset.notify_one();
            std::future::pending().await
        }
    }
}

fn grpc(message: Vec<u8>) -> Response<Body> {
    let mut frame = vec![0];
    frame.extend((message.len() as u32).to_be_bytes());
    frame.extend(message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from(frame)).with_trailers(async move { Some(Ok(trailers)) });
    let mut response = Response::new(body.boxed());
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

/// A status without a message stands in the headers.
fn grpc_status(code: u32, details: Option<&'static str>) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::new()).boxed());
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from(code));
    headers.insert("grpc-message", HeaderValue::from_static("no%20room"));
    if let Some(details) = details {
        headers.insert("grpc-status-details-bin", HeaderValue::from_static(details));
    }
    response
}
