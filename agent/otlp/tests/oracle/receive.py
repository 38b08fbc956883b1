"""An OTLP/gRPC trace receiver on grpcio, an implementation of gRPC that shares no code with the client.

Prints its port, then one line for each request: its spans and the value of the header x-tenant. Answers the first request with UNAVAILABLE and the second with a partial success that rejects one span.
Ends when its standard input is closed.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self) -> None:
        self.requests = 0

    def Export(self, request, context):
        self.requests += 1
        metadata = dict(context.invocation_metadata())
        spans = sum(len(scope.spans) for group in request.resource_spans for scope in group.scope_spans)
        print(spans, metadata.get("x-tenant"), flush=True)
        if self.requests == 1:
            context.abort(grpc.StatusCode.UNAVAILABLE, "not yet: größer")
        response = trace_service_pb2.ExportTraceServiceResponse()
        if self.requests == 2:
            response.partial_success.rejected_spans = 1
            response.partial_success.error_message = "one is too old"
        return response


def main() -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Receiver(), server)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    sys.stdin.read()
    server.stop(None)


main()
