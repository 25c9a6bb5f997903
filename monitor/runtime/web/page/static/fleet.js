// The table of all channels, worst first.

import { STATES, age, announce, channelAddress, fromTemplate, inWords, make, number, percent, score, setState, setText, shownAs } from "./format.js";
import { Stream } from "./stream.js";

const SHOWN = 100; // rows shown at first: more slow down the browser
const REORDER_MS = 2000; // shortest time between two sorts: rows that move every second are unreadable
const SMOOTHING = 0.4; // weight of the newest value in the sort key
const POINTS = 60;
const ANNOUNCED = new Set(["alarm", "warning", "silent"]);

let filterText = ""; // both outlive the view, so that the table is the same after a visit to a channel
const statesShown = new Set();

export class FleetView {
  constructor(frame) {
    this.frame = frame;
    this.channels = [];
    this.order = [];
    this.limit = SHOWN;
    this.reorderedAt = 0;
    frame.main.append(fromTemplate("fleet-view"));
    document.title = "vibration-monitor";
    this.table = frame.main.querySelector("table");
    this.body = frame.main.querySelector("tbody");
    this.below = frame.main.querySelector(".below");
    this.more = frame.main.querySelector(".more");
    this.more.addEventListener("click", () => this.showMore());
    this.filter = frame.main.querySelector("input");
    this.filter.value = filterText;
    this.filter.addEventListener("input", () => this.setFilter(this.filter.value));
    this.makeChips(frame.main.querySelector(".chips"));
    this.stream = new Stream(
      "api/v1/stream",
      { fleet: (message) => this.takeAll(message), rows: (message) => this.takeRows(message) },
      frame.showTrouble,
    );
  }

  close() {
    this.stream.close();
  }

  makeChips(group) {
    this.chips = {};
    for (const state of Object.keys(STATES)) {
      const chip = make("button", "", { type: "button", class: "chip", "data-state": state, "aria-pressed": statesShown.has(state) });
      chip.append(make("b", STATES[state].sign, { "aria-hidden": "true" }), " ", make("span", "0"), ` ${STATES[state].text}`);
      chip.addEventListener("click", () => {
        if (!statesShown.delete(state)) statesShown.add(state);
        chip.setAttribute("aria-pressed", statesShown.has(state));
        this.render(true);
      });
      this.chips[state] = chip;
      group.append(chip);
    }
  }

  setFilter(text) {
    filterText = text;
    this.limit = SHOWN;
    this.render(true);
  }

  showMore() {
    this.limit += 4 * SHOWN;
    this.render(true);
  }

  takeAll(message) {
    this.labelNames = message.label_names;
    this.step = message.sparkline_step;
    const before = new Map(this.channels.map((channel) => [channel.key, channel]));
    this.channels = message.names.map((labels, place) => {
      const key = JSON.stringify(labels);
      const channel = before.get(key) ?? { key, labels, name: labels.filter(Boolean).join(" / "), search: labels.join(" ").toLowerCase() };
      channel.points = message.sparklines[place] ?? [];
      channel.bucket = Math.floor((message.sample - 1) / this.step);
      return channel;
    });
    const kept = new Set(this.channels);
    for (const channel of before.values()) if (!kept.has(channel)) channel.parts?.row.remove();
    this.take(message);
    this.render(true);
  }

  takeRows(message) {
    this.take(message);
    const now = performance.now();
    const held = this.body.matches(":hover") || this.body.contains(document.activeElement);
    const due = !held && now - this.reorderedAt > REORDER_MS;
    this.render(due);
  }

  take(message) {
    this.frame.showService(message.service);
    message.places.forEach((place, i) => {
      const channel = this.channels[place];
      if (!channel) return;
      const [value, alarmState, ratio, rms, coverage, age_s, state, reason, learned] = message.rows[i];
      const [shown, text] = [shownAs(state, alarmState), inWords(state, alarmState, reason)];
      if (channel.shown && channel.text !== text && ANNOUNCED.has(shown)) announce(`${channel.name}: ${text}`);
      Object.assign(channel, { score: value, alarmState, ratio, rms, coverage, age_s, state, shown, text, learned });
    });
    const bucket = Math.floor((message.sample - 1) / this.step);
    for (const channel of this.channels) {
      const value = channel.score ?? channel.ratio;
      extend(channel, bucket, value ?? null);
      channel.smoothScore = smooth(channel.smoothScore, channel.score);
      channel.smoothRatio = smooth(channel.smoothRatio, channel.ratio);
    }
  }

  reorder() {
    this.reorderedAt = performance.now();
    const words = filterText.toLowerCase().split(/\s+/).filter(Boolean);
    this.order = this.channels
      .filter((channel) => (!statesShown.size || statesShown.has(channel.shown)) && words.every((word) => channel.search.includes(word)))
      .sort((a, b) => descending(alarmWithoutScore(a), alarmWithoutScore(b)) || descending(a.smoothScore, b.smoothScore) || descending(a.smoothRatio, b.smoothRatio) || a.key.localeCompare(b.key));
  }

  render(reorder) {
    if (reorder) this.reorder();
    const shown = this.order.slice(0, this.limit);
    if (reorder) this.arrange(shown);
    for (const channel of shown) this.update(channel);
    const counts = {};
    for (const channel of this.channels) counts[channel.shown] = (counts[channel.shown] ?? 0) + 1;
    for (const [state, chip] of Object.entries(this.chips)) {
      setText(chip.querySelector("span"), String(counts[state] ?? 0));
      chip.hidden = !counts[state] && !statesShown.has(state) && state !== "alarm";
    }
    document.title = counts.alarm ? `(${counts.alarm}) vibration-monitor` : "vibration-monitor";
    this.table.hidden = !this.channels.length;
    setText(this.below, this.remark(shown.length));
    this.below.hidden = !this.below.textContent;
    this.more.hidden = shown.length >= this.order.length;
    setText(this.more, `Show more (${this.order.length - shown.length} not shown)`);
  }

  remark(shown) {
    if (!this.channels.length) return "No channels yet. A channel appears with its first message.";
    if (!shown) return "No channel matches the filter.";
    return "";
  }

  arrange(shown) {
    let next = this.body.firstElementChild;
    for (const channel of shown) {
      channel.parts ??= this.makeRow(channel);
      if (channel.parts.row === next) next = next.nextElementSibling;
      else this.body.insertBefore(channel.parts.row, next);
    }
    while (next) {
      const gone = next;
      next = next.nextElementSibling;
      gone.remove();
    }
  }

  makeRow(channel) {
    const row = fromTemplate("row").firstElementChild;
    const cell = (name) => row.querySelector(name);
    const link = cell("a");
    link.textContent = channel.name;
    link.href = channelAddress(this.labelNames, channel.labels);
    row.addEventListener("click", (event) => {
      if (event.target !== link && !getSelection().toString()) link.click();
    });
    return {
      row, state: cell(".state"), score: cell(".c-score .number"), meter: cell(".meter"), line: cell("polyline"),
      limit: cell(".limit"), ratio: cell(".c-ratio"), rms: cell(".c-rms"), coverage: cell(".c-cover"), age: cell(".c-age"),
    };
  }

  update(channel) {
    const { parts } = channel;
    parts.row.dataset.state = channel.shown;
    setState(parts.state, channel.shown, channel.text);
    parts.state.title = channel.learned === null ? "" : `${percent(channel.learned)} learned`;
    setText(parts.score, score(channel.score));
    parts.meter.hidden = channel.score === null;
    parts.meter.firstChild.style.width = `${Math.min(100, (channel.score ?? 0) * 50)}%`;
    setText(parts.ratio, number(channel.ratio));
    setText(parts.rms, number(channel.rms));
    setText(parts.coverage, percent(channel.coverage));
    setText(parts.age, age(channel.age_s));
    const top = Math.max(channel.score === null ? 1 : 1.25, ...channel.points);
    parts.line.setAttribute("points", path(channel.points, top));
    const y = 23 - 22 / top;
    parts.limit.setAttribute("y1", y);
    parts.limit.setAttribute("y2", y);
    parts.limit.style.display = channel.score === null ? "none" : "";
  }
}

// Add a value to a sparkline; each point is the largest value of a few seconds.
function extend(channel, bucket, value) {
  while (channel.bucket < bucket) {
    channel.points.push(null);
    channel.bucket += 1;
  }
  const last = channel.points.length - 1;
  if (last < 0) channel.points.push(value);
  else if (value !== null) channel.points[last] = Math.max(channel.points[last] ?? value, value);
  if (channel.points.length > POINTS) channel.points.splice(0, channel.points.length - POINTS);
}

function path(points, top) {
  const first = POINTS - points.length;
  return points
    .map((value, i) => (value === null ? "" : `${((first + i) * 120) / (POINTS - 1)},${(23 - (22 * value) / top).toFixed(1)}`))
    .filter(Boolean)
    .join(" ");
}

// A machine in alarm stays on top when it gets no score any more.
function alarmWithoutScore(channel) {
  return channel.score === null ? (channel.alarmState ?? 0) : 0;
}

function smooth(before, value) {
  if (value === null || value === undefined) return null;
  return before === null || before === undefined ? value : before + SMOOTHING * (value - before);
}

function descending(a, b) {
  const difference = (b ?? -Infinity) - (a ?? -Infinity);
  return Number.isNaN(difference) ? 0 : difference;
}
