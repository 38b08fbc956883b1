"""A gRPC server without generated code: grpc_server.py PORT."""
import sys
import time
from concurrent import futures

import grpc


def missing(_, context):
    context.abort(grpc.StatusCode.NOT_FOUND, "no such cart")


def broken(_, __):
    raise RuntimeError("broken")


def slow(request, context):
    while context.is_active():
        time.sleep(0.01)
    return request


METHODS = {
    "Get": grpc.unary_unary_rpc_method_handler(lambda request, _: request),
    "Missing": grpc.unary_unary_rpc_method_handler(missing),
    "Broken": grpc.unary_unary_rpc_method_handler(broken),
    "Slow": grpc.unary_unary_rpc_method_handler(slow),
    "List": grpc.unary_stream_rpc_method_handler(lambda _, __: iter([b"a", b"b", b"c"])),
    "Add": grpc.stream_unary_rpc_method_handler(lambda requests, _: b"%d" % len(list(requests))),
    "Talk": grpc.stream_stream_rpc_method_handler(lambda requests, _: (request for request in requests)),
}

server = grpc.server(futures.ThreadPoolExecutor(8))
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("shop.Cart", METHODS)])
server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
server.start()
server.wait_for_termination()
