// The pictures of a loop: its rounds in time, and its metric with baseline and best.

import { seconds, svg, tone } from "./dom.js";

// How wide a picture is: as the page, so that its words keep their size.
function room() {
  return Math.max(280, document.getElementById("main").clientWidth - 40);
}

// openWord: what a step without an outcome is, by its round.
export function timeline(rounds, openWord) {
  const wide = room();
  const shown = rounds.slice(-Math.floor(wide / 14));
  const height = 96;
  const width = wide / Math.max(shown.length, wide / 46);
  const longest = Math.max(...shown.map((one) => total(one)), 0.001);
  const bars = shown.flatMap((one, at) => {
    let y = 76;
    return one.steps.filter((step) => step.duration_seconds != null || !step.outcome).map((step) => {
      const tall = Math.max(2, ((step.duration_seconds || 0) / longest) * 66);
      y -= tall;
      const word = step.outcome || openWord(one);
      return svg("rect", { x: at * width + 2, y, width: Math.max(2, width - 4), height: Math.max(1, tall - 1), class: tone(word), rx: 1 },
        svg("title", {}, `round ${one.round}, ${step.step}: ${word}, ${seconds(step.duration_seconds)}`));
    });
  });
  const every = Math.ceil(34 / width);
  const labels = shown.map((one, at) => at % every ? null : svg("text", { x: at * width + 4, y: 90 }, String(one.round)));
  return svg("svg", { class: "chart", viewBox: `0 0 ${wide} ${height}`, role: "img",
    "aria-label": `The latest ${shown.length} rounds, each step by its outcome and duration` }, ...bars, ...labels,
    svg("text", { x: wide - 8, y: 16, "text-anchor": "end" }, `longest round ${seconds(longest)}`));
}

function total(one) {
  return one.steps.reduce((sum, step) => sum + (step.duration_seconds || 0), 0);
}

export function metricChart(rounds) {
  const points = rounds.flatMap((one) => one.steps.filter((step) => step.metric?.value != null)
    .map((step) => ({ round: one.round, ...step.metric })));
  if (!points.length) return null;
  const wide = room();
  const latest = points[points.length - 1];
  const values = points.map((point) => point.value);
  const better = latest.direction.startsWith("greater") ? Math.max : Math.min;
  const best = better(...values);
  const all = [...values, latest.threshold];
  const low = Math.min(...all), high = Math.max(...all), span = high - low || 1;
  const x = (at) => 46 + (at / Math.max(points.length - 1, 1)) * (wide - 60);
  const y = (value) => 14 + (1 - (value - low) / span) * 92;
  const line = points.map((point, at) => `${at ? "L" : "M"}${x(at).toFixed(1)} ${y(point.value).toFixed(1)}`).join("");
  const level = (value, name, words) => [svg("line", { x1: 46, x2: wide - 10, y1: y(value), y2: y(value), class: name }),
    svg("text", { x: wide - 12, y: y(value) - 4, "text-anchor": "end" }, words)];
  return svg("svg", { class: "chart", viewBox: `0 0 ${wide} 124`, role: "img",
    "aria-label": `${latest.name}: ${points.length} measurements, latest ${latest.value}, best ${best}, baseline ${latest.threshold}` },
    ...level(latest.threshold, "aim", `baseline ${latest.threshold}`), ...(best === latest.threshold ? [] : level(best, "best", `best ${best}`)),
    svg("path", { d: line, class: "path" }),
    ...points.map((point, at) => svg("circle", { cx: x(at), cy: y(point.value), r: 3, class: point.passed ? "good" : "bad" },
      svg("title", {}, `round ${point.round}: ${point.value}`))),
    svg("text", { x: 4, y: y(high) + 4 }, short(high)), svg("text", { x: 4, y: y(low) + 4 }, short(low)));
}

function short(value) {
  return Number(value.toPrecision(4)).toString();
}
