// What a person must not overlook: that nothing is seen. It stands above everything and says why, in words, and that what
// is below is the last state.

import { setText, span, words } from "./format.js";

export class Banner {
  constructor(element) {
    this.element = element;
    this.trouble = "";
    this.blind = false;
  }

  // The stream of this page is lost; an empty reason: it is there again.
  showTrouble(reason) {
    this.trouble = reason;
    this.show();
  }

  showService(service) {
    this.service = service;
    this.heardAt = new Date();
    this.show();
  }

  show() {
    const [head, text, blind] = said(this.trouble, this.service, this.heardAt);
    this.blind = blind;
    this.element.hidden = !head;
    this.element.classList.toggle("blind", blind);
    setText(this.element.querySelector("b"), head);
    setText(this.element.querySelector("span"), text);
  }
}

function said(trouble, service, heardAt) {
  const since = heardAt ? ` Below is the last state, of ${heardAt.toLocaleTimeString()}.` : "";
  if (trouble) return ["Not live", `${sentence(trouble)} Retrying …${since}`, true];
  if (!service) return ["", "", false];
  const last = service.last_sample_age_s === null ? "" : ` The last samples came ${span(service.last_sample_age_s)} ago; below is the last state.`;
  const problem = sentence(service.unready.join("; "));
  if (!service.connected) return ["Blind: no connection to the broker", `${problem} The monitor keeps trying.${last}`, true];
  if (service.channels && service.channels_silent === service.channels) {
    const who = service.channels === 1 ? "The only channel is" : `All ${service.channels} channels are`;
    return ["Blind: no samples arrive", `${who} silent, while the broker is connected.${last} ${rejections(service)}`, true];
  }
  return problem ? ["Not all is seen", problem, false] : ["", "", false];
}

// What comes and cannot be used is the usual reason why nothing is seen; empty: all that came was used.
export function rejections({ rejected }) {
  const reasons = Object.entries(rejected).map(([reason, count]) => `${count} ${words(reason)}`);
  return reasons.length ? `Messages rejected since the start: ${reasons.join(", ")}. The log says of which topics, and why.` : "";
}

function sentence(text) {
  return text && `${text[0].toUpperCase()}${text.slice(1)}${/[.?!]$/.test(text) ? "" : "."}`;
}
