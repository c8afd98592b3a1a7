package program

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/examples/internal/page"
)

// Roles are the sides of an example without a page: server and client in one
// program, or each in a process of its own.
type Roles struct {
	listen, dial *string
	timeout      *time.Duration
}

// RoleFlags defines the flags that choose the sides.
func RoleFlags(flags *flag.FlagSet) *Roles {
	return &Roles{
		flags.String("listen", "", "be only the server, at this `address`, until interrupted; port 0 picks a free one"),
		flags.String("dial", "", "be only the client of the server at this `URL`"),
		flags.Duration("timeout", time.Minute, "give up on the client after this time"),
	}
}

// Run runs the sides that the flags have chosen. serve serves on a socket until
// its context ends.
func (r *Roles) Run(ctx context.Context, out io.Writer, serve func(context.Context, net.Listener) error, client func(context.Context, *url.URL) error) error {
	if *r.listen != "" && *r.dial != "" {
		return errors.New("-listen and -dial are two processes: start one with each, or one without either")
	}
	if *r.listen != "" {
		socket, err := net.Listen("tcp", *r.listen)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "listening on http://%s/\n", socket.Addr())
		return serve(ctx, socket)
	}
	ctx, cancel := context.WithTimeout(ctx, *r.timeout)
	defer cancel()
	if *r.dial != "" {
		u, err := url.Parse(*r.dial)
		if err != nil {
			return err
		}
		return client(ctx, u)
	}
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- serve(serving, socket) }()
	err = client(ctx, &url.URL{Scheme: "ws", Host: socket.Addr().String(), Path: "/"})
	stop()
	return errors.Join(err, <-served)
}

// RunHTTP is Run with a server of h.
func (r *Roles) RunHTTP(ctx context.Context, out io.Writer, h http.Handler, client func(context.Context, *url.URL) error) error {
	return r.Run(ctx, out, func(ctx context.Context, socket net.Listener) error {
		return page.ServeOn(ctx, socket, h)
	}, client)
}

// Both reports whether the flags have chosen both sides.
func (r *Roles) Both() bool { return *r.listen == "" && *r.dial == "" }

// Client reports whether the flags have chosen the client only.
func (r *Roles) Client() bool { return *r.dial != "" }

// stopTimeout is how long connections have to end when the program stops.
const stopTimeout = 5 * time.Second

// ServeConns calls serve for every connection of ln, which is ws or is made of
// it, in a goroutine of its own, until ctx ends; then it waits for them.
// The connections end with serve.
func ServeConns(ctx context.Context, ws *walve.Listener, ln net.Listener, serve func(net.Conn)) error {
	failed := make(chan error, 1)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				failed <- err
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := ws.Shutdown(limit); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil // the rest was told to go away
}
