//! Sends one request body and reads the whole answer: the HTTP client below both protocols.
//!
//! gRPC needs nothing more of HTTP than HTTP/2 and trailers, and bodies are framed and compressed
//! beforehand, so one client serves both. It knows no retry.

use std::error::Error;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE, USER_AGENT};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::answer::Accepted;
use super::config::{ClientConfig, Protocol};
use super::error::{SendError, SetupError, root_cause};
use super::{grpc, http_protobuf, tls};

/// Largest answer that is read (OTLP specification 1.11).
const LARGEST_ANSWER: usize = 4 * 1024 * 1024;
const IDLE_CONNECTION: Duration = Duration::from_secs(90);
const AGENT: &str = concat!("Remora/", env!("CARGO_PKG_VERSION"), " OTel-OTLP-Exporter-Rust/", env!("CARGO_PKG_VERSION"));

const CLIENT_CERTIFICATE_ADVICE: &str =
    "; the receiver may want a client certificate: set OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and _CLIENT_KEY";

/// Something that carries request bodies to a receiver.
pub(crate) trait Transport: Send + Sync + 'static {
    /// One attempt.
    fn send(&self, body: Bytes) -> impl Future<Output = Result<Accepted, SendError>> + Send;
}

type Client = legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// The network.
pub(crate) struct HttpTransport {
    config: ClientConfig,
    headers: HeaderMap,
    connector: HttpsConnector<HttpConnector>,
    client: Mutex<Client>,
}

/// A whole answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: HeaderMap,
}

impl HttpTransport {
    /// Reads the certificates; connects at the first request.
    pub(crate) fn new(config: ClientConfig) -> Result<Self, SetupError> {
        let connector = connector(&config)?;
        let client = Mutex::new(client(&connector, config.protocol));
        Ok(Self { headers: headers(&config), config, connector, client })
    }

    async fn attempt(&self, body: Bytes) -> Result<Answer, SendError> {
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let response = client.request(self.request(body)).await.map_err(|error| self.failure(&error))?;
        let (parts, body) = response.into_parts();
        let collected = Limited::new(body, LARGEST_ANSWER).collect().await.map_err(|error| self.failure(error.as_ref()))?;
        let trailers = collected.trailers().cloned().unwrap_or_default();
        Ok(Answer { status: parts.status, headers: parts.headers, body: collected.to_bytes(), trailers })
    }

    fn request(&self, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.config.url.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }

    /// Leaves the connections of the past alone: one that swallowed a request may be dead without
    /// the kernel knowing yet.
    fn use_new_connections(&self) {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = client(&self.connector, self.config.protocol);
    }

    fn failure(&self, error: &(dyn Error + 'static)) -> SendError {
        let endpoint = self.config.endpoint();
        if find::<LengthLimitError>(error).is_some() {
            return SendError::AnswerTooLarge { endpoint, limit: LARGEST_ANSWER };
        }
        if let Some(tls) = find::<rustls::Error>(error) {
            return SendError::Tls { endpoint, detail: tls_detail(tls) };
        }
        if find::<legacy::Error>(error).is_some_and(legacy::Error::is_connect) {
            return SendError::Unreachable { endpoint, detail: root_cause(error) };
        }
        if find::<hyper::Error>(error).is_some_and(hyper::Error::is_parse) {
            return SendError::NotOtlp { endpoint, protocol: self.protocol_name(), detail: root_cause(error) };
        }
        let detail = root_cause(error);
        // HTTP/2 passes an alert on as text only.
        if detail.starts_with("received fatal alert: ") {
            return SendError::Tls { endpoint, detail: format!("{detail}{CLIENT_CERTIFICATE_ADVICE}") };
        }
        SendError::Disconnected { endpoint, detail }
    }

    fn protocol_name(&self) -> &'static str {
        match self.config.protocol {
            Protocol::Grpc => grpc::NAME,
            Protocol::HttpProtobuf => http_protobuf::NAME,
        }
    }
}

impl Transport for HttpTransport {
    async fn send(&self, body: Bytes) -> Result<Accepted, SendError> {
        let endpoint = self.config.endpoint();
        let limit = self.config.timeout;
        let Ok(answer) = tokio::time::timeout(limit, self.attempt(body)).await else {
            self.use_new_connections();
            return Err(SendError::TimedOut { endpoint, limit });
        };
        match self.config.protocol {
            Protocol::Grpc => grpc::read(endpoint, &answer?),
            Protocol::HttpProtobuf => http_protobuf::read(endpoint, &answer?, std::time::SystemTime::now()),
        }
    }
}

fn connector(config: &ClientConfig) -> Result<HttpsConnector<HttpConnector>, SetupError> {
    let secure = config.url.scheme() == Some(&http::uri::Scheme::HTTPS);
    let tls = if secure { tls::client_config(&config.tls)? } else { tls::unused()? };
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(Duration::from_secs(60)));
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    Ok(match config.protocol {
        Protocol::Grpc => builder.enable_http2().wrap_connector(tcp),
        Protocol::HttpProtobuf => builder.enable_http1().enable_http2().wrap_connector(tcp),
    })
}

fn client(connector: &HttpsConnector<HttpConnector>, protocol: Protocol) -> Client {
    legacy::Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_CONNECTION)
        .http2_only(protocol == Protocol::Grpc)
        .http2_adaptive_window(true)
        .build(connector.clone())
}

/// Headers of every request: those of the protocol win over those of the user.
fn headers(config: &ClientConfig) -> HeaderMap {
    let mut headers = config.headers.clone();
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    let encoding_header = match config.protocol {
        Protocol::Grpc => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert(TE, HeaderValue::from_static("trailers"));
            HeaderName::from_static("grpc-encoding")
        }
        Protocol::HttpProtobuf => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
            CONTENT_ENCODING
        }
    };
    if let Some(encoding) = config.compression.encoding() {
        headers.insert(encoding_header, HeaderValue::from_static(encoding));
    }
    headers
}

/// The first error of type `E` in the chain of `error`, also inside I/O errors.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(current) = next {
        if let Some(found) = current.downcast_ref::<E>() {
            return Some(found);
        }
        let inner = current.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => current.source(),
        };
    }
    None
}

/// A TLS failure with what to do about it, where that is known.
fn tls_detail(error: &rustls::Error) -> String {
    use rustls::{AlertDescription, CertificateError, Error as Tls};
    let advice = match error {
        Tls::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "; set OTEL_EXPORTER_OTLP_CERTIFICATE to the authority that signed the receiver's certificate"
        }
        Tls::AlertReceived(AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure) => CLIENT_CERTIFICATE_ADVICE,
        Tls::InvalidMessage(_) => "; does the receiver speak TLS on this port? without TLS the endpoint begins with http://",
        _ => "",
    };
    format!("{error}{advice}")
}
