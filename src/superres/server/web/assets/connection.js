// Whether the server is there, and whether it knows who is asking.

import { Disconnected, Refusal, models, token } from "/assets/web/api.js";
import { byId, make, setText } from "/assets/web/dom.js";

const LONGEST_PAUSE = 15;

export class Connection {
  #pause = 1;
  #asking = false;
  #timer = null;
  #dialog = byId("ask-token");

  constructor(form, queue) {
    this.form = form;
    this.queue = queue;
    byId("token-form").addEventListener("submit", (event) => {
      event.preventDefault();
      token.set(byId("token").value.trim());
      this.#dialog.close("given");
    });
    byId("token-cancel").addEventListener("click", () => this.#dialog.close("cancelled"));
    this.#dialog.addEventListener("close", () => {
      byId("token").value = "";
      byId("forget").hidden = !token.get();
      if (this.#dialog.returnValue === "given") this.open();
      else this.#say("This server asks for an access token.", "Enter token", () => this.#ask());
    });
    byId("forget").addEventListener("click", () => {
      token.set("");
      byId("forget").hidden = true;
      this.open();
    });
    window.addEventListener("online", () => this.#timer !== null && this.open());
  }

  /** Asks the server for its models; goes on asking while it does not answer. */
  async open() {
    if (this.#asking) return;
    this.#asking = true;
    clearTimeout(this.#timer);
    this.#timer = null;
    try {
      this.form.setModels(await models());
      this.#pause = 1;
      this.#say("");
      this.queue.release();
    } catch (error) {
      if (error instanceof Refusal && error.status === 401) this.unauthenticated();
      else this.#later(error);
    } finally {
      this.#asking = false;
    }
  }

  /** Something broke off: nothing new is begun until the server answers. */
  lost() {
    this.queue.hold();
    if (this.#timer === null) this.open();
  }

  unauthenticated() {
    this.queue.hold();
    if (this.#dialog.open) return;
    this.#ask();
  }

  #ask() {
    setText(
      byId("token-text"),
      token.get()
        ? "The server did not accept the token. Paste the access token you were given; it is kept in this tab only, until you close it."
        : "This server asks who you are. Paste the access token you were given; it is kept in this tab only, until you close it.",
    );
    this.#dialog.returnValue = "";
    this.#dialog.showModal();
  }

  #later(error) {
    this.queue.hold();
    const wait = error.retryAfter ?? this.#pause;
    this.#pause = Math.min(LONGEST_PAUSE, this.#pause * 2);
    const what = error instanceof Disconnected
      ? "The server does not answer. It is tried again by itself; nothing is lost."
      : `${error.message} It is tried again by itself.`;
    this.#say(what, "Try now", () => this.open());
    this.#timer = setTimeout(() => this.open(), wait * 1000);
  }

  #say(text, label = "", action = null) {
    const banner = byId("banner");
    if (banner.dataset.text === text) return;
    banner.dataset.text = text;
    banner.hidden = !text;
    banner.replaceChildren(
      make("span", { textContent: text }),
      ...(action ? [make("button", { type: "button", className: "button small", textContent: label, onClick: action })] : []),
    );
  }
}
