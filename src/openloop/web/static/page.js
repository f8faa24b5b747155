// What stands around a view: where it is, the tab's title and icon, words for those who do not see it.

import { el } from "./dom.js";

export function crumbs(parts) {
  const links = parts.flatMap(([text, href]) => ["/ ", href ? el("a", { href }, text) : text, " "]);
  document.getElementById("crumbs").replaceChildren(...links);
}

// icon: idle, running, good or needs. words: what the tab's title begins with.
export function signal(icon, words) {
  const link = document.getElementById("icon");
  const href = `/static/${icon}.svg`;
  if (link.getAttribute("href") !== href) link.setAttribute("href", href);
  document.title = words ? `${words} · OpenLoop` : "OpenLoop";
}

// Say a change to people who do not see the page.
export function announce(text) {
  const live = document.getElementById("live");
  if (live.textContent !== text) live.textContent = text;
}
