// A channel's baseline: what it was learned from, who changed it, and the buttons by which a person changes it.

import { announce, fromTemplate, make, percent, setText, words } from "./format.js";
import { duration, learningFacts, novelty } from "./learning.js";

const PERIOD_MS = 60_000;

const ACTIONS = {
  accept: { title: "Accept", asks: "Confirm that what was learned is healthy. Learning of this channel ends." },
  revert: { title: "Revert", asks: "Go back to the baseline before this one." },
  extend: { title: "Extend", asks: "Learn newly met operating conditions beside those that are known." },
  learn: { title: "Learn anew", asks: "Learn what is healthy from now on, for example after an overhaul." },
};

export class BaselinePanel {
  constructor(place, name, newFrom) {
    this.place = place;
    this.name = name;
    this.newFrom = newFrom; // how new a stretch of the learning time is that is like nothing before
    this.part = (selector) => place.querySelector(selector);
    place.replaceChildren(fromTemplate("baseline"));
    this.dialog = this.part("dialog");
    this.part(".cancel").addEventListener("click", () => this.dialog.close());
    this.part(".confirm").addEventListener("click", () => this.change());
    this.refresh();
  }

  close() {
    this.closed = true;
    clearTimeout(this.later);
  }

  async refresh() {
    clearTimeout(this.later);
    try {
      const pattern = this.name.replace(/[*?[]/g, "[$&]");
      const answer = await fetch(`api/v1/baselines?${new URLSearchParams({ channel: pattern, details: 1 })}`);
      if (answer.ok && !this.closed) this.show(await answer.json());
    } catch { /* the stream reports the error */ }
    if (!this.closed) this.later = setTimeout(() => this.refresh(), PERIOD_MS);
  }

  show(found) {
    const [channel] = found.channels;
    this.token = found.token;
    this.part(".baseline-facts").replaceChildren(...pairs(facts(channel)));
    this.steadiness = channel.baseline?.steadiness;
    this.showLearning(this.learning ?? null);
    this.profiles = channel.profiles;
    this.part(".profiles").replaceChildren(...picture(this.profiles));
    this.showPresent(this.profiles?.weights);
    this.part(".changes").replaceChildren(...[...(channel.changes ?? [])].reverse().map((change) => {
      const line = make("li");
      const which = change.baseline === null ? "" : `, baseline ${change.baseline}`;
      line.append(make("time", time(change.at_s)), ` ${change.what} by ${change.by}${which}: ${change.reason}`);
      return line;
    }));
    const number = channel.baseline?.number;
    const possible = {
      accept: number !== undefined,
      revert: channel.kept.some((other) => other < number),
      extend: found.learning && number !== undefined,
      learn: found.learning,
    };
    const mine = found.may_change && channel.state !== "configured";
    this.part(".actions").replaceChildren(...Object.entries(ACTIONS).filter(([action]) => mine && possible[action]).map(([action, { title }]) => {
      const button = make("button", title, { type: "button", "data-action": action });
      button.addEventListener("click", () => this.ask(action));
      return button;
    }));
  }

  update({ condition_weights: weights, learning }) {
    this.showPresent(weights);
    if (JSON.stringify(learning) !== JSON.stringify(this.learning)) this.showLearning(learning);
  }

  showLearning(learning) {
    this.learning = learning;
    this.part(".learning-facts").hidden = !learning;
    this.part(".learning-facts").replaceChildren(...pairs(learningFacts(learning)));
    this.part(".moving").replaceChildren(...novelty(learning?.curve.length ? learning.curve : this.steadiness, this.newFrom));
  }

  // Where the machine is among its conditions: the weights that explain the last interval, and what they add up to.
  showPresent(weights) {
    const present = this.place.querySelector(".present");
    if (!present) return;
    const { level_db: levels } = this.profiles;
    const known = weights?.length === levels.length;
    present.hidden = !known;
    for (const row of this.place.querySelectorAll(".profile:not(.present)")) {
      const share = known ? weights[row.dataset.condition] : undefined;
      row.classList.toggle("away", !(share >= 0.005));
      row.querySelector("u i").style.width = `${100 * (share ?? 0)}%`;
      setText(row.querySelector("b"), percent(share));
    }
    const told = known ? weights.map((share, i) => `${percent(share)} ${title(this.profiles, i)}`).join(", ") : "not known now";
    this.part(".profiles").setAttribute("aria-label", `Learned conditions by frequency band. The machine is at: ${told}`);
    if (known) shade(present, levels[0].map((_, band) => weights.reduce((sum, share, i) => sum + share * levels[i][band], 0)), this.profiles);
  }

  ask(action) {
    this.action = action;
    setText(this.part("dialog h3"), `${ACTIONS[action].title}: ${this.name}`);
    setText(this.part("dialog p"), ACTIONS[action].asks);
    setText(this.part(".refused"), "");
    this.part("[name=reason]").value = "";
    this.dialog.showModal();
  }

  async change() {
    const [reason, by] = ["reason", "by"].map((name) => this.part(`[name=${name}]`));
    if (![reason, by].every((field) => field.reportValidity())) return;
    const confirm = this.part(".confirm");
    confirm.disabled = true;
    try {
      const answer = await fetch(`api/v1/baselines/${this.action}`, {
        method: "POST",
        headers: { "Content-Type": "application/json", ...(this.token ? { "X-Vibration-Token": this.token } : {}) },
        body: JSON.stringify({ channels: [this.name.replace(/[*?[]/g, "[$&]")], by: by.value, reason: reason.value }),
      });
      const text = await answer.text();
      const problem = answer.ok || answer.status === 409 ? Object.values(JSON.parse(text).refused).join(" ") : text;
      setText(this.part(".refused"), problem);
      if (problem) return;
      this.dialog.close();
      announce(`${this.name}: ${ACTIONS[this.action].title}`);
    } catch {
      setText(this.part(".refused"), "The monitor does not answer.");
    } finally {
      confirm.disabled = false;
      if (!this.closed) this.refresh();
    }
  }
}

function pairs(found) {
  return found.flatMap(([title, text]) => [make("dt", title), make("dd", text)]);
}

function facts(channel) {
  if (channel.state === "configured") return [["State", `accepted: the configuration names ${channel.configured}`]];
  const baseline = channel.baseline;
  const asked = channel.request ? [["Asked for", `${channel.request.what}, by ${channel.request.by}: ${channel.request.reason}`]] : [];
  const problem = channel.problem ? [["Not used", channel.problem]] : [];
  if (!baseline) return [["State", "none yet"], ...problem, ...asked];
  const learned = baseline.from_s === null ? "from recordings" : `${time(baseline.from_s)} to ${time(baseline.to_s)}`;
  const ranges = Object.entries(baseline.conditions).map(([name, [low, high]]) => `${name} ${low} to ${high}`);
  const seen = Object.entries(baseline.sensitivity_db).map(([over, decibels]) => `${decibels.toFixed(1)} dB within ${over}`);
  return [
    ["State", `baseline ${baseline.number}, ${baseline.provisional ? "provisional" : "locked"}`],
    ["Learned", `${learned}, ${duration(baseline.healthy_s)} healthy`],
    ["Conditions", [baseline.prototypes > 1 ? `${baseline.prototypes} learned` : "one", ...ranges].join(", ")],
    ["Alarms on a rise of", seen.join(", ")],
    ...baseline.aside.map(([from, to]) => ["Seen once", `${time(from)} to ${time(to)}, not learned`]),
    ...problem,
    ...asked,
  ];
}

// A row for each learned condition, a cell for each band, darker where it holds more, and how much of it is present. The
// last row is what the conditions explain of the present.
function picture(profiles) {
  if (!profiles || profiles.level_db.length < 2) return [];
  const [measured] = Object.values(profiles.values);
  const order = [...profiles.level_db.keys()].sort((a, b) => (measured ? measured[a] - measured[b] : a - b));
  const rows = order.map((condition) => {
    const row = strip("profile", title(profiles, condition), profiles.level_db[condition], profiles);
    row.dataset.condition = condition;
    row.querySelector("u").append(make("i"));
    return row;
  });
  const present = strip("profile present", "present", profiles.level_db[0], profiles);
  return [make("small", `Learned conditions, 0 to ${profiles.edges_hz.at(-1)} Hz, and how much of each is present`), ...rows, present];
}

function title({ values }, condition) {
  const measured = Object.entries(values).map(([name, all]) => `${words(name)} ${Number(all[condition].toPrecision(3))}`);
  return measured.join(", ") || `condition ${condition + 1}`;
}

function strip(kind, text, levels, profiles) {
  const row = make("div", "", { class: kind });
  const cells = make("span", "", { class: "cells" });
  cells.append(...levels.map(() => make("i")));
  row.append(make("span", text), cells, make("u"), make("b"));
  shade(row, levels, profiles);
  return row;
}

function shade(row, levels, { level_db: all, edges_hz: edges }) {
  const [low, high] = [Math.min(...all.flat()), Math.max(...all.flat())];
  row.querySelectorAll(".cells i").forEach((cell, band) => {
    cell.title = `${edges[band]} to ${edges[band + 1]} Hz: ${levels[band].toFixed(1)} dB`;
    cell.style.opacity = 0.08 + (0.92 * (levels[band] - low)) / Math.max(high - low, 1e-9);
  });
}

function time(seconds) {
  return new Date(seconds * 1000).toLocaleString();
}
