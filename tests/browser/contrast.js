// Returns the texts inside `root` that stand out too little from what is behind them: [{text, ratio}], worst first.
(root) => {
  const parse = (colour) => {
    const [red, green, blue, alpha = 1] = (colour.match(/[\d.]+/g) || [0, 0, 0, 0]).map(Number);
    const scale = colour.startsWith("color(") ? 255 : 1;
    return { rgb: [scale * red, scale * green, scale * blue], alpha };
  };
  const over = (top, alpha, below) => top.map((value, i) => alpha * value + (1 - alpha) * below[i]);
  const linear = (value) => (value <= 10.31475 ? value / 3294.6 : ((value / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([red, green, blue]) => 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
  const ratio = (a, b) => {
    const [low, high] = [light(a), light(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const ancestors = (element) => (element ? [...ancestors(element.parentElement), element] : []);
  // what is painted behind an element, from the page upwards; a shape of a drawing is found by its place
  const behind = (element) => {
    let colour = [255, 255, 255];
    for (const layer of ancestors(element)) {
      const { rgb, alpha } = parse(getComputedStyle(layer).backgroundColor);
      colour = over(rgb, alpha, colour);
    }
    const drawing = element.closest("svg");
    if (drawing) {
      const box = element.getBoundingClientRect();
      const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
      for (const shape of drawing.querySelectorAll("rect, circle")) {
        const place = shape.getBoundingClientRect();
        const inside = place.left <= x && x <= place.right && place.top <= y && y <= place.bottom;
        const { fill, fillOpacity } = getComputedStyle(shape);
        if (inside && fill !== "none") colour = over(parse(fill).rgb, parse(fill).alpha * fillOpacity, colour);
      }
    }
    return colour;
  };
  const found = [];
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.data.trim();
    const element = walker.currentNode.parentElement;
    if (!text || element.closest("style, title, script, :disabled") || !element.getClientRects().length) continue;
    const style = getComputedStyle(element);
    if (style.visibility === "hidden") continue;
    const back = behind(element);
    const { rgb, alpha } = parse(element.closest("svg") ? style.fill : style.color);
    const opacity = ancestors(element).reduce((share, layer) => share * getComputedStyle(layer).opacity, alpha);
    const reached = ratio(over(rgb, opacity, back), back);
    const needed = /[\p{L}\p{N}]/u.test(text) ? 4.5 : 3; // signs such as a star are pictures
    if (reached < needed) found.push({ text: text.slice(0, 40), ratio: +reached.toFixed(2) });
  }
  return found.sort((a, b) => a.ratio - b.ratio);
}
