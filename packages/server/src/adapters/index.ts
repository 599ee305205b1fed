export { ThreadApplyWorker } from "./apply-worker.ts";
export { NodeClock } from "./clock.ts";
export { NodeCrypto } from "./crypto.ts";
export { NodeFiles } from "./files.ts";
export { NodeRandom } from "./random.ts";
export { BrotliPacking } from "./value-packing.ts";
export { NodeTransport } from "./transport.ts";
