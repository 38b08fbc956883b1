// PostgreSQL by pg (pure JavaScript): pg_client.js PORT
const { Client } = require("pg");
const { waitForAgent } = require("./agent.js");

async function connect() {
  const client = new Client({ host: "127.0.0.1", port: Number(process.argv[2]), user: "postgres" });
  await client.connect();
  return client;
}

async function main() {
  const find = { name: "find", text: "SELECT name FROM item WHERE id = $1" };
  const old = await connect();
  await old.query({ ...find, values: [1] });
  await waitForAgent();

  // Prepared before the agent came.
  await old.query({ ...find, values: [1] });
  const client = await connect();
  await client.query("SELECT 1 AS one");
  await client.query("SELECT name FROM item WHERE id = $1", [2]);
  await client.query({ ...find, values: [3] });
  await client.query({ ...find, values: [4] });
  await client.query("SELECT 1 / 0").then(() => { throw new Error("no error"); }, () => {});
  await client.query("BEGIN");
  await client.query("INSERT INTO item VALUES ($1, $2)", [50, "hush"]);
  await client.query("ROLLBACK");
  // Several statements in one message.
  await client.query("SELECT 1; SELECT name FROM item WHERE name = 'hush'");
  await Promise.all([old.end(), client.end()]);
}

main();
