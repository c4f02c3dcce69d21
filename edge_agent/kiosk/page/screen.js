// Shows a view. Only changed elements are updated, so that nothing flickers.

// No notices beside a result; an emergency leaves one line, for the verdict.
const NOTICES_MAX = { starting: 2, out_of_service: 1, idle: 2, staff: 1, arrival: 1, measuring: 1, result: 0, emergency: 1 };
const REASONS_MAX = 2;
const PARTS = ["disk", "camera", "thermometer", "reader", "card_reader", "gate", "speaker"]; // in order of severity for people
const DOWN = ["lost", "broken"];
const SCALES = { usual: 1, large: 1.6, least: 0.5, step: 0.1 };
const TEMPERATURE_REASONS = /^(temperature_|fever$|thermometer_lost$)/;

export const find = (id) => document.getElementById(id);

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function setData(element, name, value) {
  if (element.dataset[name] !== value) element.dataset[name] = value;
}

function setHidden(element, hidden) {
  if (element.hidden !== hidden) element.hidden = hidden;
}

export function setPressed(button, pressed) {
  if (button.getAttribute("aria-pressed") !== String(pressed)) button.setAttribute("aria-pressed", String(pressed));
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

// The scene on the screen: the stage, unless an emergency or a call for staff overrides it.
function sceneOf(view) {
  if (view.emergency) return "emergency";
  return view.staff_called && view.stage === "idle" ? "staff" : view.stage;
}

export function showView(view, sinceS, words) {
  setData(document.body, "stage", sceneOf(view));
  setData(document.body, "verdict", view.verdict ?? "none");
  setData(document.body, "serial", String(view.serial));
  showMessage(view, words);
  showFacts(view, words);
  showFace(view.face);
  setList(find("notices"), notices(view, sinceS, words));
  setText(find("bulletin"), bulletin(view, words));
  setText(find("call"), words.text("label", view.staff_called ? "staff_called" : "call_staff"));
  setPressed(find("call"), view.staff_called);
}

export function showAge(link, sinceReceivedS, words) {
  const updated =
    link.age_s === null
      ? words.text("label", "never_updated")
      : words.text("label", "updated", { age: words.age(link.age_s + sinceReceivedS) });
  setText(find("freshness"), `${words.text("freshness", link.freshness)} · ${updated}`);
  setData(find("freshness"), "freshness", link.freshness);
}

// Makes the text as large as fits; measured only after a change.
let fittedTo = "";

export function fitWords() {
  const say = document.querySelector(".say");
  const { lang } = document.documentElement;
  const { stage, large } = document.body.dataset;
  const place = [lang, stage, large, innerWidth, innerHeight, say.clientHeight, say.textContent].join();
  if (place === fittedTo) return;
  fittedTo = place;
  const most = large === undefined && stage !== "emergency" ? SCALES.usual : SCALES.large; // readable from a distance
  for (let scale = most; scale > SCALES.least; scale -= SCALES.step) {
    say.style.setProperty("--scale", scale.toFixed(1));
    say.style.setProperty("--shrink", Math.min(1, scale).toFixed(1));
    if (fits(say)) return;
  }
}

function fits(say) {
  const outer = say.getBoundingClientRect();
  const inside = (element) => {
    const inner = element.getBoundingClientRect();
    if (inner.height === 0) return true; // not shown
    return inner.top >= outer.top && inner.bottom <= outer.bottom && inner.left >= outer.left && inner.right <= outer.right;
  };
  const whole = [...say.querySelectorAll("h1, p, li")].every((element) => element.scrollWidth <= element.clientWidth + 1);
  return whole && [...say.children].every(inside);
}

function showMessage(view, words) {
  const [shape, headline, next] = message(view, words);
  setShape(find("shape"), `#shape-${shape}`);
  setText(find("headline"), headline);
  setText(find("next"), next);
  const reasons = sceneOf(view) === "result" ? view.reasons.filter((reason) => words.has("reason", reason)) : [];
  setList(find("reasons"), reasons.slice(0, REASONS_MAX).map((reason) => words.text("reason", reason)));
}

function message(view, words) {
  if (view.emergency) return ["emergency", words.text("label", "emergency"), words.notice(view.emergency)];
  if (sceneOf(view) === "staff") {
    return ["assist", words.text("label", "staff_called"), words.text("label", "staff_called_next")];
  }
  const prompt = view.prompt && words.text("prompt", view.prompt);
  const hint = view.hint && words.text("hint", view.hint);
  const stage = words.text("stage", view.stage);
  if (view.stage === "result" && view.verdict) {
    return [view.verdict, words.text("verdict", view.verdict), prompt || hint || ""];
  }
  if (view.stage === "idle" || view.stage === "starting") {
    return [view.stage, hint || stage, view.stage === "idle" ? words.text("label", "policy") : ""];
  }
  if (view.stage === "out_of_service") {
    return ["assist", stage, view.bulletin ? words.notice(view.bulletin) : words.text("label", "safe_mode")];
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

// The picture is mirrored, so the frame is mirrored as well.
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

// The current or next broadcast; only while no person is being served.
function bulletin(view, words) {
  if (!view.bulletin || sceneOf(view) !== "idle") return "";
  const [key, time] = view.bulletin.at ? ["broadcast_next", view.bulletin.at] : ["broadcast_now", ""];
  return words.text("label", key, { time, text: words.notice(view.bulletin) });
}

// Faults and their meaning for people, in order of severity.
function notices(view, sinceS, words) {
  const texts = [];
  if (view.emergency && view.verdict) {
    texts.push(words.text("label", "verdict_note", { verdict: words.text("verdict", view.verdict) }));
  }
  if (view.staff_called && view.stage !== "idle") texts.push(words.text("label", "staff_called"));
  const { freshness, age_s: ageS } = view.link;
  const offline = !view.link.connected || !view.link.platform_online;
  if (offline && ageS === null) texts.push(words.text("label", "offline_never"));
  else if (freshness === "expired") texts.push(words.text("label", "data_expired"));
  else if (offline) texts.push(words.text("label", "offline", { age: words.age(ageS + sinceS) }));
  const lost = view.parts.filter((part) => DOWN.includes(part.state)).map((part) => part.name);
  const rank = (name) => (PARTS.includes(name) ? PARTS.indexOf(name) : PARTS.length);
  for (const name of lost.sort((a, b) => rank(a) - rank(b))) {
    const key = PARTS.includes(name) ? name : "other";
    texts.push(words.text("label", "fault", { part: words.text("part", key), meaning: words.text("part_lost", key) }));
  }
  return texts.slice(0, NOTICES_MAX[sceneOf(view)] - (view.bulletin && sceneOf(view) === "idle" ? 1 : 0));
}
