//! What a receiver says about a request that it took.

use prost::Message;

use super::error::one_line;

/// An accepted request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// Items that the receiver rejected.
    pub(crate) rejected: u64,
    /// What it says about them, or a warning without a rejection.
    pub(crate) warning: Option<String>,
}

/// `ExportTraceServiceResponse`, `ExportMetricsServiceResponse` and `ExportLogsServiceResponse`:
/// the same fields under three names.
#[derive(Clone, PartialEq, Message)]
struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

impl Accepted {
    pub(crate) fn warning(text: &str) -> Self {
        Self { rejected: 0, warning: Some(text.to_owned()) }
    }

    /// Reads the response message; one that is unreadable does not undo the acceptance.
    pub(crate) fn decode(message: &[u8]) -> Self {
        match ExportResponse::decode(message) {
            Ok(response) => response.partial_success.map(Self::from).unwrap_or_default(),
            Err(_) => Self::warning("the answer could not be decoded; whether records were rejected is not known"),
        }
    }
}

impl From<PartialSuccess> for Accepted {
    fn from(partial: PartialSuccess) -> Self {
        let message = one_line(&partial.error_message);
        let warning = match (partial.rejected, message.is_empty()) {
            (0, true) => None,
            (_, true) => Some("records were rejected without a reason".to_owned()),
            (_, false) => Some(message),
        };
        Self { rejected: u64::try_from(partial.rejected).unwrap_or(0), warning }
    }
}
