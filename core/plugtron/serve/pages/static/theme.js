// Light, dark, or as the system has it. No module, so that it runs before anything is painted.
(() => {
  const NAME = "plugtron-theme";
  const THEMES = ["auto", "light", "dark"];
  const kept = () => (THEMES.includes(localStorage.getItem(NAME)) ? localStorage.getItem(NAME) : "auto");
  const apply = (theme) => {
    document.documentElement.dataset.theme = theme;
    for (const button of document.querySelectorAll("[data-theme-toggle]")) {
      button.textContent = { auto: "Auto", light: "Light", dark: "Dark" }[theme];
      button.setAttribute("aria-label", `Colors: ${theme}. Change`);
    }
  };
  apply(kept());
  document.addEventListener("DOMContentLoaded", () => {
    apply(kept());
    for (const button of document.querySelectorAll("[data-theme-toggle]"))
      button.addEventListener("click", () => {
        const next = THEMES[(THEMES.indexOf(kept()) + 1) % THEMES.length];
        localStorage.setItem(NAME, next);
        apply(next);
      });
  });
})();
