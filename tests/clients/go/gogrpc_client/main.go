// gRPC by grpc-go, without generated code: gogrpc_client PORT.
package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"remora.test/clients/agent"
)

// Bytes as they are.
type raw struct{}

func (raw) Marshal(value any) ([]byte, error) { return *value.(*[]byte), nil }

func (raw) Unmarshal(bytes []byte, value any) error {
	*value.(*[]byte) = append([]byte(nil), bytes...)
	return nil
}

func (raw) Name() string { return "proto" }

func connect() *grpc.ClientConn {
	connection, err := grpc.NewClient("127.0.0.1:"+os.Args[1],
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})))
	agent.Must(err)
	return connection
}

func call(ctx context.Context, connection *grpc.ClientConn, method string, size int, expected codes.Code) {
	request, response := make([]byte, size), []byte(nil)
	err := connection.Invoke(ctx, "/shop.Cart/"+method, &request, &response)
	if status.Code(err) != expected {
		agent.Must(fmt.Errorf("%s: %v", method, err))
	}
}

func main() {
	ctx := context.Background()
	old := connect()
	call(ctx, old, "Get", 4, codes.OK)
	agent.Wait()

	call(ctx, old, "Get", 4, codes.OK)
	fresh := connect()
	call(ctx, fresh, "Get", 4, codes.OK)
	call(ctx, fresh, "Missing", 4, codes.NotFound)
	call(ctx, fresh, "Broken", 4, codes.Unknown)
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	call(short, fresh, "Slow", 0, codes.DeadlineExceeded)
	cancel()

	list, err := fresh.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/shop.Cart/List")
	agent.Must(err)
	agent.Must(list.SendMsg(&[]byte{}))
	agent.Must(list.CloseSend())
	for pieces := 0; ; pieces++ {
		if err := list.RecvMsg(new([]byte)); err != nil {
			if pieces != 3 {
				agent.Must(fmt.Errorf("%d pieces, %v", pieces, err))
			}
			break
		}
	}
	var all sync.WaitGroup
	for number := range 20 {
		all.Go(func() { call(ctx, fresh, "Get", number*1000, codes.OK) })
	}
	all.Wait()
	agent.Must(old.Close())
	agent.Must(fresh.Close())
}
