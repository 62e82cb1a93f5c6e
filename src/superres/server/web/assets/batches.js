// Which pictures go into one job.

/**
 * A job is kept small, within what the server takes: the first pictures are done while the
 * others are still on their way, and a connection that breaks costs no more than this.
 */
const MOST = { items: 30, bytes: 32e6 };

const random = () =>
  [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** Pictures that are handed in together; sent again as it is, it is still the same job. */
export class Batch {
  key = random();
  stop = null; // while it is on its way
  sent = false; // all of it; only the answer is missing
  unwanted = false;

  constructor(items, settings) {
    this.items = items;
    this.settings = settings;
    for (const item of items) item.batch = this;
  }

  /** How far each picture is when so many bytes of all are. */
  told(loaded, total) {
    const all = this.items.reduce((sum, { file }) => sum + file.size, 0);
    let left = total > 0 ? (loaded / total) * all : 0;
    for (const item of this.items) {
      item.progress.fraction = item.file.size ? Math.min(1, Math.max(0, left / item.file.size)) : 1;
      left -= item.file.size;
    }
    this.sent = loaded >= total;
  }

  /** Too much for the server: two that may not be. */
  halve() {
    const middle = Math.ceil(this.items.length / 2);
    return [this.items.slice(0, middle), this.items.slice(middle)].map((items) => new Batch(items, this.settings));
  }

  /** It is no more: its pictures are on their own. */
  dissolve() {
    for (const item of this.items) if (item.batch === this) item.batch = null;
  }
}

/**
 * The first pictures of the line that go together.
 *
 * @param line those that wait, and those that are still looked at and will.
 * @param {{items: number, bytes: number}} limits what the server takes.
 * @returns {object[] | null} null: one of them is still looked at.
 */
export function gather(line, limits) {
  const most = Math.min(MOST.items, limits.items);
  const room = Math.min(MOST.bytes, limits.bytes);
  const found = [];
  let bytes = 0;
  for (const item of line) {
    bytes += item.file.size;
    if (found.length && (found.length === most || bytes > room || item.batch)) break;
    if (item.state !== "waiting") return null;
    found.push(item);
  }
  return found;
}
