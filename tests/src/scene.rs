//! A Collector and an agent that exports to it; when the traffic of a test is over, all that arrived.

use crate::{Agent, Collector, Item, is_root};

/// A running agent and the Collector it exports to.
#[derive(Debug)]
pub struct Scene {
    /// The agent.
    pub agent: Agent,
    /// Where it exports to.
    pub collector: Collector,
}

/// What the Collector had received when the agent had ended.
#[derive(Clone, Debug, Default)]
pub struct Telemetry {
    /// Spans.
    pub spans: Vec<Item>,
    /// Metrics, each with the points of one export.
    pub metrics: Vec<Item>,
    /// Log records.
    pub logs: Vec<Item>,
    /// What the agent printed.
    pub agent_log: String,
    /// What it counted as lost, as it said shortly before its end.
    pub losses: String,
}

impl Scene {
    /// Starts both; `None` after printing why the test is skipped.
    ///
    /// # Panics
    /// As [`Agent::start`] and [`Collector::start`].
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::start_with([])
    }

    /// Starts both, the agent with variables on top.
    ///
    /// # Panics
    /// As [`Scene::start`].
    #[must_use]
    pub fn start_with<'a>(variables: impl IntoIterator<Item = (&'a str, String)>) -> Option<Self> {
        if !is_root() {
            return None;
        }
        let collector = Collector::start()?;
        let endpoint = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc_endpoint())];
        Some(Self { agent: Agent::start(endpoint.into_iter().chain(variables)), collector })
    }

    /// Stops the agent, which sends all that it has, then the Collector, which writes all that it has.
    ///
    /// # Panics
    /// One of them does not end, or the agent not with success.
    #[must_use]
    pub fn end(mut self) -> Telemetry {
        let losses = self.agent.get("/api/v1/losses").map(|response| response.body).unwrap_or_default();
        let status = self.agent.process().stop();
        let agent_log = self.agent.process().log();
        assert!(status.success(), "the agent ended with {status}\n{agent_log}");
        self.collector.process().stop();
        Telemetry {
            spans: self.collector.spans(),
            metrics: self.collector.metrics(),
            logs: self.collector.log_records(),
            agent_log,
            losses,
        }
    }
}

impl Telemetry {
    /// Spans of calls to a port.
    #[must_use]
    pub fn spans_of_port(&self, port: u16) -> Vec<Item> {
        self.spans.iter().filter(|span| span.attribute("server.port") == port).cloned().collect()
    }
}
