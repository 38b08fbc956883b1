// For clients with connections that are older than the agent.

/** Tells the test that everything is connected, and waits until it says that the agent watches. */
exports.waitForAgent = async () => {
  // A signal's listener does not keep the process alive.
  const alive = setInterval(() => {}, 1000);
  const told = new Promise((resolve) => process.once("SIGUSR2", resolve));
  console.log("connected");
  await told;
  clearInterval(alive);
};
