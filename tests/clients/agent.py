"""For clients with connections that are older than the agent."""
import signal


def wait_for_agent():
    """Tells the test that everything is connected, and waits until it says that the agent watches."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    print("connected", flush=True)
    signal.sigwait([signal.SIGUSR2])
