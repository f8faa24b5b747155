// Which view is shown, the state in the tab's title and icon, and notifications.

import { overview } from "./overview.js";
import { loop } from "./loop.js";
import { log } from "./log.js";
import { el } from "./dom.js";

const main = document.getElementById("main");
let current = null;

const ROUTES = [
  [/^#\/loop\/([0-9a-f]{16})\/log\/([0-9]+)(?:\/([0-9]+))?$/, log],
  [/^#\/loop\/([0-9a-f]{16})$/, loop],
];

function route() {
  current?.end();
  const found = ROUTES.map(([pattern, view]) => [location.hash.match(pattern), view]).find(([match]) => match);
  const [match, view] = found || [["", ""], overview];
  main.replaceChildren();
  crumbs([]);
  current = view(main, ...match.slice(1));
  main.focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

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

// Say a change to people who do not see the page, and, if they asked for it, to those elsewhere.
let said = "";
export function announce(text, { person = false } = {}) {
  if (text === said) return;
  const first = said === "";
  said = text;
  document.getElementById("live").textContent = text;
  if (person && !first && window.Notification?.permission === "granted") new Notification("OpenLoop", { body: text });
}

const notify = document.getElementById("notify");
if (window.Notification && Notification.permission === "default") {
  notify.hidden = false;
  notify.addEventListener("click", async () => {
    await Notification.requestPermission();
    notify.hidden = Notification.permission !== "default";
  });
}

window.addEventListener("hashchange", () => { if (!location.hash.startsWith("#main")) route(); });
document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
route();
