// MariaDB by mysql2 (pure JavaScript): mysql2_client.js PORT
const mysql = require("mysql2/promise");
const { waitForAgent } = require("./agent.js");

const connect = () => mysql.createConnection({ host: "127.0.0.1", port: Number(process.argv[2]), user: "root", database: "shop" });

async function main() {
  const find = "SELECT name FROM item WHERE id = ?";
  const old = await connect();
  await old.execute(find, [1]);
  await waitForAgent();

  // Prepared before the agent came.
  await old.execute(find, [1]);
  const client = await connect();
  await client.query("SELECT 1");
  await client.execute(find, [1]);
  await client.execute(find, [2]);
  await client.execute("SELECT * FROM missing").then(() => { throw new Error("no error"); }, () => {});
  await client.execute("UPDATE item SET name = ? WHERE id = ?", ["hush", 2]);
  await client.query("SELECT nothing FROM item").then(() => { throw new Error("no error"); }, () => {});
  await client.beginTransaction();
  await client.commit();
  await Promise.all([old.end(), client.end()]);
}

main();
