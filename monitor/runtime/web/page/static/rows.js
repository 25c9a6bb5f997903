// The rows of the overview: one for a channel, one for a machine, which unfolds to those of its channels.

import { seenText } from "./acknowledge.js";
import { age, channelAddress, fromTemplate, make, number, percent, score, setText, share, span } from "./format.js";
import { rank, setState, STATES, TROUBLE } from "./states.js";

export const POINTS = 60;

// `acknowledge`: called when a person wants to.
export function channelRow(channel, labelNames, acknowledge) {
  const parts = partsOf(fromTemplate("row").firstElementChild);
  const link = make("a", channel.name, { href: channelAddress(labelNames, channel.labels) });
  parts.name.append(link);
  parts.link = link;
  parts.acknowledge.addEventListener("click", acknowledge);
  parts.row.addEventListener("click", (event) => {
    if (!event.target.closest("a, button") && !getSelection().toString()) link.click();
  });
  return parts;
}

export function machineRow(name, onToggle, acknowledge) {
  const parts = partsOf(fromTemplate("row").firstElementChild);
  const button = make("button", "", { type: "button", class: "unfold" });
  button.append(make("i", "", { "aria-hidden": "true" }), make("span", name));
  parts.row.classList.add("machine");
  parts.count = make("small");
  parts.name.append(button, " ", parts.count);
  parts.button = button;
  parts.acknowledge.addEventListener("click", acknowledge);
  parts.row.addEventListener("click", (event) => {
    if (!event.target.closest(".acknowledge") && !getSelection().toString()) onToggle();
  });
  return parts;
}

function partsOf(row) {
  const cell = (name) => row.querySelector(name);
  return {
    row, state: cell(".state"), acknowledge: cell(".acknowledge"), seen: cell(".seen"), name: cell(".c-name"), score: cell(".c-score .number"), meter: cell(".meter"),
    line: cell("polyline"), limit: cell(".limit"), ratio: cell(".c-ratio"), rms: cell(".c-rms"), coverage: cell(".c-cover"),
    age: cell(".c-age"),
  };
}

// `inside`: the row stands below that of its machine; `later`: seconds since the figures came; `allowed`: whether the
// person may acknowledge.
export function updateChannel(parts, channel, inside, later, allowed) {
  parts.row.classList.toggle("inside", inside);
  setText(parts.link, inside ? channel.rest : channel.name);
  if (inside) parts.link.setAttribute("aria-label", channel.name);
  else parts.link.removeAttribute("aria-label");
  update(parts, channel, channel.age_s + later);
  showSeen(parts, [channel], allowed);
  parts.row.classList.toggle("silent", channel.state === "silent");
  parts.state.title = channel.learned === null ? "" : `${percent(channel.learned)} learned`;
}

// A machine is as bad as the worst of its channels, figure by figure; `first` is the one that is first in the order.
export function updateMachine(parts, channels, first, open, later, allowed) {
  parts.row.classList.toggle("open", open);
  parts.button.setAttribute("aria-expanded", open);
  const inState = new Map();
  for (const channel of channels) inState.set(channel.shown, [...(inState.get(channel.shown) ?? []), channel]);
  const states = Object.keys(STATES).filter((state) => inState.has(state));
  setText(parts.count, states.map((state) => counted(state, inState.get(state))).join(", "));
  parts.name.title = parts.count.textContent; // it may be cut off
  const { shown, text } = channels.reduce((one, other) => (rank(other) < rank(one) ? other : one));
  const worst = {
    shown,
    text,
    points: first.points,
    score: greatest(channels, "score"),
    ratio: greatest(channels, "ratio"),
    rms: greatest(channels, "rms"),
    coverage: least(channels, "coverage"),
  };
  update(parts, worst, greatest(channels, "age_s") + later);
  showSeen(parts, channels, allowed);
}

// Who has seen the alarms, or the button to say so while one was seen by nobody.
function showSeen(parts, channels, allowed) {
  const alarms = channels.filter(({ alarmState }) => alarmState > 0);
  const seen = alarms.filter((channel) => channel.seen);
  const all = alarms.length > 0 && seen.length === alarms.length;
  parts.acknowledge.hidden = !allowed || !alarms.length || all;
  parts.seen.hidden = !all;
  if (!all) return;
  setText(parts.seen, `✓ ${[...new Set(seen.map((channel) => channel.seen[0]))].join(", ")}`);
  parts.seen.title = seen.map((channel) => seenText(channel.seen)).join("\n");
}

// `1 alarm (de / x)`: who is in trouble is named while it is one channel or two.
function counted(state, channels) {
  const names = TROUBLE.has(state) && channels.length <= 2 ? ` (${channels.map(({ rest }) => rest).join("; ")})` : "";
  return `${channels.length} ${STATES[state].text}${names}`;
}

function update(parts, shown, age_s) {
  parts.row.dataset.state = shown.shown;
  setState(parts.state, shown.shown, shown.text);
  setText(parts.score, score(shown.score));
  parts.meter.hidden = shown.score === null;
  parts.meter.firstChild.style.width = `${100 * share(shown.score ?? 0)}%`;
  setText(parts.ratio, number(shown.ratio));
  setText(parts.rms, number(shown.rms));
  setText(parts.coverage, percent(shown.coverage).replace(" %", ""));
  setText(parts.age, age_s < 3 ? age(age_s) : span(age_s));
  drawLine(parts, shown);
}

function drawLine(parts, { points, score: latest }) {
  const top = Math.max(latest === null ? 1 : 1.25, ...points);
  const first = POINTS - points.length;
  const path = points
    .map((value, i) => (value === null ? "" : `${((first + i) * 120) / (POINTS - 1)},${(23 - (22 * value) / top).toFixed(1)}`))
    .filter(Boolean)
    .join(" ");
  parts.line.setAttribute("points", path);
  const y = 23 - 22 / top;
  parts.limit.setAttribute("y1", y);
  parts.limit.setAttribute("y2", y);
  parts.limit.style.display = latest === null ? "none" : "";
}

function greatest(channels, key) {
  return extreme(channels, key, Math.max);
}

function least(channels, key) {
  return extreme(channels, key, Math.min);
}

function extreme(channels, key, choose) {
  return channels.reduce((found, { [key]: value }) => (value === null ? found : found === null ? value : choose(found, value)), null);
}
