import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { ClientProcess } from "../clients/client-process.ts";
import type { Service } from "../clients/protocol.ts";
import { costBetween, read, type Cost, type Participant } from "../measure/window.ts";
import type { ProcessKeeper } from "../processes.ts";
import type { Missing, Result } from "../results.ts";
import type { RunningSubject, Subject, SubjectContext } from "../subjects/subject.ts";

/** How long and how often; `--quick` shortens all of it. */
export interface Effort {
  readonly quick: boolean;
  readonly rounds: number;
  readonly warmUpMs: number;
  readonly measureMs: number;
  readonly failovers: number;
  readonly soakMs: number;
  readonly sessions: number;
  readonly locksPerSession: number;
  /** Of queue-backlog. */
  readonly messages: number;
  /** Longest that queue-backlog may take for a subject. */
  readonly backlogMs: number;
  /** Length of queue-http. */
  readonly httpMs: number;
  readonly cache: CacheEffort;
}

/** Of the workloads of caches. */
export interface CacheEffort {
  /** Of cache-hit, of each kind. */
  readonly hits: number;
  readonly reads: number;
  /** Of cache-write. */
  readonly writes: number;
  /** Sharers that cache-write lets die. */
  readonly deaths: number;
  /** Of cache-stale, in each of its parts. */
  readonly staleWrites: number;
}

export interface RunContext {
  readonly run: string;
  readonly keeper: ProcessKeeper;
  readonly effort: Effort;
  /** Bytes of memory each node of queue-backlog may have; null: no cgroup around it. */
  readonly memoryMax: number | null;
  /** Where temporary folders are made. */
  readonly directory: string;
  /** One line to the person who watches. */
  readonly note: (line: string) => void;
}

export interface Workload {
  readonly name: string;
  /** What it measures subjects as; those that are something else are left out. */
  readonly service: Service;
  /** One line for `list`. */
  readonly summary: string;
  /** Why the workload makes no sense for a subject, or null. */
  excludes(subject: Subject): string | null;
  /** Rough duration for the list, in minutes per subject. */
  readonly minutes: number;
  run(context: RunContext, subjects: readonly Subject[]): Promise<readonly (Result | Missing)[]>;
}

/** A started subject with what is needed to measure it. */
export interface Bench {
  readonly subject: Subject;
  readonly running: RunningSubject;
  readonly directory: string;
  readonly client: (transport?: "native" | "http") => Promise<ClientProcess>;
  /** A client of the subject's queues. */
  readonly queueClient: () => Promise<ClientProcess>;
  /** A process with the subject's cache; what it connects as is told by calls. */
  readonly cacheClient: (transport?: "native" | "http") => Promise<ClientProcess>;
  /** Runs `measure` and tells what it cost the servers and the client. */
  readonly cost: <T>(client: ClientProcess, measure: () => Promise<T>) => Promise<{ readonly result: T; readonly cost: Cost }>;
}

/** Starts a subject on an empty folder, lets `use` measure, stops and removes everything whatever happened. */
export async function withSubject<T>(
  context: RunContext,
  subject: Subject,
  use: (bench: Bench) => Promise<T>,
  options: Pick<SubjectContext, "collectable" | "recordBytes"> = {},
): Promise<T> {
  const directory = mkdtempSync(join(context.directory, `${subject.name}-`));
  const clients: ClientProcess[] = [];
  let running: RunningSubject | null = null;
  try {
    const subjectDirectory = mkdtempSync(join(directory, "data-"));
    const started = await subject.start({ keeper: context.keeper, directory: subjectDirectory, ...options });
    running = started;
    const connect = async (transport: "native" | "http", service: Service): Promise<ClientProcess> => {
      const target = await started.target(transport);
      const client = await ClientProcess.start(context.keeper, target, service, join(directory, `client-${clients.length}.out`));
      clients.push(client);
      return client;
    };
    return await use({
      subject,
      running: started,
      directory,
      client: (transport = "native") => connect(transport, "locks"),
      queueClient: () => connect("native", "queues"),
      cacheClient: (transport = "native") => connect(transport, "cache"),
      cost: async (client, measure) => {
        const participants: Participant[] = [...(await started.participants()), { role: "client", pid: client.pid }];
        const before = read(participants, await started.fsyncs());
        const result = await measure();
        const after = read(participants, null);
        const fsyncs = await started.fsyncs();
        return { result, cost: costBetween(participants, before, { ...after, fsyncs }) };
      },
    });
  } finally {
    for (const client of clients) await client.stop();
    await running?.stop();
    await context.keeper.stopAll();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Time a call may take beyond the measurement it makes. */
export const slackMs = 30_000;

/** What became of a subject: its rounds, or why it has none. */
export class Attempts<T> {
  readonly #context: RunContext;
  readonly #workload: string;
  readonly #missing: Missing[] = [];
  readonly values: Map<Subject, T[]> = new Map<Subject, T[]>();

  constructor(context: RunContext, workload: string) {
    this.#context = context;
    this.#workload = workload;
  }

  /** Measures once more. A subject that failed before is left out: half a median says nothing, and the failure is in the report. */
  async add(subject: Subject, measure: () => Promise<T>): Promise<T | null> {
    if (this.#missing.some((entry) => entry.subject === subject.name)) return null;
    try {
      const value = await measure();
      this.values.set(subject, [...(this.values.get(subject) ?? []), value]);
      return value;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#context.note(`  ${subject.name} FAILED: ${reason}`);
      this.#missing.push({ run: this.#context.run, workload: this.#workload, subject: subject.name, missing: `failed: ${reason}` });
      this.values.delete(subject);
      return null;
    }
  }

  /** Results in the order of the subjects, then the failures. */
  results(toResults: (subject: Subject, values: readonly T[]) => readonly Result[]): readonly (Result | Missing)[] {
    return [...[...this.values].flatMap(([subject, values]) => toResults(subject, values)), ...this.#missing];
  }
}
