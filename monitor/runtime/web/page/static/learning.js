// How far a channel is that learns, what it leaves out, and whether its machine keeps moving away meanwhile.

import { make, percent, words } from "./format.js";

const PHASES = {
  opening: "begins",
  settling: "waits until the machine has settled",
  turn: "takes samples for the forecast",
  fitting: "fits the forecast",
  gathering: "collects",
};

// The facts about its learning, as pairs of title and text.
export function learningFacts(learning) {
  if (!learning) return [];
  const leftOut = Object.entries(learning.left_out).map(([reason, count]) => `${count} ${words(reason)}`);
  return [
    ["Learning", `${percent(learning.ratio)}, ${duration(learning.learned_s)} of running; ${PHASES[learning.phase] ?? learning.phase}`],
    ...(leftOut.length ? [["Left out", `intervals: ${leftOut.join(", ")}`]] : []),
    ...(learning.unsteady ? [["Moves away", "what came last is like nothing before: a fault that grows, or running-in. It is not locked"]] : []),
  ];
}

// A bar for each stretch of the learning time: how new it was when it came; from the line on it was like nothing before.
export function novelty(curve, newFrom) {
  if (!curve?.length) return [];
  const top = Math.max(1.5 * newFrom, ...curve);
  const chart = make("div", "", { class: "novelty", role: "img", "aria-label": `How new each stretch was, from ${newFrom} on like nothing before: ${curve.map((value) => value.toFixed(2)).join(", ")}` });
  chart.append(...curve.map((value) => {
    const bar = make("i", "", { class: value >= newFrom ? "new" : "", title: value.toFixed(2) });
    bar.style.height = `${(100 * value) / top}%`;
    return bar;
  }));
  const limit = make("u");
  limit.style.bottom = `${(100 * newFrom) / top}%`;
  chart.append(limit);
  return [make("small", "How new each stretch of the learning time was when it came"), chart];
}

export function duration(seconds) {
  for (const [unit, length] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (seconds < length) continue;
    const count = Number((seconds / length).toPrecision(3));
    return `${count} ${unit}${count === 1 ? "" : "s"}`;
  }
  return `${Number(seconds.toPrecision(3))} s`;
}
