// The large area: where pictures are dropped, what is under way, the comparison, the facts.

import { byId, icon, setBar, setText } from "/assets/web/dom.js";
import { expectation, fraction, standing } from "/assets/web/list.js";
import { miniature, view } from "/assets/web/pictures.js";
import { UNFINISHED, separate } from "/assets/web/items.js";
import { LARGEST_FIT, Viewer } from "/assets/web/viewer.js";
import * as words from "/assets/web/words.js";

export const fileName = ({ name, result, settings }) =>
  result.name || words.resultName(name, settings.scale, result.format);

const kind = (file) => (/\.([a-z0-9]+)$/i.exec(file.name)?.[1] ?? "these").toUpperCase();

export class Stage {
  #item = null;
  #shown = ""; // what the pictures on the stage belong to
  #problem = ""; // why a finished result is not shown
  #viewer = new Viewer();
  #settings;
  #picture;

  /**
   * @param handlers {start, cancel, save, again}, each takes an item; `picture` a canvas too.
   * @param settings gives the form's settings of now.
   */
  constructor(handlers, settings) {
    this.#settings = settings;
    this.#picture = handlers.picture;
    this.parts = Object.fromEntries(
      ["drop", "compare", "single", "card", "facts", "again", "stop", "begin", "download"].map((id) => [id, byId(id)]),
    );
    const on = (id, handler) => byId(id).addEventListener("click", () => handler(this.#item));
    on("begin", handlers.start);
    on("stop", handlers.cancel);
    on("again", handlers.again);
    byId("download").addEventListener("click", (event) => {
      event.preventDefault();
      handlers.save(this.#item);
    });
    this.#followFaces(byId("faces-found"));
  }

  /** Where the faces are is seen while the pointer or the focus is on their number, or it is pressed. */
  #followFaces(button) {
    const pressed = () => button.getAttribute("aria-pressed") === "true";
    for (const type of ["pointerenter", "focus"]) button.addEventListener(type, () => this.#viewer.showMarks(true));
    for (const type of ["pointerleave", "blur"]) button.addEventListener(type, () => this.#viewer.showMarks(pressed()));
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", String(!pressed()));
      this.#viewer.showMarks(pressed());
    });
  }

  /** Shows an item, or the place to drop pictures if there is none. */
  show(item) {
    this.#item = item;
    this.parts.drop.hidden = item !== null;
    this.parts.facts.hidden = item === null;
    if (item === null) {
      this.#shown = "";
      this.#clear();
      this.parts.card.hidden = true;
      return;
    }
    // The rest of a link is how long it works, which changes.
    const key = `${item.id} ${item.state === "done" ? item.result.url.split("?")[0] : item.size !== null}`;
    if (key !== this.#shown) {
      const sameItem = this.#shown.startsWith(`${item.id} `);
      this.#shown = key;
      this.#problem = "";
      if (!sameItem) this.#clear();
      this.#load(item, () => this.#shown === key);
    }
    this.#card(item);
    this.#facts(item);
  }

  #clear() {
    this.#viewer.clear();
    this.parts.compare.hidden = true;
    this.parts.single.hidden = true;
    this.parts.single.replaceChildren();
    setText(byId("plainly"), "");
  }

  async #load(item, current) {
    const before = item.size ? await view(item.url, item.size, `Before: ${item.name}`) : { node: null, why: "format" };
    if (!current()) return;
    if (item.state !== "done") {
      this.#alone(before.node, item);
      return;
    }
    const { result } = item;
    const after = await view(result.url, result, `After: ${item.name}, enlarged`);
    if (!current()) return;
    if (after.node) {
      this.parts.single.hidden = true;
      this.parts.single.replaceChildren();
      this.parts.compare.hidden = false;
      this.#viewer.show(before.node, after.node, result);
      const ratio = result.width / result.source_width;
      this.#viewer.boxes = (result.faces ?? []).map(({ box }) =>
        Object.fromEntries(Object.entries(box).map(([name, value]) => [name, value * ratio])));
      byId("faces-found").setAttribute("aria-pressed", "false");
      if (!item.thumb) this.#picture(item, miniature(after.node, result));
    } else {
      this.#problem = after.why === "size"
        ? `${words.megapixels(result.width * result.height)} are too many to show here. Download the picture to see all of it.`
        : ["png", "jpeg", "webp"].includes(result.format)
          ? "The result could not be loaded to be shown here. Try the download."
          : `This browser cannot show ${(result.format ?? "such").toUpperCase()} pictures. Download it to see it.`;
      this.#alone(before.node, item);
    }
    const notes = [];
    if (after.node && before.node) notes.push("Before: the original, enlarged plainly by your browser.");
    if (after.node && !before.node) {
      notes.push(item.file
        ? `This browser cannot show the original (${kind(item.file)}), so only the result is shown.`
        : "The original is not kept when the page is closed, so only the result is shown.");
    }
    if (after.node && after.reduced) notes.push("Shown reduced; the download has every pixel.");
    setText(byId("plainly"), notes.join(" "));
    this.#card(item);
  }

  /** The original by itself, behind the progress or a message. */
  #alone(node, { size }) {
    this.#viewer.clear();
    this.parts.compare.hidden = true;
    this.parts.single.hidden = false;
    this.parts.single.replaceChildren(node ?? icon("picture"));
    if (!node) return;
    node.style.setProperty("--ratio", String(size.width / size.height));
    node.style.setProperty("--most", `${size.width * this.#settings().scale * LARGEST_FIT}px`);
  }

  #card(item) {
    const { card } = this.parts;
    const share = fraction(item);
    const bad = item.state === "failed" || item.state === "later";
    const text = this.#problem || (item.state === "done" ? "" : standing(item));
    card.hidden = !text;
    card.dataset.kind = bad ? "bad" : "plain";
    card.firstElementChild.toggleAttribute("hidden", !(bad || this.#problem));
    byId("card-icon").setAttribute("href", bad ? "#i-alert" : "#i-picture");
    setText(byId("card-text"), text);
    const bar = byId("card-bar");
    bar.hidden = share === undefined;
    if (share !== undefined) setBar(bar, share);
  }

  #facts(item) {
    const { again, stop, begin, download } = this.parts;
    const { state, result } = item;
    const done = state === "done";
    setText(byId("facts-name"), done ? fileName(item) : item.name);
    const from = item.size ? words.pixels(item.size.width, item.size.height) : "";
    const line = done
      ? [
          `${result.source_width} × ${result.source_height} → ${words.pixels(result.width, result.height)}`,
          (result.format ?? "").toUpperCase(),
          words.bytes(result.bytes),
          words.seconds(result.seconds),
        ]
      : [
          from && item.estimate ? `${from.replace(" px", "")} → ${expectation(item)}` : from,
          item.file ? words.bytes(item.file.size) : "",
        ];
    setText(byId("facts-line"), words.line(line));
    const found = byId("faces-found");
    found.hidden = !done || !result.faces;
    if (!found.hidden) {
      setText(found, words.faces(result.faces));
      found.disabled = !result.faces.length;
    }
    const focused = document.activeElement;
    stop.hidden = !UNFINISHED.has(state) || !separate(item);
    begin.hidden = !item.file || !["ready", "failed", "cancelled"].includes(state);
    begin.classList.toggle("primary", state === "ready");
    setText(begin, state === "ready" ? "Start" : "Try again");
    download.hidden = !done;
    if (done) {
      download.href = result.url;
      download.download = fileName(item);
    }
    again.hidden = !done || !item.file || sameSettings(item.settings, this.#settings());
    if (!again.hidden) {
      setText(byId("again-text"), "Enlarge again");
      again.title = expectation(item);
    }
    if (focused?.hidden && this.parts.facts.contains(focused)) {
      [download, begin, stop].find((button) => !button.hidden)?.focus();
    }
  }
}

const sameSettings = (one, other) => JSON.stringify(one) === JSON.stringify(other);
