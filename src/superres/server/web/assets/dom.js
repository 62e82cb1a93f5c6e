// Making and finding elements. Text only ever enters the page as text.

export const byId = (id) => document.getElementById(id);

/** An element with properties, `aria-*`/`data-*` attributes, listeners (`onClick`) and children. */
export function make(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2).toLowerCase(), value);
    else if (name.includes("-") || name === "role") node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** One of the page's own icons (the `<symbol>`s of page.html). */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** Changes the text only if it is another one, so that nothing is announced or laid out twice. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Sets a progress bar made of `<div role=progressbar><i>`; null is "under way, nobody knows". */
export function setBar(bar, fraction) {
  const known = fraction !== null && fraction !== undefined;
  bar.classList.toggle("unknown", !known);
  if (known) bar.setAttribute("aria-valuenow", String(Math.round(fraction * 100)));
  else bar.removeAttribute("aria-valuenow");
  bar.firstElementChild.style.transform = known ? `scaleX(${fraction})` : "";
}

/** Saves what an address holds under a name, as if a link had been clicked. */
export function save(url, name) {
  const link = make("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
}
