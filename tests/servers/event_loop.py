"""A server of one thread that asks another server before it answers: event_loop.py PORT HOST UPSTREAM_PORT.

`/pair/…` waits until two such requests are in flight before it asks; anything else asks at once.
"""
import asyncio
import sys

PORT, HOST, UPSTREAM_PORT = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
waiting = []


async def both_here():
    if waiting:
        waiting.pop().set()
        return
    here = asyncio.Event()
    waiting.append(here)
    await here.wait()


async def ask(path):
    reader, writer = await asyncio.open_connection(HOST, UPSTREAM_PORT)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {HOST}:{UPSTREAM_PORT}\r\nConnection: close\r\n\r\n".encode())
    await reader.read()
    writer.close()


async def serve(reader, writer):
    head = await reader.readuntil(b"\r\n\r\n")
    path = head.split(b" ")[1].decode()
    if path.startswith("/pair/"):
        await both_here()
    await ask(path)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n")
    await writer.drain()
    writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", PORT)
    await server.serve_forever()


asyncio.run(main())
