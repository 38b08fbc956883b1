// MariaDB by go-sql-driver: gomysql_client PORT.
package main

import (
	"context"
	"database/sql"
	"os"

	_ "github.com/go-sql-driver/mysql"
	"remora.test/clients/agent"
)

const find = "SELECT name FROM item WHERE id = ?"

// One connection, so that the order is known.
func connect(options string) *sql.Conn {
	db, err := sql.Open("mysql", "root@tcp(127.0.0.1:"+os.Args[1]+")/shop?"+options)
	agent.Must(err)
	connection, err := db.Conn(context.Background())
	agent.Must(err)
	return connection
}

// It does not matter whether there is a row.
func name(row *sql.Row) {
	var name string
	if err := row.Scan(&name); err != sql.ErrNoRows {
		agent.Must(err)
	}
}

func main() {
	ctx := context.Background()
	old := connect("")
	kept, err := old.PrepareContext(ctx, find)
	agent.Must(err)
	name(kept.QueryRow(1))
	agent.Wait()

	// Prepared before the agent came.
	name(kept.QueryRow(1))
	agent.Must(kept.Close())
	agent.Must(old.Close())

	fresh := connect("")
	// Prepared, run and closed each time.
	name(fresh.QueryRowContext(ctx, find, 1))
	name(fresh.QueryRowContext(ctx, "SELECT 'hush'"))
	_, err = fresh.ExecContext(ctx, "SELECT * FROM missing")
	agent.Refused(err)
	tx, err := fresh.BeginTx(ctx, nil)
	agent.Must(err)
	_, err = tx.Exec("UPDATE item SET name = ? WHERE id = ?", "hush", 1)
	agent.Must(err)
	agent.Must(tx.Rollback())
	agent.Must(fresh.PingContext(ctx))
	agent.Must(fresh.Close())

	packed := connect("compress=true&interpolateParams=true")
	name(packed.QueryRowContext(ctx, find, 1))
	agent.Must(packed.Close())
}
