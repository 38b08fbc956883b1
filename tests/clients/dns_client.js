// DNS by Node's own resolver (c-ares): dns_client.js
const { Resolver } = require("dns").promises;

async function main() {
  const resolver = new Resolver();
  resolver.setServers(["127.0.53.53"]);
  await resolver.resolve4("node.a.test");
  await resolver.resolve6("node.a.test");
  await resolver.resolve4("node.none.test").then(() => { throw new Error("no error"); }, () => {});
  await resolver.resolveMx("node.mail.test");
  // Asked again over TCP, for the answer is too large for a datagram.
  await resolver.resolveTxt("node.big.test");
  await Promise.all(Array.from({ length: 20 }, () => resolver.resolve4("node.a.test")));
}

main();
