// Redis by ioredis: ioredis_client.js PORT
const Redis = require("ioredis");
const { waitForAgent } = require("./agent.js");

const connect = async () => {
  const client = new Redis({ port: Number(process.argv[2]), host: "127.0.0.1", lazyConnect: true });
  await client.connect();
  return client;
};

async function main() {
  const old = await connect();
  await waitForAgent();
  await old.get("k:1");
  const client = await connect();
  await client.set("k:1", "hush", "EX", 60);
  // Sent without waiting for answers.
  await Promise.all(Array.from({ length: 50 }, (_, number) => client.get(`k:${number}`)));
  await client.call("NOSUCH").then(() => { throw new Error("no error"); }, () => {});
  await client.eval("return redis.call('get', KEYS[1])", 1, "k:1");
  await client.multi().set("k:2", "hush").get("k:2").exec();
  await client.quit();
  old.disconnect();
}

main();
