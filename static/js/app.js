// Each module binds one behaviour to a data- attribute, once per element, also in what htmx swaps in later.
import { bindConfirm } from "./confirm.js";
import { bindCopy } from "./copy.js";
import { bindDismiss } from "./dismiss.js";
import { bindForms } from "./forms.js";
import { bindTheme } from "./theme.js";
import { bindTimes } from "./times.js";

const behaviours = [bindConfirm, bindCopy, bindDismiss, bindForms, bindTheme, bindTimes];

function bind(root) {
  for (const behaviour of behaviours) behaviour(root);
}

document.documentElement.classList.add("has-js");
bind(document);
document.addEventListener("htmx:after:process", (event) => bind(event.target instanceof Element ? event.target : document));
document.addEventListener("htmx:after:swap", () => bind(document));
document.addEventListener("htmx:error", (event) => {
  if (event.target?.closest?.("[data-quiet]")) return;
  const flash = document.getElementById("flash");
  const pattern = document.getElementById("connection-lost");
  if (flash && pattern && !event.detail?.ctx?.response) flash.replaceChildren(pattern.content.cloneNode(true));
  bind(document);
});
