// The overview: all channels worst first, by machine or one by one.

import { Acknowledging } from "./acknowledge.js";
import { rejections } from "./banner.js";
import { announce, fromTemplate, make, setText } from "./format.js";
import { byMachine, COLUMNS, machineDepth, remember, sort } from "./order.js";
import { channelRow, machineRow, POINTS, updateChannel, updateMachine } from "./rows.js";
import { Shown } from "./shown.js";
import { inWords, shownAs, STATES, TROUBLE } from "./states.js";
import { Stream } from "./stream.js";

const ROWS = 100; // rows shown at first: more slow down the browser
const REORDER_MS = 2000; // shortest time between two sorts: rows that move every second are unreadable
const HOLD_MS = 8000; // the rows stay where they are for so long after somebody pointed at one or pressed a key
const UNFOLDED = 20; // up to so many channels machines are unfolded at first; with more, trouble would not fit on a screen
const ANNOUNCED = new Set([...TROUBLE, "silent"]);

const unfolded = new Map(); // what a person chose, by machine; outlives the view

export class FleetView {
  constructor(frame, query) {
    this.frame = frame;
    this.shown = new Shown(query);
    this.channels = [];
    this.machines = new Map(); // rows by machine
    this.lines = [];
    this.labelNames = [];
    this.limit = ROWS;
    this.reorderedAt = 0;
    this.touchedAt = -HOLD_MS;
    frame.main.append(fromTemplate("fleet-view"));
    frame.showTitle("vibration-monitor");
    this.part = (selector) => frame.main.querySelector(selector);
    this.table = this.part("table");
    this.body = this.part("tbody");
    this.more = this.part(".more");
    this.acknowledging = new Acknowledging(frame.main);
    this.acknowledging.ready.then(() => this.render(false));
    this.makeTools();
    this.makeHead();
    frame.showAddress(this.shown.address);
    this.stream = new Stream(
      "api/v1/stream",
      { fleet: (message) => this.takeAll(message), rows: (message) => this.takeRows(message) },
      (reason) => this.showTrouble(reason),
    );
  }

  close() {
    this.stream.close();
    clearInterval(this.ageing);
  }

  // While nothing comes, the last state stays and grows old.
  showTrouble(reason) {
    this.frame.showTrouble(reason);
    clearInterval(this.ageing);
    if (reason) this.ageing = setInterval(() => this.render(false), 1000);
  }

  makeTools() {
    this.more.addEventListener("click", () => {
      this.limit += 4 * ROWS;
      this.render(true);
    });
    this.filter = this.part(".filter input");
    this.filter.value = this.shown.text;
    this.filter.addEventListener("input", () => this.change(() => (this.shown.text = this.filter.value)));
    const group = this.part(".group");
    group.addEventListener("click", () => this.change(() => (this.shown.grouped = !this.shown.grouped)));
    this.chips = {};
    for (const [state, { text, sign }] of Object.entries(STATES)) {
      const chip = make("button", "", { type: "button", class: "chip", "data-state": state });
      chip.append(make("b", sign, { "aria-hidden": "true" }), " ", make("span", "0"), ` ${text}`);
      chip.addEventListener("click", () => this.change(() => this.shown.states.delete(state) || this.shown.states.add(state)));
      this.chips[state] = chip;
      this.part(".chips").append(chip);
    }
    for (const kind of ["pointermove", "keydown", "focusin"]) {
      this.body.addEventListener(kind, () => (this.touchedAt = performance.now()));
    }
    this.showTools();
  }

  makeHead() {
    const choice = this.part(".sort select");
    for (const head of this.table.querySelectorAll("th[data-column]")) {
      const column = head.dataset.column;
      const title = head.querySelector("button").textContent;
      choice.append(make("option", title, { value: column }));
      head.querySelector("button").addEventListener("click", () => this.sortBy(column));
    }
    choice.addEventListener("change", () => this.sortBy(choice.value));
    this.part(".sort button").addEventListener("click", () => this.sortBy(this.shown.column));
    this.showTools();
  }

  sortBy(column) {
    const { order } = COLUMNS[column];
    const again = this.column === column && this.order === order;
    this.change(() => Object.assign(this.shown, { column, order: again ? (order === "ascending" ? "descending" : "ascending") : null }));
  }

  get column() {
    return this.shown.column in COLUMNS ? this.shown.column : "state";
  }

  get order() {
    return this.shown.order ?? COLUMNS[this.column].order;
  }

  change(how) {
    how();
    this.limit = ROWS;
    this.frame.showAddress(this.shown.address);
    this.showTools();
    this.render(true);
  }

  // The controls as the address says.
  showTools() {
    const { shown } = this;
    for (const [state, chip] of Object.entries(this.chips)) chip.setAttribute("aria-pressed", shown.states.has(state));
    this.part(".group").setAttribute("aria-pressed", shown.grouped);
    for (const head of this.table.querySelectorAll("th[data-column]")) {
      if (head.dataset.column === this.column) head.setAttribute("aria-sort", this.order);
      else head.removeAttribute("aria-sort");
    }
    this.part(".sort select").value = this.column;
    setText(this.part(".sort button"), this.order === "ascending" ? "↑" : "↓");
    this.part(".asked").replaceChildren(...[...shown.labels].flatMap(([name, values]) => values.map((value) => {
      const chip = make("button", `${name}: ${value} ✕`, { type: "button", class: "chip", "aria-pressed": true, title: "Show the others too" });
      chip.addEventListener("click", () => this.change(() => {
        const left = values.filter((other) => other !== value);
        if (left.length) shown.labels.set(name, left);
        else shown.labels.delete(name);
      }));
      return chip;
    })));
  }

  takeAll(message) {
    this.labelNames = message.label_names;
    this.step = message.sparkline_step;
    const before = new Map(this.channels.map((channel) => [channel.key, channel]));
    this.channels = message.names.map((labels, place) => {
      const key = JSON.stringify(labels);
      const channel = before.get(key) ?? { key, labels, search: labels.join(" ").toLowerCase(), ...named(message, place) };
      channel.points = message.sparklines[place] ?? [];
      channel.bucket = Math.floor((message.sample - 1) / this.step);
      return channel;
    });
    const order = message.label_orders[0] ?? [];
    setText(this.part(".c-name small"), order.map((at) => this.labelNames[at]).join(" / "));
    this.take(message);
    this.render(true);
  }

  takeRows(message) {
    this.take(message);
    const now = performance.now();
    this.render(now - this.reorderedAt > REORDER_MS && now - this.touchedAt > HOLD_MS);
  }

  take(message) {
    this.takenAt = performance.now();
    this.service = message.service;
    this.frame.showService(message.service);
    message.places.forEach((place, i) => {
      const channel = this.channels[place];
      if (!channel) return;
      const [value, alarmState, ratio, rms, coverage, age_s, state, reason, learned, seen] = message.rows[i];
      const [shown, text] = [shownAs(state, alarmState), inWords(state, alarmState, reason)];
      if (channel.shown && channel.text !== text && ANNOUNCED.has(shown)) announce(`${channel.name}: ${text}`);
      Object.assign(channel, { score: value, alarmState, ratio, rms, coverage, age_s, state, reason, shown, text, learned, seen });
    });
    const bucket = Math.floor((message.sample - 1) / this.step);
    for (const channel of this.channels) {
      extend(channel, bucket, channel.state === "silent" ? null : channel.score ?? channel.ratio ?? null);
      remember(channel);
    }
  }

  // What is shown: a line is a channel, or a machine with its channels; a machine of one channel is that channel.
  reorder() {
    this.reorderedAt = performance.now();
    const channels = sort(this.channels.filter(this.shown.matcher(this.labelNames)), this.column, this.order);
    this.matching = channels.length;
    this.lines = [];
    if (!this.shown.grouped) {
      this.lines = channels.map((channel) => ({ channel }));
      return;
    }
    for (const [machine, its] of byMachine(channels)) {
      if (its.length === 1) {
        this.lines.push({ channel: its[0] });
        continue;
      }
      const open = unfolded.get(machine) ?? channels.length <= UNFOLDED;
      this.lines.push({ machine, channels: its, open });
      if (open) this.lines.push(...its.map((channel) => ({ channel, inside: true })));
    }
  }

  toggle(machine) {
    const line = this.lines.find((other) => other.machine === machine);
    unfolded.set(machine, !line?.open);
    this.render(true);
  }

  // All alarms of these channels that nobody has seen.
  acknowledge(channels, title) {
    const unseen = channels.filter(({ alarmState, seen }) => alarmState > 0 && !seen);
    this.acknowledging.open(unseen.map(({ labels }) => labels.filter(Boolean).join("/")), title);
  }

  render(reorder) {
    if (!this.takenAt) return;
    if (reorder) this.reorder();
    const lines = this.lines.slice(0, this.limit);
    if (reorder) this.arrange(lines);
    const later = this.frame.isLive() ? 0 : (performance.now() - this.takenAt) / 1000;
    const { allowed } = this.acknowledging;
    for (const { channel, machine, channels, open, inside } of lines) {
      if (channel) updateChannel(channel.parts, channel, Boolean(inside), later, allowed);
      else updateMachine(this.machines.get(machine), channels, channels[0], open, later, allowed);
    }
    this.renderCounts();
    this.table.hidden = !this.channels.length;
    const below = this.part(".below");
    setText(below, this.remark());
    below.hidden = !below.textContent;
    this.more.hidden = lines.length >= this.lines.length;
    setText(this.more, `Show more (${this.lines.length - lines.length} rows not shown)`);
  }

  renderCounts() {
    const counts = {};
    for (const { shown } of this.channels) counts[shown] = (counts[shown] ?? 0) + 1;
    for (const [state, chip] of Object.entries(this.chips)) {
      setText(chip.querySelector("span"), String(counts[state] ?? 0));
      chip.hidden = !counts[state] && !this.shown.states.has(state) && state !== "alarm";
    }
    this.frame.showTitle(counts.alarm ? `(${counts.alarm}) vibration-monitor` : "vibration-monitor");
  }

  remark() {
    if (!this.channels.length) return `No channels yet. A channel appears with its first message. ${rejections(this.service)}`;
    const unknown = this.shown.unknown(this.labelNames);
    if (unknown.length) return `The address asks for ${unknown.join(", ")}, but the labels are ${this.labelNames.join(", ")}.`;
    return this.matching ? "" : "No channel matches the filter.";
  }

  arrange(lines) {
    const focused = document.activeElement;
    let next = this.body.firstElementChild;
    for (const line of lines) {
      const { row } = this.partsOf(line);
      if (row === next) next = next.nextElementSibling;
      else this.body.insertBefore(row, next);
    }
    while (next) {
      const gone = next;
      next = next.nextElementSibling;
      gone.remove();
    }
    // A row that moves loses the focus.
    if (focused !== document.activeElement && this.body.contains(focused)) focused.focus({ preventScroll: true });
  }

  partsOf({ channel, machine }) {
    if (channel) return (channel.parts ??= channelRow(channel, this.labelNames, () => this.acknowledge([channel], channel.name)));
    if (!this.machines.has(machine)) {
      const acknowledge = () => this.acknowledge(this.channels.filter((channel) => channel.machine === machine), machine);
      this.machines.set(machine, machineRow(machine, () => this.toggle(machine), acknowledge));
    }
    return this.machines.get(machine);
  }
}

// A channel's names, with the labels in the order of its topic.
function named({ names, label_orders: orders, label_order_of: orderOf, label_names: labelNames }, place) {
  const order = orders[orderOf?.[place] ?? 0];
  const depth = machineDepth(order.map((at) => labelNames[at]));
  const [before, after] = [order.slice(0, depth), order.slice(depth)].map((part) => part.map((at) => names[place][at]).filter(Boolean));
  const name = [...before, ...after].join(" / ");
  return { name, machine: before.join(" / ") || name, rest: after.join(" / ") || name };
}

// Add a value to a line; each point is the largest value of a few seconds.
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
