// Which view is shown.

import { overview } from "./overview.js";
import { loop } from "./loop.js";
import { log } from "./log.js";
import { notices } from "./notices.js";
import { crumbs } from "./page.js";

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

notices(document.getElementById("notify"));
window.addEventListener("hashchange", () => { if (!location.hash.startsWith("#main")) route(); });
document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
route();
