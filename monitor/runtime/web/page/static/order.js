// The order of the overview's rows, and their grouping by machine.

import { rank } from "./states.js";

const SMOOTHING = 0.4; // weight of the newest value in the order: rows that change places every second are unreadable

// The columns by which one can sort, each with its value and the order that a first click gives.
export const COLUMNS = {
  state: { of: rank, order: "ascending" },
  name: { of: (channel) => channel.name, order: "ascending" },
  score: { of: (channel) => channel.smoothScore, order: "descending" },
  line: { of: rise, order: "descending" },
  ratio: { of: (channel) => channel.smoothRatio, order: "descending" },
  rms: { of: (channel) => channel.rms, order: "descending" },
  cover: { of: (channel) => channel.coverage, order: "ascending" },
  age: { of: (channel) => channel.age_s, order: "descending" },
};

export function remember(channel) {
  channel.smoothScore = smooth(channel.smoothScore, channel.score);
  channel.smoothRatio = smooth(channel.smoothRatio, channel.ratio);
}

function smooth(before, value) {
  if (value === null || value === undefined) return null;
  return before === null || before === undefined ? value : before + SMOOTHING * (value - before);
}

// How far the line of a channel has risen, from its first quarter to its last.
function rise(channel) {
  const quarter = Math.max(1, Math.floor(channel.points.length / 4));
  const [first, last] = [mean(channel.points.slice(0, quarter)), mean(channel.points.slice(-quarter))];
  return first === null || last === null ? null : last - first;
}

function mean(values) {
  const known = values.filter((value) => value !== null);
  return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
}

// Sorts channels in place: by a column, what has no value last, equal ones by falling score and then by name.
export function sort(channels, column, order) {
  const { of } = COLUMNS[column];
  const sign = order === "descending" ? -1 : 1;
  const values = new Map(channels.map((channel) => [channel, of(channel) ?? null]));
  return channels.sort((a, b) => {
    const [one, two] = [values.get(a), values.get(b)];
    if (one === null || two === null) return (one === null) - (two === null) || byName(a, b);
    if (one !== two) return sign * (typeof one === "string" ? naturally.compare(one, two) : one - two);
    return falling(a.smoothScore, b.smoothScore) || falling(a.smoothRatio, b.smoothRatio) || byName(a, b);
  });
}

const naturally = new Intl.Collator("en", { numeric: true }); // fan-2 before fan-10

function byName(a, b) {
  return naturally.compare(a.name, b.name);
}

function falling(a, b) {
  const difference = (b ?? -Infinity) - (a ?? -Infinity);
  return Number.isNaN(difference) ? 0 : difference;
}

// The machines of sorted channels, in the order of their first channels: [machine's name, its channels].
export function byMachine(channels) {
  const machines = new Map();
  for (const channel of channels) {
    const others = machines.get(channel.machine);
    if (others) others.push(channel);
    else machines.set(channel.machine, [channel]);
  }
  return [...machines];
}

// How many of the labels, in the topic's order, name the machine: all up to the one called machine, else the first.
export function machineDepth(names) {
  return Math.max(names.indexOf("machine"), 0) + 1;
}
