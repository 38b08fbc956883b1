// PostgreSQL by pgx: pgx_client PORT.
package main

import (
	"context"
	"os"

	"github.com/jackc/pgx/v5"
	"remora.test/clients/agent"
)

const find = "SELECT name FROM item WHERE id = $1"

func connect(options string) *pgx.Conn {
	connection, err := pgx.Connect(context.Background(), "postgres://postgres@127.0.0.1:"+os.Args[1]+"/postgres?"+options)
	agent.Must(err)
	return connection
}

// It does not matter whether there is a row.
func name(connection *pgx.Conn, id int) {
	var name string
	if err := connection.QueryRow(context.Background(), find, id).Scan(&name); err != pgx.ErrNoRows {
		agent.Must(err)
	}
}

func main() {
	ctx := context.Background()
	old := connect("sslmode=disable")
	name(old, 1)
	agent.Wait()

	// Prepared before the agent came.
	name(old, 1)
	agent.Must(old.Close(ctx))

	// It asks for TLS first, which the server has not. Statements are described, kept, and run with binary values.
	fresh := connect("sslmode=prefer")
	name(fresh, 1)
	name(fresh, 2)
	name(fresh, 777_777)
	_, err := fresh.Exec(ctx, "SELECT * FROM missing")
	agent.Refused(err)
	_, err = fresh.Exec(ctx, "SELECT 1 / $1::int", 0)
	agent.Refused(err)

	// Several statements in one round trip, each with its own answer.
	batch := &pgx.Batch{}
	for number := range 3 {
		batch.Queue("UPDATE item SET name = $1 WHERE id = $2", "hush", number)
	}
	agent.Must(fresh.SendBatch(ctx, batch).Close())

	tx, err := fresh.Begin(ctx)
	agent.Must(err)
	_, err = tx.CopyFrom(ctx, pgx.Identifier{"item"}, []string{"id", "name"}, pgx.CopyFromRows([][]any{{9001, "hush"}, {9002, "hush"}}))
	agent.Must(err)
	agent.Must(tx.Rollback(ctx))
	agent.Must(fresh.Close(ctx))

	// Without the text of a value nowhere but in the statement.
	simple := connect("sslmode=disable&default_query_exec_mode=simple_protocol")
	name(simple, 1)
	agent.Must(simple.Close(ctx))
}
