// The page's frame: it selects the view, and shows the state of the service and errors.

import { ChannelView } from "./channel.js";
import { FleetView } from "./fleet.js";
import { setText } from "./format.js";

const main = document.getElementById("main");
let view = null;

function showTrouble(reason) {
  const line = document.getElementById("trouble");
  line.hidden = !reason;
  setText(line, reason ? `Not live: ${reason}. Retrying …` : "");
  document.body.classList.toggle("stale", Boolean(reason));
}

function showService(service) {
  const line = document.getElementById("service");
  const where = service.connected ? `connected to ${service.broker}` : service.unready.join("; ") || "no broker";
  const hidden = service.channels_not_shown ? `, ${service.channels_not_shown} not shown` : "";
  line.classList.toggle("bad", service.unready.length > 0);
  setText(line, `${where} · ${service.channels} channels${hidden} · ${service.version}`);
}

function route() {
  const [path, query] = location.hash.replace(/^#/, "").split("?", 2);
  view?.close();
  showTrouble("");
  main.replaceChildren();
  const frame = { main, showTrouble, showService };
  view = path === "/channel" ? new ChannelView(frame, new URLSearchParams(query)) : new FleetView(frame);
  window.scrollTo(0, 0);
}

document.querySelector("[data-skip]").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
window.addEventListener("hashchange", route);
route();
