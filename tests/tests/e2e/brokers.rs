//! Kafka: what producers sent and consumers took, by topic, at both ends and in the metrics; polls that bring nothing are no
//! work.

mod root {
    use remora_tests::{Call, Client, Item, Scene, Server, Telemetry, by_attributes, calls};

    const SERIES: [&str; 7] = [
        "messaging.system",
        "messaging.operation.name",
        "messaging.operation.type",
        "messaging.destination.name",
        "messaging.consumer.group.name",
        "error.type",
        "server.port",
    ];
    const PLACE: [&str; 3] = ["messaging.destination.partition.id", "messaging.batch.message_count", "messaging.client.id"];

    fn of(calls: &[Call], service: &str, operation: &str) -> Vec<Call> {
        let is_one = |call: &&Call| call.client.service() == service && call.client.attribute("messaging.operation.name") == operation;
        calls.iter().filter(is_one).cloned().collect()
    }

    fn lines(calls: &[Call], keys: &[&str]) -> Vec<String> {
        calls.iter().map(|call| call.line(keys)).collect()
    }

    fn messages(calls: &[Call]) -> u64 {
        calls
            .iter()
            .map(|call| call.client.attribute("messaging.batch.message_count").as_u64().unwrap_or_else(|| panic!("no count: {call:#?}")))
            .sum()
    }

    fn counted(telemetry: &Telemetry, metric: &str, service: &str, port: u16) -> Vec<(String, u64)> {
        telemetry.counted(metric, service, port, &["messaging.destination.name"]).into_iter().collect()
    }

    #[test]
    fn messages_sent_are_messages_seen_whoever_sends_and_takes_them() {
        let Some(server) = Server::kafka() else { return };
        let port = server.port();
        let Some(python) = Client::connected("kafka_python_client.py", &[port]) else { return };
        let Some(scene) = Scene::start() else { return };
        python.talk();
        let Some(node) = Client::start("kafkajs_client.js", &[port]) else { return };
        node.finish();
        let Some(go) = Client::start("gokafka_client.go", &[port]) else { return };
        go.finish();
        let Some(java) = Client::start("KafkaJava.java", &[port]) else { return };
        java.finish();

        let telemetry = scene.end();
        let shown = format!("{:?} {:?}", telemetry.spans, telemetry.metrics);
        assert!(!shown.contains("hush"));
        let (calls, alone) = calls(telemetry.spans_of_port(port));
        assert!(alone.is_empty(), "lost: {}\n{alone:#?}", telemetry.losses);
        for service in ["kafka_python_client", "kafkajs_client", "gokafka_client", "KafkaJava"] {
            let spans: Vec<Item> = calls.iter().filter(|call| call.client.service() == service).map(|call| call.client.clone()).collect();
            assert_eq!(telemetry.counted("messaging.client.operation.duration", service, port, &SERIES), by_attributes(&spans, &SERIES));
        }
        let spans: Vec<Item> = calls.iter().map(|call| call.server.clone()).collect();
        assert_eq!(telemetry.counted("remora.messaging.server.operation.duration", "Kafka", port, &SERIES), by_attributes(&spans, &SERIES));

        let sent = of(&calls, "kafka_python_client", "send");
        let small = ["send orders | 0 | 1 | old"].into_iter().chain(["send orders | 0 | 1 | shop"; 5]);
        assert_eq!(lines(&sent, &PLACE), small.chain(["send pictures | 0 | 1 | shop"]).collect::<Vec<_>>());
        let by_topic = |counts: &[(&str, u64)]| counts.iter().map(|(topic, n)| ((*topic).to_owned(), *n)).collect::<Vec<_>>();
        let counts = by_topic(&[("orders", 6), ("pictures", 1)]);
        assert_eq!(counted(&telemetry, "messaging.client.sent.messages", "kafka_python_client", port), counts);
        let taken = of(&calls, "kafka_python_client", "poll");
        assert_eq!(messages(&taken), 7);
        assert!(lines(&taken, &["messaging.consumer.group.name"]).iter().all(|line| line == "poll orders | readers"), "{taken:#?}");
        let counts = by_topic(&[("orders", 7)]);
        assert_eq!(counted(&telemetry, "messaging.client.consumed.messages", "kafka_python_client", port), counts);

        let sent = of(&calls, "kafkajs_client", "send");
        assert_eq!(lines(&sent, &PLACE), ["send orders | 0 | 2 | js"; 3]);
        assert_eq!(counted(&telemetry, "messaging.client.sent.messages", "kafkajs_client", port), by_topic(&[("orders", 6)]));
        // The first record of each batch tells a trace, the second none: they do not agree.
        assert!(sent.iter().all(|call| call.client.text("traceId") != "4bf92f3577b34da6a3ce929d0e0e4736"));
        let taken = of(&calls, "kafkajs_client", "poll");
        assert_eq!(messages(&taken), 13);
        assert!(lines(&taken, &["messaging.consumer.group.name"]).iter().all(|line| line == "poll orders | js-readers"), "{taken:#?}");
        assert_eq!(counted(&telemetry, "messaging.client.consumed.messages", "kafkajs_client", port), by_topic(&[("orders", 13)]));

        // The second half in a transaction.
        let sent = of(&calls, "KafkaJava", "send");
        assert_eq!(lines(&sent, &PLACE), ["send orders | 0 | 1 | java"; 8]);
        let taken = of(&calls, "KafkaJava", "poll");
        assert!(lines(&taken, &["messaging.consumer.group.name"]).iter().all(|line| line == "poll orders | java-readers"), "{taken:#?}");
        assert_eq!(messages(&taken), 39);
        assert_eq!(counted(&telemetry, "messaging.client.consumed.messages", "KafkaJava", port), by_topic(&[("orders", 39)]));
        // Plain, by snappy and by zstd.
        let sent = of(&calls, "gokafka_client", "send");
        assert_eq!(lines(&sent, &PLACE), ["send orders | 0 | 3 | go"; 6]);
        assert_eq!(counted(&telemetry, "messaging.client.sent.messages", "gokafka_client", port), by_topic(&[("orders", 18)]));
        let taken = of(&calls, "gokafka_client", "poll");
        assert_eq!(messages(&taken), 31);
        assert!(lines(&taken, &["messaging.consumer.group.name"]).iter().all(|line| line == "poll orders | go-readers"), "{taken:#?}");
        assert_eq!(counted(&telemetry, "messaging.client.consumed.messages", "gokafka_client", port), by_topic(&[("orders", 31)]));
    }
}
