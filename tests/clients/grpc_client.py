"""gRPC by grpcio, without generated code: grpc_client.py PORT."""
import sys

import grpc
from agent import wait_for_agent

channel = grpc.insecure_channel(f"127.0.0.1:{sys.argv[1]}")


def fails(call, code):
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() == code, error
        return
    raise AssertionError(code)


unary = lambda method: channel.unary_unary(f"/shop.Cart/{method}")
unary("Get")(b"hush")
wait_for_agent()

# On the connection that is older than the agent, whose tables of header fields it has not seen.
unary("Get")(b"hush")
unary("Get")(b"hush")
channel.close()
# A connection of its own, which the library shares otherwise.
channel = grpc.insecure_channel(f"127.0.0.1:{sys.argv[1]}", options=[("grpc.use_local_subchannel_pool", 1)])
for _ in range(5):
    unary("Get")(b"hush")
fails(lambda: unary("Missing")(b""), grpc.StatusCode.NOT_FOUND)
fails(lambda: unary("Broken")(b""), grpc.StatusCode.UNKNOWN)
fails(lambda: unary("Nowhere")(b""), grpc.StatusCode.UNIMPLEMENTED)
fails(lambda: unary("Slow")(b"", timeout=0.2), grpc.StatusCode.DEADLINE_EXCEEDED)
assert len(list(channel.unary_stream("/shop.Cart/List")(b""))) == 3
assert channel.stream_unary("/shop.Cart/Add")(iter([b"a", b"b", b"c"])) == b"3"
assert len(list(channel.stream_stream("/shop.Cart/Talk")(iter([b"a", b"b", b"c"])))) == 3
# Many at once on one connection: their frames are mixed, and segments are as large as the kernel makes them.
SIZES = (1, 100, 20_000, 70_000, 100_000, 300_000)


def many():
    calls = [unary("Get").future(b"h" * size) for size in SIZES]
    assert tuple(len(call.result()) for call in calls) == SIZES


many()
channel.close()
# And on one that has said nothing before.
channel = grpc.insecure_channel(f"127.0.0.1:{sys.argv[1]}", options=[("grpc.use_local_subchannel_pool", 1)])
many()
many()
channel.close()
