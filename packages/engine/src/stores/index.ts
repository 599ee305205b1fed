export { BufferedStore, type BufferedStoreOptions } from "./buffered-store.ts";
export { ContentHash } from "./content-hash.ts";
export { checkKey, checkStoreName, isStoreName, maxStoreKeyBytes } from "./limits.ts";
