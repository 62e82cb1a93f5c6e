// The pictures and what becomes of them. Knows the server, not the page.

import { Disconnected, Refusal, Stopped, estimate, upscale } from "/assets/web/api.js";
import { inTurn, measure, thumbnail } from "/assets/web/pictures.js";

/** Pictures sent at the same time. */
const PARALLEL = 2;
/** Tries of its own accord, when the server was busy or gone. */
const BUSY_TRIES = 8;
const LOST_TRIES = 2;
/** Longer than this nobody waits before a page: the person is asked instead. */
const LONGEST_WAIT = 120;
/** Work that is not begun without a word from the person. */
const LONG_SECONDS = 120;
const LARGE_PIXELS = 100e6;

/*
 * reading → ready | waiting → sending → queued → working → done
 *                                  ↘ later (busy, or connection lost) → waiting
 *                                  ↘ failed | cancelled → waiting (tried again)
 */
export const UNDER_WAY = new Set(["sending", "queued", "working"]);
export const UNFINISHED = new Set([...UNDER_WAY, "reading", "waiting", "later"]);

/**
 * Emits `change` (detail: the item), `added`, `removed`, `unauthenticated`, `lost`.
 * An item's `settings` are the form's of the moment it begins: {scale, model, fidelity, format}.
 */
export class Queue extends EventTarget {
  items = [];
  #nextId = 1;
  #held = false;
  #heldUntil = 0;
  #settings;
  #estimates = new Map();
  #lanes = [inTurn(), inTurn(), inTurn()];

  /** @param {() => object} settings gives the form's settings of now. */
  constructor(settings) {
    super();
    this.#settings = settings;
  }

  add(files, { start = true, name = null } = {}) {
    const items = files.map((file) => ({
      id: this.#nextId++,
      file,
      name: name ?? file.name ?? "picture",
      url: URL.createObjectURL(file),
      asked: null, // what its estimate belongs to
      size: null, // {width, height}, if the browser can tell
      thumb: null,
      large: false,
      state: "reading",
      message: "",
      wanted: start,
      progress: null,
      settings: null,
      estimate: null,
      result: null,
      tries: { busy: 0, lost: 0 },
      again: 0, // when a `later` one is tried, in ms
      run: null,
    }));
    this.items.push(...items);
    this.#emit("added", items);
    // Not all at once: their questions would keep the uploads waiting.
    for (const item of items) this.#lanes[item.id % this.#lanes.length](() => this.#read(item));
    return items;
  }

  async #read(item) {
    if (item.state !== "reading") return;
    item.size = await measure(item.url);
    if (item.state !== "reading") return;
    if (item.size) {
      thumbnail(item.file, item.size).then((canvas) => {
        item.thumb = canvas;
        this.#changed(item);
      });
    }
    await this.estimate(item);
    if (item.state !== "reading") return;
    this.#become(item, item.wanted && !item.large ? "waiting" : "ready");
    this.#pump();
  }

  /** Asks what it would take with the settings of now; stays silent if nobody knows. */
  async estimate(item) {
    if (!item.size) return;
    const { scale, model, fidelity } = this.#settings();
    const params = { ...item.size, scale, model, ...(fidelity === null ? {} : { fidelity }) };
    const key = JSON.stringify(params);
    if (item.asked === key) return;
    item.asked = key;
    if (!this.#estimates.has(key)) this.#estimates.set(key, this.#ask(params));
    const found = await this.#estimates.get(key);
    if (item.asked !== key) return; // the settings have changed meanwhile
    item.estimate = found;
    item.large = found !== null && (found.seconds > LONG_SECONDS || found.pixels > LARGE_PIXELS);
    if (!found) {
      item.asked = null;
      this.#estimates.delete(key);
    }
    this.#changed(item);
  }

  async #ask(params) {
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), 4000);
    try {
      const { out_width: width, out_height: height, seconds } = await estimate(params, stop.signal);
      return { width, height, pixels: width * height, seconds: seconds || 0 };
    } catch (error) {
      if (error instanceof Refusal && error.status === 401) this.#emit("unauthenticated");
      return null; // Any other refusal is told when the work is asked for.
    } finally {
      clearTimeout(timer);
    }
  }

  /** A server that has finished something knows better how long the rest will take. */
  #learnt() {
    this.#estimates.clear();
    for (const item of this.items) {
      if (!["ready", "waiting"].includes(item.state) || item.estimate?.seconds) continue;
      item.asked = null;
      this.estimate(item);
    }
  }

  /** Begin or try again. */
  start(item) {
    if (UNDER_WAY.has(item.state) || item.state === "waiting") return;
    item.tries = { busy: 0, lost: 0 };
    this.#held = false;
    this.#heldUntil = 0;
    this.#become(item, "waiting");
    this.#pump();
  }

  cancel(item) {
    if (!UNFINISHED.has(item.state) && item.state !== "ready") return;
    item.run?.stop();
    item.run = null;
    this.#become(item, "cancelled");
    this.#pump();
  }

  remove(item) {
    item.run?.stop();
    item.run = null;
    item.state = "removed";
    URL.revokeObjectURL(item.url);
    const index = this.items.indexOf(item);
    this.items.splice(index, 1);
    this.#emit("removed", { item, index });
    this.#pump();
  }

  /** The server keeps results for a while only. */
  expire(item) {
    this.#become(item, "failed", "The server no longer has this result. Enlarge the picture again.");
  }

  /** Nothing begins while the server is away; `release` goes on. */
  hold() {
    this.#held = true;
  }

  release() {
    this.#held = false;
    for (const item of this.items) {
      if (item.state === "later" && !item.again) this.#become(item, "waiting");
    }
    this.#pump();
  }

  /** Once a second: those that wait for their turn after a busy answer. */
  tick(now = Date.now()) {
    for (const item of this.items) {
      if (item.state !== "later" || !item.again) continue;
      if (now >= item.again) this.#become(item, "waiting");
      else this.#changed(item);
    }
    this.#pump();
  }

  #pump() {
    if (this.#held || Date.now() < this.#heldUntil) return;
    let room = PARALLEL - this.items.filter((item) => UNDER_WAY.has(item.state)).length;
    for (const item of this.items) {
      if (room <= 0) return;
      if (item.state === "waiting") this.#begin(item);
      // One that is still looked at keeps its place: the first to come are the first to begin.
      else if (item.state !== "reading" || !item.wanted) continue;
      room--;
    }
  }

  async #begin(item) {
    const settings = this.#settings();
    item.settings = settings;
    item.progress = { stage: "sending", fraction: 0, eta: null };
    item.result = null;
    const fields = { scale: settings.scale, model: settings.model };
    if (settings.fidelity !== null) fields.fidelity = settings.fidelity;
    if (settings.format) fields.format = settings.format;
    const run = upscale(item.file, item.name, fields, {
      onSent: (fraction) => {
        if (item.run !== run || item.state !== "sending") return;
        item.progress.fraction = fraction;
        if (fraction === 1) this.#become(item, "queued");
        else this.#changed(item);
      },
      onProgress: ({ stage, fraction, eta_seconds: eta }) => {
        if (item.run !== run) return;
        item.progress = { stage, fraction: Math.min(1, Math.max(0, fraction || 0)), eta: eta ?? null };
        this.#become(item, stage === "queued" ? "queued" : "working");
      },
    });
    item.run = run;
    this.#become(item, "sending");
    try {
      const result = await run.done;
      if (item.run !== run) return;
      // By its path alone: the server may know itself by another name than this page does.
      const link = new URL(result.url, location.href);
      item.result = { ...result, url: link.pathname + link.search };
      item.progress = null;
      item.run = null;
      this.#become(item, "done");
      this.#learnt();
    } catch (error) {
      if (item.run !== run) return;
      item.run = null;
      this.#failed(item, error);
    }
    this.#pump();
  }

  #failed(item, error) {
    if (error instanceof Stopped) {
      this.#become(item, "cancelled");
    } else if (error instanceof Disconnected) {
      this.#emit("lost");
      item.again = 0;
      if (item.tries.lost++ < LOST_TRIES) {
        this.hold();
        this.#become(item, "later", "The connection was lost. It goes on by itself.");
      } else {
        this.#become(
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
      this.#become(item, "later", "Waiting for an access token.");
      this.#emit("unauthenticated");
    } else if (error instanceof Refusal) {
      const wait = error.retryAfter ?? ([429, 503].includes(error.status) ? 5 : null);
      if (wait !== null && wait <= LONGEST_WAIT && item.tries.busy++ < BUSY_TRIES) {
        item.again = Date.now() + Math.max(1, wait) * 1000;
        this.#heldUntil = Math.max(this.#heldUntil, item.again);
        this.#become(item, "later", error.message);
      } else {
        this.#become(item, "failed", error.message);
      }
    } else {
      throw error;
    }
  }

  #become(item, state, message = "") {
    const before = item.state;
    item.state = state;
    item.message = message;
    this.#changed(item, before);
  }

  #changed(item, before = item.state) {
    if (item.state !== "removed") this.#emit("change", { item, before });
  }

  #emit(type, detail = null) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
