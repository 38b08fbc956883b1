// gRPC by @grpc/grpc-js, without generated code: grpcjs_client.js PORT
const grpc = require("@grpc/grpc-js");

async function main() {
  const client = new grpc.Client(`127.0.0.1:${process.argv[2]}`, grpc.credentials.createInsecure());
  const same = (bytes) => bytes;
  const unary = (method, bytes, options = {}) => new Promise((resolve) => {
    client.makeUnaryRequest(`/shop.Cart/${method}`, same, same, bytes, options, (error) => resolve(error ? error.code : 0));
  });
  const codes = [];
  for (const method of ["Get", "Get", "Missing", "Broken"]) codes.push(await unary(method, Buffer.from("hush")));
  codes.push(await unary("Slow", Buffer.alloc(0), { deadline: Date.now() + 200 }));
  if (codes.join() !== "0,0,5,2,4") throw new Error(codes.join());
  const list = client.makeServerStreamRequest("/shop.Cart/List", same, same, Buffer.alloc(0));
  let pieces = 0;
  for await (const _ of list) pieces += 1;
  if (pieces !== 3) throw new Error(`${pieces} pieces`);
  client.close();
  // Many at once on a connection that has said nothing before.
  const fresh = new grpc.Client(`127.0.0.1:${process.argv[2]}`, grpc.credentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1 });
  const length = (size) => new Promise((resolve, reject) => {
    fresh.makeUnaryRequest("/shop.Cart/Get", same, same, Buffer.alloc(size), (error, bytes) => (error ? reject(error) : resolve(bytes.length)));
  });
  const sizes = [1, 20_000, 100_000, 300_000];
  const got = await Promise.all(sizes.map(length));
  if (got.join() !== sizes.join()) throw new Error(got.join());
  fresh.close();
}

main();
