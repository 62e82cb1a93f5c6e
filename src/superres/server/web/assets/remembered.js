// The jobs that were handed in from this browser, to be found again when the page is.

import { token } from "/assets/web/api.js";

const KEY = "superres.jobs";
const MOST = 50;
const ID = /^[0-9a-f-]{36}$/;

let memory = []; // for browsers that give a page no storage

/** Whose: tells tokens apart and gives nothing of them away (FNV-1a, 32 bits of 256). */
function who() {
  let hash = 0x811c9dc5;
  for (const letter of token.get()) hash = Math.imul(hash ^ letter.charCodeAt(0), 0x01000193);
  return token.get() ? (hash >>> 0).toString(36) : "";
}

/** Read anew each time: other tabs write here too. */
function read() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return found.filter((job) => ID.test(job.id) && Array.isArray(job.gone));
  } catch {
    return memory;
  }
}

function write(jobs) {
  memory = jobs.slice(-MOST);
  try {
    if (memory.length) localStorage.setItem(KEY, JSON.stringify(memory));
    else localStorage.removeItem(KEY);
  } catch {
    // Kept in memory then.
  }
}

export const remembered = {
  /** Ids of who asks now, the oldest first. */
  ids: () => read().filter((job) => job.who === who()).map((job) => job.id),

  /** Positions of the pictures that were taken off the list. */
  gone: (id) => read().find((job) => job.id === id)?.gone ?? [],

  add: (id) => write([...read().filter((job) => job.id !== id), { id, who: who(), gone: [] }]),

  /** Unless it is somebody else's, to whom it may still be something. */
  forget: (id) => write(read().filter((job) => job.id !== id || job.who !== who())),

  /** A picture is taken off the list; with the last of `count` the job is forgotten. */
  drop(id, position, count) {
    const jobs = read();
    const job = jobs.find((each) => each.id === id);
    if (!job) return;
    job.gone = [...new Set([...job.gone, position])];
    write(jobs.filter((each) => each !== job || job.gone.length < count));
  },
};
