// Everything on the page that is cut off, lies over something else or is too faint (WCAG 2.2 AA), as sentences.
() => {
  const REGIONS = "header, main, .notices, footer";
  const faults = [];
  const name = (element) => `${element.tagName.toLowerCase()} "${element.textContent.trim().slice(0, 24)}"`;
  const ownText = (element) => [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
  const seen = [...document.querySelectorAll(`:is(${REGIONS}) *`)].filter(
    (element) => (ownText(element) || element.matches(".shape")) && element.checkVisibility({ visibilityProperty: true }),
  );

  for (const element of seen) {
    const inner = element.getBoundingClientRect();
    const outer = element.closest(REGIONS).getBoundingClientRect();
    if (element.scrollWidth > element.clientWidth + 1 && element.clientWidth) faults.push(`${name(element)} is cut off`);
    if (inner.left < outer.left - 1 || inner.right > outer.right + 1 || inner.top < outer.top - 1 || inner.bottom > outer.bottom + 1) {
      faults.push(`${name(element)} leaves its region`);
    }
    if (element.matches(".shape") && Math.min(inner.width, inner.height) < innerHeight / 9) faults.push("the shape is too small");
  }

  const apart = (a, b) => a.right <= b.left + 1 || b.right <= a.left + 1 || a.bottom <= b.top + 1 || b.bottom <= a.top + 1;
  seen.forEach((one, index) => {
    for (const other of seen.slice(index + 1)) {
      if (one.contains(other)) continue;
      if (!apart(one.getBoundingClientRect(), other.getBoundingClientRect())) faults.push(`${name(one)} lies over ${name(other)}`);
    }
  });

  const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = channels(colour).map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    const colour = getComputedStyle(element).backgroundColor;
    return channels(colour)[3] === 0 ? behind(element.parentElement) : colour;
  };
  for (const element of seen.filter(ownText)) {
    const [bright, dark] = [luminance(getComputedStyle(element).color), luminance(behind(element))].sort((a, b) => b - a);
    const contrast = (bright + 0.05) / (dark + 0.05);
    if (contrast < 4.5) faults.push(`${name(element)} has a contrast of only ${contrast.toFixed(2)}`);
  }
  return faults;
}
