// The list of pictures: one row each, changed in place so that the focus stays where it is.

import { icon, make, setBar, setText } from "/assets/web/dom.js";
import { UNDER_WAY, UNFINISHED, separate } from "/assets/web/items.js";
import * as words from "/assets/web/words.js";

const STAGES = { fetch: "Reading", decode: "Reading", upscale: "Enlarging", encode: "Saving", store: "Saving" };

/** What an unbegun item will be: "2048 × 2048 px, about 3 seconds". */
export function expectation(item) {
  if (!item.estimate) return "";
  const { width, height, seconds } = item.estimate;
  return words.pixels(width, height) + (seconds > 0 ? `, ${words.about(seconds)}` : "");
}

/** One line on where an item stands. */
export function standing(item) {
  const { progress, result } = item;
  switch (item.state) {
    case "reading":
      return "Looking at it…";
    case "ready":
      return item.large && item.wanted
        ? `This is large: ${expectation(item)}. Start it when you like.`
        : ["Ready", expectation(item)].filter(Boolean).join(" · ");
    case "waiting":
      return ["Waiting", expectation(item)].filter(Boolean).join(" · ");
    case "sending":
      return `Sending ${words.percent(progress.fraction)}`;
    case "queued":
      if (item.job && progress.eta !== null) return `Waiting · ${words.about(progress.eta)} left`;
      return ["Waiting for its turn", expectation(item)].filter(Boolean).join(" · ");
    case "working": {
      const stage = STAGES[progress.stage] ?? "Working";
      const eta = progress.eta === null ? "" : ` · ${words.left(progress.eta)}`;
      return `${stage} ${words.percent(progress.fraction)}${eta}`;
    }
    case "later": {
      if (!item.again) return item.message;
      const wait = Math.max(0, Math.ceil((item.again - Date.now()) / 1000));
      return `${item.message} Trying again in ${wait} s.`;
    }
    case "done":
      return words.line([words.pixels(result.width, result.height), words.bytes(result.bytes), words.seconds(result.seconds)]);
    case "cancelled":
      return "Cancelled";
    default:
      return item.message;
  }
}

/** 0…1 under way, null if nobody knows, undefined if there is nothing to show. */
export function fraction(item) {
  if (item.state === "queued") return item.job || item.batch ? undefined : null;
  return UNDER_WAY.has(item.state) ? item.progress.fraction : undefined;
}

export class List {
  #rows = new Map();

  /** @param {HTMLElement} root @param handlers {pick, start, cancel, remove, save}, each takes an item. */
  constructor(root, handlers) {
    this.root = root;
    this.handlers = handlers;
  }

  add(item) {
    const { pick, start, cancel, remove, save } = this.handlers;
    const act = (name, label, handler) =>
      make("button", {
        type: "button",
        className: "quiet square",
        "aria-label": `${label} ${item.name}`,
        title: label,
        onClick: () => handler(item),
      }, icon(name));
    const row = {
      thumb: make("span", { className: "thumb" }, icon("picture")),
      name: make("span", { className: "name", textContent: item.name, title: item.name }),
      state: make("span", { className: "state" }),
      start: act("start", "Start", start),
      retry: act("retry", "Try again:", start),
      save: act("download", "Download", save),
      cancel: act("close", "Cancel", cancel),
      remove: act("trash", "Remove", remove),
      bar: make("div", {
        className: "bar",
        role: "progressbar",
        "aria-label": `Progress of ${item.name}`,
        "aria-valuemin": "0",
        "aria-valuemax": "100",
      }, make("i")),
    };
    row.pick = make(
      "button",
      { type: "button", className: "pick", onClick: () => pick(item) },
      row.thumb,
      make("span", { className: "what" }, row.name, row.state),
    );
    row.acts = make("span", { className: "acts" }, row.start, row.retry, row.save, row.cancel, row.remove);
    row.root = make("li", { className: "item" }, row.pick, row.acts, row.bar);
    this.#rows.set(item.id, row);
    this.root.append(row.root);
    this.update(item);
  }

  update(item) {
    const row = this.#rows.get(item.id);
    if (!row) return;
    row.root.dataset.state = item.state;
    setText(row.state, standing(item));
    const focused = row.acts.contains(document.activeElement) ? document.activeElement : null;
    const busy = UNFINISHED.has(item.state);
    row.start.hidden = item.state !== "ready";
    row.retry.hidden = !item.file || !["failed", "cancelled", "later"].includes(item.state);
    row.save.hidden = item.state !== "done";
    row.cancel.hidden = !busy || !separate(item);
    row.remove.hidden = busy;
    if (focused?.hidden) row.pick.focus();
    const share = fraction(item);
    row.bar.classList.toggle("off", share === undefined);
    row.bar.hidden = share === undefined;
    if (share !== undefined) setBar(row.bar, share);
    if (item.thumb && row.thumb.firstElementChild !== item.thumb) row.thumb.replaceChildren(item.thumb);
  }

  select(item) {
    for (const [id, row] of this.#rows) {
      if (id === item?.id) row.pick.setAttribute("aria-current", "true");
      else row.pick.removeAttribute("aria-current");
    }
    const row = this.#rows.get(item?.id)?.root;
    if (!row) return;
    // Not scrollIntoView, which would move the whole page on a phone.
    const top = row.offsetTop - this.root.offsetTop;
    const bottom = top + row.offsetHeight - this.root.clientHeight;
    if (top < this.root.scrollTop) this.root.scrollTop = top;
    else if (bottom > this.root.scrollTop) this.root.scrollTop = bottom;
  }

  /** Takes the row away; the focus goes to its neighbour. */
  remove(item) {
    const row = this.#rows.get(item.id);
    const focused = row.root.contains(document.activeElement);
    const next = row.root.nextElementSibling ?? row.root.previousElementSibling;
    row.root.remove();
    this.#rows.delete(item.id);
    if (focused) next?.querySelector(".pick").focus();
  }
}
