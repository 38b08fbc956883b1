// Kafka by franz-go: gokafka_client PORT.
package main

import (
	"context"
	"os"

	"github.com/twmb/franz-go/pkg/kgo"
	"remora.test/clients/agent"
)

func connect(options ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers("127.0.0.1:"+os.Args[1]))...)
	agent.Must(err)
	return client
}

func main() {
	ctx := context.Background()
	for _, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.SnappyCompression(), kgo.ZstdCompression()} {
		producer := connect(kgo.ClientID("go"), kgo.ProducerBatchCompression(codec), kgo.DefaultProduceTopic("orders"))
		for range 2 {
			batch := []*kgo.Record{kgo.StringRecord("hush"), kgo.StringRecord("hush"), kgo.StringRecord("hush")}
			agent.Must(producer.ProduceSync(ctx, batch...).FirstErr())
		}
		producer.Close()
	}
	consumer := connect(kgo.ClientID("go"), kgo.ConsumerGroup("go-readers"), kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	// Those of the other clients and its own.
	for taken := 0; taken < 31; {
		fetches := consumer.PollFetches(ctx)
		agent.Must(fetches.Err())
		taken += fetches.NumRecords()
	}
	agent.Must(consumer.CommitUncommittedOffsets(ctx))
	consumer.Close()
}
