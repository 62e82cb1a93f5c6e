// A picture of the list: what is known of it, and its states.

/*
 * reading → ready | waiting → sending → queued → working → done
 *                                  ↘ later (busy, or connection lost) → waiting
 *                                  ↘ failed | cancelled → waiting (tried again)
 */
export const UNDER_WAY = new Set(["sending", "queued", "working"]);
export const UNFINISHED = new Set([...UNDER_WAY, "reading", "waiting", "later"]);

/** Whether it can be cancelled by itself; of what is handed in together only all can. */
export const separate = (item) => !item.job && !(item.batch && UNDER_WAY.has(item.state));

let lastId = 0;

export const newItem = (given) => ({
  id: ++lastId,
  name: "",
  file: null, // none: it was found again, and is only on the server
  url: null, // of the file
  asked: null, // what its estimate belongs to
  size: null, // {width, height}, if the browser can tell
  thumb: null,
  large: false,
  state: "reading",
  message: "",
  wanted: false, // to be begun as soon as it is looked at
  together: false, // with others
  batch: null, // that is being handed in
  job: null, // {id, position}, once it is
  run: null, // while it is sent by itself
  progress: null, // {stage, fraction, eta}
  settings: null, // the form's of the moment it begins: {scale, model, fidelity, format, faces}
  estimate: null,
  result: null,
  tries: { busy: 0, lost: 0 },
  again: 0, // when a `later` one is tried, in ms
  ...given,
});

/** The settings as the server takes them. */
export const fieldsOf = ({ scale, model, fidelity, format, faces }) => ({
  scale,
  model,
  ...(fidelity === null ? {} : { fidelity }),
  ...(format ? { format } : {}),
  ...(faces ? { face: true } : {}),
});

/** A result, by its path alone: the server may know itself by another name than this page does. */
export function resultOf(told) {
  const link = new URL(told.url, location.href);
  return { ...told, url: link.pathname + link.search };
}
