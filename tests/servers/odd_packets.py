"""Packets of many kinds between two hosts; prints each kind that passed: odd_packets.py serve | send HOST."""
import os
import socket
import struct
import sys
import threading

UDP, TCP = 7001, 7002


def serve():
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("0.0.0.0", UDP))
    tcp = socket.create_server(("0.0.0.0", TCP))

    def echo():
        while True:
            data, peer = udp.recvfrom(65535)
            udp.sendto(data, peer)

    threading.Thread(target=echo, daemon=True).start()
    print("ready", flush=True)
    while True:
        connection, _ = tcp.accept()
        with connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
            first = connection.recv(100)
            if first == b"reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                connection.sendall(first)


def checksum(data):
    words = struct.unpack(f"!{len(data) // 2}H", data)
    total = sum(words)
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def ping(host, size):
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    raw.settimeout(60)
    payload, ident = bytes(size), os.getpid() & 0xFFFF
    head = struct.pack("!BBHHH", 8, 0, checksum(struct.pack("!BBHHH", 8, 0, 0, ident, 1) + payload), ident, 1)
    raw.sendto(head + payload, (host, 0))
    while True:
        answer = raw.recv(65535)[20:]
        if answer[0] == 0 and struct.unpack("!H", answer[4:6])[0] == ident:
            return len(answer) == 8 + size


def datagram(host, size):
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.settimeout(60)
    udp.sendto(bytes(size), (host, UDP))
    return len(udp.recv(65535)) == size


def stream(host, data, flags=0, bind=None):
    with socket.create_connection((host, TCP), timeout=60) as connection:
        connection.send(data, flags)
        try:
            return connection.recv(100)
        except ConnectionResetError:
            return "reset"


def small_segments(host):
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 88)
    connection.connect((host, TCP))
    connection.sendall(b"o" * 100)
    return connection.recv(1) == b"o"


def broken(host):
    """A TCP header that ends in its middle: must be dropped by the receiver, and nothing else be disturbed."""
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
    for size in (1, 4, 12, 19, 20):
        raw.sendto(b"\xff" * size, (host, 0))
    return stream(host, b"still") == b"still"


def send(host):
    kinds = {
        "icmp": lambda: ping(host, 56),
        "fragmented icmp": lambda: ping(host, 5000),
        "udp": lambda: datagram(host, 100),
        "fragmented udp": lambda: datagram(host, 20000),
        "empty udp": lambda: datagram(host, 0),
        "tcp options": lambda: small_segments(host),
        "urgent data": lambda: stream(host, b"u", socket.MSG_OOB) == b"u",
        "reset": lambda: stream(host, b"reset") == "reset",
        "broken tcp": lambda: broken(host),
    }
    for kind, passes in kinds.items():
        print(kind if passes() else f"{kind} did not pass", flush=True)


serve() if sys.argv[1] == "serve" else send(sys.argv[2])
