// The settings, in plain words.

import { byId, make, setText } from "/assets/web/dom.js";
import { pixels, about as roughly } from "/assets/web/words.js";

/** Short names of the models that come with superres; others are called by their own. */
const TITLES = {
  general: "Anything",
  photo: "Photo, finest texture",
  anime: "Drawing or anime",
  "anime-video": "Drawing, quickly",
  faithful: "People, clean originals",
};
const LOOKS = [
  [0.1, "Closest to the original: invents nothing."],
  [0.4, "Mostly true, a little crisper."],
  [0.6, "Balanced."],
  [0.9, "Crisp, with some texture of its own."],
  [1, "Crispest: fine texture may be invented."],
];

const FACES = "Faces are found and stay recognisable.";
const NO_FACES = "In drawings no faces are looked for.";

/** How long a model takes, beside the one that is used unless another is chosen. */
function speed(cost, usual) {
  const ratio = cost / usual;
  if (!(ratio > 0)) return "";
  if (ratio < 0.67) return `${Math.round(1 / ratio)} × faster`;
  if (ratio < 1.5) return "fast";
  return `${Math.round(ratio)} × slower`;
}

export class Form extends EventTarget {
  #models = new Map();
  #told = "";
  #model = "";
  #automatic = true;
  #scale = 4;

  constructor() {
    super();
    this.root = byId("settings");
    this.detail = byId("detail");
    this.faces = byId("faces");
    this.root.addEventListener("submit", (event) => event.preventDefault());
    this.root.addEventListener("input", (event) => this.#changed(event.target));
    byId("detail-auto").addEventListener("click", () => {
      this.#automatic = true;
      this.detail.focus();
      this.#changed(null);
    });
    this.#describe();
  }

  /** What the next picture is begun with; fidelity null lets the server choose for each. */
  get settings() {
    return {
      scale: this.#scale,
      model: this.#model,
      fidelity: this.#automatic || this.detail.disabled ? null : (100 - Number(this.detail.value)) / 100,
      format: byId("format").value,
      faces: this.faces.checked && !this.faces.disabled,
    };
  }

  get startsAtOnce() {
    return byId("auto-start").checked;
  }

  /** The server's answer to /v1/models. */
  setModels({ default: usual, models }) {
    const told = JSON.stringify([usual, models]);
    if (told === this.#told) return; // asked again after a pause; the focus may be here
    this.#told = told;
    const chosen = this.#models.has(this.#model) ? this.#model : usual;
    this.#models = new Map(models.map((model) => [model.name, model]));
    this.#model = this.#models.has(chosen) ? chosen : models[0].name;
    const unit = this.#models.get(usual)?.cost ?? 1;
    byId("models").replaceChildren(
      ...models.map((model) =>
        make(
          "label",
          {},
          make("input", { type: "radio", name: "model", value: model.name, checked: model.name === this.#model }),
          make("span", { className: "model-name", textContent: TITLES[model.name] ?? model.title ?? model.name }),
          make("span", { className: "model-speed", textContent: speed(model.cost, unit) }),
        ),
      ),
    );
    this.#changed(null);
  }

  /** What the picture on the stage would become. */
  setEstimate(estimate) {
    setText(
      byId("estimate"),
      estimate
        ? `This picture: ${pixels(estimate.width, estimate.height)}${estimate.seconds > 0 ? `, ${roughly(estimate.seconds)}` : ""}`
        : "",
    );
  }

  #changed(target) {
    if (target === this.detail) this.#automatic = false;
    if (target?.name === "model") this.#model = target.value;
    const choice = this.root.elements.scale.value;
    const own = byId("custom-scale");
    byId("custom").hidden = choice !== "custom";
    if (choice !== "custom") {
      this.#scale = Number(choice);
    } else if (own.value !== "" && own.checkValidity()) {
      this.#scale = Number(own.value);
    }
    own.setAttribute("aria-invalid", String(choice === "custom" && (own.value === "" || !own.checkValidity())));
    this.#describe();
    this.dispatchEvent(new Event("change"));
  }

  #describe() {
    const model = this.#models.get(this.#model);
    setText(byId("about"), model?.purpose ?? "");
    const usual = model?.fidelity ?? 0.5;
    const fixed = usual >= 1;
    this.detail.disabled = fixed;
    if (this.#automatic || fixed) this.detail.value = String(Math.round((1 - usual) * 100));
    const look = LOOKS.find(([most]) => Number(this.detail.value) / 100 <= most)[1];
    let text = look;
    if (fixed) text = "This one always stays true to the original.";
    else if (this.#automatic) text = "Automatic: damaged pictures are cleaned more.";
    setText(byId("detail-help"), text);
    this.detail.setAttribute("aria-valuetext", text);
    this.detail.style.setProperty("--at", `${this.detail.value}%`);
    byId("detail-auto").hidden = this.#automatic || fixed;
    this.faces.disabled = model?.faces === false;
    setText(byId("faces-help"), this.faces.disabled ? NO_FACES : FACES);
  }
}
