// Runs inside a network namespace and keeps it alive: the namespace is gone when its last process is. Ends with its test, however that
// ends, because its standard input closes then. With a socket and an address it also carries calls from the socket, which is a file and so
// reaches through namespaces, to the node that listens at the address.
import { connect, createServer } from "node:net";

const [socket, host, port] = process.argv.slice(2);
process.stdin.resume().on("end", () => process.exit(0));
if (socket === undefined) console.log("ready");
else {
  const server = createServer({ allowHalfOpen: true }, (caller) => {
    const node = connect({ host, port: Number(port), allowHalfOpen: true });
    for (const [from, to] of [
      [caller, node],
      [node, caller],
    ]) {
      from.pipe(to);
      from.on("error", () => to.destroy()).on("close", () => to.destroy());
    }
  });
  server.listen(socket, () => console.log("ready"));
}
