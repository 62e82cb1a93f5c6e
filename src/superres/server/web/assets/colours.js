// The button that chooses between the system's colours, light and dark (see theme.js).

const KEY = "superres.theme";
const ORDER = { auto: "light", light: "dark", dark: "auto" };
const WORDS = { auto: "automatic", light: "light", dark: "dark" };

export function themeButton(button) {
  const root = document.documentElement;
  const paint = () => {
    const theme = root.dataset.theme ?? "auto";
    button.setAttribute("aria-label", `Colours: ${WORDS[theme]}`);
    button.title = `Colours: ${WORDS[theme]}`;
    button.querySelector("use").setAttribute("href", `#i-${theme}`);
  };
  button.addEventListener("click", () => {
    const next = ORDER[root.dataset.theme ?? "auto"];
    if (next === "auto") delete root.dataset.theme;
    else root.dataset.theme = next;
    try {
      if (next === "auto") localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, next);
    } catch {
      // Storage is off: it holds until the page is closed.
    }
    paint();
  });
  paint();
}
