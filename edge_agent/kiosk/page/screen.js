// A view as words and shapes. Only what changed is touched, so nothing flickers.

const NOTICES_MAX = { starting: 2, idle: 2, arrival: 1, measuring: 1, result: 0 }; // a result is not to be talked over
const REASONS_MAX = 2;
const PARTS = ["camera", "thermometer", "reader", "gate", "speaker"]; // the gravest for people first
const DOWN = ["lost", "broken"];
const TEMPERATURE_REASONS = /^(temperature_|fever$|thermometer_lost$)/;

const find = (id) => document.getElementById(id);

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function setData(element, name, value) {
  if (element.dataset[name] !== value) element.dataset[name] = value;
}

function setHidden(element, hidden) {
  if (element.hidden !== hidden) element.hidden = hidden;
}

function setShape(use, href) {
  if (use.getAttribute("href") !== href) use.setAttribute("href", href);
}

function setList(list, texts) {
  while (list.children.length > texts.length) list.lastElementChild.remove();
  while (list.children.length < texts.length) list.append(document.createElement("li"));
  texts.forEach((text, index) => setText(list.children[index], text));
}

export function showLabels(words) {
  document.documentElement.lang = words.language;
  document.title = words.text("label", "title");
  for (const element of document.querySelectorAll("[data-label]")) {
    setText(element, words.text("label", element.dataset.label));
  }
}

export function showClock(words, date) {
  setText(find("clock"), date.toLocaleTimeString(words.locale, { hour: "2-digit", minute: "2-digit", hour12: false }));
}

export function showStale(stale) {
  setHidden(find("stale"), !stale);
  document.body.toggleAttribute("data-stale", stale);
}

export function showView(view, words) {
  setData(document.body, "stage", view.stage);
  setData(document.body, "verdict", view.verdict ?? "none");
  showMessage(view, words);
  showFacts(view, words);
  showFace(view.face);
  setList(find("notices"), notices(view, words));
  setText(find("passages"), words.text("label", "passages", { n: view.passages }));
}

export function showAge(link, sinceReceivedS, words) {
  const updated =
    link.age_s === null
      ? words.text("label", "never_updated")
      : words.text("label", "updated", { age: words.age(link.age_s + sinceReceivedS) });
  setText(find("freshness"), `${words.text("freshness", link.freshness)} · ${updated}`);
  setData(find("freshness"), "freshness", link.freshness);
}

function showMessage(view, words) {
  const [shape, headline, next] = message(view, words);
  setShape(find("shape"), `#shape-${shape}`);
  setText(find("headline"), headline);
  setText(find("next"), next);
  const reasons = view.stage === "result" ? view.reasons.filter((reason) => words.has("reason", reason)) : [];
  setList(find("reasons"), reasons.slice(0, REASONS_MAX).map((reason) => words.text("reason", reason)));
}

function message(view, words) {
  const prompt = view.prompt && words.text("prompt", view.prompt);
  const hint = view.hint && words.text("hint", view.hint);
  const stage = words.text("stage", view.stage);
  if (view.stage === "result" && view.verdict) {
    return [view.verdict, words.text("verdict", view.verdict), prompt || hint || ""];
  }
  if (view.stage === "idle" || view.stage === "starting") {
    return [view.stage, hint || stage, view.stage === "idle" ? words.text("label", "policy") : ""];
  }
  return ["none", hint || stage, hint ? stage : ""];
}

function showFacts(view, words) {
  const missing = (section, key) => (view.stage === "result" ? "—" : words.text(section, key));
  const temperature = view.temperature_c === null ? null : `${view.temperature_c.toFixed(1)} °C`;
  const doubted = view.reasons.some((reason) => TEMPERATURE_REASONS.test(reason));
  showFact("temperature", doubted ? "attention" : state(temperature), temperature ?? missing("label", "not_measured"));
  showFact("mask", state(view.mask, "correct"), view.mask ? words.text("mask", view.mask) : missing("mask", "waiting"));
  const credential = view.credential === "none" ? null : words.text("credential", view.credential);
  showFact("credential", state(credential && view.credential, "read"), credential ?? missing("credential", "none"));
}

// done, attention or waiting; without `good` every value is done.
function state(value, good = value) {
  if (value === null) return "waiting";
  return value === good ? "done" : "attention";
}

function showFact(id, state, text) {
  const fact = find(id);
  setData(fact, "state", state);
  setShape(fact.querySelector("use"), `#mark-${state}`);
  setText(fact.querySelector("dd span"), text);
}

// The picture is shown as a mirror, so the box is mirrored as well.
function showFace(face) {
  const element = find("face");
  setHidden(element, face === null);
  if (face === null) return;
  const [x, y, width, height] = face.map((fraction) => `${fraction * 100}%`);
  Object.assign(element.style, { right: x, top: y, width, height });
}

export function isDown(view, name) {
  return view.parts.some((part) => part.name === name && DOWN.includes(part.state));
}

// What is out of order and what that means for people, the gravest first.
function notices(view, words) {
  const texts = [];
  if (view.link.freshness === "expired") texts.push(words.text("label", "data_expired"));
  else if (!view.link.connected || !view.link.platform_online) texts.push(words.text("label", "offline"));
  const lost = view.parts.filter((part) => DOWN.includes(part.state)).map((part) => part.name);
  const rank = (name) => (PARTS.includes(name) ? PARTS.indexOf(name) : PARTS.length);
  for (const name of lost.sort((a, b) => rank(a) - rank(b))) {
    const key = PARTS.includes(name) ? name : "other";
    texts.push(words.text("label", "fault", { part: words.text("part", key), meaning: words.text("part_lost", key) }));
  }
  return texts.slice(0, NOTICES_MAX[view.stage]);
}
