// Numbers and names in words.

const decimal = (value, digits) =>
  new Intl.NumberFormat("en", { maximumFractionDigits: digits }).format(value);

/** 5_242_880 → "5.2 MB". */
export function bytes(count) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let unit = 0;
  for (; count >= 999.5 && unit < units.length - 1; unit++) count /= 1000;
  return `${decimal(count, unit > 1 && count < 100 ? 1 : 0)} ${units[unit]}`;
}

/** 3.42 → "3.4 s"; 130 → "2 min 10 s". */
export function seconds(value) {
  if (value < 10) return `${decimal(value, 1)} s`;
  const whole = Math.round(value);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return whole % 60 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${whole / 60} min`;
  return `${Math.floor(whole / 3600)} h ${Math.round((whole % 3600) / 60)} min`;
}

/** How long something will take, no more exact than it is known. */
export function about(value) {
  if (value < 1.5) return "about a second";
  if (value < 10) return `about ${Math.round(value)} seconds`;
  if (value < 55) return `about ${Math.round(value / 5) * 5} seconds`;
  if (value < 90) return "about a minute";
  if (value < 3300) return `about ${Math.round(value / 60)} minutes`;
  return `about ${decimal(value / 3600, 1)} hours`;
}

/** For how long something is kept, never more than is true: 3600 → "an hour". */
export function span(value) {
  const [count, unit] = value < 7200 ? [value / 60, "minute"] : value < 172_800 ? [value / 3600, "hour"] : [value / 86_400, "day"];
  const whole = Math.max(1, Math.floor(count));
  if (unit === "minute" && whole >= 60 && whole < 75) return "an hour";
  return `${whole} ${unit}${whole === 1 ? "" : "s"}`;
}

/** What is left of the time, for a progress bar. */
export const left = (value) => (value < 1 ? "nearly done" : `${seconds(Math.ceil(value))} left`);

export const pixels = (width, height) => `${width} × ${height} px`;

/** 268_435_456 → "268 megapixels". */
export const megapixels = (count) => `${decimal(count / 1e6, count < 1e7 ? 1 : 0)} megapixels`;

/** Facts in a row, broken between them and not between a number and its unit. */
export const line = (facts) =>
  facts.filter(Boolean).join(" · ").replace(/(\d|×) (?=[\d×a-z])| (?=·)/gi, "$1\u00A0");

export const percent = (fraction) => `${Math.round(fraction * 100)} %`;

export const times = (scale) => `${decimal(scale, 2)} ×`;

/** What a side becomes: rounded half up, at least 1, as the server does it. */
export const enlarged = (side, scale) => Math.max(1, Math.floor(side * scale + 0.5));

const EXTENSIONS = { jpeg: "jpg", tiff: "tif" };

/** "holiday/photo.jpg", 4, "png" → "photo_x4.png". */
export function resultName(name, scale, format) {
  const stem = name.split(/[\\/]/).pop().replace(/\.[^.]*$/, "") || "picture";
  return `${stem}_x${Number(scale)}.${EXTENSIONS[format] ?? format}`;
}

/** Makes names different: "a.png", "a.png" → "a.png", "a (2).png". */
export function distinct(names) {
  const taken = new Set();
  return names.map((name) => {
    const dot = name.lastIndexOf(".") > 0 ? name.lastIndexOf(".") : name.length;
    let free = name;
    for (let n = 2; taken.has(free.toLowerCase()); n++) {
      free = `${name.slice(0, dot)} (${n})${name.slice(dot)}`;
    }
    taken.add(free.toLowerCase());
    return free;
  });
}

const TIERS = [["restored", "restored"], ["enhanced", "kept"], ["unchanged", "unchanged"]];

/** What became of the faces that were found: "3 faces kept", "3 faces: 2 restored, 1 kept". */
export function faces(found) {
  if (!found.length) return "no faces found";
  const number = found.length === 1 ? "1 face" : `${found.length} faces`;
  const told = TIERS.map(([tier, word]) => [found.filter((face) => face.tier === tier).length, word])
    .filter(([count]) => count);
  return told.length > 1
    ? `${number}: ${told.map(([count, word]) => `${count} ${word}`).join(", ")}`
    : `${number} ${told[0]?.[1] ?? "found"}`;
}
