// The agent's JSON: reading it, and hearing of changes. A token in the page's address goes along with every call.

const token = takeToken();

function takeToken() {
  const address = new URL(location.href);
  const given = address.searchParams.get("token");
  if (given) {
    sessionStorage.setItem("token", given);
    address.searchParams.delete("token");
    history.replaceState(null, "", address);
  }
  return sessionStorage.getItem("token");
}

/** Reads one address below /api/v1; throws with the agent's own words. */
export async function read(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const search = given.length ? `?${new URLSearchParams(given)}` : "";
  const answer = await fetch(`api/v1/${path}${search}`, { headers: token ? { authorization: `Bearer ${token}` } : {} });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error ?? answer.statusText);
  return body;
}

/** Calls `changed` at each change of the agent's state, and `state("live" | "lost")` as the connection comes and goes. */
export function listen(changed, state) {
  const source = new EventSource(`api/v1/events${token ? `?token=${encodeURIComponent(token)}` : ""}`);
  source.addEventListener("change", () => changed());
  source.addEventListener("open", () => state("live"));
  source.addEventListener("error", () => {
    state("lost");
    // The browser tries again by itself after a broken connection, but not after a refusal.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => listen(changed, state), 3000);
  });
}
