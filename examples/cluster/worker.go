package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/examples/internal/filestream"
	"github.com/bodokaiser/walve/examples/internal/page"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// shutdownLimit is how long a worker waits for its pages to leave.
const shutdownLimit = 5 * time.Second

// work is one worker. It serves until ctx ends or its standard input does.
func work(ctx context.Context, out io.Writer, addr, natsURL, file string) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	nc, err := nats.Connect(natsURL, nats.MaxReconnects(-1))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	files, messages := new(walve.Listener), &walve.Listener{Upgrader: walve.Upgrader{MaxMessageSize: 8 << 10}}
	go accept(ctx, files, func(c *walve.Conn) { sendFile(c, file) })
	go accept(ctx, messages, func(c *walve.Conn) { exchange(ctx, c, js) })

	mux := page.Mux(static)
	mux.Handle("/file", files)
	mux.Handle("/messages", messages)
	socket, err := listen(addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "listening on http://%s/\n", socket.Addr())
	if err := page.ServeOn(ctx, socket, mux); err != nil {
		return err
	}
	// Other workers get new connections now. Those that are here have been
	// asked by accept to go there; Shutdown waits for their closing.
	limit, cancel := context.WithTimeout(context.Background(), shutdownLimit)
	defer cancel()
	return errors.Join(files.Shutdown(limit), messages.Shutdown(limit))
}

// accept serves the connections of ln. When ctx ends they are told that the
// service restarts: pages come back, and so to another worker.
func accept(ctx context.Context, ln *walve.Listener, serve func(*walve.Conn)) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		c := conn.(*walve.Conn)
		go func() {
			restart := func() { c.CloseWithStatus(walve.StatusServiceRestart, "") }
			defer context.AfterFunc(ctx, restart)()
			serve(c)
			if ctx.Err() != nil {
				restart()
			}
			c.Close() // of both only the first has an effect
		}()
	}
}

// sendFile streams the file, behind a message that says who does it.
func sendFile(c *walve.Conn, file string) {
	from, err := filestream.From(c.Request())
	if err != nil {
		c.CloseWithStatus(walve.StatusPolicyViolation, "from: not an offset")
		return
	}
	if page.WriteJSON(c, hello()) == nil {
		filestream.Send(c, file, from)
	}
}
