"""Kafka by kafka-python: kafka_python_client.py PORT."""
import sys

from agent import wait_for_agent
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

SERVER = f"127.0.0.1:{sys.argv[1]}"

admin = KafkaAdminClient(bootstrap_servers=SERVER)
admin.create_topics([NewTopic("orders", 1, 1), NewTopic("quiet", 1, 1), NewTopic("pictures", 1, 1)])
old = KafkaProducer(bootstrap_servers=SERVER, client_id="old")
old.send("orders", b"hush", partition=0).get(60)
wait_for_agent()

# A connection of which the agent saw no topic names.
old.send("orders", b"hush", partition=0).get(60)
old.close()

producer = KafkaProducer(bootstrap_servers=SERVER, client_id="shop", linger_ms=0)
for number in range(5):
    producer.send("orders", b"hush", key=b"k", partition=0).get(60)
producer.send("pictures", b"h" * 500_000, partition=0).get(60)
producer.close()

consumer = KafkaConsumer(bootstrap_servers=SERVER, client_id="reader", group_id="readers", auto_offset_reset="earliest", fetch_max_wait_ms=100)
consumer.subscribe(["orders", "quiet"])
taken = 0
while taken < 7:
    taken += sum(len(records) for records in consumer.poll(timeout_ms=500).values())
# Polls that bring nothing.
for _ in range(3):
    assert not consumer.poll(timeout_ms=300)
consumer.commit()
consumer.close()
