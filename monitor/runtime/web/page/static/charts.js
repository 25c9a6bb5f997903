// The four charts of a channel, drawn with plotly.js in the colours of the style sheet.

const RANGE_DECAY = 0.97; // an axis range widens at once but narrows slowly: one that follows every picture is unreadable
const DECADES = 4; // shown of the spectrum, below its highest line

let library = null;

// Load plotly.js once; resolves to null if the server does not have it.
export function loadLibrary() {
  library ??= new Promise((resolve) => {
    const script = document.createElement("script");
    script.src = "static/plotly.min.js";
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => resolve(null);
    document.head.append(script);
  });
  return library;
}

export class Charts {
  constructor(plotly, main) {
    this.plotly = plotly;
    this.places = Object.fromEntries(["wave", "residual", "spectrum", "history", "courses"].map((name) => [name, main.querySelector(`.${name}`)]));
    this.top = { wave: 0, spectrum: 0 };
    this.healthy = null; // { step_hz, values }: the mean spectrum of the healthy channel
    this.drawn = {};
    this.touch = !matchMedia("(any-hover: hover)").matches; // on a touch screen a drag on a chart scrolls the page
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.redraw = () => Object.values(this.drawn).forEach((draw) => draw());
    this.scheme.addEventListener("change", this.redraw);
    window.addEventListener("resize", this.redraw); // the number of ticks follows the width
  }

  close() {
    this.scheme.removeEventListener("change", this.redraw);
    window.removeEventListener("resize", this.redraw);
    for (const place of Object.values(this.places)) this.plotly.purge(place);
  }

  picture(picture, bandHz) {
    const measured = unpack(picture.measured);
    const forecast = unpack(picture.forecast);
    const residual = measured.map((value, i) => value - forecast[i]);
    const ms = Array.from(measured, (_, i) => ((i + 1 - measured.length) * 1000) / picture.rate_hz);
    this.top.wave = Math.max(largest(measured), largest(forecast), this.top.wave * RANGE_DECAY);
    const unsettled = picture.warmup_samples ? [band(ms[0], ms[Math.min(picture.warmup_samples, ms.length) - 1], "--muted")] : [];
    this.remember("wave", () => this.draw("wave", [
      this.line("measured", ms, measured, "--measured", 2.4),
      this.line("forecast", ms, forecast, "--forecast", 1.2),
    ], { ...this.time(ms), yaxis: this.sides(), shapes: unsettled.map((shape) => shape(this)) }));
    this.remember("residual", () => this.draw("residual", [
      this.line("residual", ms, residual, "--residual", 1.1),
    ], { ...this.time(ms), yaxis: this.sides(), shapes: unsettled.map((shape) => shape(this)) }));
    this.spectrum(picture, bandHz);
  }

  spectrum(picture, bandHz) {
    const { measured, forecast, residual } = Object.fromEntries(Object.entries(picture.spectrum).map(([name, packed]) => [name, unpack(packed)]));
    const hertz = Array.from(measured, (_, i) => i * picture.step_hz);
    const known = this.healthy?.values ?? [];
    this.top.spectrum = Math.max(...[measured, forecast, residual, known].map(largest), this.top.spectrum * RANGE_DECAY);
    const top = Math.log10(Math.max(this.top.spectrum, 1e-9));
    // What is measured lies on top: of noise the residual is as large, and would hide it.
    this.remember("spectrum", () => this.draw("spectrum", [
      ...(known.length ? [{ ...this.line("healthy", known.map((_, i) => i * this.healthy.step_hz), known, "--healthy", 1), fill: "tozeroy", fillcolor: this.colour("--healthy-soft") }] : []),
      this.line("residual", hertz, residual, "--residual", 1),
      this.line("forecast", hertz, forecast, "--forecast", 1),
      this.line("measured", hertz, measured, "--ink", 1.3),
    ],
      { xaxis: this.axis({ range: [0, hertz[hertz.length - 1]], tickformat: "~s", ticksuffix: "Hz", nticks: 6 }),
        yaxis: this.axis({ type: "log", range: [top - DECADES, top + 0.15], dtick: 1, exponentformat: "power" }),
        shapes: bandHz ? [band(bandHz[0], bandHz[1], "--alarm")(this)] : [] }));
  }

  // Draw the score over the last minutes; without a calibration the gap ratio.
  history(history) {
    const calibrated = history.score.some((value) => value !== null);
    const values = calibrated ? history.score : history.gap_ratio;
    const seconds = values.map((_, i) => i + 1 - values.length);
    const span = [60, 120, 300].find((seconds) => values.length <= seconds) ?? 300;
    const highest = Math.max(calibrated ? 1.5 : 1, ...values.map((value) => value ?? 0)) * 1.08;
    const shapes = calibrated ? [...bands(history.alarm_state, seconds).map((shape) => shape(this)), this.limit()] : [];
    this.remember("history", () => this.draw("history", [this.line(calibrated ? "score" : "gap ratio", seconds, values, "--accent", 1.6)],
      { xaxis: this.axis({ range: [-span, 0], ...ago(span) }),
        yaxis: this.axis({ range: [0, highest], nticks: 5 }), shapes }));
    return calibrated;
  }

  remember(name, draw) {
    this.drawn[name] = draw;
    draw();
  }

  draw(name, traces, layout) {
    const ink = this.colour("--muted");
    this.plotly.react(this.places[name], traces, {
      margin: { l: 48, r: 12, t: 8, b: 22 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 11.5, color: ink },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: this.colour("--muted"), activecolor: this.colour("--accent") },
      showlegend: false, hovermode: "x unified", hoverlabel: { bgcolor: this.colour("--panel"), font: { color: this.colour("--ink") }, bordercolor: this.colour("--line") },
      dragmode: this.touch ? false : "zoom", uirevision: name, ...layout,
    }, { displaylogo: false, responsive: true, displayModeBar: this.touch ? false : "hover", modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]] });
  }

  line(name, x, y, colour, width) {
    return { name, x, y, type: "scatter", mode: "lines", line: { color: this.colour(colour), width }, hovertemplate: "%{y:.3~g}" };
  }

  axis(options) {
    return { gridcolor: this.colour("--grid"), linecolor: this.colour("--line"), zeroline: false, tickangle: 0, ...options };
  }

  time(ms) {
    return { xaxis: this.axis({ range: [ms[0], 0], ticksuffix: " ms", nticks: this.places.wave.clientWidth < 500 ? 5 : 8 }) };
  }

  sides() {
    const top = (this.top.wave || 1) * 1.08;
    return this.axis({ range: [-top, top], nticks: 5, zeroline: true, zerolinecolor: this.colour("--line") });
  }

  limit() {
    return { type: "line", xref: "paper", x0: 0, x1: 1, y0: 1, y1: 1, line: { color: this.colour("--alarm"), width: 1.2, dash: "dash" },
      label: { text: "limit", textposition: "start", font: { size: 10.5, color: this.colour("--alarm") }, padding: 2 } };
  }

  colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }
}

// Ticks at round times before now.
function ago(span) {
  const step = span > 120 ? 60 : span / 4;
  const tickvals = Array.from({ length: Math.round(span / step) + 1 }, (_, i) => i * step - span);
  const text = (seconds) => (seconds === 0 ? "now" : span > 120 ? `−${-seconds / 60} min` : `−${-seconds} s`);
  return { tickvals, ticktext: tickvals.map(text) };
}

// A shaded range; a function, because its colour depends on the colour scheme when it is drawn.
function band(from, to, colour) {
  return (charts) => ({ type: "rect", xref: "x", yref: "paper", x0: from, x1: to, y0: 0, y1: 1, line: { width: 0 }, layer: "below", opacity: 0.14, fillcolor: charts.colour(colour) });
}

function bands(states, seconds) {
  const found = [];
  for (let i = 0; i < states.length; ) {
    let end = i;
    while (end + 1 < states.length && states[end + 1] === states[i]) end += 1;
    if (states[i] > 0) found.push(band(seconds[i] - 0.5, seconds[end] + 0.5, states[i] > 1 ? "--alarm" : "--warning"));
    i = end + 1;
  }
  return found;
}

function largest(values) {
  let found = 0;
  for (const value of values) found = Math.max(found, Math.abs(value));
  return found;
}

// Base64 of little-endian float32.
export function unpack(text) {
  return new Float32Array(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
}
