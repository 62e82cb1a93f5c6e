// The way of several pictures: handed in as jobs, which the server does whether this page is
// open or not.

import { Refusal, Stopped, handIn } from "/assets/web/api.js";
import { Batch, gather } from "/assets/web/batches.js";
import { UNFINISHED, fieldsOf, newItem, resultOf } from "/assets/web/items.js";
import { waits } from "/assets/web/waits.js";

/** What a picture of a job is, in the list's words. */
function stateOf(image, left) {
  const { state, stage, progress: fraction, error, result } = image;
  switch (state) {
    case "waiting":
      return { state: "queued", message: "", progress: { stage: "queued", fraction: 0, eta: left } };
    case "running":
      return { state: "working", message: "", progress: { stage, fraction, eta: null } };
    case "done":
      return { state: "done", message: "", progress: null, result: resultOf(result) };
    case "closed":
      return { state: "cancelled", message: "", progress: null };
    default:
      return { state: "failed", message: error.message, progress: null };
  }
}

export class Together {
  /** Whether this server, for this token, takes no jobs. */
  refused = false;
  #queue;
  #jobs;
  #limits;
  #sending = null; // the batch that is on its way
  #shown = new Set(); // jobs whose pictures are, or were, on the list

  /**
   * @param {Queue} queue the list.
   * @param {Jobs} jobs that were handed in.
   * @param {{items: number, bytes: number}} limits of one job.
   */
  constructor(queue, jobs, limits) {
    this.#queue = queue;
    this.#jobs = jobs;
    this.#limits = limits;
    jobs.addEventListener("told", ({ detail: { job, before } }) => this.#told(job, before));
    jobs.addEventListener("gone", ({ detail: { id, message } }) => this.#gone(id, message));
  }

  /** The server may have changed its mind, or the token be another. */
  release() {
    this.refused = false;
  }

  /** Hands the first of the line in, if they are ready and nothing else is on its way. */
  begin(line, settings) {
    if (this.#sending) return;
    const items = line[0].batch?.items ?? gather(line, this.#limits);
    if (items) this.#handIn(line[0].batch ?? new Batch(items, settings));
  }

  /** All that is handed in is stopped, or is not. */
  cancel() {
    if (this.#sending) {
      // Hanging up after the last byte would leave open whether it was taken.
      if (this.#sending.sent) this.#sending.unwanted = true;
      else this.#sending.stop();
    }
    for (const id of this.#jobs.open) this.#jobs.cancel(id);
  }

  /** It has no more to do with the others it was handed in with. */
  leave(item) {
    if (item.job) this.#jobs.drop(item.job.id, item.job.position);
    item.job = null;
    item.batch?.dissolve();
  }

  async #handIn(batch) {
    const { items, settings } = batch;
    this.#sending = batch;
    for (const item of items) {
      item.settings = settings;
      item.result = null;
      item.progress = { stage: "sending", fraction: 0, eta: null };
      this.#queue.become(item, "sending");
    }
    const run = handIn(items, fieldsOf(settings), batch.key, (loaded, total) => {
      if (this.#sending !== batch) return;
      batch.told(loaded, total);
      for (const item of items) this.#queue.become(item, batch.sent ? "queued" : "sending");
    });
    batch.stop = run.stop;
    try {
      this.#taken(batch, await run.done);
    } catch (error) {
      this.#notTaken(batch, error);
    }
    this.#sending = null;
    this.#queue.pump();
  }

  #taken(batch, job) {
    batch.items.forEach((item, position) => {
      item.job = { id: job.id, position };
    });
    batch.dissolve();
    this.#shown.add(job.id);
    this.#jobs.take(job);
    if (batch.unwanted) this.#jobs.cancel(job.id);
  }

  #notTaken(batch, error) {
    const { items } = batch;
    const { status, code } = error instanceof Refusal ? error : {};
    const spent = code === "quota_exceeded";
    if ([403, 404, 405].includes(status)) {
      // A narrow policy, an older server: each by itself may be allowed.
      this.refused = true;
      batch.dissolve();
      for (const item of items) this.#queue.become(item, "waiting");
    } else if (items.length > 1 && (spent || status === 413)) {
      batch.halve();
      for (const item of items) this.#queue.become(item, "waiting");
    } else {
      for (const item of items) this.#queue.failed(item, batch.unwanted ? new Stopped() : error);
      // Sent again it is the same job: the server may have taken it without our knowing.
      if (items.some(({ state }) => state !== "later")) batch.dissolve();
      // Not even one is left: the others need not be sent to hear the same.
      if (spent) for (const item of this.#queue.items) if (item.state === "waiting") this.#queue.failed(item, error);
    }
  }

  /** How a job stands; if its pictures were never on the list, they are now. */
  #told(job, before) {
    const its = new Map();
    for (const item of this.#queue.items) if (item.job?.id === job.id) its.set(item.job.position, item);
    const sizes = job.images.map(({ position }) => its.get(position)?.size ?? null);
    const left = waits(job, sizes.map((size) => size && size.width * size.height), before);
    if (!this.#shown.has(job.id)) {
      this.#shown.add(job.id);
      const gone = this.#jobs.gone(job.id);
      const shown = job.images.filter(({ position }) => !gone.includes(position));
      this.#queue.insert(shown.map((image) =>
        newItem({
          name: image.name,
          job: { id: job.id, position: image.position },
          ...stateOf(image, left[image.position]),
        })));
      return;
    }
    for (const [position, item] of its) this.#stands(item, stateOf(job.images[position], left[position]));
  }

  #stands(item, { state, message, ...told }) {
    Object.assign(item, told);
    // What is over stays so; only the link of a finished job is one that works longer.
    if (state === item.state && !UNFINISHED.has(state)) return;
    this.#queue.become(item, state, message);
    if (state === "done") this.#queue.learnt();
  }

  #gone(id, message) {
    for (const item of this.#queue.items) {
      if (item.job?.id !== id) continue;
      item.job = null;
      if (UNFINISHED.has(item.state)) this.#queue.become(item, "failed", message);
    }
  }
}
