// The REST API /v1, and nothing of the page.

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

const authorisation = () => (token.get() ? { Authorization: `Bearer ${token.get()}` } : {});

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

async function getJson(path, signal) {
  let response;
  try {
    response = await fetch(path, { headers: { Accept: "application/json", ...authorisation() }, signal });
  } catch (error) {
    throw signal?.aborted ? new Stopped() : new Disconnected();
  }
  const body = await response.text().catch(() => {
    throw new Disconnected(true);
  });
  if (!response.ok) throw refusal(response.status, body, response.headers.get("Retry-After"));
  try {
    return JSON.parse(body);
  } catch {
    throw new Refusal("The server's answer is not understood.", { status: response.status });
  }
}

/** `{default, models: [{name, purpose, scales, fidelity, cost, …}]}`. */
export const models = () => getJson("/v1/models");

/** `{out_width, out_height, seconds, …}` of an upscale that is only thought of. */
export const estimate = (params, signal) => getJson(`/v1/estimate?${new URLSearchParams(params)}`, signal);

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

/** Server-sent events out of pieces of text (WHATWG HTML, 9.2.6). */
export class EventReader {
  #rest = "";
  #type = "";
  #data = [];

  constructor(onEvent) {
    this.onEvent = onEvent;
  }

  feed(text) {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    for (const line of lines) this.#line(line);
  }

  #line(line) {
    if (line === "") {
      if (this.#data.length) this.onEvent(this.#type || "message", this.#data.join("\n"));
      this.#type = "";
      this.#data = [];
      return;
    }
    const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line);
    if (field === "event") this.#type = value;
    else if (field === "data") this.#data.push(value);
  }
}

/**
 * Send one picture and follow the work. XMLHttpRequest, because fetch tells nothing of the
 * way up; its text so far is read as the events come.
 *
 * @returns {{done: Promise<object>, stop: () => void}} `done` is the result's description, or
 *   fails with Refusal, Disconnected or Stopped. To stop is to hang up: the server then stops too.
 */
export function upscale(file, name, fields, { onSent, onProgress }) {
  const request = new XMLHttpRequest();
  let stopped = false;
  const done = new Promise((resolve, reject) => {
    let seen = 0;
    let settled = false;
    let answered = false;
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
      if (request.status !== 200) return;
      const text = request.responseText;
      events.feed(text.slice(seen));
      seen = text.length;
    };
    request.upload.onprogress = (event) => event.lengthComputable && onSent(event.loaded / event.total);
    request.upload.onload = () => onSent(1);
    request.onreadystatechange = () => {
      answered ||= request.readyState > 1 && request.status > 0;
    };
    request.onprogress = read;
    request.onload = () => {
      read();
      if (settled) return;
      if (request.status === 200) reject(new Disconnected(true));
      else reject(refusal(request.status, request.responseText, request.getResponseHeader("Retry-After")));
    };
    request.onerror = () => reject(new Disconnected(answered));
    request.onabort = () => reject(stopped ? new Stopped() : new Disconnected(true));
    request.open("POST", "/v1/upscale");
    request.setRequestHeader("Accept", "text/event-stream");
    for (const [header, value] of Object.entries(authorisation())) request.setRequestHeader(header, value);
    const form = new FormData();
    for (const [field, value] of Object.entries(fields)) form.append(field, value);
    form.append("file", file, name);
    request.send(form);
  });
  const stop = () => {
    stopped = true;
    request.abort();
  };
  return { done, stop };
}
