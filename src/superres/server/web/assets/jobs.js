// The jobs that were handed in, and what becomes of them. Knows the server, not the pictures.

import { Disconnected, Refusal, cancel, follow, look } from "/assets/web/api.js";
import { remembered } from "/assets/web/remembered.js";
import { FINAL } from "/assets/web/waits.js";

/** Milliseconds. One of which nothing was heard for so long is asked for. */
const STALE = 4000;
/** The server speaks at least every ten seconds: a stream more silent than this is dead. */
const SILENCE = 25_000;
const LONGEST_PAUSE = 15_000;
const TROUBLE = 10_000;
/** A job that stands still for so long is told of. */
const STILL = 45_000;

/**
 * Follows the oldest unfinished job by its events: browsers have few connections, and jobs are
 * done in their order. The others, and all of them where events do not come through, are asked
 * for now and then.
 *
 * Emits `told` (detail: {job, before}), `gone` (detail: {id, message}), `lost`, `unauthenticated`.
 */
export class Jobs extends EventTarget {
  #known = new Map();
  #held = false;
  #asking = false;
  #finding = false;
  #findAgain = 0;
  #stream = null;
  #pause = 0;
  #notBefore = 0;

  /** A job that was just handed in. */
  take(job) {
    remembered.add(job.id);
    this.#hear(job);
    this.tick();
  }

  /** Positions of a job's pictures that are not shown any more. */
  gone(id) {
    return remembered.gone(id);
  }

  /** A picture of it is not shown any more. */
  drop(id, position) {
    const known = this.#known.get(id);
    if (known) remembered.drop(id, position, known.job.images.length);
  }

  async cancel(id) {
    try {
      this.#hear(await cancel(id));
    } catch (error) {
      this.#wrong(id, error);
    }
  }

  /** Ids of those that are not finished, the oldest first. */
  get open() {
    return [...this.#known.values()].filter((known) => !known.final).map(({ job }) => job.id);
  }

  /** Seconds until all are done; null if nobody knows, or there are none. */
  get left() {
    const told = this.open.map((id) => this.#known.get(id).job.wait_seconds ?? 0);
    return told.length ? Math.max(...told) : null;
  }

  /** Seconds for which nothing has moved though all of it waits; 0 if that is as it should be. */
  stillFor(now = Date.now()) {
    const open = this.open.map((id) => this.#known.get(id));
    if (this.#held || !open.length || open.some(({ job }) => job.state !== "waiting")) return 0;
    const still = now - Math.max(...open.map(({ moved }) => moved));
    return still > STILL ? still / 1000 : 0;
  }

  /** Nothing is asked while the server is away. */
  hold() {
    this.#held = true;
    this.#stream?.stop.abort();
  }

  /** The server is there: what this browser handed in before is found again. */
  release() {
    this.#held = false;
    this.#pause = this.#notBefore = 0;
    for (const known of this.#known.values()) Object.assign(known, { heard: 0, moved: Date.now() });
    this.tick();
    this.#find();
  }

  /** To be called about once a second. */
  tick(now = Date.now()) {
    if (this.#held) return;
    const open = this.open.map((id) => this.#known.get(id));
    if (this.#stream && now - this.#stream.heard > SILENCE) this.#stream.stop.abort();
    if (!this.#stream && open.length && now >= this.#notBefore) this.#follow(open[0]);
    const [stale] = open.filter(({ heard }) => now - heard > STALE).sort((a, b) => a.heard - b.heard);
    if (stale && !this.#asking) this.#look(stale);
    if (this.#findAgain && now > this.#findAgain) this.#find();
  }

  async #find() {
    if (this.#finding) return;
    this.#finding = true;
    this.#findAgain = 0;
    for (const id of remembered.ids()) {
      if (this.#known.has(id)) continue;
      try {
        this.#hear(await look(id));
      } catch (error) {
        this.#wrong(id, error);
        if (this.#held) break; // Released again, it goes on.
        if (remembered.ids().includes(id)) this.#findAgain = Date.now() + TROUBLE;
      }
    }
    this.#finding = false;
    this.tick();
  }

  async #look(known) {
    this.#asking = true;
    const asked = Date.now();
    const { id } = known.job;
    try {
      const job = await look(id);
      if (known.heard <= asked) this.#hear(job); // else events were quicker
    } catch (error) {
      this.#wrong(id, error);
    }
    this.#asking = false;
  }

  async #follow(known) {
    const { id } = known.job;
    const stream = { stop: new AbortController(), heard: Date.now() };
    this.#stream = stream;
    const onJob = (job, version) => {
      known.version = version;
      this.#pause = 0;
      this.#hear(job);
    };
    const onSign = () => {
      stream.heard = Date.now();
    };
    try {
      await follow(id, known.version, stream.stop.signal, { onJob, onSign });
    } catch {
      // Whatever it was, asking for the job will tell.
    }
    this.#stream = null;
    if (!known.final) {
      known.heard = Math.min(known.heard, Date.now() - STALE);
      this.#pause = Math.min(LONGEST_PAUSE, 2 * this.#pause || 1000);
      this.#notBefore = Date.now() + this.#pause;
    }
    this.tick();
  }

  #hear(job) {
    const now = Date.now();
    const known = this.#known.get(job.id) ?? { version: "", mark: "", least: Infinity, moved: now };
    this.#known.set(job.id, known);
    const mark = JSON.stringify([job.state, job.progress, job.counts]);
    if (mark !== known.mark || job.wait_seconds < known.least * 0.95) {
      Object.assign(known, { mark, least: job.wait_seconds ?? Infinity, moved: now });
    }
    Object.assign(known, { job, heard: now, final: FINAL.has(job.state) });
    this.#emit("told", { job, before: this.#before(job.id) });
  }

  /** Seconds until the job of ours before this one is done; null if there is none. */
  #before(id) {
    const { open } = this;
    const before = open[open.indexOf(id) - 1];
    return before ? this.#known.get(before).job.wait_seconds : null;
  }

  #wrong(id, error) {
    if (error instanceof Disconnected) {
      this.hold();
      this.#emit("lost");
    } else if (error instanceof Refusal && error.status === 401) {
      this.hold();
      this.#emit("unauthenticated");
    } else if (error instanceof Refusal && error.status < 500 && error.status !== 429) {
      this.#known.delete(id);
      if ([404, 410].includes(error.status)) remembered.forget(id);
      this.#emit("gone", { id, message: error.message });
    } else if (error instanceof Refusal) {
      const known = this.#known.get(id);
      if (known) known.heard = Date.now() + Math.max(TROUBLE, (error.retryAfter ?? 0) * 1000) - STALE;
    } else {
      throw error;
    }
  }

  #emit(type, detail = null) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
