import { copyFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { newKeys, serialNumber, signerOf, keyPem, x509 } from "../../../cli/src/certificates/library.ts";
import { openAuthority } from "../../../cli/src/certificates/authority.ts";
import { readCertificates } from "../../src/security/certificates.ts";
import { makeAuthority, type TestAuthority } from "./certs.ts";

const dayMs = 24 * 3_600_000;
let own: TestAuthority;
let other: TestAuthority;
beforeAll(async () => {
  [own, other] = await Promise.all([makeAuthority(), makeAuthority()]);
  await own.issue("node1", { hosts: ["db.example", "10.0.0.4"] });
  await own.issue("node2");
  await other.issue("node1");
});
afterAll(() => {
  own.remove();
  other.remove();
});

const node1 = { kind: "node", id: "node1" } as const;
function fault(
  files: Partial<ReturnType<TestAuthority["files"]>>,
  holder: Parameters<typeof readCertificates>[1] = node1,
  now = Date.now(),
): string {
  const outcome = readCertificates({ ...own.files("node1"), ...files }, holder, now);
  return outcome.type === "bad" ? outcome.fault : "";
}

/** A certificate of the own authority with extensions of a test's choice. */
async function write(name: string, subject: string, extensions: readonly x509.Extension[], from = -dayMs): Promise<void> {
  const authority = await openAuthority(own.folder);
  const keys = await newKeys();
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject,
    issuer: authority.certificate.subjectName,
    notBefore: new Date(Date.now() + from),
    notAfter: new Date(Date.now() + from + 2 * dayMs),
    publicKey: keys.publicKey,
    signingKey: authority.signer.key,
    signingAlgorithm: signerOf(keys).algorithm,
    extensions: [...extensions],
  });
  writeFileSync(own.folder.file(`${name}.crt`), certificate.toString("pem"));
  writeFileSync(own.folder.file(`${name}.key`), await keyPem(keys.privateKey));
}
const named = (name: string): x509.Extension => new x509.SubjectAlternativeNameExtension([{ type: "dns", value: name }]);

describe("what `trivet cert` makes", () => {
  test("is good, and names the node, this machine, and what was asked for", () => {
    const outcome = readCertificates(own.files("node1"), node1, Date.now());
    expect(outcome).toMatchObject({ type: "good", certificates: { subject: "CN=node1" } });
    expect(outcome.type === "good" && outcome.certificates.names).toEqual([
      "DNS:node1",
      "DNS:localhost",
      "IP Address:127.0.0.1",
      "IP Address:0:0:0:0:0:0:0:1",
      "DNS:db.example",
      "IP Address:10.0.0.4",
    ]);
  });

  test("for a client is good for a client and for no node", async () => {
    await own.issue("billing", { kind: "client" });
    const files = own.files("billing");
    expect(readCertificates(files, { kind: "client" }, Date.now()).type).toBe("good");
    expect(fault(files, { kind: "node", id: "billing" })).toMatch(/is for URI:trivet:client:billing; expected DNS:billing/);
  });
});

describe("certificates that are refused, each in one line that says what to do (T-15, X-29)", () => {
  test("files that are not there, or hold something else", () => {
    expect(fault({ certFile: "/nowhere/node1.crt" })).toBe(
      "CERT_FILE: /nowhere/node1.crt: there is no such file; make one with: trivet cert issue node1",
    );
    expect(fault({ caFile: "/nowhere/ca.crt" })).toMatch(/^CA_FILE: .*trivet cert init$/);
    expect(fault({ certFile: own.files("node1").keyFile })).toMatch(/holds no certificate/);
    expect(fault({ keyFile: own.files("node1").certFile })).toMatch(/^KEY_FILE: .* holds no private key/);
  });

  test("one whose name stands in CN alone", async () => {
    await write("bare", "CN=node1", []);
    expect(fault(own.files("bare"))).toMatch(/^CERT_FILE: .*bare\.crt \(CN=node1\) has no subjectAltName: .*trivet cert issue node1$/);
  });

  test("the key of another certificate, which it does not quote", () => {
    const said = fault({ keyFile: own.files("node2").keyFile });
    expect(said).toMatch(/^KEY_FILE: .*node2\.key is not the key of .*node1\.crt/);
    expect(said).not.toContain("PRIVATE KEY");
  });

  test("one for another node, for no node in particular, or for localhost alone", async () => {
    expect(fault(own.files("node2"))).toMatch(/is for DNS:node2, .*expected DNS:node1, the NODE_ID/);
    await write("star", "CN=star", [named("*.example")]);
    expect(fault(own.files("star"), { kind: "node", id: "*.example" })).toMatch(/expected DNS:\*\.example/);
    await write("local", "CN=local", [named("localhost")]);
    expect(fault(own.files("local"), { kind: "node", id: "localhost" })).toMatch(/expected DNS:localhost/);
  });

  test("one of another authority, and one of an authority that may not sign", async () => {
    expect(fault({ caFile: other.files("node1").caFile })).toMatch(/is signed by CN=Trivet authority .*which is not in CA_FILE/);
    expect(fault({ certFile: other.files("node1").certFile, keyFile: other.files("node1").keyFile })).toMatch(/not in CA_FILE/);
    const keys = await newKeys();
    const selfSigned = await x509.X509CertificateGenerator.createSelfSigned({
      name: "CN=self",
      keys,
      signingAlgorithm: signerOf(keys).algorithm,
      extensions: [named("node1")],
    });
    writeFileSync(own.folder.file("self.crt"), selfSigned.toString("pem"));
    writeFileSync(own.folder.file("self.key"), await keyPem(keys.privateKey));
    expect(fault({ ...own.files("self"), caFile: own.folder.file("self.crt") })).toMatch(/is no authority's certificate/);
  });

  test("one that ended, has not begun, or may not serve", async () => {
    expect(fault({}, node1, Date.now() + 25 * dayMs)).toMatch(/\(CN=node1\) ended on \d{4}-\d\d-\d\d; make one with/);
    await write("future", "CN=node1", [named("node1")], dayMs);
    expect(fault(own.files("future"))).toMatch(/begins on .* only: look at this machine's clock/);
    await write("clientonly", "CN=node1", [named("node1"), new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth])]);
    expect(fault(own.files("clientonly"))).toMatch(/may not be used by server and client both/);
  });

  test("an authority that ended", async () => {
    expect(fault({}, node1, Date.now() + 31 * dayMs)).not.toBe("");
  });
});

test("several authorities in CA_FILE are trusted alike, so that they can be replaced", async () => {
  const bundle = own.folder.file("bundle.crt");
  writeFileSync(bundle, other.ca + own.ca);
  expect(fault({ caFile: bundle })).toBe("");
  expect(fault({ certFile: other.files("node1").certFile, keyFile: other.files("node1").keyFile, caFile: bundle })).toBe("");
  copyFileSync(own.folder.file("ca.crt"), bundle);
});
