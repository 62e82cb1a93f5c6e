// How long the pictures of a job will take, as far as anybody can tell.

export const FINAL = new Set(["done", "failed", "closed", "timed_out"]);

/**
 * Seconds until each picture of a job is done, by position; null where nobody knows.
 *
 * The server tells when the whole job will be. Its pictures are done in their order, so each
 * has its share of that, once what is before the job is known: nothing if it has begun, or
 * else another of our own.
 *
 * @param job as the server tells it.
 * @param {(number|null)[]} sizes pixels of each picture; null: not known.
 * @param {number|null} before seconds until our job before this one is done; null: there is none.
 */
export function waits({ images, wait_seconds: whole }, sizes, before) {
  if (whole === null) return images.map(() => null);
  const known = sizes.filter((size) => size > 0);
  const usual = known.length ? known.reduce((sum, size) => sum + size, 0) / known.length : 1;
  const left = images.map(({ state, progress }, at) =>
    FINAL.has(state) ? 0 : (sizes[at] || usual) * (1 - progress));
  const total = left.reduce((sum, own) => sum + own, 0);
  const begins = images.some(({ state }) => state !== "waiting") ? 0 : before;
  // Somebody else's work may come first: then all of them may take as long as the last.
  if (begins === null || total === 0) return images.map(() => whole);
  let passed = 0;
  return left.map((own) => {
    passed += own;
    return Math.min(begins, whole) + (Math.max(0, whole - begins) * passed) / total;
  });
}
