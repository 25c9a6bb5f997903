// One channel: its waveform with the forecast, the residual, and what drives the score.

import { Acknowledged } from "./acknowledge.js";
import { BaselinePanel } from "./baseline.js";
import { Charts, loadLibrary, unpack } from "./charts.js";
import { DiagnosisPanel } from "./diagnosis.js";
import { age, announce, fromTemplate, make, number, percent, score, setText, words } from "./format.js";
import { alarmLines, ask, HistoryPanel } from "./history.js";
import { inWords, setState, shownAs } from "./states.js";
import { Stream } from "./stream.js";

const HISTORY = 300;
const HEALTHY_MS = 60000; // between two requests for the healthy spectrum, whose mean grows slowly

const velocity = ({ velocity_rms: mps, zone, velocity_refusal: refusal }) => {
  if (mps === null) return refusal ? "refused" : "–";
  return `${number(1000 * mps)} mm/s${zone === null ? "" : ` · zone ${"ABCD"[zone]}`}`;
};

const FIGURES = [
  ["Score", "score", (update) => score(update.score), "1 is the calibrated limit"],
  ["Gap ratio", "gap_ratio", (update) => number(update.gap_ratio), "residual energy / signal energy"],
  ["Whitened gap", "gap_whitened", (update) => number(update.gap_whitened), "about 1 when healthy"],
  ["Gap", "gap", (update) => number(update.gap), "RMS of the residual, m/s²"],
  ["RMS", "rms", (update) => number(update.rms), "m/s²"],
  ["Peak", "peak", (update) => number(update.peak), "m/s²"],
  ["Velocity", "velocity_rms", velocity, "RMS from 10 Hz to 1 kHz, mm/s; zones by the limits of the configuration"],
  ["Crest factor", "crest_factor", (update) => number(update.crest_factor), "largest deviation / RMS, of two seconds"],
  ["Kurtosis", "kurtosis", (update) => number(update.kurtosis), "of two seconds; 3 for noise"],
  ["Peak to peak", "peak_to_peak", (update) => number(update.peak_to_peak), "m/s², of two seconds"],
  ["Coverage", "coverage", (update) => percent(update.coverage), "of the last interval's blocks were scored"],
  ["Last sample", "age", (update) => age(update.last_sample_age_s), "time since the last samples"],
];

export class ChannelView {
  constructor(frame, query) {
    this.frame = frame;
    this.paused = false;
    frame.main.append(fromTemplate("channel-view"));
    this.part = (selector) => frame.main.querySelector(selector);
    this.showName([...query.values()]);
    this.makeFigures();
    this.acknowledged = new Acknowledged(this.part(".acknowledged"), frame.main);
    this.part(".pause").addEventListener("click", () => this.pause(!this.paused));
    loadLibrary().then((plotly) => this.takeLibrary(plotly));
    this.diagnosis = new DiagnosisPanel(this.part(".diagnosis"), query);
    this.stream = new Stream(
      `api/v1/channels/stream?${query}`,
      { channel: (message) => this.introduce(message), update: (message) => this.update(message), gone: () => this.gone() },
      frame.showTrouble,
    );
  }

  close() {
    this.closed = true;
    this.stream.close();
    this.charts?.close();
    this.baseline?.close();
    this.past?.close();
    this.diagnosis.close();
  }

  showName(labels) {
    this.name = labels.filter(Boolean).join(" / ");
    setText(this.part("h1"), this.name);
    this.frame.showTitle(`${this.name} · vibration-monitor`);
  }

  takeLibrary(plotly) {
    if (this.closed) return;
    if (!plotly) {
      this.noCharts = true;
      this.explain();
      return;
    }
    this.charts = new Charts(plotly, this.frame.main);
    this.charts.healthy = this.healthy;
    this.past?.show(this.charts);
    if (this.history) this.drawHistory();
    if (this.latest) this.draw(this.latest);
  }

  makeFigures() {
    this.figures = {};
    for (const [title, key, , meaning] of FIGURES) this.figures[key] = this.makeFigure(title, meaning);
    this.conditions = {};
  }

  makeFigure(title, meaning) {
    const box = make("div", "", { title: meaning });
    const figure = make("dd", "–");
    box.append(make("dt", title), figure);
    this.part(".figures").append(box);
    return figure;
  }

  // A reload may add and remove measured quantities.
  showConditions(conditions) {
    for (const name of Object.keys(this.conditions)) {
      if (name in conditions) continue;
      this.conditions[name].parentElement.remove();
      delete this.conditions[name];
    }
    for (const [name, { value, stale }] of Object.entries(conditions)) {
      this.conditions[name] ??= this.makeFigure(words(name), "measured on the machine");
      setText(this.conditions[name], stale ? "stale" : number(value));
    }
  }

  introduce(message) {
    this.frame.showService(message.service);
    this.history = message.history;
    this.sample = message.sample;
    this.channelName = message.name;
    this.showName(Object.values(message.labels));
    this.calibrated = message.calibration.length > 0;
    this.evidenceWords = message.evidence_words;
    this.listFiles();
    this.askHealthy();
    if (this.past) this.past.refresh();
    else this.makePast(message.name);
    if (this.baseline) this.baseline.refresh();
    else this.baseline = new BaselinePanel(this.part(".baseline"), message.name, message.new_from);
    this.part(".labels").replaceChildren(...Object.entries(message.labels).filter(([, value]) => value).map(([name, value]) => {
      const pair = make("span");
      pair.append(make("i", `${name} `), value);
      return pair;
    }));
    const model = message.model;
    const facts = [
      ["Model", model ? `${model.model}, ${model.sha256.slice(0, 12)}` : "–"],
      ["Runs on", model ? `${model.engine}, ${model.device}` : "–"],
      ["Sampling rate", `${message.sampling_rate_hz.toLocaleString("en")} Hz`],
      ...(message.calibration.length ? message.calibration : [["Calibration", "none; make one with: vibration-monitor calibrate"]]),
    ];
    this.part(".facts").replaceChildren(...facts.flatMap(([title, text]) => [make("dt", title), make("dd", text)]));
    const seen = this.part(".sensitivity");
    setText(seen, message.sensitivity.join(" "));
    seen.hidden = !message.sensitivity.length;
    this.drawHistory();
  }

  update(message) {
    const state = inWords(message.state, message.alarm_state, message.state_reason);
    if (this.state && this.state !== state) {
      announce(`${this.name}: ${state}`);
      this.listFiles();
    }
    this.state = state;
    setState(this.part("h1 + .state"), shownAs(message.state, message.alarm_state), state);
    for (const [, key, text] of FIGURES) setText(this.figures[key], text(message));
    this.figures.velocity_rms.parentElement.title = message.velocity_refusal ?? FIGURES.find(([, key]) => key === "velocity_rms")[3];
    this.acknowledged.update(this.channelName, this.name, message.alarm_state, message.acknowledged);
    this.showConditions(message.conditions);
    this.past?.tick();
    if (Date.now() - this.healthyMs > HEALTHY_MS && !document.hidden) this.askHealthy();
    this.baseline?.update(message);
    this.remember(message);
    this.latest = message;
    if (!this.paused) this.draw(message);
  }

  // An update repeats the last seconds of history, so a few missed updates leave no gap.
  remember(message) {
    const later = message.sample - this.sample;
    if (!this.history || later <= 0) return;
    for (const [name, values] of Object.entries(this.history)) {
      const recent = message.recent[name];
      const missed = Math.max(0, Math.min(HISTORY, later) - recent.length);
      values.push(...Array(missed).fill(null), ...recent.slice(-later));
      values.splice(0, values.length - HISTORY);
    }
    this.sample = message.sample;
    this.changed = true;
  }

  draw(message) {
    this.drawDrivers(message);
    if (this.changed) this.drawHistory();
    if (message.picture && this.charts) this.charts.picture(message.picture, message.score > 0.7 ? message.band_hz : null);
    this.explain();
    const spoken = `measured RMS ${number(message.rms)} m/s², residual RMS ${number(message.gap)} m/s²`;
    if (this.changed) this.part(".wave").setAttribute("aria-label", `Waveform, measured and forecast: ${spoken}`);
    this.changed = false;
  }

  drawHistory() {
    if (!this.charts) return;
    const calibrated = this.charts.history(this.history);
    this.part(".history-title").firstChild.textContent = calibrated ? "Score " : "Gap ratio ";
  }

  drawDrivers({ evidence, band_hz: band, silent, refusal }) {
    const entries = Object.entries(evidence).filter(([, value]) => value !== null).sort((a, b) => b[1] - a[1]);
    const place = this.part(".drivers");
    if (!entries.length) {
      const why = silent ? "no samples arrive" : !this.calibrated ? "this channel has no calibration" : refusal ? words(refusal) : "no interval has been scored yet";
      setText(place, `No score: ${why}.`);
      return;
    }
    const top = Math.max(2, entries[0][1]);
    place.replaceChildren(...entries.map(([name, value]) => {
      const line = make("div", "", { class: value >= 1 ? "driver over" : "driver" });
      const track = make("span", "", { class: "track", "aria-hidden": "true" });
      const bar = make("i");
      bar.style.width = `${(100 * Math.max(0, value)) / top}%`;
      const limit = make("u");
      limit.style.left = `${100 / top}%`;
      track.append(bar, limit);
      line.append(make("span", this.evidenceWords[name], { class: "what" }), track, make("span", score(value), { class: "number" }));
      return line;
    }));
    if (band) place.append(make("p", `Band that stands out most: ${Math.round(band[0])} to ${Math.round(band[1])} Hz.`, { class: "band" }));
  }

  makePast(name) {
    this.past = new HistoryPanel(this.part(".past"), name);
    this.past.onAlarms = () => this.listFiles();
    if (this.charts) this.past.show(this.charts);
  }

  async askHealthy() {
    this.healthyMs = Date.now();
    const found = await ask("history/healthy", { channel: this.channelName });
    if (this.closed || !found) return;
    this.healthy = found.stretches ? { step_hz: found.step_hz, values: Array.from(unpack(found.spectrum)) } : null;
    const key = this.part(".keys .healthy");
    key.hidden = !found.stretches;
    key.title = found.stretches ? `Mean of ${found.stretches} stretches, ${new Date(found.first_s * 1000).toLocaleString()} to ${new Date(found.last_s * 1000).toLocaleString()}` : "";
    if (this.charts) this.charts.healthy = this.healthy;
  }

  async listFiles() {
    const files = (await ask("evidence", { channel: this.channelName }))?.files;
    if (this.closed || !files) return;
    const lines = alarmLines(this.past?.alarms ?? [], files);
    this.part(".files").replaceChildren(...(lines.length ? lines : [make("li", "None yet. Every alarm is kept here, with its samples, forecasts and figures.")]));
  }

  // Everything that a person should know: no sentence hides another.
  explain() {
    const missing = this.noCharts ? ["Charts need the Python package plotly on the monitor's host; it belongs to the installation and is not there."] : [];
    this.note([...(this.latest ? remarks(this.latest) : []), ...missing].join(" "));
  }

  note(text) {
    const line = this.part(".note");
    setText(line, text);
    line.hidden = !text;
  }

  gone() {
    this.note("This channel is no longer configured.");
  }

  pause(paused) {
    this.paused = paused;
    const button = this.part(".pause");
    button.setAttribute("aria-pressed", paused);
    setText(button, paused ? "Resume" : "Pause");
    if (!paused && this.latest) this.draw(this.latest);
  }
}

function remarks({ silent, refusal, picture, learning, without_conditions: missing }) {
  const found = [];
  if (silent) found.push("No samples arrive. The charts show the last ones.");
  else if (refusal === "unknown_condition") found.push("Not scored: the machine runs outside the conditions that its calibration was learned under.");
  else if (refusal) found.push(`Not scored: ${words(refusal)}.`);
  if (!picture) found.push("Waiting for enough uninterrupted samples to forecast from.");
  else if (picture.no_forecast) found.push("No forecast: the model gives none of this signal, or one far louder than it. Such blocks are not scored.");
  if (learning?.phase === "sampling") found.push("Waits for the plant's own model: the first hour of running is sampled. Learning begins after that.");
  if (learning?.phase === "training") found.push("Waits for the plant's own model, which is trained. Learning begins after that.");
  if (learning?.unsteady) found.push("Keeps moving away while it learns: a fault that grows, or running-in. It is not locked.");
  if (missing.length && !silent) found.push(`Scored without ${missing.map(words).join(", ")}: no present value.`);
  return found;
}
