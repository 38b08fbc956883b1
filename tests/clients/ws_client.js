// WebSocket by ws: ws_client.js PORT
const WebSocket = require("ws");

const socket = new WebSocket(`ws://127.0.0.1:${process.argv[2]}/chat`, { perMessageDeflate: false });
let answers = 0;
socket.on("open", () => Array.from({ length: 10 }, () => socket.send("hush")));
socket.on("message", () => {
  answers += 1;
  if (answers === 10) socket.close();
});
