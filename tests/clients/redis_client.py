"""Redis by redis-py: redis_client.py PORT."""
import sys
import threading

import redis
from agent import wait_for_agent


def connect(**options):
    return redis.Redis(host="127.0.0.1", port=int(sys.argv[1]), single_connection_client=True, **options)


old = connect()
old.set("session:12345", "hush")
wait_for_agent()

old.get("session:12345")
for protocol in (2, 3):
    new = connect(protocol=protocol, db=2)
    new.set("cart:7", "hush" * 100_000)
    assert len(new.get("cart:7")) == 400_000
    new.get("none")
    new.rpush("queue", "hush")
    try:
        new.incr("queue")
        raise AssertionError("no error")
    except redis.ResponseError:
        pass
    # A pipeline, and a transaction.
    with new.pipeline(transaction=False) as many:
        for number in range(100):
            many.hset(f"user:{number}", "name", "hush")
        many.execute()
    with new.pipeline() as transaction:
        transaction.incr("orders").incr("orders")
        transaction.execute()
    assert new.blpop("queue", timeout=60)
    # Waits for what another connection sends.
    waiter = threading.Thread(target=lambda: connect(protocol=protocol, db=2).blpop("late", timeout=60))
    waiter.start()
    while new.info("clients")["blocked_clients"] == 0:
        pass
    new.lpush("late", "hush")
    waiter.join()
    # Messages come while nobody asks.
    with connect(protocol=protocol).pubsub() as subscriber:
        subscriber.subscribe("news")
        assert subscriber.get_message(timeout=60)["type"] == "subscribe"
        for _ in range(3):
            new.publish("news", "hush")
        for _ in range(3):
            assert subscriber.get_message(timeout=60)["type"] == "message"
        subscriber.unsubscribe()
        assert subscriber.get_message(timeout=60)["type"] == "unsubscribe"
