// The REST API /v1, and nothing of the page.

import { EventReader } from "/assets/web/events.js";

/** The server said no, in its own words. `retryAfter` is in seconds, if it gave any. */
export class Refusal extends Error {
  constructor(message, { status = 0, code = "", retryAfter = null } = {}) {
    super(message);
    Object.assign(this, { status, code, retryAfter });
  }
}

/** Nothing, or not all of it, came back. `answered` tells whether the answer had begun. */
export class Disconnected extends Error {
  constructor(answered = false) {
    super("The server cannot be reached.");
    this.answered = answered;
  }
}

/** Somebody asked to stop. */
export class Stopped extends Error {}

const TOKEN = "superres.token";
let memory = ""; // for browsers that give a page no storage

/** The access token: in this tab only, never in an address. */
export const token = {
  get() {
    try {
      return sessionStorage.getItem(TOKEN) ?? memory;
    } catch {
      return memory;
    }
  },
  set(value) {
    memory = value;
    try {
      if (value) sessionStorage.setItem(TOKEN, value);
      else sessionStorage.removeItem(TOKEN);
    } catch {
      // Kept in memory then.
    }
  },
};

export const authorisation = () => (token.get() ? { Authorization: `Bearer ${token.get()}` } : {});

/** Retry-After: seconds or a date (RFC 9110, 10.2.3) → seconds. */
function waitOf(header) {
  if (!header) return null;
  const given = /^\s*\d+(\.\d+)?\s*$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isFinite(given) ? Math.max(0, given) : null;
}

const UNEXPLAINED = {
  413: "The file is larger than this server takes.",
  429: "Too many requests at once.",
  502: "The server is not ready.",
  503: "The server is busy.",
  504: "The server took too long.",
};

/** The refusal in an answer's body; a proxy's HTML page has none, and gets one of ours. */
function refusal(status, body, retryHeader) {
  let error = {};
  try {
    error = JSON.parse(body).error ?? {};
  } catch {
    // Not JSON.
  }
  const message = typeof error.message === "string" && error.message
    ? error.message
    : UNEXPLAINED[status] ?? `The server answered with an error (${status}).`;
  return new Refusal(message, {
    status,
    code: error.code ?? "",
    retryAfter: waitOf(retryHeader) ?? (Number.isFinite(error.retry_after) ? error.retry_after : null),
  });
}

/** What is answered, read as JSON. Fails with Refusal, Disconnected or Stopped. */
export async function ask(path, { method = "GET", signal = null } = {}) {
  let response;
  try {
    response = await fetch(path, { method, headers: { Accept: "application/json", ...authorisation() }, signal });
  } catch (error) {
    throw signal?.aborted ? new Stopped() : new Disconnected();
  }
  const body = await response.text().catch(() => {
    throw new Disconnected(true);
  });
  if (!response.ok) throw refusal(response.status, body, response.headers.get("Retry-After"));
  return understood(body, response.status);
}

/** JSON as a value; fails with Refusal if it is none. */
function understood(body, status) {
  try {
    return JSON.parse(body);
  } catch {
    throw new Refusal("The server's answer is not understood.", { status });
  }
}

/** `{default, models: [{name, purpose, scales, fidelity, cost, …}]}`. */
export const models = () => ask("/v1/models");

/** `{out_width, out_height, seconds, …}` of an upscale that is only thought of. */
export const estimate = (params, signal) => ask(`/v1/estimate?${new URLSearchParams(params)}`, { signal });

/** Whether the link to a result still works; the bytes are not loaded. */
export async function alive(url) {
  const stop = new AbortController();
  try {
    return (await fetch(url, { signal: stop.signal })).ok;
  } catch {
    throw new Disconnected();
  } finally {
    stop.abort();
  }
}

/**
 * A form on its way. XMLHttpRequest, because fetch tells nothing of the way up.
 *
 * @param headers beside the token's.
 * @param onSent told the bytes that are sent, and how many there are in all.
 * @param onDone told when everything has come back, whatever its status.
 * @param fail told Disconnected or Stopped.
 * @returns {{request: XMLHttpRequest, stop: () => void}}
 */
function post(path, form, headers, { onSent, onDone, fail }) {
  const request = new XMLHttpRequest();
  let stopped = false;
  let answered = false;
  request.upload.onprogress = (event) => event.lengthComputable && onSent(event.loaded, event.total);
  request.upload.onload = (event) => onSent(event.total, event.total);
  request.onreadystatechange = () => {
    answered ||= request.readyState > 1 && request.status > 0;
  };
  request.onload = onDone;
  request.onerror = () => fail(new Disconnected(answered));
  request.onabort = () => fail(stopped ? new Stopped() : new Disconnected(true));
  request.open("POST", path);
  for (const [header, value] of Object.entries({ ...headers, ...authorisation() })) {
    request.setRequestHeader(header, value);
  }
  request.send(form);
  const stop = () => {
    stopped = true;
    request.abort();
  };
  return { request, stop };
}

const refusalOf = (request) =>
  refusal(request.status, request.responseText, request.getResponseHeader("Retry-After"));

function formOf(fields, files) {
  const form = new FormData();
  for (const [field, value] of Object.entries(fields)) form.append(field, value);
  for (const { file, name } of files) form.append("file", file, name);
  return form;
}

/**
 * Hand many pictures in, to be done later.
 *
 * @param {{file: Blob, name: string}[]} files in this order.
 * @param {string} key of this request: sent again with the same, the first job is the answer.
 * @returns {{done: Promise<object>, stop: () => void}} `done` is the job, or fails with Refusal,
 *   Disconnected or Stopped.
 */
export function handIn(files, fields, key, onSent) {
  const headers = { Accept: "application/json", "Idempotency-Key": key };
  let sending;
  const done = new Promise((resolve, reject) => {
    const onDone = () => {
      const { request } = sending;
      if (request.status !== 202) return reject(refusalOf(request));
      try {
        resolve(understood(request.responseText, request.status));
      } catch (error) {
        reject(error);
      }
    };
    sending = post("/v1/jobs", formOf(fields, files), headers, { onSent, onDone, fail: reject });
  });
  return { done, stop: sending.stop };
}

/**
 * Send one picture and follow the work; the text of the answer so far is read as it comes.
 *
 * @returns {{done: Promise<object>, stop: () => void}} `done` is the result's description, or
 *   fails with Refusal, Disconnected or Stopped. To stop is to hang up: the server then stops too.
 */
export function upscale(file, name, fields, { onSent, onProgress }) {
  let sending;
  const done = new Promise((resolve, reject) => {
    let seen = 0;
    let settled = false;
    const events = new EventReader((type, data) => {
      let value;
      try {
        value = JSON.parse(data);
      } catch {
        return;
      }
      if (type === "progress") onProgress(value);
      else if (type === "result" || type === "error") {
        settled = true;
        if (type === "result") resolve(value);
        else reject(refusal(200, data, null));
      }
    });
    const read = () => {
      const { request } = sending;
      if (request.status !== 200) return;
      const text = request.responseText;
      events.feed(text.slice(seen));
      seen = text.length;
    };
    const onDone = () => {
      read();
      if (settled) return;
      reject(sending.request.status === 200 ? new Disconnected(true) : refusalOf(sending.request));
    };
    const form = formOf(fields, [{ file, name }]);
    sending = post("/v1/upscale", form, { Accept: "text/event-stream" }, { onSent, onDone, fail: reject });
    sending.request.onprogress = read;
  });
  return { done, stop: sending.stop };
}

const atJob = (id) => `/v1/jobs/${encodeURIComponent(id)}`;

/** A job as it stands: `{id, state, progress, wait_seconds, counts, images: […]}`. */
export const look = (id) => ask(atJob(id));

/** Stop a job; what is done stays. */
export const cancel = (id) => ask(`${atJob(id)}/cancel`, { method: "POST" });

/**
 * Hear of a job's changes, until it is finished or the connection ends, for whatever reason.
 *
 * @param {string} version what is known of it; "" nothing.
 * @param onJob told the job and its version.
 * @param onSign told that the server still speaks.
 */
export async function follow(id, version, signal, { onJob, onSign }) {
  const known = version ? { "Last-Event-ID": version } : {};
  const headers = { Accept: "text/event-stream", ...known, ...authorisation() };
  const response = await fetch(`${atJob(id)}/events`, { headers, signal, cache: "no-store" });
  if (response.status !== 200) return;
  const events = new EventReader((type, data, version) => {
    if (type === "job") onJob(JSON.parse(data), version);
  });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    onSign();
    const { done, value } = await reader.read();
    if (done) return;
    events.feed(value);
  }
}
