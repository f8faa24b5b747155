// Notify people who asked for it when a loop begins to need them, whatever they look at.

import { ask, poll } from "./api.js";

let known = null; // loop → why it needs a person

function granted() {
  return window.Notification?.permission === "granted";
}

function watch() {
  poll(async () => {
    const { loops } = await ask("loops");
    for (const one of known ? loops : []) {
      if (one.needs && one.needs !== known.get(one.id)) {
        const body = `${one.needs}${one.reason ? `: ${one.reason}` : ""}`;
        new Notification(`${one.name} needs a person`, { body, tag: one.id });
      }
    }
    known = new Map(loops.map((one) => [one.id, one.needs]));
    return 10;
  }, { unseen: true });
}

// Watch at once where a person has agreed before; else show the button that asks.
export function notices(button) {
  if (granted()) watch();
  if (window.Notification?.permission !== "default") return;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await Notification.requestPermission();
    button.hidden = Notification.permission !== "default";
    if (granted()) watch();
  });
}
