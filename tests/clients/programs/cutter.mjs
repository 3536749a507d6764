// A TCP proxy that hangs up on a caller once: inside a frame, in the middle of the first event
// stream. Argument: the service. Prints its own address, then a line for each stream that is
// answered and for the cut; ends with its input.
import { connect, createServer } from "node:net";

const HEAD = /^HTTP\/1.1 200 [^]*^content-type: text\/event-stream/im;
const IN_TEXT = /(?:(?:output_text\.|"text-)delta[^]*?){5}(?=["{])/;
const { hostname, port } = new URL(process.argv[2]);
let cut = false;

const server = createServer((caller) => {
  const service = connect({ host: hostname, port });
  let answer = "";
  caller.on("data", (data) => service.write(data));
  service.on("data", (data) => {
    if (!answer && HEAD.test(data)) console.log("stream");
    const before = answer.length;
    answer += data.toString("latin1");
    const found = !cut && HEAD.test(answer) && IN_TEXT.exec(answer);
    if (!found) return caller.write(data);
    cut = true;
    console.log("cut");
    service.destroy();
    caller.end(data.subarray(0, found.index + found[0].length - before));
  });
  service.on("end", () => caller.end()).on("error", () => caller.destroy());
  caller.on("close", () => service.destroy()).on("error", () => service.destroy());
});
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
process.stdin.resume().on("end", () => process.exit());
