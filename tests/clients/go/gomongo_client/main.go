// MongoDB by its Go driver: gomongo_client PORT.
package main

import (
	"context"
	"os"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
	"remora.test/clients/agent"
)

func main() {
	ctx := context.Background()
	client, err := mongo.Connect(ctx, options.Client().ApplyURI("mongodb://127.0.0.1:"+os.Args[1]+"/?directConnection=true&compressors=zstd,snappy,zlib"))
	agent.Must(err)
	carts := client.Database("shop").Collection("carts")
	_, err = carts.InsertOne(ctx, bson.M{"_id": 1, "name": "hush"})
	agent.Must(err)
	many := make([]any, 250)
	for number := range many {
		many[number] = bson.M{"_id": 10 + number, "name": "hush"}
	}
	_, err = carts.InsertMany(ctx, many)
	agent.Must(err)
	agent.Must(carts.FindOne(ctx, bson.M{"_id": 1}).Err())
	cursor, err := carts.Find(ctx, bson.M{}, options.Find().SetBatchSize(100))
	agent.Must(err)
	var found []bson.M
	agent.Must(cursor.All(ctx, &found))
	_, err = carts.UpdateOne(ctx, bson.M{"_id": 1}, bson.M{"$set": bson.M{"name": "hush"}})
	agent.Must(err)
	_, err = carts.InsertOne(ctx, bson.M{"_id": 1})
	agent.Refused(err)
	_, err = carts.DeleteMany(ctx, bson.M{})
	agent.Must(err)
	agent.Refused(client.Database("shop").RunCommand(ctx, bson.M{"nosuch": 1}).Err())
	agent.Must(client.Disconnect(ctx))
}
