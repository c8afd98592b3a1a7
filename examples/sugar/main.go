// The sugar example is the message-level API in its shortest form: messages,
// JSON that is streamed, and a layer of typed events on top (events.go). Server
// and client in one program:
//
//	go run ./examples/sugar
//
// As two processes, the server until it is interrupted:
//
//	go run ./examples/sugar -listen 127.0.0.1:8080
//	go run ./examples/sugar -dial ws://127.0.0.1:8080/
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/examples/internal/program"
)

func main() { program.Main("sugar", run) }

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("sugar", flag.ContinueOnError)
	roles := program.RoleFlags(flags)
	if err := program.Parse(flags, args); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/messages", upgraded(shout))
	mux.Handle("/json", upgraded(add))
	mux.Handle("/events", upgraded(serveEvents))
	return roles.RunHTTP(ctx, out, mux, func(ctx context.Context, u *url.URL) error {
		for _, part := range []struct {
			path string
			ask  func(*walve.Conn, io.Writer) error
		}{{"messages", askMessages}, {"json", askJSON}, {"events", askEvents}} {
			c, err := walve.Dial(ctx, u.JoinPath(part.path).String())
			if err != nil {
				return err
			}
			if err := errors.Join(part.ask(c, out), c.Close()); err != nil {
				return fmt.Errorf("%s: %w", part.path, err)
			}
		}
		return nil
	})
}

// upgraded has serve handle connections, which end when it returns.
func upgraded(serve func(*walve.Conn) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := walve.Upgrade(w, r)
		if err != nil {
			return // Upgrade has answered the request
		}
		defer context.AfterFunc(r.Context(), func() { c.CloseWithStatus(walve.StatusGoingAway, "") })()
		defer c.Close()
		serve(c) // its error is the end of the connection, which the client has caused
	})
}

// shout answers messages, which are whole and in memory.
func shout(c *walve.Conn) error {
	for {
		op, msg, err := c.ReadMessage()
		if err != nil {
			return err
		}
		if err := c.WriteMessage(op, []byte(strings.ToUpper(string(msg)))); err != nil {
			return err
		}
	}
}

func askMessages(c *walve.Conn, out io.Writer) error {
	if err := c.WriteMessage(walve.OpText, []byte("hello, grün")); err != nil {
		return err
	}
	op, msg, err := c.ReadMessage()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "messages  sent %q, got %s %q\n", "hello, grün", op, msg)
	return err
}
