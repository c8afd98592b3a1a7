// Package page serves the pages of the examples: files without a build step,
// embedded in the binary, with a style sheet and a few modules that all share.
package page

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/bodokaiser/walve"
)

//go:embed shared
var shared embed.FS

// stopTimeout is how long requests have to end when the program stops, and then
// the handlers of WebSockets.
const stopTimeout = 3 * time.Second

// Mux serves the folder static of an example's files at /, and what all pages
// share at /shared/.
func Mux(files fs.FS) *http.ServeMux {
	static, err := fs.Sub(files, "static")
	if err != nil {
		panic(err) // not a valid path: cannot be
	}
	mux := http.NewServeMux()
	mux.Handle("/", protected(http.FileServerFS(static)))
	mux.Handle("/shared/", protected(http.FileServerFS(shared)))
	return mux
}

// protected keeps the page to its own origin: it loads nothing from elsewhere,
// runs no script that a user has smuggled in, and is in nobody's frame.
func protected(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy",
			"default-src 'self'; img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-cache")
		h.ServeHTTP(w, r)
	})
}

// Serve serves h at addr until ctx ends. The context of every request ends
// then too; Serve waits for the handlers, those with a WebSocket included.
func Serve(ctx context.Context, out io.Writer, addr string, h http.Handler) error {
	socket, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "listening on http://%s/\n", socket.Addr())
	return ServeOn(ctx, socket, h)
}

// ServeOn is Serve on a socket, which it closes.
func ServeOn(ctx context.Context, socket net.Listener, h http.Handler) error {
	// http.Server does not wait for connections that were hijacked.
	var handlers sync.WaitGroup
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			handlers.Add(1)
			defer handlers.Done()
			h.ServeHTTP(w, r)
		}),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 10 * time.Second,
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(socket) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if server.Shutdown(limit) != nil {
		server.Close() // browsers open connections in advance, which say nothing
	}
	ended := make(chan struct{})
	go func() {
		handlers.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-time.After(stopTimeout):
		return errors.New("handlers did not end in time")
	}
}

// WriteJSON sends v to a page, as a text message.
func WriteJSON(c *walve.Conn, v any) error {
	msg, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.WriteMessage(walve.OpText, msg)
}
