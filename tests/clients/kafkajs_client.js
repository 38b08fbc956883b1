// Kafka by KafkaJS: kafkajs_client.js PORT
const { Kafka, logLevel } = require("kafkajs");

async function main() {
  const kafka = new Kafka({ clientId: "js", brokers: [`127.0.0.1:${process.argv[2]}`], logLevel: logLevel.ERROR });
  const producer = kafka.producer({ allowAutoTopicCreation: false });
  await producer.connect();
  const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  for (let number = 0; number < 3; number += 1) {
    await producer.send({ topic: "orders", messages: [{ key: "k", value: "hush", headers: { traceparent } }, { value: "hush" }] });
  }
  await producer.disconnect();
  const consumer = kafka.consumer({ groupId: "js-readers", maxWaitTimeInMs: 100 });
  await consumer.connect();
  await consumer.subscribe({ topic: "orders", fromBeginning: true });
  let taken = 0;
  await new Promise((resolve) => consumer.run({ eachMessage: async () => { taken += 1; if (taken === 13) resolve(); } }));
  await consumer.disconnect();
}

main();
