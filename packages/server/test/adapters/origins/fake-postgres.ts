import { createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";

type Reply = string | null | { readonly severity: string; readonly code: string; readonly message: string };

/** As much of a PostgreSQL as one statement needs: it says to each what `answer` makes of its parameters, as one text; null = nothing, "hang up" = the end. */
export class FakePostgres {
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();

  private constructor(answer: (values: string) => Reply) {
    this.server = createServer((socket) => this.serve(socket, answer));
  }

  static async start(answer: (values: string) => Reply): Promise<FakePostgres> {
    const fake = new FakePostgres(answer);
    await new Promise<void>((resolve) => fake.server.listen(0, "127.0.0.1", resolve));
    return fake;
  }

  get url(): string {
    return `postgresql://trivet@127.0.0.1:${(this.server.address() as AddressInfo).port}/any`;
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private serve(socket: Socket, answer: (values: string) => Reply): void {
    this.sockets.add(socket);
    socket.once("close", () => this.sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    let heard = Buffer.alloc(0);
    let isOpen = false;
    let bound = "";
    socket.on("data", (data) => {
      heard = Buffer.concat([heard, data]);
      for (;;) {
        // What opens a connection has no letter before its length.
        const letter = isOpen ? 1 : 0;
        if (heard.length < letter + 4 || heard.length < letter + heard.readUInt32BE(letter)) return;
        const size = letter + heard.readUInt32BE(letter);
        const type = isOpen ? String.fromCharCode(heard.readUInt8(0)) : "";
        const body = heard.subarray(letter + 4, size).toString("latin1");
        heard = heard.subarray(size);
        isOpen = true;
        if (type === "") socket.write(Buffer.concat([message("R", "\0\0\0\0"), ready]));
        if (type === "B") bound = body;
        const reply = type === "S" ? answer(bound) : null;
        if (reply === "hang up") return void socket.destroy();
        if (reply !== null) socket.write(said(reply));
      }
    });
  }
}

function message(type: string, body = ""): Buffer {
  const size = Buffer.alloc(4);
  size.writeUInt32BE(body.length + 4);
  return Buffer.concat([Buffer.from(type), size, Buffer.from(body, "latin1")]);
}

const ready = message("Z", "I");

function said(reply: Exclude<Reply, null>): Buffer {
  if (typeof reply === "string") return Buffer.concat([message("1"), message("2"), message("n"), message("C", `${reply}\0`), ready]);
  const { code, message: text, severity } = reply;
  return Buffer.concat([message("E", `S${severity}\0VERROR\0C${code}\0M${text}\0\0`), ready]);
}
