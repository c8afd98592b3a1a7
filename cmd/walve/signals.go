package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// A stopSignal is the error of a command that a signal has ended.
type stopSignal struct{ os.Signal }

func (s stopSignal) Error() string { return fmt.Sprintf("stopped by a signal: %v", s.Signal) }

func (s stopSignal) exitCode() int {
	if n, ok := s.Signal.(syscall.Signal); ok {
		return exitSignal + int(n)
	}
	return exitFailed
}

// onStopSignal returns a context that ends at SIGINT or SIGTERM, with a
// stopSignal as its cause. From then on these signals act as they do by
// default: the second one ends the process.
func onStopSignal() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.Background())
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, os.Interrupt, syscall.SIGTERM)
	// A reader of standard output that goes away (walve dial URL | head) shows
	// as an error of the write, so that the peer is told.
	signal.Ignore(syscall.SIGPIPE)
	go func() {
		select {
		case s := <-ch:
			signal.Stop(ch)
			cancel(stopSignal{s})
		case <-ctx.Done():
			signal.Stop(ch)
		}
	}()
	return ctx, func() { cancel(nil) }
}
