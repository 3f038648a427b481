// <button data-mail-frame formtarget="…">: show the mail at once, and again whenever the preview was drawn anew.
// The form is posted into a sandboxed frame, whose page has a policy of its own and no access to this one.
import { fresh } from "./bind.js";

function show(root) {
  for (const button of fresh(root, "button[data-mail-frame]", "mail-frame")) button.form?.requestSubmit(button);
}

show(document);
document.addEventListener("htmx:after:swap", () => show(document));
