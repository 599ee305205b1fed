/**
 * Flags of V8 that a node's process is started with; the command's first line and the scripts of the root's package.json repeat them.
 *
 * Messages live outside the JavaScript heap, but count towards the limit at which V8 collects all of it, and a small heap has a small limit:
 * under load the whole heap was marked three times a second, which took as much of the processor as all the rest. Up to this size (MiB, heap and
 * what it holds outside) nothing is marked. Measured: 16 000 produces/s without, 25 000 with; 256 MiB gave no more than 128.
 *
 * The room for new objects grows while a node starts, and is not given back: with V8's own 16 MiB, twice, a node at rest is above 140 MiB. Half of that
 * costs nothing that could be measured under load.
 */
export const engineFlags: readonly string[] = ["--initial-old-space-size=128", "--max-semi-space-size=8"];
