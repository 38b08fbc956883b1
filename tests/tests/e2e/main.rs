//! End-to-end tests: real programs talk, the agent watches, a real Collector receives; what was sent is compared with
//! what arrived, to the request. One file a topic.

mod http;
