// The pictures and what becomes of them. Knows the server, not the page.

import { Disconnected, Refusal, Stopped, handIn, upscale } from "/assets/web/api.js";
import { Batch, gather } from "/assets/web/batches.js";
import { Estimates } from "/assets/web/estimates.js";
import { inTurn, measure, thumbnail } from "/assets/web/pictures.js";
import { waits } from "/assets/web/waits.js";

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

/*
 * reading → ready | waiting → sending → queued → working → done
 *                                  ↘ later (busy, or connection lost) → waiting
 *                                  ↘ failed | cancelled → waiting (tried again)
 *
 * One picture is sent by itself, and the answer waited for. Several that wait together are
 * handed in as jobs, which the server does whether this page is open or not.
 */
export const UNDER_WAY = new Set(["sending", "queued", "working"]);
export const UNFINISHED = new Set([...UNDER_WAY, "reading", "waiting", "later"]);

/** Whether it can be cancelled by itself; of what is handed in together only all can. */
export const alone = (item) => !item.job && !(item.batch && UNDER_WAY.has(item.state));

const fieldsOf = ({ scale, model, fidelity, format }) => ({
  scale,
  model,
  ...(fidelity === null ? {} : { fidelity }),
  ...(format ? { format } : {}),
});

/** By its path alone: the server may know itself by another name than this page does. */
function described(result) {
  const link = new URL(result.url, location.href);
  return { ...result, url: link.pathname + link.search };
}

/**
 * Emits `change` (detail: the item), `added`, `removed`, `unauthenticated`, `lost`.
 * An item's `settings` are the form's of the moment it begins: {scale, model, fidelity, format}.
 */
export class Queue extends EventTarget {
  items = [];
  #nextId = 1;
  #held = false;
  #heldUntil = 0;
  #sending = null; // the batch that is on its way
  #singly = false; // this server, or this token, takes no jobs
  #settings;
  #jobs;
  #limits;
  #estimates = new Estimates(() => this.#emit("unauthenticated"));
  #lanes = [inTurn(), inTurn(), inTurn()];

  /**
   * @param {() => object} settings gives the form's settings of now.
   * @param {Jobs} jobs that were handed in.
   * @param {{items: number, bytes: number, file: number}} limits of one job, and of a picture.
   */
  constructor(settings, jobs, limits) {
    super();
    this.#settings = settings;
    this.#jobs = jobs;
    this.#limits = limits;
    jobs.addEventListener("told", ({ detail: { job, before } }) => this.#told(job, before));
    jobs.addEventListener("gone", ({ detail: { id, message } }) => this.#gone(id, message));
    for (const type of ["lost", "unauthenticated"]) jobs.addEventListener(type, () => this.#emit(type));
  }

  #item(given) {
    return {
      id: this.#nextId++,
      file: null, // of one that was found again
      url: null,
      asked: null, // what its estimate belongs to
      size: null, // {width, height}, if the browser can tell
      thumb: null,
      large: false,
      state: "reading",
      message: "",
      wanted: false,
      together: false, // with others
      batch: null, // that is to be handed in
      job: null, // {id, position}, once it is
      progress: null,
      settings: null,
      estimate: null,
      result: null,
      tries: { busy: 0, lost: 0 },
      again: 0, // when a `later` one is tried, in ms
      run: null, // while it is sent by itself
      ...given,
    };
  }

  add(files, { start = true, name = null } = {}) {
    const items = files.map((file) =>
      this.#item({
        file,
        name: name ?? file.name ?? "picture",
        url: URL.createObjectURL(file),
        wanted: start,
        together: files.length > 1,
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
    const found = await this.#estimates.of(params);
    if (item.asked !== key) return; // the settings have changed meanwhile
    item.estimate = found;
    item.large = found !== null && (found.seconds > LONG_SECONDS || found.pixels > LARGE_PIXELS);
    if (!found) item.asked = null;
    this.#changed(item);
  }

  /** A server that has finished something knows better how long the rest will take. */
  #learnt() {
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
      this.#leave(item);
      this.#become(item, "waiting");
    }
    this.#held = false;
    this.#heldUntil = 0;
    this.#pump();
  }

  cancel(item) {
    if (!alone(item) || (!UNFINISHED.has(item.state) && item.state !== "ready")) return;
    item.run?.stop();
    item.run = null;
    item.batch?.dissolve();
    this.#become(item, "cancelled");
    this.#pump();
  }

  /** All that is not done: what runs is stopped, what waits is not begun. */
  cancelAll() {
    for (const item of this.items) if (UNFINISHED.has(item.state)) this.cancel(item);
    if (this.#sending) {
      // Hanging up after the last byte would leave open whether it was taken.
      if (this.#sending.sent) this.#sending.unwanted = true;
      else this.#sending.stop();
    }
    for (const id of this.#jobs.open) this.#jobs.cancel(id);
  }

  remove(item) {
    item.run?.stop();
    item.run = null;
    this.#leave(item);
    item.state = "removed";
    if (item.url) URL.revokeObjectURL(item.url);
    const index = this.items.indexOf(item);
    this.items.splice(index, 1);
    this.#emit("removed", { item, index });
    this.#pump();
  }

  /** It has no more to do with the job it was in. */
  #leave(item) {
    if (item.job) this.#jobs.drop(item.job.id, item.job.position);
    item.job = null;
  }

  /** The server keeps results for a while only. */
  expire(item) {
    this.#leave(item);
    const what = item.file ? "Enlarge the picture again." : "Add the picture again.";
    this.#become(item, "failed", `The server no longer has this result. ${what}`);
  }

  /** Nothing begins while the server is away; `release` goes on. */
  hold() {
    this.#held = true;
    this.#jobs.hold();
  }

  release() {
    this.#held = false;
    this.#jobs.release();
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
    this.#jobs.tick(now);
    this.#pump();
  }

  #pump() {
    if (this.#held || Date.now() < this.#heldUntil) return;
    // One that is still looked at keeps its place: the first to come are the first to begin.
    const line = this.items.filter(({ state, wanted }) => state === "waiting" || (state === "reading" && wanted));
    const tooLarge = ({ file }) => file.size > this.#limits.file;
    const fits = line.filter((item) => !tooLarge(item));
    const byJob = !this.#singly && (fits.length > 1 || fits[0]?.together);
    let room = PARALLEL - this.items.filter(({ run }) => run).length;
    for (const item of byJob ? line.filter(tooLarge) : line) {
      if (room-- <= 0) break;
      if (item.state === "waiting") this.#begin(item);
    }
    if (!byJob || this.#sending) return;
    const batch = fits[0].batch ?? this.#gathered(fits);
    if (batch) this.#handIn(batch);
  }

  #gathered(line) {
    const items = gather(line, this.#limits);
    return items && new Batch(items, this.#settings());
  }

  async #handIn(batch) {
    const { items, settings } = batch;
    this.#sending = batch;
    for (const item of items) {
      item.settings = settings;
      item.result = null;
      item.progress = { stage: "sending", fraction: 0, eta: null };
      this.#become(item, "sending");
    }
    const run = handIn(items, fieldsOf(settings), batch.key, (loaded, total) => {
      batch.told(loaded, total);
      for (const item of items) {
        if (batch.sent && item.state === "sending") this.#become(item, "queued");
        else this.#changed(item);
      }
    });
    batch.stop = run.stop;
    try {
      const job = await run.done;
      items.forEach((item, position) => {
        item.job = { id: job.id, position };
      });
      batch.dissolve();
      this.#jobs.take(job);
      if (batch.unwanted) this.#jobs.cancel(job.id);
    } catch (error) {
      this.#notTaken(batch, error);
    }
    this.#sending = null;
    this.#pump();
  }

  #notTaken(batch, error) {
    const { items } = batch;
    const refused = error instanceof Refusal;
    const spent = refused && error.code === "quota_exceeded";
    if (refused && [403, 404, 405].includes(error.status)) {
      // An older server, a narrow policy: each by itself may be allowed.
      this.#singly = true;
      batch.dissolve();
      for (const item of items) this.#become(item, "waiting");
    } else if (items.length > 1 && (spent || (refused && error.status === 413))) {
      batch.halve();
      for (const item of items) this.#become(item, "waiting");
    } else {
      for (const item of items) this.#failed(item, batch.unwanted ? new Stopped() : error);
      // Tried again it is the same job, lest the server has taken it without our knowing.
      if (!items.every(({ state }) => state === "later")) batch.dissolve();
      // Not even one is left of the quota: the others need not be sent to hear that.
      if (spent) for (const item of this.items) if (item.state === "waiting") this.#failed(item, error);
    }
  }

  /** How a job stands; if its pictures are not on the list yet, they are now. */
  #told(job, before) {
    const its = new Map();
    for (const item of this.items) if (item.job?.id === job.id) its.set(item.job.position, item);
    if (its.size === 0) {
      const gone = this.#jobs.gone(job.id);
      const found = job.images.filter(({ position }) => !gone.includes(position));
      for (const { position, name } of found) {
        its.set(position, this.#item({ name, state: "queued", job: { id: job.id, position } }));
      }
    }
    const isNew = [...its.values()].filter((item) => !this.items.includes(item));
    const left = waits(job, job.images.map(({ position }) => its.get(position)?.estimate?.pixels ?? null), before);
    for (const [position, item] of its) this.#stands(item, job.images[position], left[position]);
    if (isNew.length === 0) return;
    this.items.push(...isNew);
    this.#emit("added", isNew);
  }

  #stands(item, image, left) {
    if (image.state === "done") {
      const first = item.state !== "done";
      item.result = described(image.result); // the link of a finished job works longer
      item.progress = null;
      if (!first) return;
      this.#become(item, "done");
      this.#learnt();
    } else if (image.state === "running") {
      item.progress = { stage: image.stage, fraction: image.progress, eta: null };
      this.#become(item, "working");
    } else if (image.state === "waiting") {
      item.progress = { stage: "queued", fraction: 0, eta: left };
      this.#become(item, "queued");
    } else {
      const state = image.state === "closed" ? "cancelled" : "failed";
      if (item.state !== state) this.#become(item, state, state === "failed" ? image.error.message : "");
    }
  }

  #gone(id, message) {
    for (const item of this.items) {
      if (item.job?.id !== id) continue;
      item.job = null;
      if (UNFINISHED.has(item.state)) this.#become(item, "failed", message);
    }
  }

  async #begin(item) {
    const settings = this.#settings();
    item.settings = settings;
    item.progress = { stage: "sending", fraction: 0, eta: null };
    item.result = null;
    const run = upscale(item.file, item.name, fieldsOf(settings), {
      onSent: (loaded, total) => {
        if (item.run !== run || item.state !== "sending") return;
        item.progress.fraction = total ? loaded / total : 1;
        if (loaded === total) this.#become(item, "queued");
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
      item.result = described(result);
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
