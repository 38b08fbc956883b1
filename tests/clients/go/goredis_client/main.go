// Redis by go-redis: goredis_client PORT.
package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"remora.test/clients/agent"
)

func connect(protocol int) *redis.Client {
	return redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + os.Args[1], Protocol: protocol, PoolSize: 1, DisableIdentity: true})
}

func main() {
	ctx := context.Background()
	old := connect(3)
	agent.Must(old.Set(ctx, "k:1", "hush", 0).Err())
	agent.Wait()

	agent.Must(old.Get(ctx, "k:1").Err())
	for _, protocol := range []int{2, 3} {
		client := connect(protocol)
		agent.Must(client.Set(ctx, "k:1", "hush", time.Minute).Err())
		agent.Refused(client.Get(ctx, "none").Err())
		agent.Must(client.HSet(ctx, "user:1", "name", "hush", "age", 7).Err())
		agent.Must(client.HGetAll(ctx, "user:1").Err())
		// Sent without waiting for answers.
		_, err := client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for number := range 100 {
				pipe.Get(ctx, fmt.Sprintf("user:none:%d", number))
			}
			return nil
		})
		agent.Refused(err)
		_, err = client.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
			pipe.Incr(ctx, "orders")
			pipe.Expire(ctx, "orders", time.Hour)
			return nil
		})
		agent.Must(err)
		// The script is not there: it is sent when the server says so.
		agent.Must(redis.NewScript(fmt.Sprintf("return %d", protocol)).Run(ctx, client, nil).Err())
		agent.Refused(client.LPush(ctx, "k:1", "hush").Err())
		agent.Must(client.XAdd(ctx, &redis.XAddArgs{Stream: "events", Values: []string{"name", "hush"}}).Err())
		agent.Must(client.XRead(ctx, &redis.XReadArgs{Streams: []string{"events", "0"}, Count: 1}).Err())
		agent.Must(client.Close())
	}
	// From many goroutines on one connection, one after the other.
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 25 {
				agent.Must(old.Incr(ctx, "hits").Err())
			}
		})
	}
	all.Wait()
	agent.Must(old.Close())
}
