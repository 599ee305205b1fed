import { request as httpRequest } from "node:http";

export interface Event {
  readonly event: string;
  readonly id: string;
  readonly data: Record<string, unknown>;
}

/** Follows server-sent events; the list grows as they come. */
export function follow(
  at: number,
  path: string,
  headers: Record<string, string> = {},
): Promise<{ readonly events: Event[]; readonly ended: Promise<void>; close(): void; pause(): void; readonly type: string }> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ port: at, host: "127.0.0.1", path, headers, agent: false }, (response) => {
      const events: Event[] = [];
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => {
        text += part;
        for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
          const fields = new Map(
            text
              .slice(0, end)
              .split("\n")
              .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]),
          );
          text = text.slice(end + 2);
          if (fields.has("event"))
            events.push({
              event: fields.get("event") ?? "",
              id: fields.get("id") ?? "",
              data: JSON.parse(fields.get("data") ?? "null") as Record<string, unknown>,
            });
        }
      });
      const ended = new Promise<void>((done) => {
        response.once("close", done);
      });
      response.on("error", () => undefined);
      resolve({
        events,
        ended,
        close: () => request.destroy(),
        pause: () => response.pause(),
        type: response.headers["content-type"] ?? "",
      });
    });
    request.on("error", reject);
    request.end();
  });
}
