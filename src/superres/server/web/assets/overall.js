// All pictures together: how far they are, how long it takes, and the way to stop it.

import { byId, setBar, setText } from "/assets/web/dom.js";
import { UNDER_WAY, UNFINISHED } from "/assets/web/items.js";
import * as words from "/assets/web/words.js";

/** Sending is this much of the whole. */
const SENDING = 0.1;

function share(item) {
  if (!UNFINISHED.has(item.state)) return 1;
  if (!UNDER_WAY.has(item.state)) return 0;
  const { fraction } = item.progress;
  return item.state === "sending" ? SENDING * fraction : SENDING + (1 - SENDING) * fraction;
}

/** Bytes that are on the server, or need not get there. */
const sent = (item) => {
  if (item.state === "sending") return item.file.size * item.progress.fraction;
  return item.job || !["reading", "waiting", "later"].includes(item.state) ? item.file.size : 0;
};

const capital = (text) => text[0].toUpperCase() + text.slice(1);

export class Overall {
  #round = new Set(); // what was asked for since there was last nothing to do

  /**
   * @param {Queue} queue
   * @param {Jobs} jobs
   * @param {Announcer} announcer
   * @param {number} seconds for which results are kept.
   */
  constructor(queue, jobs, announcer, seconds) {
    Object.assign(this, { queue, jobs, announcer, seconds });
    this.root = byId("overall");
    this.button = byId("cancel-all");
    this.button.addEventListener("click", () => queue.cancelAll());
  }

  update() {
    const busy = this.queue.items.filter((item) => UNFINISHED.has(item.state) && (item.state !== "reading" || item.wanted));
    for (const item of busy) this.#round.add(item);
    for (const item of this.#round) if (item.state === "removed" || item.state === "ready") this.#round.delete(item);
    const round = [...this.#round];
    const shown = busy.length > 0 && (round.length > 1 || busy.some(({ job }) => job));
    if (!busy.length) this.#end(round);
    if (this.button === document.activeElement && !shown) byId("add").focus();
    this.root.hidden = this.button.hidden = !shown;
    if (!shown) return;
    setBar(byId("overall-bar"), round.reduce((sum, item) => sum + share(item), 0) / round.length);
    const still = this.jobs.stillFor();
    const text = still ? stuck(still) : this.#text(round, busy);
    setText(byId("overall-text"), text);
    this.root.dataset.kind = still ? "bad" : "plain";
    if (this.root.dataset.kind !== "plain" || !busy.some(({ state }) => state === "sending")) this.announcer.sometimes(text);
  }

  #end(round) {
    this.#round.clear();
    if (round.length < 2) return;
    const done = round.filter(({ state }) => state === "done").length;
    this.announcer.now(done === round.length ? `All ${done} pictures are done.` : `${done} of ${round.length} pictures are done.`);
  }

  #text(round, busy) {
    const here = busy.filter(({ job }) => !job);
    const files = round.filter(({ file }) => file);
    const some = here.filter(({ batch, together }) => batch || together);
    if (some.length) {
      const [now, all] = [sent, ({ file }) => file.size].map((of) => files.reduce((sum, item) => sum + of(item), 0));
      return `Sending ${words.bytes(now)} of ${words.bytes(all)}. Keep this page open until all is sent.`;
    }
    const { left } = this.jobs;
    const time = left === null ? "" : `${capital(words.about(left))} left.`;
    if (here.length) return time || `${round.length - busy.length} of ${round.length} done.`;
    return `${time} You can close this page: it goes on, and all is kept here for ${words.span(this.seconds)}.`.trim();
  }
}

const stuck = (seconds) =>
  `Nothing has moved for ${words.about(seconds)}: the server has nobody at work on it now. ` +
  "The pictures keep their place in line, and you can close this page.";
