// Formats numbers and elements. Strings enter the document as text only, never as markup.

export function make(tag, text = "", attributes = {}) {
  const element = document.createElement(tag);
  element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function fromTemplate(name) {
  return document.getElementById(name).content.cloneNode(true);
}

export function number(value, digits = 3) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e5 || size < 1e-3)) return value.toExponential(digits - 1);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
}

export function score(value) {
  if (value === null || value === undefined) return "–";
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

export function percent(value) {
  return value === null || value === undefined ? "–" : `${Math.round(value * 100)} %`;
}

// A time that has passed, as long as it matters: 5 s, 3 min, 2 h, 4 d.
export function span(seconds) {
  if (seconds < 120) return `${Math.floor(seconds)} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

export function age(seconds) {
  return seconds < 3 ? "now" : `${span(seconds)} ago`;
}

// The part of a bar that a score fills. Up to the limit it grows with the score, to the bar's SCORE_LIMIT; above it with
// the score's logarithm, so that 5 and 12 differ as plainly as 0.3 and 0.7, and 100 fills the bar.
export const SCORE_LIMIT = 0.3;

export function share(score) {
  if (score <= 1) return SCORE_LIMIT * Math.max(0, score);
  return Math.min(1, SCORE_LIMIT + ((1 - SCORE_LIMIT) * Math.log10(score)) / 2);
}

export function bytes(count) {
  if (count < 1000) return `${count} B`;
  return count < 1e6 ? `${Math.round(count / 1e3)} kB` : `${(count / 1e6).toFixed(1)} MB`;
}

// The address of a channel's view; alerts link to it too.
export function channelAddress(labelNames, labels) {
  const pairs = labelNames.map((name, i) => [name, labels[i]]).filter(([, value]) => value !== "");
  return "#/channel?" + new URLSearchParams(pairs).toString();
}

// A name with underscores as words.
export function words(name) {
  return name.replaceAll("_", " ");
}

export function announce(text) {
  document.getElementById("news").textContent = text;
}
