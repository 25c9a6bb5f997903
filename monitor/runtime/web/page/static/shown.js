// What the overview shows, as its address says: `#/?machine=fan-1&in-state=alarm&sort-by=rms`. A key that is a label
// filters by its exact value; the other keys have a hyphen, which no label has. Alerts link to such addresses.

const KEYS = new Set(["with-text", "in-state", "sort-by", "sort-order", "group-by"]);

export class Shown {
  constructor(query = new URLSearchParams()) {
    this.text = query.get("with-text") ?? "";
    this.states = new Set((query.get("in-state") ?? "").split(",").filter(Boolean));
    this.column = query.get("sort-by") ?? "state";
    this.order = query.get("sort-order"); // null: the column's own
    this.grouped = query.get("group-by") !== "nothing";
    this.labels = new Map(); // values by the label's name
    for (const [name, value] of query) {
      if (!KEYS.has(name)) this.labels.set(name, [...(this.labels.get(name) ?? []), value]);
    }
  }

  get address() {
    const query = new URLSearchParams();
    for (const [name, values] of this.labels) for (const value of values) query.append(name, value);
    if (this.text) query.set("with-text", this.text);
    if (this.states.size) query.set("in-state", [...this.states].join(","));
    if (this.column !== "state" || this.order) query.set("sort-by", this.column);
    if (this.order) query.set("sort-order", this.order);
    if (!this.grouped) query.set("group-by", "nothing");
    return query.size ? `#/?${query}` : "#/";
  }

  // Labels of the address that the channels do not have: a mistake, which must not hide everything.
  unknown(labelNames) {
    return [...this.labels.keys()].filter((name) => !labelNames.includes(name));
  }

  // A function that tells whether a channel is to be shown.
  matcher(labelNames) {
    const words = this.text.toLowerCase().split(/\s+/).filter(Boolean);
    const labels = [...this.labels].map(([name, values]) => [labelNames.indexOf(name), values]).filter(([at]) => at >= 0);
    return (channel) =>
      (!this.states.size || this.states.has(channel.shown)) &&
      labels.every(([at, values]) => values.includes(channel.labels[at])) &&
      words.every((word) => channel.search.includes(word));
  }
}
