// What a screen reader is told: politely, and not more than it can say.

const PAUSE = 1000;
const PROGRESS_PAUSE = 8000;

export class Announcer {
  #queue = [];
  #last = 0;
  #timer = null;

  /** @param {HTMLElement} region a live region, out of sight. */
  constructor(region) {
    this.region = region;
  }

  /** Said as soon as what was said before has had its moment. */
  now(text) {
    this.#queue.push(text);
    this.#next();
  }

  /** Said if nothing was for a while, else never. */
  sometimes(text) {
    if (Date.now() - this.#last > PROGRESS_PAUSE && this.#queue.length === 0) this.now(text);
  }

  #next() {
    if (this.#timer !== null || this.#queue.length === 0) return;
    // Of many at once only the end matters.
    const texts = this.#queue.splice(0);
    this.region.textContent = texts.slice(-3).join(" ");
    this.#last = Date.now();
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#next();
    }, PAUSE);
  }
}
