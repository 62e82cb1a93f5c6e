// Before and after: two pictures on top of each other, a divider, zoom towards the pointer.

import { byId, setText } from "/assets/web/dom.js";

/** CSS pixels for one pixel of the result, at most, when the whole picture is shown. */
export const LARGEST_FIT = 2;

const STEP = 0.02;
const LEAP = 0.1;
const WHEEL = 0.0016;
const MOST_DEVICE_PIXELS = 16; // of the screen, for one of the result
const PAN = 60;

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

export class Viewer {
  #size = null; // of the result, in its pixels
  #zoom = 1; // CSS pixels for one pixel of the result
  #x = 0; // of the picture's corner in the viewport, in CSS pixels
  #y = 0;
  #fitted = true;
  #share = 0.5; // of the visible picture that is the original
  #compared = false;
  #boxes = [];
  #pointers = new Map();
  #drag = null;

  constructor() {
    this.viewport = byId("viewport");
    this.handle = byId("handle");
    this.divider = byId("divider");
    this.panes = { before: byId("before"), after: byId("after") };
    this.marks = byId("marks");
    this.chips = { before: byId("chip-before"), after: byId("chip-after") };
    this.zoomNow = byId("zoom-now");
    const { viewport } = this;
    viewport.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    viewport.addEventListener("pointerdown", (event) => this.#down(event));
    viewport.addEventListener("pointermove", (event) => this.#move(event));
    for (const type of ["pointerup", "pointercancel", "lostpointercapture"]) {
      viewport.addEventListener(type, (event) => this.#up(event));
    }
    viewport.addEventListener("dblclick", (event) => this.#toggle(event));
    viewport.addEventListener("keydown", (event) => this.#key(event));
    byId("zoom-in").addEventListener("click", () => this.#zoomBy(1.5));
    byId("zoom-out").addEventListener("click", () => this.#zoomBy(1 / 1.5));
    byId("zoom-fit").addEventListener("click", () => this.fit());
    byId("zoom-full").addEventListener("click", () => this.#zoomTo(this.#full));
    new ResizeObserver(() => (this.#fitted ? this.fit() : this.#place())).observe(viewport);
  }

  /** Two decoded elements (or only the result) of a picture of `size`. */
  show(before, after, size) {
    this.#size = size;
    this.#compared = before !== null;
    for (const [pane, node] of [[this.panes.before, before], [this.panes.after, after]]) {
      pane.replaceChildren(...(node ? [node] : []));
      if (!node) continue;
      node.style.width = `${size.width}px`;
      node.style.height = `${size.height}px`;
    }
    this.divider.hidden = !this.#compared;
    this.chips.before.hidden = this.chips.after.hidden = !this.#compared;
    this.#share = 0.5;
    this.fit();
  }

  /** Frames around parts of the picture, in its pixels; shown while {@link showMarks} says so. */
  set boxes(boxes) {
    this.#boxes = boxes;
    this.marks.replaceChildren(...boxes.map(() => document.createElement("i")));
    this.marks.hidden = true;
    this.#place();
  }

  showMarks(shown) {
    this.marks.hidden = !shown;
  }

  clear() {
    this.#size = null;
    this.boxes = [];
    this.panes.before.replaceChildren();
    this.panes.after.replaceChildren();
  }

  fit() {
    if (!this.#size) return;
    this.#fitted = true;
    this.#zoom = this.#fitZoom;
    this.#x = this.#y = 0;
    this.#place();
  }

  get #full() {
    return 1 / (window.devicePixelRatio || 1);
  }

  get #fitZoom() {
    const { clientWidth, clientHeight } = this.viewport;
    const whole = Math.min(clientWidth / this.#size.width, clientHeight / this.#size.height);
    return Math.min(whole, LARGEST_FIT) || this.#full;
  }

  get #limits() {
    return [Math.min(this.#fitZoom, this.#full) / 2, MOST_DEVICE_PIXELS * this.#full];
  }

  /** Whether some of the picture is out of sight, so that there is something to pan. */
  get #cropped() {
    const { clientWidth, clientHeight } = this.viewport;
    return this.#size.width * this.#zoom > clientWidth + 1 || this.#size.height * this.#zoom > clientHeight + 1;
  }

  /** The visible part of the picture, in the viewport's CSS pixels. */
  #visible() {
    const { clientWidth, clientHeight } = this.viewport;
    return {
      left: Math.max(0, this.#x),
      top: Math.max(0, this.#y),
      right: Math.min(clientWidth, this.#x + this.#size.width * this.#zoom),
      bottom: Math.min(clientHeight, this.#y + this.#size.height * this.#zoom),
    };
  }

  #place() {
    if (!this.#size) return;
    const { clientWidth, clientHeight } = this.viewport;
    const settle = (offset, room, length) =>
      length <= room ? (room - length) / 2 : clamp(offset, room - length, 0);
    this.#x = settle(this.#x, clientWidth, this.#size.width * this.#zoom);
    this.#y = settle(this.#y, clientHeight, this.#size.height * this.#zoom);
    const transform = `translate(${this.#x}px, ${this.#y}px) scale(${this.#zoom})`;
    for (const pane of Object.values(this.panes)) {
      if (pane.firstElementChild) pane.firstElementChild.style.transform = transform;
    }
    // Each by itself: in one that is scaled, the lines would be, too.
    this.#boxes.forEach(({ x, y, width, height }, at) => {
      const { style } = this.marks.children[at];
      style.transform = `translate(${this.#x + x * this.#zoom}px, ${this.#y + y * this.#zoom}px)`;
      style.width = `${width * this.#zoom}px`;
      style.height = `${height * this.#zoom}px`;
    });
    this.viewport.classList.toggle("cropped", this.#cropped);
    setText(this.zoomNow, `${Math.round((this.#zoom / this.#full) * 100)} %`);
    this.#divide(this.#share);
  }

  #divide(share) {
    this.#share = clamp(share, 0, 1);
    const seen = this.#visible();
    const x = seen.left + (seen.right - seen.left) * this.#share;
    if (!this.#compared) {
      this.panes.after.style.clipPath = "";
      return;
    }
    this.panes.before.style.clipPath = `inset(0 ${this.viewport.clientWidth - x}px 0 0)`;
    this.panes.after.style.clipPath = `inset(0 0 0 ${x}px)`;
    this.divider.style.transform = `translate(${x}px, ${seen.top}px)`;
    this.divider.style.height = `${seen.bottom - seen.top}px`;
    this.chips.before.style.transform = `translate(${seen.left}px, ${seen.top}px)`;
    this.chips.after.style.transform = `translate(${seen.right - this.viewport.clientWidth}px, ${seen.top}px)`;
    this.chips.before.classList.toggle("off", x - seen.left < 84);
    this.chips.after.classList.toggle("off", seen.right - x < 76);
    const percent = Math.round(this.#share * 100);
    this.handle.setAttribute("aria-valuenow", String(percent));
    this.handle.setAttribute("aria-valuetext", `${percent} % original, ${100 - percent} % enlarged`);
  }

  #divideAt(clientX) {
    const seen = this.#visible();
    const x = clientX - this.viewport.getBoundingClientRect().left;
    this.#divide((x - seen.left) / (seen.right - seen.left));
  }

  /** Zooms so that what lies at (x, y) of the viewport stays there; its middle by default. */
  #zoomTo(zoom, x = this.viewport.clientWidth / 2, y = this.viewport.clientHeight / 2) {
    if (!this.#size) return;
    const next = clamp(zoom, ...this.#limits);
    const factor = next / this.#zoom;
    this.#x = x - (x - this.#x) * factor;
    this.#y = y - (y - this.#y) * factor;
    this.#zoom = next;
    this.#fitted = false;
    this.#place();
  }

  #zoomBy(factor, x, y) {
    this.#zoomTo(this.#zoom * factor, x, y);
  }

  #inside(event) {
    const box = this.viewport.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  #wheel(event) {
    if (!this.#size) return;
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 33 : 1;
    const delta = clamp(event.deltaY * lines * (event.ctrlKey ? 6 : 1), -300, 300);
    this.#zoomBy(Math.exp(-delta * WHEEL), ...this.#inside(event));
  }

  #toggle(event) {
    if (!this.#size || event.target.closest("#handle")) return;
    if (this.#fitted) this.#zoomTo(Math.max(this.#full, this.#fitZoom * 2), ...this.#inside(event));
    else this.fit();
  }

  #down(event) {
    if (!this.#size || event.button > 0) return;
    this.viewport.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, event);
    if (this.#pointers.size === 2) {
      this.#drag = { kind: "pinch", span: this.#span() };
      return;
    }
    if (this.#pointers.size > 2) return;
    const onDivider = event.target.closest("#divider") !== null;
    const kind = this.#compared && (onDivider || !this.#cropped) ? "divide" : "pan";
    this.#drag = { kind, x: event.clientX, y: event.clientY };
    this.viewport.classList.add(kind);
    if (kind !== "divide") return;
    this.handle.focus({ preventScroll: true });
    // A finger may be about to scroll the page: it moves the divider only when it slides.
    if (event.pointerType !== "touch" && !onDivider) this.#divideAt(event.clientX);
    event.preventDefault();
  }

  #span() {
    const [a, b] = [...this.#pointers.values()];
    return {
      length: Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY) || 1,
      middle: this.#inside({ clientX: (a.clientX + b.clientX) / 2, clientY: (a.clientY + b.clientY) / 2 }),
    };
  }

  #move(event) {
    if (!this.#drag || !this.#pointers.has(event.pointerId)) return;
    this.#pointers.set(event.pointerId, event);
    if (this.#drag.kind === "pinch") {
      if (this.#pointers.size < 2) return;
      const now = this.#span();
      const before = this.#drag.span;
      this.#x += now.middle[0] - before.middle[0];
      this.#y += now.middle[1] - before.middle[1];
      this.#zoomBy(now.length / before.length, ...now.middle);
      this.#drag.span = now;
    } else if (this.#drag.kind === "divide") {
      this.#divideAt(event.clientX);
    } else {
      this.#x += event.clientX - this.#drag.x;
      this.#y += event.clientY - this.#drag.y;
      Object.assign(this.#drag, { x: event.clientX, y: event.clientY });
      this.#place();
    }
  }

  #up(event) {
    this.#pointers.delete(event.pointerId);
    const [rest] = this.#pointers.values();
    this.viewport.classList.remove("divide", "pan");
    // Of two fingers one is left: it pans on from where it is.
    this.#drag = rest ? { kind: "pan", x: rest.clientX, y: rest.clientY } : null;
  }

  #key(event) {
    if (!this.#size || event.ctrlKey || event.metaKey || event.altKey) return;
    const { key } = event;
    const onHandle = event.target === this.handle;
    const step = event.shiftKey ? LEAP : STEP;
    const moves = {
      ArrowLeft: () => this.#divide(this.#share - step),
      ArrowRight: () => this.#divide(this.#share + step),
      ArrowDown: () => this.#divide(this.#share - step),
      ArrowUp: () => this.#divide(this.#share + step),
      PageDown: () => this.#divide(this.#share - LEAP),
      PageUp: () => this.#divide(this.#share + LEAP),
      Home: () => this.#divide(0),
      End: () => this.#divide(1),
    };
    const pans = {
      ArrowLeft: () => this.#pan(PAN, 0),
      ArrowRight: () => this.#pan(-PAN, 0),
      ArrowUp: () => this.#pan(0, PAN),
      ArrowDown: () => this.#pan(0, -PAN),
    };
    const zooms = {
      "+": () => this.#zoomBy(1.25),
      "=": () => this.#zoomBy(1.25),
      "-": () => this.#zoomBy(1 / 1.25),
      0: () => this.fit(),
      1: () => this.#zoomTo(this.#full),
    };
    const act = (onHandle ? moves[key] : this.#cropped ? pans[key] : undefined) ?? zooms[key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  #pan(x, y) {
    this.#x += x;
    this.#y += y;
    this.#place();
  }
}
