// A stream over HTTP/2, through the socket of a proxy. Prints the head's names, and what came: the
// gate of the upstream opens when the first bytes are there.
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { json } from "node:stream/consumers";

const { socket, path, gate, asked } = await json(process.stdin);
const session = connectHttp2("http://service", { createConnection: () => connect(socket) });
const request = session.request({ ":method": "POST", ":path": path, "content-type": "application/json" });
request.end(JSON.stringify(asked));
let names = [];
let text = "";
request.on("response", (head) => (names = Object.keys(head)));
for await (const piece of request.setEncoding("utf8")) {
  if (!text) await fetch(gate, { method: "POST" });
  text += piece;
}
session.close();
console.log(JSON.stringify({ names, text }));
