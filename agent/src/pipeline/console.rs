//! Exporter `console`: telemetry on standard output, decoded again, for a look without any receiver.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use remora_otlp::{EncodedBatch, Signal};
use std::fmt::Debug;
use std::io::Write;

/// Writes a batch to `output`, one field a line.
///
/// # Errors
/// `output` fails.
pub(super) fn write(batch: &EncodedBatch, output: &mut dyn Write) -> std::io::Result<()> {
    match batch.signal {
        Signal::Traces => show::<ExportTraceServiceRequest>(batch, output),
        Signal::Metrics => show::<ExportMetricsServiceRequest>(batch, output),
        Signal::Logs => show::<ExportLogsServiceRequest>(batch, output),
    }
}

fn show<M: Message + Default + Debug>(batch: &EncodedBatch, output: &mut dyn Write) -> std::io::Result<()> {
    match M::decode(batch.payload.clone()) {
        Ok(request) => writeln!(output, "{request:#?}"),
        Err(error) => writeln!(output, "unreadable batch of {} items: {error}", batch.items),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use remora_otlp::{Encoded, Envelope, Items, Packer, Resource, Scope, Span, SpanKind, Traces};

    #[test]
    fn a_span_is_shown_with_its_name() {
        let mut items: Items<Traces> = Items::new();
        items.span(&Span::new([1; 16], [2; 8], SpanKind::Server, "GET /cart"), []);
        let mut packer = Packer::new(10_000);
        let scope = Scope { name: "s".into(), version: String::new(), attributes: Encoded::default(), schema_url: String::new() };
        packer.add(&Envelope::new(&Resource::default(), &scope), &items);
        let mut output = Vec::new();
        write(&packer.finish()[0], &mut output).unwrap();
        assert!(String::from_utf8(output).unwrap().contains("name: \"GET /cart\""));
    }
}
