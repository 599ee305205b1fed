import type { Granted, HolderClient, LockClient, Released } from "../driver/lock-client.ts";
import { peersFolder, requirePeer } from "./peer-modules.ts";

const leaseSeconds = 600;
const callTimeoutMs = 15_000;
/**
 * A call that nobody waits in line for is given up after this and sent to the next endpoint. Left alone, etcd answers a proposal that
 * died with its leader only after seven seconds; the retry is harmless, since the same name and lease give the same lock key.
 */
const attemptMs = 1000;
/** gRPC status. */
const deadlineExceeded = 4;
/** Pause before the next endpoint is asked after a failed call. */
const retryMs = 10;

type Reply<T> = (error: (Error & { readonly code?: number }) | null, reply: T) => void;
interface CallOptions {
  readonly deadline: number;
}
interface LockStub {
  Lock(request: { readonly name: Buffer; readonly lease: string }, options: CallOptions, reply: Reply<{ readonly key: Buffer }>): void;
  Unlock(request: { readonly key: Buffer }, options: CallOptions, reply: Reply<unknown>): void;
  close(): void;
}
interface LeaseStub {
  LeaseGrant(
    request: { readonly TTL: number; readonly ID: number },
    options: CallOptions,
    reply: Reply<{ readonly ID: string; readonly error: string }>,
  ): void;
  close(): void;
}
type StubClass<T> = new (address: string, credentials: unknown, options: Record<string, number>) => T;
interface GrpcModule {
  readonly credentials: { createInsecure(): unknown };
  loadPackageDefinition(definition: unknown): {
    readonly v3lockpb: { readonly Lock: StubClass<LockStub> };
    readonly etcdserverpb: { readonly Lease: StubClass<LeaseStub> };
  };
}
interface ProtoModule {
  loadSync(files: readonly string[], options: { readonly keepCase: boolean; readonly longs: unknown; readonly defaults: boolean }): unknown;
}

interface Endpoint {
  readonly lock: LockStub;
  readonly lease: LeaseStub;
}

function soon(): CallOptions {
  return { deadline: Date.now() + callTimeoutMs };
}

/**
 * etcd's own lock service over gRPC: one channel to the leader, one lease per caller. The other nodes are used only when a call fails,
 * as the clients of etcd do.
 */
export class EtcdClient implements LockClient {
  readonly holders: HolderClient;
  readonly #endpoints: readonly Endpoint[];
  #current = 0;
  readonly #leases: string[] = [];
  readonly #sessionLeases: string[] = [];

  constructor(urls: readonly string[]) {
    const grpc = requirePeer("@grpc/grpc-js") as GrpcModule;
    const definition = (requirePeer("@grpc/proto-loader") as ProtoModule).loadSync(
      [`${peersFolder}proto/lock.proto`, `${peersFolder}proto/lease.proto`],
      { keepCase: true, longs: String, defaults: true },
    );
    const { v3lockpb, etcdserverpb } = grpc.loadPackageDefinition(definition);
    // Both stubs of one address share one channel (subchannels are pooled by address and options): one connection.
    const options = { "grpc.initial_reconnect_backoff_ms": 50, "grpc.max_reconnect_backoff_ms": 200, "grpc.min_reconnect_backoff_ms": 50 };
    this.#endpoints = urls.map((url) => {
      const address = new URL(url).host;
      const credentials = grpc.credentials.createInsecure();
      return { lock: new v3lockpb.Lock(address, credentials, options), lease: new etcdserverpb.Lease(address, credentials, options) };
    });
    this.holders = {
      open: async (sessions, ttlMs) => {
        await this.#grantLeases(this.#sessionLeases, sessions, Math.ceil(ttlMs / 1000));
      },
      hold: (session, name, done) => {
        this.#lock(this.#sessionLeases[session] ?? "0", name, callTimeoutMs, callTimeoutMs, done);
      },
      isFree: (name) => this.#isFree(name),
    };
  }

  /** v3lock knows no attempt without waiting: a lock not granted within half a second is taken for held. */
  async #isFree(name: string): Promise<boolean> {
    const [lease] = this.#leases;
    return new Promise((resolve, reject) => {
      const options = { deadline: Date.now() + 500 };
      this.#endpoint.lock.Lock({ name: Buffer.from(name), lease: lease ?? "0" }, options, (error, reply) => {
        if (error === null) {
          this.release(0, name, reply.key, () => {
            resolve(true);
          });
        } else if (error.code === deadlineExceeded || error.message.includes("deadline exceeded")) {
          resolve(false);
        } else {
          reject(error);
        }
      });
    });
  }

  get #endpoint(): Endpoint {
    const endpoint = this.#endpoints[this.#current % this.#endpoints.length];
    if (endpoint === undefined) throw new Error("etcd needs at least one address");
    return endpoint;
  }

  async prepare(callers: number): Promise<void> {
    await this.#grantLeases(this.#leases, callers, leaseSeconds);
  }

  async #grantLeases(leases: string[], count: number, seconds: number): Promise<void> {
    const missing = Math.max(0, count - leases.length);
    const granted = await Promise.all(
      Array.from({ length: missing }, () => {
        return new Promise<string>((resolve, reject) => {
          this.#endpoint.lease.LeaseGrant({ TTL: seconds, ID: 0 }, soon(), (error, reply) => {
            if (error !== null) reject(error);
            else resolve(reply.ID);
          });
        });
      }),
    );
    leases.push(...granted);
  }

  acquire(caller: number, name: string, waitMs: number, done: Granted): void {
    const lease = this.#leases[caller];
    if (lease === undefined) throw new Error(`caller ${caller} has no lease`);
    this.#lock(lease, name, waitMs === 0 ? attemptMs : waitMs, Math.max(waitMs, callTimeoutMs), done);
  }

  #lock(lease: string, name: string, onceMs: number, timeoutMs: number, done: Granted): void {
    const endsAt = Date.now() + timeoutMs;
    const attempt = (): void => {
      const used = this.#current;
      this.#endpoint.lock.Lock({ name: Buffer.from(name), lease }, { deadline: Math.min(endsAt, Date.now() + onceMs) }, (error, reply) => {
        if (error === null) {
          done(null, reply.key);
          return;
        }
        this.#leave(used);
        if (Date.now() + retryMs >= endsAt) done(error, null);
        else setTimeout(attempt, retryMs);
      });
    };
    attempt();
  }

  /** Goes on with the next endpoint, once per failure however many calls noticed it. */
  #leave(used: number): void {
    if (this.#current === used) this.#current++;
  }

  release(_caller: number, _name: string, handle: unknown, done: Released): void {
    const endsAt = Date.now() + callTimeoutMs;
    const attempt = (): void => {
      const used = this.#current;
      this.#endpoint.lock.Unlock({ key: handle as Buffer }, { deadline: Math.min(endsAt, Date.now() + attemptMs) }, (error) => {
        if (error === null) {
          done(null);
          return;
        }
        this.#leave(used);
        if (Date.now() + retryMs >= endsAt) done(error);
        else setTimeout(attempt, retryMs);
      });
    };
    attempt();
  }

  close(): Promise<void> {
    for (const { lock, lease } of this.#endpoints) {
      lock.close();
      lease.close();
    }
    return Promise.resolve();
  }
}
