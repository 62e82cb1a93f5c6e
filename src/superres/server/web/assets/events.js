// How a server tells news.

/** Server-sent events out of pieces of text (WHATWG HTML, 9.2.6). */
export class EventReader {
  #rest = "";
  #type = "";
  #data = [];
  #id = "";

  /** @param onEvent told each event's type, data and the last id that was given. */
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
      if (this.#data.length) this.onEvent(this.#type || "message", this.#data.join("\n"), this.#id);
      this.#type = "";
      this.#data = [];
      return;
    }
    const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line);
    if (field === "event") this.#type = value;
    else if (field === "data") this.#data.push(value);
    else if (field === "id") this.#id = value;
  }
}
