import { StatefulSet } from "kubernetes-models/apps/v1/StatefulSet";
import { NetworkPolicy } from "kubernetes-models/networking.k8s.io/v1/NetworkPolicy";
import { PodDisruptionBudget } from "kubernetes-models/policy/v1/PodDisruptionBudget";
import { ConfigMap } from "kubernetes-models/v1/ConfigMap";
import { Service } from "kubernetes-models/v1/Service";
import { loadConfig } from "@trivet/server";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { parseAllDocuments } from "yaml";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const hasKubectl = spawnSync("kubectl", ["version", "--client"]).error === undefined;

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec: Readonly<Record<string, unknown>>;
}
/** What is looked at of a StatefulSet. */
interface SetSpec {
  readonly replicas: number;
  readonly serviceName: string;
  readonly selector: { readonly matchLabels: object };
  readonly template: {
    readonly metadata: { readonly labels: object };
    readonly spec: { readonly terminationGracePeriodSeconds: number; readonly containers: readonly [Container] };
  };
}
interface Container {
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly env: readonly { readonly name: string; readonly value?: string }[];
  readonly envFrom: readonly object[];
  readonly startupProbe: Probe;
  readonly livenessProbe: Probe;
  readonly readinessProbe: Probe;
}
interface Probe {
  readonly httpGet: { readonly port: string };
}
/** The published schemas, and where the published types of the same name are. */
const kinds: Readonly<Record<string, { readonly model: new (data: never) => { validate(): void }; readonly module: string }>> = {
  StatefulSet: { model: StatefulSet, module: "apps/v1" },
  NetworkPolicy: { model: NetworkPolicy, module: "networking.k8s.io/v1" },
  PodDisruptionBudget: { model: PodDisruptionBudget, module: "policy/v1" },
  ConfigMap: { model: ConfigMap, module: "v1" },
  Service: { model: Service, module: "v1" },
};

const problemOf = (manifest: Manifest): string | null => {
  const kind = kinds[manifest.kind];
  if (kind === undefined) return `no schema of ${manifest.kind}`;
  try {
    new kind.model(manifest as never).validate();
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
};

/** The schemas let fields through that they do not know; the types do not. */
function unknownFields(manifests: readonly Manifest[]): string {
  const folder = mkdtempSync(join(tmpdir(), "trivet-kubernetes-"));
  try {
    symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
    const lines = manifests.map((manifest, index) => {
      const type = `import("kubernetes-models/${kinds[manifest.kind]?.module}").I${manifest.kind}`;
      return `export const m${index}: ${type} = ${JSON.stringify(manifest)};`;
    });
    writeFileSync(join(folder, "manifests.ts"), lines.join("\n"));
    const options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--types", "", "--ignoreConfig", "manifests.ts"];
    return spawnSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), ...options], { cwd: folder, encoding: "utf8" })
      .stdout;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

describe.skipIf(!hasKubectl)("the manifests for Kubernetes, as Kustomize renders them", () => {
  let manifests: readonly Manifest[] = [];
  beforeAll(() => {
    const rendered = spawnSync("kubectl", ["kustomize", join(root, "deploy/kubernetes")], { encoding: "utf8" });
    expect(rendered.stderr).toBe("");
    manifests = parseAllDocuments(rendered.stdout).map((document) => document.toJS() as Manifest);
  });
  const one = (kind: string, name: string): Manifest => {
    const found = manifests.find((manifest) => manifest.kind === kind && manifest.metadata.name.startsWith(name));
    if (found === undefined) throw new Error(`no ${kind} ${name}`);
    return found;
  };

  it("are valid by the published schemas, and have no field that is not in them", () => {
    expect(manifests.map(({ kind }) => kind).sort()).toEqual(
      ["ConfigMap", "NetworkPolicy", "PodDisruptionBudget", "Service", "Service", "StatefulSet"].sort(),
    );
    expect(manifests.map(problemOf)).toEqual(manifests.map(() => null));
    expect(unknownFields(manifests)).toBe("");
  });

  it("a wrong value and an unknown field are found out", () => {
    const set = one("StatefulSet", "trivet");
    expect(problemOf({ ...set, spec: { ...set.spec, replicas: "three" } })).toMatch(/replicas/);
    expect(unknownFields([{ ...set, spec: { ...set.spec, podManagmentPolicy: "Parallel" } }])).toMatch(/podManagmentPolicy/);
  });

  it("fit each other: selectors, ports, names and the configuration of a node", () => {
    const spec = one("StatefulSet", "trivet").spec as unknown as SetSpec;
    const [container] = spec.template.spec.containers;
    const { labels } = spec.template.metadata;
    for (const selector of [
      spec.selector.matchLabels,
      one("Service", "trivet").spec["selector"],
      one("Service", "trivet-nodes").spec["selector"],
    ])
      expect(labels).toMatchObject(selector as object);
    expect(one("PodDisruptionBudget", "trivet").spec).toMatchObject({ selector: { matchLabels: labels }, maxUnavailable: 1 });
    expect(one("NetworkPolicy", "trivet").spec).toMatchObject({ podSelector: { matchLabels: labels } });
    expect(spec.serviceName).toBe("trivet-nodes");
    const ports = container.ports.map(({ name }) => name);
    for (const probe of ["startupProbe", "livenessProbe", "readinessProbe"] as const)
      expect(ports).toContain(container[probe].httpGet.port);

    const { data, metadata } = one("ConfigMap", "trivet") as Manifest & { readonly data: Readonly<Record<string, string>> };
    expect(container.envFrom).toEqual([{ configMapRef: { name: metadata.name } }]);
    const own = Object.fromEntries(container.env.map(({ name, value }) => [name, value]));
    for (let index = 0; index < spec.replicas; index += 1) {
      const NODE_ID = `trivet-${index}`;
      const secret = { SHARED_MAC_KEY: "0123456789abcdef0123456789abcdef" };
      const image = { HTTP_HOST: "0.0.0.0", CLUSTER_PORT: "9000" };
      const env = { ...image, ...data, ...own, ...secret, NODE_ID, ADVERTISE_URL: own["ADVERTISE_URL"]?.replace("$(NODE_ID)", NODE_ID) };
      const { config, warnings } = loadConfig({ env, cwd: "/nowhere", readFile: () => null });
      expect(warnings).toEqual([]);
      expect(config.self).toMatchObject({ id: NODE_ID, url: config.advertiseUrl });
      expect(config.peers).toHaveLength(spec.replicas);
      expect(container.ports).toContainEqual({ name: "http", containerPort: config.http.port });
      expect(container.ports).toContainEqual({ name: "peers", containerPort: config.cluster?.port });
      expect(spec.template.spec.terminationGracePeriodSeconds * 1_000).toBeGreaterThan(config.shutdownTimeoutMs);
    }
  });
});
