const resets = location.pathname.endsWith("/reset-password");
const at = (id) => document.getElementById(id);
const token = new URLSearchParams(location.hash.slice(1)).get("token");
// The token stays out of the history and of whatever looks at the address bar.
history.replaceState(null, "", location.pathname);

const show = (title, text) => {
  at("title").textContent = title;
  at("text").textContent = text;
  document.title = title;
};

if (!token) {
  show("This link is not complete", "Open the link of the mail as it stands there.");
} else {
  show(
    resets ? "Choose a new password" : "Verify your address",
    resets ? "It takes 12 to 128 characters. You are signed out everywhere." : "One press, and the address is yours.",
  );
  at("label").hidden = !resets;
  at("password").required = resets;
  at("button").textContent = resets ? "Set the password" : "Verify";
  at("form").hidden = false;
}

at("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  at("button").disabled = true;
  const body = resets ? { token, newPassword: at("password").value } : { token };
  try {
    const answer = await fetch(resets ? "/api/v1/auth/reset-password" : "/api/v1/auth/verify-email", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    if (answer.ok) {
      at("form").hidden = true;
      show(
        resets ? "The password is set" : "The address is verified",
        resets ? "Sign in with it now." : "You can close this page.",
      );
      return;
    }
    const problem = await answer.json();
    const first = (problem.errors || [])[0];
    const bad = first && first.field === "/token";
    at("form").hidden = Boolean(bad);
    show(
      bad ? "This link is not good any more" : "That did not work",
      bad ? "It was used, or its time is over. Ask for another mail." : first ? "The password " + first.message + "." : problem.detail,
    );
  } catch {
    show("That did not work", "The server could not be reached. Try again.");
  }
  at("button").disabled = false;
});
