// Output of the scripts: narration goes to stderr, so that stdout stays free for data.
const colour = process.stderr.isTTY === true && !process.env.NO_COLOR;
const paint = (code, text) => (colour ? `\u001b[${code}m${text}\u001b[0m` : text);

/** One line of narration. */
export function say(text) {
  process.stderr.write(`${text}\n`);
}

/** A step that succeeded. */
export function done(text) {
  say(`${paint("32", "✓")} ${text}`);
}

/** Something the reader should notice although the run goes on. */
export function warn(text) {
  say(`${paint("33", "!")} ${text}`);
}

/** What failed, why, and the next command. */
export function failure(what, why, next) {
  say(`${paint("31", "✗")} ${what}`);
  if (why) say(`  ${why.trim().split("\n").join("\n  ")}`);
  if (next) say(`  ${paint("1", "Next:")} ${next}`);
}

/** Seconds since `start`, for people. */
export function seconds(start) {
  return `${((performance.now() - start) / 1000).toFixed(1)} s`;
}
