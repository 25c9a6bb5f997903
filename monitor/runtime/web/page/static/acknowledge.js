// Acknowledging alarms with a name and a comment: one dialog for the overview and the page of a channel.

import { announce, fromTemplate, setText } from "./format.js";

let name = ""; // of the person, kept while the page is open

export class Acknowledging {
  constructor(main) {
    main.append(fromTemplate("acknowledge"));
    this.dialog = main.querySelector("dialog.acknowledging");
    this.part = (selector) => this.dialog.querySelector(selector);
    this.part(".cancel").addEventListener("click", () => this.dialog.close());
    this.part("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    this.allowed = false; // until it is known
    this.ready = this.ask();
  }

  // Whether this browser may acknowledge, and the token that it needs for it.
  async ask() {
    try {
      const answer = await fetch("api/v1/alarms");
      if (answer.ok) ({ may_change: this.allowed, token: this.token } = await answer.json());
    } catch { /* the stream reports the error */ }
  }

  // `channels`: their names as the monitor has them; `title`: as a person reads them.
  open(channels, title) {
    this.channels = channels;
    setText(this.part("h3"), `Acknowledge: ${title}`);
    setText(this.part(".refused"), "");
    this.part("[name=by]").value = name;
    this.part("[name=reason]").value = "";
    this.dialog.showModal();
    this.part(name ? "[name=reason]" : "[name=by]").focus();
  }

  async send() {
    const [by, reason] = ["by", "reason"].map((field) => this.part(`[name=${field}]`).value);
    name = by;
    let problem = "The monitor does not answer.";
    try {
      await this.ask(); // a monitor that was started anew has another token
      const answer = await fetch("api/v1/alarms/acknowledge", {
        method: "POST",
        headers: { "Content-Type": "application/json", ...(this.token ? { "X-Vibration-Token": this.token } : {}) },
        body: JSON.stringify({ channels: this.channels.map((channel) => channel.replace(/[*?[]/g, "[$&]")), by, reason }),
      });
      const text = await answer.text();
      problem = answer.ok ? "" : answer.status === 409 ? Object.values(JSON.parse(text).refused).join(" ") : text;
    } catch { /* the problem stands already */ }
    setText(this.part(".refused"), problem);
    if (problem) return;
    this.dialog.close();
    announce("acknowledged");
  }
}

// `seen`: who, what, and UNIX seconds.
export function seenText([by, reason, at_s]) {
  return `acknowledged by ${by}, ${new Date(at_s * 1000).toLocaleString()}: ${reason}`;
}

// The line on a channel's page: who has seen its alarm, or the button to say so.
export class Acknowledged {
  constructor(place, main) {
    this.acknowledging = new Acknowledging(main);
    this.place = place;
    this.button = place.querySelector("button");
    this.button.addEventListener("click", () => this.acknowledging.open([this.channel], this.title));
  }

  update(channel, title, alarmState, seen) {
    Object.assign(this, { channel, title });
    this.place.hidden = !(alarmState > 0) || !(seen || this.acknowledging.allowed);
    this.button.hidden = !this.acknowledging.allowed;
    setText(this.button, seen ? "Change" : "Acknowledge");
    const text = seen ? seenText([seen.by, seen.reason, seen.at_s]) : "";
    setText(this.place.querySelector("span"), text && `✓ ${text}`);
  }
}
