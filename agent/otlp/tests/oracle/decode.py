"""Decodes an OTLP export request from standard input with the Python protobuf runtime and prints it.

An implementation of protobuf that shares no code with the writer or with prost.
Argument: traces, metrics or logs. Needs the PyPI package opentelemetry-proto.
"""

import sys

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

REQUESTS = {
    "traces": ExportTraceServiceRequest,
    "metrics": ExportMetricsServiceRequest,
    "logs": ExportLogsServiceRequest,
}


def main() -> None:
    request = REQUESTS[sys.argv[1]].FromString(sys.stdin.buffer.read())
    print(json_format.MessageToJson(request, preserving_proto_field_name=True, sort_keys=True))


main()
