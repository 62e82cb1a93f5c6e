// The page put together.

import * as api from "/assets/web/api.js";
import { acceptPictures } from "/assets/web/arrivals.js";
import { Connection } from "/assets/web/connection.js";
import { byId, setText } from "/assets/web/dom.js";
import { downloadAll, downloadOne } from "/assets/web/downloads.js";
import { Form } from "/assets/web/form.js";
import { List, standing } from "/assets/web/list.js";
import { Announcer } from "/assets/web/announcer.js";
import { UNFINISHED } from "/assets/web/items.js";
import { Jobs } from "/assets/web/jobs.js";
import { Overall } from "/assets/web/overall.js";
import { Queue } from "/assets/web/queue.js";
import { Stage } from "/assets/web/stage.js";
import { themeButton } from "/assets/web/colours.js";

const form = new Form();
const jobs = new Jobs();
const limits = JSON.parse(document.querySelector("meta[name=superres-limits]").content);
const queue = new Queue(() => form.settings, jobs, limits);
const connection = new Connection(form, queue);
const announcer = new Announcer(byId("announce"));
const overall = new Overall(queue, jobs, announcer, limits.seconds);
let selected = null;
let chosen = false; // whether the person picked it, or it came there by itself

const save = (item) => downloadOne(item, { queue, connection });
const handlers = {
  start: (item) => queue.start(item),
  cancel: (item) => queue.cancel(item),
  remove: (item) => queue.remove(item),
  again: (item) => select(queue.add([item.file], { name: item.name })[0], true),
  pick: (item) => select(item, true),
  picture: (item, canvas) => queue.picture(item, canvas),
  save,
};
const stage = new Stage(handlers, () => form.settings);
const list = new List(byId("list"), handlers);

function select(item, byPerson = false) {
  selected = item;
  chosen = byPerson;
  list.select(item);
  stage.show(item);
  if (item) queue.estimate(item);
  form.setEstimate(item?.estimate ?? null);
}

function count() {
  const { items } = queue;
  const done = items.filter((item) => item.state === "done");
  byId("pictures").hidden = items.length === 0;
  document.body.classList.toggle("busy", items.length > 0);
  byId("start-all").hidden = items.filter((item) => item.state === "ready").length < 2;
  byId("download-all").hidden = done.length < 2;
  byId("clear").hidden = items.filter((item) => !UNFINISHED.has(item.state) && item.state !== "ready").length < 2;
  byId("retry-all").hidden = items.some((item) => UNFINISHED.has(item.state)) || undone().length < 2;
  const busy = items.filter((item) => UNFINISHED.has(item.state) && item.state !== "reading").length;
  setText(byId("pictures-title"), items.length > 1 ? `Pictures – ${done.length} of ${items.length} done` : "Pictures");
  document.title = busy ? `${busy} to go – superres` : "superres – enlarge pictures";
  overall.update();
}

/** What can be tried again. */
const undone = () => queue.items.filter(({ file, state }) => file && ["failed", "cancelled"].includes(state));

queue.addEventListener("added", ({ detail: items }) => {
  for (const item of items) list.add(item);
  count();
  if (!selected || !chosen || selected.state === "done") select(items[0]);
});
queue.addEventListener("removed", ({ detail: { item, index } }) => {
  list.remove(item);
  count();
  if (item !== selected) return;
  select(queue.items[Math.min(index, queue.items.length - 1)] ?? null);
  if (!selected) byId("choose").focus();
});

let painted = new Set();
queue.addEventListener("change", ({ detail: { item, before } }) => {
  if (item.state !== before) {
    if (item.state === "done") announcer.now(`${item.name} is done: ${standing(item)}`);
    else if (item.state === "failed" || item.state === "later") announcer.now(`${item.name}: ${standing(item)}`);
    else if (item.state === "cancelled") announcer.now(`${item.name} is cancelled.`);
  } else if (item === selected && item.state === "working") {
    announcer.sometimes(`${item.name}: ${standing(item)}`);
  }
  // Many events, one painting a frame.
  if (painted.size === 0) requestAnimationFrame(paint);
  painted.add(item);
});

function paint() {
  const items = painted;
  painted = new Set();
  for (const item of items) {
    if (item.state === "removed") continue;
    list.update(item);
    if (item === selected) {
      stage.show(item);
      form.setEstimate(item.estimate);
    }
  }
  count();
}

let settled = null;
form.addEventListener("change", () => {
  if (selected) stage.show(selected);
  // A slider changes many times before it comes to rest.
  clearTimeout(settled);
  settled = setTimeout(() => {
    for (const item of queue.items) {
      if (item === selected || ["ready", "waiting"].includes(item.state)) queue.estimate(item);
    }
  }, 120);
});
queue.addEventListener("lost", () => connection.lost());
queue.addEventListener("unauthenticated", () => connection.unauthenticated());
setInterval(() => {
  queue.tick();
  overall.update();
}, 1000);

acceptPictures((files) => queue.add(files, { start: form.startsAtOnce }));
byId("start-all").addEventListener("click", () => queue.start(...queue.items.filter(({ state }) => state === "ready")));
byId("retry-all").addEventListener("click", () => queue.start(...undone()));
byId("clear").addEventListener("click", () => {
  for (const item of [...queue.items]) {
    if (!UNFINISHED.has(item.state) && item.state !== "ready") queue.remove(item);
  }
});
byId("download-all").addEventListener("click", () => downloadAll({ queue, connection }));
window.addEventListener("beforeunload", (event) => {
  // What was handed in goes on without this page.
  if (queue.items.some((item) => UNFINISHED.has(item.state) && !item.job)) event.preventDefault();
});
themeButton(byId("theme"));
byId("forget").hidden = !api.token.get();
connection.open();
