"""WebSocket by websockets: websocket_client.py PORT."""
import sys

from agent import wait_for_agent
from websockets.sync.client import connect

URL = f"ws://127.0.0.1:{sys.argv[1]}/chat"
with connect(URL, compression=None) as socket:
    wait_for_agent()
    with connect(URL, compression=None) as new:
        for size in (1, 100, 70_000):
            new.send("h" * size)
            assert len(new.recv()) == size
        new.send(["in ", "three ", "parts"])
        assert new.recv() == "in three parts"
        new.ping().wait()
        print("talked", flush=True)
        wait_for_agent()
