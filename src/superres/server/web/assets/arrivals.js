// How pictures come in: chosen, dropped anywhere, pasted.

import { byId } from "/assets/web/dom.js";
import { filesOf } from "/assets/web/pictures.js";

/** Calls `accept` with an array of files, never an empty one. */
export function acceptPictures(accept) {
  const input = byId("files");
  for (const id of ["choose", "add"]) byId(id).addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    const files = [...input.files];
    input.value = ""; // so that the same file can be chosen again
    if (files.length) accept(files);
  });

  const veil = byId("veil");
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  window.addEventListener("dragenter", (event) => {
    if (carriesFiles(event)) veil.hidden = false;
  });
  window.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
  });
  window.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) veil.hidden = true;
  });
  window.addEventListener("drop", async (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    veil.hidden = true;
    const files = await filesOf(event.dataTransfer);
    if (files.length) accept(files);
  });

  let pasted = 0;
  document.addEventListener("paste", async (event) => {
    const files = await filesOf(event.clipboardData);
    if (!files.length) return;
    event.preventDefault();
    accept(
      files.map((file) => {
        if (!/^image\.\w+$/.test(file.name)) return file;
        // What was copied as a picture and not as a file is always called "image.png".
        const name = `pasted${++pasted > 1 ? `-${pasted}` : ""}.${file.name.split(".")[1]}`;
        return new File([file], name, { type: file.type });
      }),
    );
  });
  if (/Mac|iPhone|iPad/.test(navigator.platform)) byId("paste-key").textContent = "⌘";
}
