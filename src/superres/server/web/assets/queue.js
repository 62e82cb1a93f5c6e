// The pictures and what becomes of them. Knows the server, not the page.

import { Disconnected, Refusal, Stopped } from "/assets/web/api.js";
import { Estimates } from "/assets/web/estimates.js";
import { UNDER_WAY, UNFINISHED, newItem, separate } from "/assets/web/items.js";
import { inTurn, measure, thumbnail } from "/assets/web/pictures.js";
import { sendAlone } from "/assets/web/single.js";
import { Together } from "/assets/web/together.js";

/** Pictures that go by themselves at the same time. */
const PARALLEL = 2;
/** Tries of its own accord, when the server was busy or gone. */
const BUSY_TRIES = 8;
const LOST_TRIES = 2;
/** Longer than this nobody waits before a page: the person is asked instead. */
const LONGEST_WAIT = 120;
/** Work that is not begun without a word from the person. */
const LONG_SECONDS = 120;
const LARGE_PIXELS = 100e6;

/** Emits `change` (detail: the item), `added`, `removed`, `unauthenticated`, `lost`. */
export class Queue extends EventTarget {
  items = [];
  #held = false;
  #heldUntil = 0;
  #settings;
  #jobs;
  #limits;
  #together;
  #estimates = new Estimates(() => this.#emit("unauthenticated"));
  #lanes = [inTurn(), inTurn(), inTurn()];

  /**
   * @param {() => object} settings gives the form's settings of now.
   * @param {Jobs} jobs that were handed in.
   * @param {{items: number, bytes: number, file: number}} limits of one job, and of one file.
   */
  constructor(settings, jobs, limits) {
    super();
    this.#settings = settings;
    this.#jobs = jobs;
    this.#limits = limits;
    this.#together = new Together(this, jobs, limits);
    for (const type of ["lost", "unauthenticated"]) jobs.addEventListener(type, () => this.#emit(type));
  }

  add(files, { start = true, name = null } = {}) {
    const together = files.length > 1;
    const items = files.map((file) => {
      const url = URL.createObjectURL(file);
      return newItem({ file, url, name: name ?? file.name ?? "picture", wanted: start, together });
    });
    this.insert(items);
    // Not all at once: their questions would keep the uploads waiting.
    for (const item of items) this.#lanes[item.id % this.#lanes.length](() => this.#read(item));
    return items;
  }

  insert(items) {
    if (!items.length) return;
    this.items.push(...items);
    this.#emit("added", items);
  }

  async #read(item) {
    if (item.state !== "reading") return;
    item.size = await measure(item.url);
    if (item.state !== "reading") return;
    if (item.size) thumbnail(item.file, item.size).then((canvas) => this.picture(item, canvas));
    await this.estimate(item);
    if (item.state !== "reading") return;
    this.become(item, item.wanted && !item.large ? "waiting" : "ready");
    this.pump();
  }

  /** A small picture of it for the list. */
  picture(item, canvas) {
    item.thumb = canvas;
    this.changed(item);
  }

  /** Asks what it would take with the settings of now; stays silent if nobody knows. */
  async estimate(item) {
    if (!item.size) return;
    const { scale, model, fidelity, faces } = this.#settings();
    const params = { ...item.size, scale, model, ...(fidelity === null ? {} : { fidelity }) };
    if (faces) params.face = true;
    const key = JSON.stringify(params);
    if (item.asked === key) return;
    item.asked = key;
    const found = await this.#estimates.of(params);
    if (item.asked !== key) return; // the settings have changed meanwhile
    item.estimate = found;
    item.large = found !== null && (found.seconds > LONG_SECONDS || found.pixels > LARGE_PIXELS);
    if (!found) item.asked = null;
    this.changed(item);
  }

  /** A server that has finished something knows better how long the rest will take. */
  learnt() {
    this.#estimates.forget();
    for (const item of this.items) {
      if (!["ready", "waiting"].includes(item.state) || item.estimate?.seconds) continue;
      item.asked = null;
      this.estimate(item);
    }
  }

  /** Begin or try again; several go together. */
  start(...items) {
    for (const item of items) {
      if (UNDER_WAY.has(item.state) || item.state === "waiting" || !item.file) continue;
      item.tries = { busy: 0, lost: 0 };
      item.together = items.length > 1;
      this.#together.leave(item);
      this.become(item, "waiting");
    }
    this.#held = false;
    this.#heldUntil = 0;
    this.pump();
  }

  cancel(item) {
    this.#stop(item);
    this.pump();
  }

  #stop(item) {
    if (!separate(item) || (!UNFINISHED.has(item.state) && item.state !== "ready")) return;
    item.run?.stop();
    item.run = null;
    this.#together.leave(item);
    this.become(item, "cancelled");
  }

  /** All that is not done: what waits is not begun, what runs is stopped. */
  cancelAll() {
    for (const item of this.items) if (UNFINISHED.has(item.state)) this.#stop(item);
    this.#together.cancel();
  }

  remove(item) {
    item.run?.stop();
    item.run = null;
    this.#together.leave(item);
    item.state = "removed";
    if (item.url) URL.revokeObjectURL(item.url);
    const index = this.items.indexOf(item);
    this.items.splice(index, 1);
    this.#emit("removed", { item, index });
    this.pump();
  }

  /** The server keeps results for a while only. */
  expire(item) {
    this.#together.leave(item);
    const what = item.file ? "Enlarge the picture again." : "Add the picture again.";
    this.become(item, "failed", `The server no longer has this result. ${what}`);
  }

  /** Nothing begins while the server is away; `release` goes on. */
  hold() {
    this.#held = true;
    this.#jobs.hold();
  }

  release() {
    this.#held = false;
    this.#jobs.release();
    this.#together.release();
    for (const item of this.items) {
      if (item.state === "later" && !item.again) this.become(item, "waiting");
    }
    this.pump();
  }

  /** Once a second: those that wait for their turn after a busy answer, and news of the jobs. */
  tick(now = Date.now()) {
    for (const item of this.items) {
      if (item.state !== "later" || !item.again) continue;
      if (now >= item.again) this.become(item, "waiting");
      else this.changed(item);
    }
    this.#jobs.tick(now);
    this.pump();
  }

  /** Begins what can be: several that wait go together, one goes by itself. */
  pump() {
    if (this.#held || Date.now() < this.#heldUntil) return;
    // One that is still looked at keeps its place: the first to come are the first to begin.
    const line = this.items.filter(({ state, wanted }) => state === "waiting" || (state === "reading" && wanted));
    const fit = this.#together.refused ? [] : line.filter(({ file }) => file.size <= this.#limits.file);
    const several = fit.length > 1 || fit[0]?.together;
    let room = PARALLEL - this.items.filter(({ run }) => run).length;
    for (const item of several ? line.filter((each) => !fit.includes(each)) : line) {
      if (room-- <= 0) break;
      if (item.state === "waiting") sendAlone(this, item, this.#settings());
    }
    if (several) this.#together.begin(fit, this.#settings());
  }

  /** It was not done: tried again by itself where that may help. */
  failed(item, error) {
    if (error instanceof Stopped) {
      this.become(item, "cancelled");
    } else if (error instanceof Disconnected) {
      this.#emit("lost");
      item.again = 0;
      if (item.tries.lost++ < LOST_TRIES) {
        this.hold();
        this.become(item, "later", "The connection was lost. It goes on by itself.");
      } else {
        this.become(
          item,
          "failed",
          error.answered
            ? "The connection was lost again and again. Check the network, then try again."
            : "The picture could not be sent. The connection is gone, or the file is larger than this server takes.",
        );
      }
    } else if (error instanceof Refusal && error.status === 401) {
      item.again = 0;
      this.hold();
      this.become(item, "later", "Waiting for an access token.");
      this.#emit("unauthenticated");
    } else if (error instanceof Refusal) {
      const wait = error.retryAfter ?? ([429, 503].includes(error.status) ? 5 : null);
      if (wait !== null && wait <= LONGEST_WAIT && item.tries.busy++ < BUSY_TRIES) {
        item.again = Date.now() + Math.max(1, wait) * 1000;
        this.#heldUntil = Math.max(this.#heldUntil, item.again);
        this.become(item, "later", error.message);
      } else {
        this.become(item, "failed", error.message);
      }
    } else {
      throw error;
    }
  }

  become(item, state, message = "") {
    const before = item.state;
    item.state = state;
    item.message = message;
    this.changed(item, before);
  }

  changed(item, before = item.state) {
    if (item.state !== "removed") this.#emit("change", { item, before });
  }

  #emit(type, detail = null) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
