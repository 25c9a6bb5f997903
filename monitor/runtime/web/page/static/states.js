// What a channel is shown as, in the words of the API, the metrics and the log; and which state is worse than which.

import { make, words } from "./format.js";

// The states of alarms, and what a channel does.
export const STATES = {
  alarm: { text: "alarm", sign: "▲" },
  warning: { text: "warning", sign: "◆" },
  unknown_condition: { text: "unknown condition", sign: "◌" },
  unusable: { text: "unusable", sign: "⊘" },
  silent: { text: "silent", sign: "∅" },
  provisional: { text: "provisional", sign: "◑" },
  learning: { text: "learning", sign: "◔" },
  watched: { text: "watched", sign: "●" },
  stopped: { text: "stopped", sign: "◻" },
};

export const TROUBLE = new Set(["alarm", "warning"]);

// An alarm is more important than anything else, also when its sensor has died since.
export function shownAs(state, alarmState) {
  return [state, "warning", "alarm"][alarmState ?? 0];
}

// The same in words, with the state of a channel that is in alarm and no longer watched, and why one is unusable.
export function inWords(state, alarmState, reason) {
  const word = reason && state === "unusable" ? `${STATES[state].text}: ${words(reason)}` : STATES[state].text;
  if (!(alarmState > 0)) return word;
  return state === "watched" ? STATES[shownAs(state, alarmState)].text : `${STATES[shownAs(state, alarmState)].text}, ${word}`;
}

// The place of a channel in the order of importance, 0 the worst. A dead sensor on a machine in alarm comes before a
// warning; where nothing is calibrated, that is less urgent than a sensor that died. What somebody has seen comes after what nobody has.
export function rank({ state, alarmState, shown, reason, seen }) {
  const place = Object.keys(STATES).indexOf(shown);
  if (alarmState > 0) return place + (state === "silent" ? 0.5 : 0) + (seen ? 0.25 : 0);
  return reason === "no_calibration" ? Object.keys(STATES).indexOf("silent") + 0.5 : place;
}

export function setState(element, shown, text) {
  if (element.dataset.state === shown && element.dataset.text === text) return;
  Object.assign(element.dataset, { state: shown, text });
  element.replaceChildren(make("b", STATES[shown].sign), ` ${text}`);
  element.firstChild.setAttribute("aria-hidden", "true");
}
