// Results on their way to the person's disk.

import { alive } from "/assets/web/api.js";
import { byId, save, setText } from "/assets/web/dom.js";
import { fileName } from "/assets/web/stage.js";
import { distinct } from "/assets/web/words.js";
import { zip } from "/assets/web/zip.js";

/** More than this is not put together in memory, but saved file by file. */
const LARGEST_ARCHIVE = 1 << 30;
const GAP = 400;

/** Saves one; a result that the server no longer has becomes an item to try again. */
export async function downloadOne(item, { queue, connection }) {
  try {
    if (await alive(item.result.url)) save(item.result.url, fileName(item));
    else queue.expire(item);
  } catch {
    connection.lost();
  }
}

/** Saves every finished one, as one archive if it is not too large. */
export async function downloadAll({ queue, connection }) {
  const items = queue.items.filter((item) => item.state === "done");
  const names = distinct(items.map(fileName));
  const button = byId("download-all");
  const label = button.lastChild;
  const words = label.textContent;
  button.disabled = true;
  try {
    if (items.reduce((sum, item) => sum + item.result.bytes, 0) > LARGEST_ARCHIVE) {
      for (const [index, item] of items.entries()) {
        save(item.result.url, names[index]);
        await new Promise((resolve) => setTimeout(resolve, GAP));
      }
      return;
    }
    const files = [];
    for (const [index, item] of items.entries()) {
      setText(label, `Packing ${index + 1} of ${items.length}`);
      const response = await fetch(item.result.url);
      if (response.ok) files.push({ name: names[index], blob: await response.blob() });
      else queue.expire(item);
    }
    if (!files.length) return;
    const url = URL.createObjectURL(await zip(files));
    save(url, "superres.zip");
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  } catch {
    connection.lost();
  } finally {
    button.disabled = false;
    setText(label, words);
  }
}
