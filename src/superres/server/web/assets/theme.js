// A plain script that blocks, so that the first paint already has the colours chosen.
"use strict";
(() => {
  let theme = null;
  try {
    theme = localStorage.getItem("superres.theme");
  } catch {
    // Storage is off: the system's colours then.
  }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
})();
