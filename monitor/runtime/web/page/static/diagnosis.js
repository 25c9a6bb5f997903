// A channel's diagnosis: what its fault is named as, and the spectra with cursors at a rate and its multiples.

import { loadLibrary, unpack } from "./charts.js";
import { make, number, setText } from "./format.js";

const BUSY_MS = 2_000;
const IDLE_MS = 10_000;
const MULTIPLES = 8;
const DOING = { waiting: "waiting for its turn", listening: "listening", diagnosing: "diagnosing" };

export class DiagnosisPanel {
  constructor(place, labels) {
    this.place = place;
    this.address = `api/v1/diagnosis?${labels}`;
    this.build();
    loadLibrary().then((plotly) => {
      this.plotly = plotly;
      if (this.found && !this.closed) this.draw();
    });
    this.refresh();
  }

  build() {
    const title = make("h2", "Diagnosis ");
    title.append(make("small", "which part it is; it changes no score"));
    this.names = make("ul", "", { class: "named" });
    this.about = make("p", "", { class: "about" });
    this.look = make("button", "Look now", { type: "button", class: "look" });
    this.look.addEventListener("click", () => this.ask());
    this.rate = make("select", "", { "aria-label": "Cursors at" });
    this.rate.addEventListener("change", () => this.move(Number(this.rate.value)));
    this.hertz = make("input", "", { type: "number", min: "0", step: "any", "aria-label": "Rate of the cursors" });
    this.hertz.addEventListener("change", () => this.move(Number(this.hertz.value) * this.scale()));
    this.unit = make("button", "Hz", { type: "button", class: "unit", "aria-pressed": "false", title: "Hz, or orders of the shaft" });
    this.unit.addEventListener("click", () => {
      this.orders = !this.orders;
      this.unit.setAttribute("aria-pressed", this.orders);
      this.draw();
    });
    const cursors = make("p", "Cursors at ", { class: "cursors" });
    cursors.append(this.rate, " ", this.hertz, " ", this.unit, " ", this.look);
    this.charts = ["envelope", "spectrum"].map((name) => {
      const chart = make("div", "", { class: `chart ${name}-lines`, role: "img" });
      return { name, chart, title: make("h3", "") };
    });
    this.place.replaceChildren(title, this.names, this.about, cursors, ...this.charts.flatMap(({ title, chart }) => [title, chart]));
  }

  close() {
    this.closed = true;
    clearTimeout(this.later);
    if (this.plotly) for (const { chart } of this.charts) this.plotly.purge(chart);
  }

  ask() {
    this.refresh("POST");
  }

  async refresh(method = "GET") {
    clearTimeout(this.later);
    try {
      const answer = await fetch(this.address, { method });
      if (this.closed) return;
      if (answer.ok) this.show(await answer.json());
      else setText(this.about, await answer.text());
    } catch { /* the stream reports the error */ }
    if (!this.closed) this.later = setTimeout(() => this.refresh(), this.found?.doing in DOING ? BUSY_MS : IDLE_MS);
  }

  show(found) {
    const news = found.looks !== this.found?.looks;
    this.found = found;
    this.look.disabled = found.doing in DOING;
    this.names.replaceChildren(...found.faults.map((one) => make("li", told(one, found.looks))));
    setText(this.about, [...sentences(found)].join(" "));
    this.unit.hidden = found.shaft_hz === null;
    if (!news) return;
    this.choices();
    this.draw();
  }

  // The rates that the cursors can be put at: what is named, what stands out, and all that the facts give.
  choices() {
    const { faults, repetition_rates_hz: rates, orders, shaft_hz: shaft, line_frequency_hz: line } = this.found;
    const found = [
      ...faults.map((one) => [`${one.fault}, ${one.part}`, one.frequency_hz]),
      ...rates.map((rate) => ["repetition rate", rate]),
      ...(shaft === null ? [] : Object.entries(orders).map(([name, order]) => [name, order * shaft])),
      ...(line === null ? [] : [["supply", line]]),
    ];
    this.rate.replaceChildren(...found.map(([name, hertz]) => make("option", `${name}: ${number(hertz, 4)} Hz`, { value: hertz })));
    if (this.base === undefined && found.length) [[, this.base]] = found;
  }

  // Hz of one unit of the axes.
  scale() {
    return this.orders ? this.found.shaft_hz : 1;
  }

  move(hertz) {
    if (!(hertz > 0)) return;
    this.base = hertz;
    this.draw();
  }

  draw() {
    if (!this.found) return;
    const scale = this.scale();
    setText(this.unit, this.orders ? "orders" : "Hz");
    if (this.base !== undefined) this.hertz.value = Number((this.base / scale).toPrecision(6));
    const band = this.found.envelope_band_hz;
    const titles = {
      envelope: band ? `Envelope of ${Math.round(band[0])} to ${Math.round(band[1])} Hz: depth of modulation` : "Envelope",
      spectrum: "Spectrum: amplitude, m/s²",
    };
    for (const { name, chart, title } of this.charts) {
      setText(title, titles[name]);
      chart.setAttribute("aria-label", `${titles[name]}, with cursors at ${number(this.base ?? null, 4)} Hz and its multiples`);
      chart.hidden = title.hidden = !this.found[name];
      if (this.plotly && this.found[name]) this.drawOne(name, chart, this.found[name], scale);
    }
  }

  drawOne(name, chart, { step_hz: step, values }, scale) {
    const y = unpack(values);
    const x = Array.from(y, (_, i) => (i * step) / scale);
    const suffix = this.orders ? " ×" : " Hz";
    const axis = { gridcolor: colour("--grid"), linecolor: colour("--line"), zeroline: false, tickangle: 0 };
    const top = (name === "spectrum" ? 12 * (this.base ?? 50) : x[x.length - 1] * scale) / scale;
    this.plotly.react(chart, [{ x, y, type: "scatter", mode: "lines", line: { color: colour(name === "envelope" ? "--residual" : "--measured"), width: 1.1 }, hovertemplate: `%{x:.4~g}${suffix}: %{y:.3~g}<extra></extra>` }], {
      margin: { l: 48, r: 12, t: 8, b: 28 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 11.5, color: colour("--muted") },
      showlegend: false, hovermode: "closest", dragmode: "zoom", uirevision: `${name} ${this.orders}`,
      xaxis: { ...axis, range: [0, Math.min(top, x[x.length - 1])], ticksuffix: suffix }, yaxis: { ...axis, rangemode: "tozero" },
      shapes: this.base === undefined ? [] : Array.from({ length: MULTIPLES }, (_, i) => cursor(((i + 1) * this.base) / scale, i)),
    }, { displaylogo: false, responsive: true, displayModeBar: "hover", modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]], edits: { shapePosition: true } });
    if (chart.listens) return;
    chart.listens = true;
    // A cursor that is moved takes the others along: the k-th is at k times the rate.
    chart.on("plotly_relayout", (change) => {
      const key = Object.keys(change).find((name) => /^shapes\[\d+\]\.x0$/.test(name));
      if (key) this.move((change[key] * this.scale()) / (Number(key.match(/\d+/)[0]) + 1));
    });
  }
}

function cursor(at, i) {
  return { type: "line", xref: "x", yref: "paper", x0: at, x1: at, y0: 0, y1: 1, line: { color: colour("--accent"), width: i ? 1 : 2, dash: i ? "dot" : "dash" } };
}

function told(one, looks) {
  const often = looks > 1 ? `, in ${one.named_looks} of ${looks} looks` : "";
  return `${one.fault}, ${one.part}: ${number(one.frequency_hz, 4)} Hz = ${number(one.order)} × shaft, ${one.harmonics} harmonics, p ${one.p_value.toExponential(0)}${often}`;
}

function* sentences({ looks, doing, faults, reason, repetition_rates_hz: rates, at_s: at, compared_with_healthy: compared }) {
  if (doing in DOING) yield `Now ${DOING[doing]}.`;
  if (!looks && !reason) {
    yield doing in DOING ? "" : "It has not been looked at.";
    return;
  }
  if (!faults.length) yield "Not named.";
  if (reason) yield `${reason[0].toUpperCase()}${reason.slice(1)}.`;
  if (rates.length) yield `Repetition rates: ${rates.map((rate) => `${number(rate, 4)} Hz`).join(", ")}.`;
  if (at !== null) yield `Last look ${new Date(at * 1000).toLocaleString()}${compared ? ", compared with the healthy machine" : ""}.`;
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
