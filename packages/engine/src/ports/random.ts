/** Randomness. The server uses the operating system's generator; the simulator a seeded one. */
export interface Random {
  /** Unsigned 32-bit integer. */
  nextUint32(): number;
  /** Random bytes as lower-case hexadecimal; `bytes` * 2 characters. */
  hex(bytes: number): string;
}
