// The page's frame: it selects the view, and shows the state of the service and errors.

import { Banner } from "./banner.js";
import { ChannelView } from "./channel.js";
import { FleetView } from "./fleet.js";
import { setText } from "./format.js";

const main = document.getElementById("main");
const banner = new Banner(document.getElementById("banner"));
let view = null;
let labels = null; // of the channel that is shown; null: the overview
let overview = "#/"; // address of the overview as it was last, to come back to

function showTrouble(reason) {
  banner.showTrouble(reason);
}

function showService(service) {
  banner.showService(service);
  const line = document.getElementById("service");
  const where = service.connected ? `connected to ${service.broker}` : "no broker";
  const hidden = service.channels_not_shown ? `, ${service.channels_not_shown} not shown` : "";
  line.classList.toggle("bad", service.unready.length > 0);
  showGrafana(service.grafana);
  setText(line, `${where} · ${service.channels} channels${hidden} · ${service.version}`);
}

// Grafana's dashboard of what is shown: of one channel, or of all.
function showGrafana(url) {
  const link = document.getElementById("grafana");
  link.hidden = !url;
  const variables = [...labels ?? []].map(([name, value]) => [`var-${name}`, value]);
  if (url) link.href = labels ? `${url}/d/vibration-machine?${new URLSearchParams(variables)}` : `${url}/d/vibration-fleet`;
}

function route() {
  const [path, query] = location.hash.replace(/^#/, "").split("?", 2);
  const asked = new URLSearchParams(query);
  view?.close();
  labels = path === "/channel" ? asked : null;
  showTrouble("");
  main.replaceChildren();
  const frame = { main, showTrouble, showService, showAddress, showTitle, isLive: () => !banner.trouble };
  view = labels ? new ChannelView(frame, asked) : new FleetView(frame, asked);
  main.querySelector("nav a")?.setAttribute("href", overview);
  window.scrollTo(0, 0);
}

function showTitle(text) {
  document.title = banner.blind ? `⚠ ${text}` : text;
}

// The overview's address follows what it shows, without an entry in the browser's history for each letter typed.
function showAddress(address) {
  overview = address;
  history.replaceState(null, "", address);
}

document.querySelector("[data-skip]").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
window.addEventListener("hashchange", route);
route();
