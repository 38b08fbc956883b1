import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Kafka by its own client: KafkaJava PORT. */
class KafkaJava {
    public static void main(String[] arguments) throws Exception {
        String server = "127.0.0.1:" + arguments[0];
        for (boolean transactional : new boolean[] {false, true}) {
            Map<String, Object> settings = new java.util.HashMap<>(Map.of("bootstrap.servers", server, "client.id", "java", "compression.type", "lz4"));
            if (transactional) settings.put("transactional.id", "orders-writer");
            try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
                if (transactional) {
                    producer.initTransactions();
                    producer.beginTransaction();
                }
                for (int number = 0; number < 4; number++) producer.send(new ProducerRecord<>("orders", "k", "hush")).get();
                if (transactional) producer.commitTransaction();
            }
        }
        Map<String, Object> settings = Map.of("bootstrap.servers", server, "client.id", "java", "group.id", "java-readers",
            "auto.offset.reset", "earliest", "isolation.level", "read_committed");
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of("orders"));
            for (int taken = 0; taken < 39;) taken += consumer.poll(Duration.ofMillis(500)).count();
            consumer.commitSync();
        }
    }
}
