// <button data-theme-choice="dark">: light, dark, or as the system has it. The cookie lets the server draw it at once.
import { fresh } from "./bind.js";

const page = document.documentElement;

function show(root) {
  for (const button of root.querySelectorAll("[data-theme-choice]")) {
    button.setAttribute("aria-pressed", String(button.dataset.themeChoice === page.dataset.theme));
  }
}

export function bindTheme(root) {
  for (const button of fresh(root, "button[data-theme-choice]", "theme")) {
    button.addEventListener("click", () => {
      page.dataset.theme = button.dataset.themeChoice;
      const secure = location.protocol === "https:" ? "; Secure" : "";
      document.cookie = `portal-theme=${button.dataset.themeChoice}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
      show(document);
    });
  }
  show(root);
}
