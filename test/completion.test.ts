import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePorts, run, trivet } from "./support/processes.ts";

/** Bash of the system without anybody's settings, and the command on its PATH. */
describe("trivet completion bash, in bash", () => {
  let folder: string;
  let server: Server;
  let url: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "trivet-bash-"));
    writeFileSync(join(folder, "trivet"), `#!/bin/sh\nexec "${process.execPath}" -- "${trivet}" "$@"\n`);
    chmodSync(join(folder, "trivet"), 0o755);
    writeFileSync(join(folder, "some-file"), "");
    server = createServer((_request, response) => {
      response.end(JSON.stringify({ locks: [{ name: "a:b/c" }, { name: "two words" }], queues: [] }));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });

  /** What is in COMPREPLY after Tab at the end of `line`. */
  const tab = async (line: string, node: string = url): Promise<readonly string[]> => {
    const script = `
source <(trivet completion bash) || exit 9
[[ $(complete -p trivet) == "complete -F _trivet trivet" ]] || exit 8
COMP_LINE=$LINE COMP_POINT=\${#LINE}
_trivet trivet
printf '%s\\n' "\${COMPREPLY[@]}"`;
    const env = { PATH: `${folder}:${process.env["PATH"] ?? ""}`, LINE: line, TRIVET_URL: node };
    const { code, output } = await run("bash", ["--norc", "--noprofile", "-c", script], { cwd: folder, env });
    expect(code, output).toBe(0);
    return output.split("\n").filter((word) => word !== "");
  };

  it("completes verbs, options and choices", async () => {
    expect(await tab("trivet lo")).toEqual(["lock"]);
    expect(await tab("trivet lock x --on-")).toEqual(["--on-lost"]);
    expect(await tab("trivet lock x --on-lost ")).toEqual(["kill", "term", "continue"]);
  });

  it("puts a word in the place of what bash takes for one: behind = and :", async () => {
    expect(await tab("trivet lock x --mode=u")).toEqual(["update"]);
    expect(await tab("trivet lock show a:")).toEqual(["b/c"]);
  });

  it("quotes names, and completes the command behind the dashes, and files", async () => {
    expect(await tab("trivet lock show t")).toEqual(["two\\ words"]);
    expect(await tab("trivet lock x -- triv")).toContain("trivet");
    expect(await tab("trivet lock x -- cat some-")).toEqual(["some-file"]);
    expect(await tab("trivet snapshot verify some-")).toEqual(["some-file"]);
  });

  it("is silent where no cluster answers", async () => {
    const [port = 0] = await freePorts(1);
    expect(await tab("trivet lock show t", `http://127.0.0.1:${port}`)).toEqual([]);
  });
});
