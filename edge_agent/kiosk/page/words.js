// The strings of the catalogue in the current language.

const LOCALES = { "zh-CN": "zh-CN", yue: "zh-HK", en: "en-GB" };

export class Words {
  #strings;
  language;

  constructor(strings) {
    this.#strings = strings;
    this.language = Object.keys(strings.languages)[0];
  }

  get languages() {
    return Object.entries(this.#strings.languages);
  }

  get locale() {
    return LOCALES[this.language];
  }

  has(section, key) {
    return key in this.#strings.texts[section];
  }

  text(section, key, values = {}) {
    const text = this.#strings.texts[section][key][this.language];
    return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
  }

  // The text of a notice in the current language, otherwise in its first language.
  notice(notice) {
    return notice.texts[this.language] ?? Object.values(notice.texts)[0] ?? "";
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
