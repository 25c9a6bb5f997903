// Formats numbers, states and elements. Strings enter the document as text only, never as markup.

// The states of alarms, and what a channel does; the words are those of the API, the metrics and the log.
export const STATES = {
  alarm: { text: "alarm", sign: "▲" },
  warning: { text: "warning", sign: "◆" },
  watched: { text: "watched", sign: "●" },
  provisional: { text: "provisional", sign: "◑" },
  learning: { text: "learning", sign: "◔" },
  unknown_condition: { text: "unknown condition", sign: "◌" },
  stopped: { text: "stopped", sign: "◻" },
  silent: { text: "silent", sign: "∅" },
  unusable: { text: "unusable", sign: "⊘" },
};

// What a channel is shown as: an alarm is more important than anything else, also when its sensor has died since.
export function shownAs(state, alarmState) {
  return [state, "warning", "alarm"][alarmState ?? 0];
}

// The same in words, with the state of a channel that is in alarm and no longer watched, and why one is unusable.
export function inWords(state, alarmState, reason) {
  const word = reason && state === "unusable" ? `${STATES[state].text}: ${words(reason)}` : STATES[state].text;
  if (!(alarmState > 0)) return word;
  return state === "watched" ? STATES[shownAs(state, alarmState)].text : `${STATES[shownAs(state, alarmState)].text}, ${word}`;
}

export function setState(element, shown, text) {
  if (element.dataset.state === shown && element.dataset.text === text) return;
  Object.assign(element.dataset, { state: shown, text });
  element.replaceChildren(make("b", STATES[shown].sign), ` ${text}`);
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
