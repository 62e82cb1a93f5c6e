// The way of one picture: sent by itself, and the answer waited for.

import { upscale } from "/assets/web/api.js";
import { fieldsOf, resultOf } from "/assets/web/items.js";

/** Begins an item of the queue with `settings`, and sees it through. */
export async function sendAlone(queue, item, settings) {
  item.settings = settings;
  item.progress = { stage: "sending", fraction: 0, eta: null };
  item.result = null;
  const run = upscale(item.file, item.name, fieldsOf(settings), {
    onSent: (loaded, total) => {
      if (item.run !== run || item.state !== "sending") return;
      item.progress.fraction = total ? loaded / total : 1;
      if (loaded === total) queue.become(item, "queued");
      else queue.changed(item);
    },
    onProgress: ({ stage, fraction, eta_seconds: eta }) => {
      if (item.run !== run) return;
      item.progress = { stage, fraction: Math.min(1, Math.max(0, fraction || 0)), eta: eta ?? null };
      queue.become(item, stage === "queued" ? "queued" : "working");
    },
  });
  item.run = run;
  queue.become(item, "sending");
  try {
    const told = await run.done;
    if (item.run !== run) return;
    item.result = resultOf(told);
    item.progress = null;
    item.run = null;
    queue.become(item, "done");
    queue.learnt();
  } catch (error) {
    if (item.run !== run) return;
    item.run = null;
    queue.failed(item, error);
  }
  queue.pump();
}
