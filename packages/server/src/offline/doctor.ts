import { type ConfigurationGiven, loadConfig, type NodeConfig, reportConfig } from "../config/index.ts";
import { checkComposeLink, checkDataDir, checkDisk, checkLogDir } from "./doctor-disk.ts";
import { checkClock, checkCluster, checkPeers, checkPort, type PeerLook, lookAtPeers } from "./doctor-network.ts";
import { checkAccess } from "./doctor-access.ts";
import { checkCertificates } from "./doctor-certificates.ts";
import { type DoctorOptions, error, type Finding, ok, warning } from "./doctor-findings.ts";

const oldestNode = [20, 19] as const;

/** Looks at everything a node needs on this machine, whether it runs or not, and changes nothing. */
export async function diagnose(options: DoctorOptions): Promise<readonly Finding[]> {
  const findings: Finding[] = [
    checkNodeVersion(process.versions.node),
    ...checkConfiguration(options),
    ...(await checkComposeLink(options.cwd)),
  ];
  const config = configOf(options);
  if (config === null) return findings;
  findings.push(
    ...(await checkDataDir(config)),
    await checkDisk(config),
    ...(await checkLogDir(config)),
    ...(await checkCertificates(config, options.nowMs())),
    ...checkAccess(config),
  );
  findings.push(...(await checkPort(config, options)));
  const looks: readonly PeerLook[] = await lookAtPeers(config, options);
  findings.push(...checkPeers(config, looks), ...(await checkCluster(config, options)), ...checkClock(looks));
  return findings;
}

function checkNodeVersion(version: string): Finding {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [wantedMajor, wantedMinor] = oldestNode;
  const isOld = major < wantedMajor || (major === wantedMajor && minor < wantedMinor);
  return isOld
    ? error("node", `Node ${version} is too old.`, `install Node ${wantedMajor}.${wantedMinor} or newer`)
    : ok("node", `Node ${version} on ${process.platform} ${process.arch}`);
}

function checkConfiguration(given: ConfigurationGiven): readonly Finding[] {
  const { faults, rows, warnings } = reportConfig(given);
  const set = rows.filter(({ source }) => source !== "default").length;
  return [
    ...faults.map((line) => error("configuration", line, "correct the value, then: trivet config check")),
    // Look-alike names are among these.
    ...warnings.map((line) => warning("configuration", line, "correct or remove it, then: trivet config check")),
    ...(faults.length === 0 ? [ok("configuration", `${set} settings are set and valid`)] : []),
  ];
}

function configOf(given: ConfigurationGiven): NodeConfig | null {
  try {
    return loadConfig(given).config;
  } catch {
    // Its faults are among the findings.
    return null;
  }
}
