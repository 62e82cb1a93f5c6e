// What an upscale will take, asked of the server once for each size and settings.

import { Refusal, estimate } from "/assets/web/api.js";

const PATIENCE = 4000;

export class Estimates {
  #found = new Map();

  /** @param unauthenticated called if the server wants to know who asks. */
  constructor(unauthenticated) {
    this.unauthenticated = unauthenticated;
  }

  /** `{width, height, pixels, seconds}`, or null: nobody knows; seconds 0: not yet. */
  async of(params) {
    const key = JSON.stringify(params);
    if (!this.#found.has(key)) this.#found.set(key, this.#ask(params));
    const found = await this.#found.get(key);
    if (!found) this.#found.delete(key);
    return found;
  }

  /** A server that has finished something knows better. */
  forget() {
    this.#found.clear();
  }

  async #ask(params) {
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), PATIENCE);
    try {
      const { out_width: width, out_height: height, seconds } = await estimate(params, stop.signal);
      return { width, height, pixels: width * height, seconds: seconds || 0 };
    } catch (error) {
      if (error instanceof Refusal && error.status === 401) this.unauthenticated();
      return null; // Any other refusal is told when the work is asked for.
    } finally {
      clearTimeout(timer);
    }
  }
}
