// Package agent is for clients with connections that are older than the agent.
package agent

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Wait tells the test that everything is connected, and waits until it says that the agent watches.
func Wait() {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGUSR2)
	fmt.Println("connected")
	<-told
}

// Must ends the client if something failed.
func Must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Refused ends the client if something did not fail.
func Refused(err error) {
	if err == nil {
		fmt.Fprintln(os.Stderr, "no error")
		os.Exit(1)
	}
}
