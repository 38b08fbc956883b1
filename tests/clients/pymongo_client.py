"""MongoDB by PyMongo: pymongo_client.py PORT."""
import sys

import pymongo
from agent import wait_for_agent


def connect():
    client = pymongo.MongoClient("127.0.0.1", int(sys.argv[1]), directConnection=True, heartbeatFrequencyMS=600_000)
    return client, client.shop.items


_, old = connect()
old.insert_one({"_id": 0})
wait_for_agent()

old.find_one({"_id": 0})
client, items = connect()
items.insert_many([{"_id": number, "name": "hush"} for number in range(1, 251)])
# Three batches: find and two getMore.
assert len(list(items.find({"name": "hush"}, batch_size=100))) == 250
items.update_one({"_id": 1}, {"$set": {"name": "hush"}})
items.delete_many({"_id": {"$gt": 200}})
list(items.aggregate([{"$match": {"name": "hush"}}, {"$limit": 3}]))
items.count_documents({})
try:
    items.insert_one({"_id": 1, "name": "hush"})
    raise AssertionError("no error")
except pymongo.errors.DuplicateKeyError:
    pass
try:
    client.shop.command("nosuch")
    raise AssertionError("no error")
except pymongo.errors.OperationFailure:
    pass
items.insert_one({"_id": 1000, "name": "hush" * 100_000})
assert len(items.find_one({"_id": 1000})["name"]) == 400_000
