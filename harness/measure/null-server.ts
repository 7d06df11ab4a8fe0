/**
 * Child program: a server that does nothing, over the same transport, so that a bench can say how fast its own load
 * generator could go at most. Answers `+OK` to every RESP command of three words (`SET key value`), counted by its
 * seven line ends; keys and values must hold none.
 *
 * Prints `{"ready":true,"port":n}`; ends when it is killed.
 */
import { type AddressInfo, createServer } from "node:net";

const lineEndsPerCommand = 7;
const lineFeed = 10;

const server = createServer({ noDelay: true }, (socket) => {
  let lineEnds = 0;
  socket.on("data", (chunk) => {
    let commands = 0;
    for (let at = chunk.indexOf(lineFeed); at >= 0; at = chunk.indexOf(lineFeed, at + 1)) {
      if (++lineEnds % lineEndsPerCommand === 0) commands++;
    }
    if (commands > 0) socket.write("+OK\r\n".repeat(commands));
  });
  socket.on("error", () => socket.destroy());
});

server.listen(0, "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`${JSON.stringify({ ready: true, port })}\n`);
});
