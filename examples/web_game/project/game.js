"use strict";
// The game. `game.state` is "new", "playing" or "won".

const game = {state: "new", lit: [], left: []};
const lamps = document.querySelector("#lamps");
const message = document.querySelector("#message");

document.querySelector("#start").addEventListener("click", async () => {
  const levels = await (await fetch("levels.json")).json();
  game.state = "playing";
  game.lit = [];
  game.left = levels[0].toSorted((a, b) => a - b);
  message.textContent = "Go!";
  lamps.replaceChildren(...levels[0].map(lamp));
});

function lamp(number) {
  const button = document.createElement("button");
  button.textContent = number;
  button.addEventListener("click", () => light(button, number));
  return button;
}

function light(button, number) {
  if (number !== game.left[0]) {
    message.textContent = "Not that one yet.";
    return;
  }
  button.classList.add("lit");
  game.lit.push(game.left.shift());
  if (game.lit.length > 1) message.textContent = `${game.lit.length} lamps, ${game.goal.left} to go`;
  if (game.left.length === 0) {
    game.state = "won";
    message.textContent = "You won";
  }
}
