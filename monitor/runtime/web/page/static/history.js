// The history of one channel: its figures over a day, two weeks and two years, and its alarms with what was captured.

import { bytes, make, number, score, setText } from "./format.js";

const REFRESH_MS = 30000; // a cell of the finest history is a minute
const LEAST_SPAN_S = { hours: 900, days: 6 * 3600, weeks: 7 * 86400 };
const ROWS = [
  ["score", "score", "--accent"],
  ["rms", "RMS, m/s²", "--forecast"],
  ["velocity_rms", "velocity, mm/s", "--forecast"],
  ["gap_ratio", "gap ratio", "--forecast"],
  ["condition_distance", "distance of conditions", "--forecast"],
];
const ROW_PX = 108;

export class HistoryPanel {
  constructor(place, name) {
    this.place = place;
    this.name = name;
    this.over = "hours";
    this.alarms = [];
    for (const button of place.querySelectorAll("[data-over]")) {
      button.addEventListener("click", () => this.choose(button.dataset.over));
    }
    this.refresh();
  }

  close() {
    this.closed = true;
  }

  show(charts) {
    this.charts = charts;
    this.draw();
  }

  choose(over) {
    this.over = over;
    for (const button of this.place.querySelectorAll("[data-over]")) button.setAttribute("aria-pressed", button.dataset.over === over);
    this.refresh();
  }

  // Ask anew if the last answer is old; called with every update of the channel.
  tick() {
    if (!document.hidden && Date.now() - this.askedMs > REFRESH_MS) this.refresh();
  }

  async refresh() {
    this.askedMs = Date.now();
    const over = this.over;
    const [history, alarms] = await Promise.all([ask("history", { channel: this.name, over }), ask("history/alarms", { channel: this.name })]);
    if (this.closed || over !== this.over) return;
    if (alarms) this.alarms = alarms.alarms;
    if (history) this.history = history;
    this.draw();
    this.onAlarms?.(this.alarms);
  }

  draw() {
    if (!this.history) return;
    const { figures, period_s: period, start_s: start, trends, missing } = this.history;
    this.place.querySelector(".trends").replaceChildren(...Object.values(trends).map((trend) => make("li", trend.text)));
    const rows = ROWS.filter(([name]) => figures[name]?.mean.some((value) => value !== null));
    const none = this.place.querySelector(".none");
    setText(none, missing ? `${missing[0].toUpperCase()}${missing.slice(1)}.` : "Nothing yet: the first minute is not over, or no interval has been scored.");
    none.hidden = rows.length > 0;
    const chart = this.place.querySelector(".courses");
    chart.hidden = !rows.length;
    if (!rows.length || !this.charts) return;
    chart.style.height = `${rows.length * ROW_PX + 34}px`;
    const count = figures[rows[0][0]].mean.length;
    const times = Array.from({ length: count }, (_, i) => local(start + (i + 0.5) * period));
    const end = start + count * period;
    this.charts.remember("courses", () => this.charts.draw("courses", ...courses(this.charts, rows, figures, times, {
      from: Math.min(start, end - LEAST_SPAN_S[this.over]), to: end, alarms: this.alarms, trends,
    })));
    chart.setAttribute("aria-label", `History: ${rows.map(([name, title]) => `${title} up to ${number(Math.max(...figures[name].maximum.map((value) => value ?? 0)))}`).join(", ")}`);
  }
}

// Traces and layout: a row a figure above one axis of time; the line is the mean of a cell, the shade reaches to its maximum.
function courses(charts, rows, figures, times, { from, to, alarms, trends }) {
  const layout = { margin: { l: 52, r: 12, t: 6, b: 24 }, annotations: [], shapes: [] };
  const traces = [];
  rows.forEach(([name, title, colour], row) => {
    const axis = row ? `y${row + 1}` : "y";
    const bottom = 1 - (row + 1) / rows.length;
    const shown = { x: times, xaxis: "x", yaxis: axis, connectgaps: false, mode: times.length < 40 ? "lines+markers" : "lines", marker: { size: 4 } };
    const ink = charts.colour(colour);
    const factor = name === "velocity_rms" ? 1000 : 1; // m/s are shown as mm/s
    const mean = figures[name].mean.map((value) => (value === null ? null : factor * value));
    const maximum = figures[name].maximum.map((value) => (value === null ? null : factor * value));
    traces.push(
      { ...shown, ...shade(times, mean, maximum), name: `${title}: up to the maximum`, mode: "lines", line: { width: 0 }, fill: "toself", fillcolor: soft(ink), hoverinfo: "skip" },
      { ...shown, name: `${title}: maximum`, y: maximum, mode: "lines", line: { width: 0, color: ink }, hovertemplate: "%{y:.3~g}" },
      { ...shown, name: title, y: mean, line: { width: 1.6, color: ink }, marker: { size: 4, color: ink }, hovertemplate: "%{y:.3~g}" },
    );
    const highest = Math.max(name === "score" ? 1.5 : 0, ...maximum.map((value) => value ?? 0)) * 1.1 || 1;
    layout[row ? `yaxis${row + 1}` : "yaxis"] = charts.axis({ domain: [bottom + 0.02, bottom + 1 / rows.length - 0.06], range: [0, highest], nticks: 4, tickfont: { size: 10.5 } });
    layout.annotations.push({ text: title, x: 0, xref: "paper", xanchor: "left", y: bottom + 1 / rows.length - 0.06, yref: "paper", yanchor: "bottom", showarrow: false, font: { size: 11.5, color: charts.colour("--ink") } });
    if (name === "score") layout.shapes.push({ ...charts.limit(), yref: axis });
    const trend = trends[name];
    if (trend && (trend.low > 0 || trend.high < 0)) {
      layout.shapes.push({ type: "line", xref: "x", yref: axis, x0: local(trend.end_s - trend.over_s), x1: local(trend.end_s), y0: factor * (trend.level - trend.rate * trend.over_s), y1: factor * trend.level,
        line: { color: charts.colour("--ink"), width: 1.4, dash: "dot" } });
    }
  });
  for (const { start_s: start, end_s: end, state } of alarms) {
    if ((end ?? to) < from || start > to) continue;
    layout.shapes.push({ type: "rect", xref: "x", yref: "paper", x0: local(Math.max(start, from)), x1: local(Math.min(end ?? to, to)), y0: 0, y1: 1,
      line: { width: 0 }, layer: "below", opacity: 0.14, fillcolor: charts.colour(state === "alarm" ? "--alarm" : "--warning") });
  }
  layout.xaxis = charts.axis({ type: "date", range: [local(from), local(to)], anchor: rows.length > 1 ? `y${rows.length}` : "y", nticks: charts.places.courses.clientWidth < 500 ? 4 : 9 });
  return [traces, layout];
}

// Polygons between mean and maximum, one for each stretch without a gap.
function shade(times, mean, maximum) {
  const x = [];
  const y = [];
  for (let i = 0; i < mean.length; ) {
    let end = i;
    while (end < mean.length && mean[end] !== null) end += 1;
    if (end > i) {
      x.push(...times.slice(i, end), ...times.slice(i, end).reverse(), null);
      y.push(...maximum.slice(i, end), ...mean.slice(i, end).reverse(), null);
    }
    i = end + 1;
  }
  return { x, y };
}

// The alarms of a channel with the files of each; files of alarms that are forgotten stand alone.
export function alarmLines(alarms, files) {
  const captures = group(files);
  const lines = alarms.map((alarm) => {
    const line = make("li", "", { class: `alarm-line ${alarm.state}` });
    const end = alarm.end_s === null ? "now" : shortly(alarm.end_s, alarm.start_s);
    line.append(make("b", alarm.state), " ", make("time", shortly(alarm.start_s)), ` to ${end}, ${lasting((alarm.end_s ?? Date.now() / 1000) - alarm.start_s)}`,
      `, peak ${score(alarm.peak_score)} at `, make("time", shortly(alarm.peak_at_s, alarm.start_s)));
    for (const [stem, parts] of captures) {
      const at = capturedAt(stem);
      if (at < alarm.start_s - 5 || at > (alarm.end_s ?? Infinity) + 5) continue;
      captures.delete(stem);
      line.append(capture(at, parts, alarm.start_s));
    }
    return line;
  });
  for (const [stem, parts] of captures) {
    const line = make("li");
    line.append(capture(capturedAt(stem), parts));
    lines.push(line);
  }
  return lines;
}

function capture(at, parts, since) {
  const line = make("div", "", { class: "capture" });
  line.append("captured ", make("time", shortly(at, since)));
  for (const file of parts) {
    line.append(" ", make("a", `${file.name.split(".").pop()} ${bytes(file.bytes)}`, { href: `api/v1/evidence/${encodeURIComponent(file.name)}`, title: file.name }));
  }
  return line;
}

function group(files) {
  const groups = new Map();
  for (const file of files) {
    const stem = file.name.replace(/\.[a-z]+$/, "");
    groups.set(stem, [...(groups.get(stem) ?? []), file]);
  }
  return groups;
}

function capturedAt(stem) {
  const [, day, hour, minute, second] = /^(\d{4}-\d\d-\d\d)T(\d\d)-(\d\d)-(\d\d)Z/.exec(stem) ?? [];
  return day ? Date.parse(`${day}T${hour}:${minute}:${second}Z`) / 1000 : NaN;
}

// A moment in the viewer's own time; without the day if that is the day of another moment.
function shortly(unix, beside) {
  const at = new Date(unix * 1000);
  const same = beside !== undefined && new Date(beside * 1000).toDateString() === at.toDateString();
  const clock = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  return same ? clock : `${at.toLocaleDateString([], { day: "numeric", month: "short", year: at.getFullYear() === new Date().getFullYear() ? undefined : "numeric" })} ${clock}`;
}

function lasting(seconds) {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${(seconds / 3600).toFixed(1)} h` : `${(seconds / 86400).toFixed(1)} days`;
}

// A time as the chart library wants it: the viewer's own clock, without a zone.
function local(unix) {
  const at = new Date(unix * 1000);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60000).toISOString().slice(0, -1);
}

function soft(colour) {
  return /^#[0-9a-f]{6}$/i.test(colour) ? `${colour}40` : colour;
}

// A JSON document of the API; null if it cannot be had (the stream reports the error).
export async function ask(path, query) {
  try {
    const answer = await fetch(`api/v1/${path}?${new URLSearchParams(query)}`);
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}
