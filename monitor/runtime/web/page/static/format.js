// Formats numbers, states and elements. Strings enter the document as text only, never as markup.

export const STATES = {
  alarm: { text: "alarm", sign: "▲" },
  warning: { text: "warning", sign: "◆" },
  ok: { text: "ok", sign: "●" },
  refused: { text: "not scored", sign: "⊘" },
  learning: { text: "learning", sign: "◔" },
  provisional: { text: "provisional", sign: "◑" },
  none: { text: "not calibrated", sign: "○" },
  silent: { text: "silent", sign: "∅" },
  silent_alarm: { text: "silent in alarm", sign: "▲" },
  silent_warning: { text: "silent in warning", sign: "◆" },
};

export function stateOf(alarmState, silent, refusal, learned) {
  if (silent) return ["silent", "silent_warning", "silent_alarm"][alarmState ?? 0]; // a machine stays in alarm if its sensor dies
  if (refusal && !(alarmState > 0)) return "refused"; // an alarm stays an alarm while intervals are not scored
  if (learned !== null && !(alarmState > 0)) return alarmState === null ? "learning" : "provisional";
  return ["ok", "warning", "alarm"][alarmState] ?? "none";
}

export function setState(element, state) {
  if (element.dataset.state === state) return;
  element.dataset.state = state;
  element.replaceChildren(make("b", STATES[state].sign), " " + STATES[state].text);
  element.firstChild.setAttribute("aria-hidden", "true");
}

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

export function age(seconds) {
  if (seconds < 3) return "now";
  if (seconds < 120) return `${Math.floor(seconds)} s ago`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min ago`;
  return `${Math.floor(seconds / 3600)} h ago`;
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
