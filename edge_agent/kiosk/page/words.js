// The strings of the catalogue in the language that is on now.

// A person's choice of language ends when nobody stood here for this long.
const CHOICE_MS = 15_000;
const LOCALES = { "zh-CN": "zh-CN", yue: "zh-HK", en: "en-GB" };

export class Words {
  #strings;
  #boxLanguage = "zh-CN";
  #chosen = null;
  #idleSince = null;

  constructor(strings) {
    this.#strings = strings;
  }

  get languages() {
    return Object.entries(this.#strings.languages);
  }

  get language() {
    return this.#chosen ?? this.#boxLanguage;
  }

  get locale() {
    return LOCALES[this.language];
  }

  choose(language) {
    this.#chosen = language;
    this.#idleSince = null;
  }

  // Takes the language of the box; a choice made by touch stands while somebody is there and a little longer.
  follow(view, now) {
    this.#boxLanguage = view.language;
    if (view.stage !== "idle") this.#idleSince = null;
    else this.#idleSince ??= now;
    if (this.#idleSince !== null && now - this.#idleSince > CHOICE_MS) this.#chosen = null;
  }

  has(section, key) {
    return key in this.#strings.texts[section];
  }

  text(section, key, values = {}) {
    const text = this.#strings.texts[section][key][this.language];
    return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
  }

  age(seconds) {
    if (seconds < 60) return this.#amount(seconds, "seconds");
    if (seconds < 3600) return this.#amount(seconds / 60, "minutes");
    if (seconds < 172_800) return this.#amount(seconds / 3600, "hours");
    return this.#amount(seconds / 86_400, "days");
  }

  #amount(value, unit) {
    return this.text("label", "age", { n: Math.floor(value), unit: this.text("label", unit) });
  }
}
