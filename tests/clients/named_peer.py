"""Looks a name up and talks to its address by a protocol that carries no name: named_peer.py REDIS_PORT."""
import sys

import dns.resolver
import redis

resolver = dns.resolver.Resolver(configure=False)
resolver.nameservers = ["127.0.53.53"]
address = resolver.resolve("cache.test", "A")[0].to_text()
redis.Redis(host=address, port=int(sys.argv[1])).get("k:1")
