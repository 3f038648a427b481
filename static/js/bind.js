// Every element below `root` (itself included) that matches and was not bound by this behaviour before.
const done = new WeakMap();

export function fresh(root, selector, behaviour) {
  const found = [...root.querySelectorAll(selector)];
  if (root instanceof Element && root.matches(selector)) found.push(root);
  return found.filter((element) => {
    const seen = done.get(element) ?? new Set();
    if (seen.has(behaviour)) return false;
    done.set(element, seen.add(behaviour));
    return true;
  });
}
