// What the browser itself can make of a picture file: its size, a thumbnail, a view.

/** Pixels that an <img> shows without the tab feeling it (a decoded one takes 4 bytes each). */
const PLAIN = 50e6;
/** Pixels that are still decoded, away from the main thread, for a reduced view. */
const REDUCED = 150e6;
const REDUCED_SIDE = 4096;
const THUMBNAIL = 112;

/** Runs tasks one after another: decoding ten photographs at once would stall a phone. */
export function inTurn() {
  let last = Promise.resolve();
  return (task) => {
    const next = last.then(task);
    last = next.catch(() => {});
    return next;
  };
}
const turn = inTurn();

/** Loads an address into an <img>; fails if the browser cannot show it. */
function load(url) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error("not shown"));
    image.src = url;
  });
}

/** Width and height of a file's picture, upright; null if this browser cannot show it. */
export async function measure(url) {
  try {
    const image = await load(url);
    return image.naturalWidth ? { width: image.naturalWidth, height: image.naturalHeight } : null;
  } catch {
    return null;
  }
}

function draw(bitmap) {
  const canvas = document.createElement("canvas");
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
  return canvas;
}

/** Decodes away from the main thread, no larger than `side`. */
async function shrink(blob, width, height, side) {
  const factor = Math.min(1, side / Math.max(width, height));
  return draw(
    await createImageBitmap(blob, {
      resizeWidth: Math.max(1, Math.round(width * factor)),
      resizeHeight: Math.max(1, Math.round(height * factor)),
      resizeQuality: "medium",
    }),
  );
}

/** A small canvas for the list, or null. */
export const thumbnail = (file, { width, height }) =>
  width * height > REDUCED
    ? Promise.resolve(null)
    : turn(() => shrink(file, width, height, THUMBNAIL)).catch(() => null);

/** The same of what is in the page already. */
export function miniature(node, { width, height }) {
  const factor = Math.min(1, THUMBNAIL / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width * factor));
  canvas.height = Math.max(1, Math.round(height * factor));
  canvas.getContext("2d").drawImage(node, 0, 0, canvas.width, canvas.height);
  return canvas;
}

/**
 * Something to look at, decoded already, so that putting it into the page costs nothing.
 *
 * @param {string} url a blob's or a result's address.
 * @returns {Promise<{node: Element, reduced: boolean} | {node: null, why: "size" | "format"}>}
 */
export async function view(url, { width, height }, alt) {
  const count = width * height;
  if (count > REDUCED) return { node: null, why: "size" };
  let node;
  try {
    if (count > PLAIN) {
      const blob = await (await fetch(url)).blob();
      node = await turn(() => shrink(blob, width, height, REDUCED_SIDE));
      node.setAttribute("role", "img");
      node.setAttribute("aria-label", alt);
    } else {
      node = await load(url);
      await node.decode();
      node.alt = alt;
      node.draggable = false;
    }
  } catch {
    return { node: null, why: "format" };
  }
  return { node, reduced: count > PLAIN };
}

const PICTURE = /\.(jpe?g|png|webp|tiff?|bmp|gif|avif|hei[cf])$/i;
const MOST = 500;

async function walk(entry, found) {
  if (found.length >= MOST) return;
  if (entry.isFile) {
    if (PICTURE.test(entry.name)) {
      found.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
    }
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!entries.length) return;
    for (const inner of entries) await walk(inner, found);
  }
}

/** The files of a drop or a paste; of a folder, the pictures in it and below. */
export async function filesOf(transfer) {
  const entries = [...(transfer.items ?? [])]
    .filter((item) => item.kind === "file")
    .map((item) => [item.webkitGetAsEntry?.(), item.getAsFile()]);
  const files = [];
  for (const [entry, file] of entries) {
    if (entry?.isDirectory) await walk(entry, files).catch(() => {});
    else if (file) files.push(file);
  }
  return files;
}
