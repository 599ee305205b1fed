// AsyncDisposable, for programs whose own `lib` does not have it (--target es2022).
/// <reference lib="esnext.disposable" preserve="true" />
export type {
  Cache,
  CacheCallOptions,
  CacheChangeOptions,
  CacheOptions,
  CacheReadOptions,
  CacheStatistics,
  CacheWriteOptions,
  CompareAndSet,
  LoadOptions,
} from "./cache/cache.ts";
export type { CacheEntry } from "./cache/cache-entry.ts";
export type { Answered } from "./command-stream.ts";
export { type ConnectionEvent, connect, type ExecuteOptions, type SessionOptions, TrivetConnection } from "./connection.ts";
export {
  type ClientErrorCode,
  DeadlockError,
  FenceBehindError,
  LockLostError,
  LockedError,
  OutcomeUnknownError,
  QueueFullError,
  StaleReceiptError,
  TrivetError,
  UnavailableError,
  errorOf,
  type Holder,
} from "./errors.ts";
export { type HeldKey, Lock } from "./lock.ts";
export { type AcquireOptions, type CallOptions, type KeyOptions, Locks } from "./locks.ts";
export type { ConnectOptions, TlsOptions } from "./options.ts";
export { type QueueCodec, bytesCodec, jsonCodec } from "./queues/codec.ts";
export type { ConsumeOptions } from "./queues/consume-options.ts";
export type { Consumer } from "./queues/consumer.ts";
export type { Message, MessageLease } from "./queues/message.ts";
export type { MessageOptions, ProduceCall, ProduceOptions } from "./queues/new-message.ts";
export type { Produced } from "./queues/producer.ts";
export type { Queue, QueueInfo } from "./queues/queue.ts";
export type { MessageHandler, Worker, WorkerOptions } from "./queues/worker.ts";
export { Session } from "./session.ts";
export type { Actor, Command, CycleStep, HolderInfo, LockKey, LockMode, PolicyName, QueueSettings, Result } from "@trivet/wire";
