// MongoDB by its Node driver: mongodb_client.js PORT
const { MongoClient } = require("mongodb");

async function main() {
  const client = new MongoClient(`mongodb://127.0.0.1:${process.argv[2]}/?directConnection=true&heartbeatFrequencyMS=600000`);
  const orders = client.db("shop").collection("orders");
  await orders.insertOne({ _id: 1, name: "hush" });
  await orders.findOne({ _id: 1 });
  await orders.updateOne({ _id: 1 }, { $set: { name: "hush" } });
  await orders.insertOne({ _id: 1 }).then(() => { throw new Error("no error"); }, () => {});
  // Answered in any order.
  await Promise.all(Array.from({ length: 20 }, (_, number) => orders.findOne({ _id: number })));
  await orders.deleteOne({ _id: 1 });
  await client.close();
}

main();
