//! Request bodies: compressed and framed once a batch, then shared by all its attempts.

use std::io::{self, Write};

use bytes::Bytes;

use super::config::{Compression, Protocol};
use super::error::SendError;

/// Largest request before compression (OTLP specification 1.11: a client must not send more).
pub(crate) const LARGEST_REQUEST: usize = 64 * 1024 * 1024;
/// Flag and length before a gRPC message.
const GRPC_HEAD: usize = 5;
const GZIP_LEVEL: u32 = 1;
const ZSTD_LEVEL: i32 = 1;

/// The body that carries `payload`.
pub(crate) fn encode(protocol: Protocol, compression: Compression, payload: &Bytes) -> Result<Bytes, SendError> {
    if payload.len() > LARGEST_REQUEST {
        return Err(SendError::RequestTooLarge { size: payload.len(), limit: LARGEST_REQUEST });
    }
    match (protocol, compression) {
        (Protocol::HttpProtobuf, Compression::None) => Ok(payload.clone()),
        (Protocol::HttpProtobuf, _) => compressed(Vec::new(), compression, payload).map(Bytes::from).map_err(failure),
        (Protocol::Grpc, _) => grpc_frame(compression, payload).map_err(failure),
    }
}

fn failure(error: io::Error) -> SendError {
    SendError::Compression(error.to_string())
}

fn grpc_frame(compression: Compression, payload: &[u8]) -> io::Result<Bytes> {
    let mut frame = compressed(vec![0; GRPC_HEAD], compression, payload)?;
    let length = u32::try_from(frame.len() - GRPC_HEAD).map_err(io::Error::other)?;
    frame[0] = u8::from(compression != Compression::None);
    frame[1..GRPC_HEAD].copy_from_slice(&length.to_be_bytes());
    Ok(Bytes::from(frame))
}

/// Appends `payload` to `head`.
fn compressed(head: Vec<u8>, compression: Compression, payload: &[u8]) -> io::Result<Vec<u8>> {
    match compression {
        Compression::None => {
            let mut out = head;
            out.extend_from_slice(payload);
            Ok(out)
        }
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(head, flate2::Compression::new(GZIP_LEVEL));
            encoder.write_all(payload)?;
            encoder.finish()
        }
        Compression::Zstd => {
            let mut out = head;
            out.extend_from_slice(&zstd::bulk::compress(payload, ZSTD_LEVEL)?);
            Ok(out)
        }
    }
}
